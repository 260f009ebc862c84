"""The style study, made tiny: it runs, resumes, refuses, and its pieces are what they say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.claims import read_claims
from benchmarks.common.networks import NetworkRef
from benchmarks.common.study import write_rows
from benchmarks.styles import __main__ as styles
from benchmarks.styles import cells as styles_cells
from benchmarks.styles.cells import PROCESS, NetworkSpec, WeightedNetwork, fused_network
from benchmarks.styles.data import Images, Level, auxiliary_images, load_images, shown_images, write_images
from benchmarks.styles.report import as_text, compare, controls, draw_figures, interval
from sfbench import FusedScore
from sfbench.experiments import StudyError, in_study_folder
from sfbench.nets import NetworkScore, build_network

SETTING = replace(
    styles.QUICK.setting,
    width=16,
    auxiliary_n=60,
    base_steps=10,
    auxiliary_steps=10,
    reference_steps=20,
    tuning_steps=10,
    scratch_steps=10,
    held_out=60,
)
TINY = styles.Study(SETTING, (styles.LEVELS[0], styles.LEVELS[-1]), (8, 16), 2)


def run(folder, *options):
    return styles.main(["--quick", "--jobs", "1", "--out", str(folder), *options])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(styles, "QUICK", TINY)
        code = run(folder)
    return folder, code


def rows_of(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_it_writes_tables_and_the_heat_map(finished):
    folder, code = finished
    for name in ("styles.png", "styles.pdf", "styles_curves.png", "methods.csv", "distances.csv", "comparison.csv"):
        assert (folder / name).stat().st_size > 0
    rows = rows_of(folder, "methods")
    methods = {"fused", "parameter average", "nearest auxiliary", "fine-tuned", "fused, fine-tuned", "from scratch"}
    assert {row["method"] for row in rows} == methods
    assert len(rows) == 2 * 2 * 2 * 5 + 2 * 2  # levels, sizes, draws, methods; and from scratch
    fused = [row for row in rows if row["method"] == "fused"]
    assert all(abs(sum(row["weights"]) - 1.0) < 1e-9 for row in fused)
    assert all(low <= w <= high for r in fused for low, w, high in zip(r["low"], r["weights"], r["high"], strict=True))
    assert code == (0 if all(claim.holds for claim in read_claims(folder)) else 1)


@pytest.mark.slow
def test_weights_that_look_at_the_judge_are_the_best(finished):
    """No weights do better on the held-out images than those fitted to them, up to the quadrature of the fit."""
    folder, _ = finished
    best = {row["style"]: row["best_loss"] for row in rows_of(folder, "distances")}
    for row in rows_of(folder, "methods"):
        if row["method"] == "fused":
            assert row["loss"] > best[row["style"]] - 1e-3


@pytest.mark.slow
def test_a_second_run_computes_nothing(finished, monkeypatch):
    folder, code = finished
    before = {name: (folder / name).read_bytes() for name in ("methods.jsonl", "networks.jsonl", "comparison.jsonl")}
    monkeypatch.setattr(styles, "QUICK", TINY)
    monkeypatch.setattr(styles_cells, "train_score_network", None)
    monkeypatch.setattr(styles_cells, "fuse", None)
    assert run(folder) == code
    assert all((folder / name).read_bytes() == content for name, content in before.items())


@pytest.mark.slow
def test_finished_cells_can_be_collected(finished, tmp_path, capsys):
    folder, code = finished
    for name in ("journal.sqlite",):
        shutil.copy(folder / name, tmp_path)
    assert run(tmp_path, "--collect") == code
    assert "draws: 8 of 8 cells" in capsys.readouterr().out
    assert rows_of(tmp_path, "comparison") == rows_of(folder, "comparison")
    assert (tmp_path / "styles.png").stat().st_size > 0


@pytest.mark.slow
def test_tables_and_figures_of_part_of_the_grid(finished, tmp_path):
    folder, _ = finished
    write_rows(tmp_path, "distances", rows_of(folder, "distances"))
    kept = [r for r in rows_of(folder, "methods") if r["method"] != "from scratch" and (r["draw"], r["n"]) != (1, 16)]
    write_rows(tmp_path, "methods", [r for r in kept if (r["style"], r["n"]) != ("foreign, shuffled", 16)])
    table = compare(tmp_path)
    assert [(row["style"], row["n"], row["draws"]) for row in table] == [
        ("same law", 8, 2),
        ("same law", 16, 1),
        ("foreign, shuffled", 8, 2),
    ]
    assert all(row["from scratch"] is None for row in table)
    assert table[1]["fused +-"] is None
    write_rows(tmp_path, "comparison", table)
    assert all(path.exists() for path in draw_figures(tmp_path))
    assert "-" in as_text(tmp_path, table)


def test_nothing_to_collect_is_one_line(tmp_path, capsys):
    assert run(tmp_path, "--collect") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_the_report_command_reads_the_store(finished, capsys):
    from sfbench.cli import main

    folder, _ = finished
    assert main(["report", str(folder)]) == 0
    assert "styles: draws" in capsys.readouterr().out
    assert "foreign, shuffled" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--seed", "-1"], "--seed"),
        (["--data", "cats"], "invalid choice"),
        (["--device", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(options, words, tmp_path, capsys):
    try:
        code = styles.main([*options, "--out", str(tmp_path / "out")])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert words in said


def test_missing_data_name_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "empty"))
    assert styles.main(["--data", "digits", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sfbench data fetch" in said


def test_the_weighted_network_is_the_fused_score():
    networks = [build_network("mlp", {"dim": 5, "width": 8, "depth": 1}, process=PROCESS, seed=i) for i in range(3)]
    rng = np.random.default_rng(0)
    for network in networks:
        network.outward.weight.data.normal_()  # as built it is zero
    models = [NetworkScore(network.double(), 5, PROCESS) for network in networks]
    weights, x = np.array([0.2, 0.5, 0.3]), rng.standard_normal((7, 5))
    for t in (0.01, 0.3, 1.0):
        expected = FusedScore(models, weights, process=PROCESS).score(x, t)
        np.testing.assert_allclose(fused_network(models, weights).score(x, t), expected, rtol=1e-10, atol=1e-12)
    alone = WeightedNetwork(networks, np.array([0.0, 1.0, 0.0]))
    assert np.array_equal(NetworkScore(alone, 5, PROCESS, "v").score(x, 0.1), models[1].score(x, 0.1))


def test_auxiliaries_share_no_image_of_the_target_and_shuffling_keeps_the_pixels():
    rng = np.random.default_rng(0)
    images = Images(*(rng.standard_normal((40, 6)) for _ in range(3)), tuple(rng.standard_normal((2, 40, 6))))
    half = Level("half", 0.5)
    first, second = (auxiliary_images(images, half, i, 20, 0) for i in range(2))
    own = {tuple(x) for x in images.own}
    mine, yours = ({tuple(x) for x in part} & own for part in (first, second))
    assert len(mine) == len(yours) == 10
    assert not mine & yours
    shuffled = auxiliary_images(images, Level("noise", 0.0, shuffled=True), 0, 20, 0)
    assert not {tuple(x) for x in shuffled} & {tuple(x) for x in images.foreign[0]}
    assert {tuple(sorted(x)) for x in shuffled} == {tuple(sorted(x)) for x in images.foreign[0][:20]}
    with pytest.raises(StudyError, match="auxiliary 1 needs 30 own and 30 foreign images, there are 0 and 40"):
        auxiliary_images(images, half, 1, 60, 0)


def test_draws_share_no_image():
    images = Images(np.zeros((1, 2)), np.arange(20.0).reshape(10, 2), np.zeros((1, 2)), ())
    a, b = (shown_images(images, 3, draw, 5) for draw in range(2))
    assert not set(a.ravel()) & set(b.ravel())
    assert np.array_equal(shown_images(images, 5, 0, 5)[:3], a)
    with pytest.raises(StudyError, match="draw 2 of 5 images needs 15 target images, there are 10"):
        shown_images(images, 3, 2, 5)


@pytest.mark.slow
def test_images_are_known_by_content(tmp_path):
    sha256 = write_images(tmp_path, "digits8", 8, 50, 0)
    assert write_images(tmp_path, "digits8", 8, 50, 0) == sha256
    assert write_images(tmp_path, "digits8", 8, 50, 1) != sha256
    (tmp_path / "images.npz").write_bytes(b"damaged")
    assert write_images(tmp_path, "digits8", 8, 50, 0) == sha256
    with in_study_folder(tmp_path):
        images = load_images(sha256)
        assert images.held_out.shape == (50, 64)
        assert -1.0 <= images.own.min() < images.own.max() <= 1.0
        with pytest.raises(StudyError, match="other images"):
            load_images("0" * 64)
    with in_study_folder(tmp_path / "elsewhere"), pytest.raises(StudyError, match="run the study's command"):
        load_images(sha256)


@pytest.mark.slow
def test_a_network_of_other_content_is_refused(finished):
    folder, _ = finished
    sha256 = write_images(folder, SETTING.name, SETTING.side, SETTING.held_out, SETTING.seed)
    spec = NetworkSpec(
        replace(SETTING, images_sha256=sha256), "auxiliary", TINY.levels[0], 0, NetworkRef("base", "0" * 64)
    )
    with in_study_folder(folder), pytest.raises(StudyError, match="another one"):
        styles_cells.train_network(spec)


def test_controls_need_an_interval():
    row = {"style": "a", "own": 1.0, "shuffled": True, "n": 16, "fused - fine-tuned": 3.0, "fused - fine-tuned +-": 1.0}
    lost, tied = row, row | {"fused - fine-tuned +-": 4.0}
    assert [check.holds for check in controls([lost])] == [False, True]
    assert [check.holds for check in controls([tied])] == [True, False]
    assert [check.holds for check in controls([row | {"fused - fine-tuned +-": None}])] == [True, False]
    assert interval([1.0]) == (1.0, np.inf)
    mean, half = interval([1.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(12.706204736 * 2.0 / 2.0, rel=1e-6)  # t(0.975, 1) times the standard error, 1


@pytest.mark.parametrize("folder", ["clothes", "digits", "digits8"])
def test_stored_claims_are_those_of_the_stored_tables(folder: str) -> None:
    store = Path(__file__).parents[2] / "benchmarks" / "results" / "styles" / folder
    stored, found = read_claims(store), controls(compare(store))
    assert [(c.name, c.verdict) for c in stored] == [(c.name, c.verdict) for c in found]
    assert [c.value for c in stored] == pytest.approx([c.value for c in found])
