"""The sample-complexity study end to end, at a tiny size."""

import json
from pathlib import Path

import pytest

from benchmarks.common.claims import read_claims, within
from benchmarks.common.study import read_rows
from benchmarks.complexity.__main__ import counts, main
from benchmarks.complexity.cells import CellSpec, Setting, run_cell


@pytest.mark.slow
def test_a_cell_depends_on_its_spec_alone_and_its_bounds_hold() -> None:
    specs = [CellSpec("n", "shifted_gaussians", 4, 3, (64, 128), s, 0, "antithetic", ("active_set",)) for s in range(3)]
    forwards, backwards = run_cell(specs), run_cell(specs[::-1])
    weights = [[row["weights"] for row in record] for record in forwards]
    assert weights == [[row["weights"] for row in record] for record in reversed(backwards)]
    assert weights[0] != weights[1]
    for row in (row for record in forwards for row in record):
        assert row["certificate_holds"]
        assert row["kl"] > row["certificate_kl"] / 2  # half the bound would be violated
        assert row["slow_holds"]
        assert row["gap"] <= 1e-8 * row["scale"]
        assert row["rounded_gap"] > 1e-8 * row["scale"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "figures"),
    [
        ("shifted_gaussians", {"1_samples", "2_dimension", "3_auxiliaries", "4_estimators", "5_solvers"}),
        ("paper_mixture_1d", {"1_samples", "4_estimators", "5_solvers"}),
    ],
)
def test_a_small_study_writes_its_tables_and_figures(
    problem: str, figures: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.complexity.cells._TIMED_S", 1e-9)  # one solve each
    monkeypatch.setattr("benchmarks.complexity.__main__.ESTIMATOR_DRAWS", 2)
    out = tmp_path / "out"
    out.mkdir()
    (out / "3_auxiliaries.png").write_text("of an earlier study")
    sizes = ["--n", "64,256", "--d", "4,16", "--k", "2,4", "--seeds", "3", "--jobs", "1", "--out", str(out)]
    code = main(["--problem", problem, "--solver", "active_set", "piqp", *sizes])
    assert {path.stem for path in out.glob("*.png")} == {path.stem for path in out.glob("*.pdf")} == figures
    assert all(path.stat().st_size > 10_000 for path in out.glob("*.png"))
    rows, claims = read_rows(out, "cells"), read_claims(out)
    assert code == (0 if all(claim.stands for claim in claims) else 1)
    assert {row["n"] for row in rows if row["study"] == "n"} == {64, 256}
    assert all(0 <= row["tv"] <= 1 and row["tv_stderr"] >= 0 for row in rows if "tv" in row)
    by_name = {claim.name: claim for claim in claims}
    assert all(claim.value == 0 for name, claim in by_name.items() if name.startswith("violations"))
    windows = [claim for name, claim in by_name.items() if name.startswith("population weight")]
    assert len(windows) == 4
    assert all(claim.stands for claim in windows)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["arguments"]["problem"] == problem


def test_a_claim_whose_control_passes_does_not_hold() -> None:
    assert within("x", 1.0, low=0.0, high=2.0, control=(5.0, "other")).stands
    assert not within("x", 1.0, low=0.0, high=2.0, control=(1.5, "other")).stands
    assert not within("x", 3.0, low=0.0, high=2.0, control=(5.0, "other")).stands
    assert not within("x", float("nan")).stands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problem", "shifted"], "unknown problem"),
        (["--solver", "magic"], "solver 'magic' is not available"),
        (["--n", "8:4"], "A:B with A <= B"),
        (["--n", "64", "x"], "whole numbers"),
        (["--param", "separation"], "--param takes name=value"),
        (["--process", "brownian"], "unknown process"),
        (["--t-min", "2", "--t-max", "1"], "t_min"),
        (["--estimator", "magic"], "unknown estimator"),
        (["--module", "absent_families"], "cannot import 'absent_families'"),
        (["--d", "four"], "whole numbers"),
        (["--k", "0"], "at least 1"),
        (["--seeds", "1"], "--seeds must be at least 2"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_why(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_an_output_folder_that_cannot_be_written_is_refused_before_computing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["--out", str(blocked / "inside")]) == 2
    assert "cannot write to output folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [blocked]


PARTS = """
from dataclasses import dataclass
import numpy as np
from sfbench.processes import OrnsteinUhlenbeck, VariancePreserving, register_process
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, family

@family
def ring(*, rng, k: int = 3, radius: float = 1.0):
    angles = 2 * np.pi * (np.arange(k) / k + rng.random())
    laws = [GaussianMixture([1.0], [[radius * np.cos(a), radius * np.sin(a)]], 0.3) for a in angles]
    return SyntheticProblem("ring", LogLinearPool(laws, np.full(k, 1 / k)), laws, np.full(k, 1 / k))

register_process("slow", lambda: VariancePreserving(0.1, 10.0))
"""


@pytest.mark.slow
def test_parts_of_ones_own_reach_the_study_in_worker_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family and a process of a file, parameters and a window; without d and with k given, only n varies."""
    monkeypatch.setattr("benchmarks.complexity.__main__.ESTIMATOR_DRAWS", 1)
    source = tmp_path / "ring_parts.py"
    source.write_text(PARTS)
    common = ["--seeds", "3", "--jobs", "2", "--solver", "active_set", "--n", "64", "128"]
    main(["--problem", f"{source}:ring", *common, "--k", "2", "4", "--out", str(tmp_path / "a")])  # few seeds may miss
    rows = read_rows(tmp_path / "a", "cells")
    assert {row["problem"] for row in rows} == {f"{source}:ring"}
    assert {(row["study"], row["k"]) for row in rows} == {("n", 4), ("k", 2), ("k", 4)}
    assert {path.stem for path in (tmp_path / "a").glob("*.png")} >= {"1_samples", "3_auxiliaries"}
    monkeypatch.setattr("benchmarks.complexity.__main__.draw_figures", lambda folder: [])
    options = ["--module", str(source), "--problem", "ring", "--param", "k=3", "--param", "radius=2"]
    main([*options, "--process", "slow", "--t-min", "0.01", *common, "--out", str(tmp_path / "b")])
    rows = read_rows(tmp_path / "b", "cells")
    assert {(row["study"], row["k"], row["n"]) for row in rows} == {("n", 3, 64), ("n", 3, 128)}
    assert {row["setting"] for row in rows} == {"ring, k=3, radius=2, slow, t in [0.01, 1]"}
    assert "setting" not in json.loads((tmp_path / "a" / "cells.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["64", "128"], [64, 128]),
        (["128,64"], [64, 128]),
        (["64:512"], [64, 128, 256, 512]),
        (["3:7", "1"], [1, 3, 6, 7]),
    ],
)
def test_sizes_are_lists_or_octaves(texts: list[str], found: list[int]) -> None:
    assert counts("n", texts) == found


@pytest.mark.slow
def test_other_processes_windows_and_parameters_have_their_own_truth() -> None:
    settings = [
        "shifted_gaussians",
        Setting("shifted_gaussians", process="variance_exploding", window=(1e-3, 1.0)),
        Setting("shifted_gaussians", window=(0.1, 5.0)),
        Setting("shifted_gaussians", (("separation", 4.0),)),
    ]
    specs = [CellSpec("n", setting, 4, 3, (128,), 0, 0, "antithetic", ("active_set",)) for setting in settings]
    rows = [record[0] for record in run_cell(specs)]
    assert all(row["certificate_holds"] and row["kl"] > row["certificate_kl"] / 2 for row in rows)
    assert len({row["certificate_kl"] for row in rows}) == 4
    assert Setting("shifted_gaussians").short == "shifted_gaussians"  # the cells of default studies keep their keys
