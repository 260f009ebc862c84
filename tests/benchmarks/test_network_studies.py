"""The studies with networks, made tiny: they run, resume from what they wrote, and say what they must."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.common.networks import NetworkRef, load_network, train_all
from benchmarks.common.study import Phases
from benchmarks.digits import __main__ as digits
from benchmarks.digits.cells import pooled_share
from benchmarks.digits.models import QUICK as DIGITS
from benchmarks.digits.models import SHARES
from benchmarks.mixture_1d import __main__ as mixture_1d
from benchmarks.mixture_1d import cells as mixture_1d_cells
from benchmarks.mixture_1d.cells import Scale, Work
from sfbench import FusedScore, OrnsteinUhlenbeck
from sfbench.experiments import GridConflictError, Journal, RunSettings, StudyError, in_study_folder, store_path
from sfbench.laws import fokker_planck_1d
from sfbench.nets import CheckpointError
from sfbench.processes import VariancePreserving
from sfbench.statistics import score_gram
from synthetic import GaussianMixture, LogLinearPool

TINY_DIGITS = replace(
    DIGITS,
    training=replace(DIGITS.training, base_steps=30, auxiliary_steps=5),
    evaluation=replace(
        DIGITS.evaluation, target_steps=5, generated=40, sampler_steps=5, likelihood_points=3, likelihood_steps=2
    ),
    sizes=(16,),
    draws=1,
)
TINY_MIXTURE = Scale(100, Work(10, 10, 200, 8), (32, 256), 1, 1)


def _of_few_rows(models, x, *arguments, **options):
    """Statistics that stand for those of a population."""
    return score_gram(models, x[:1000], *arguments, **options)


def make_tiny(monkeypatch):
    monkeypatch.setattr(digits, "QUICK", TINY_DIGITS)
    monkeypatch.setattr(mixture_1d, "QUICK", TINY_MIXTURE)
    monkeypatch.setattr(mixture_1d_cells, "_HELD_OUT", 500)
    monkeypatch.setattr(mixture_1d_cells, "score_gram", _of_few_rows)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    make_tiny(monkeypatch)


@pytest.fixture(scope="module")
def mixture_run(tmp_path_factory):
    """A finished tiny study; copy it before changing it."""
    folder = tmp_path_factory.mktemp("mixture")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        assert mixture_1d.main(["--quick", "--out", str(folder)]) == 0
    return folder


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_digits_runs_resumes_and_grows(tmp_path, capsys):
    run = ["--quick", "--out", str(tmp_path)]
    assert digits.main(run) == 0
    assert "predict sevens: pooling" in capsys.readouterr().out
    for name in ("methods.csv", "fixed.csv", "networks.csv", "summary.json", "digits.png", "digits.pdf"):
        assert (tmp_path / name).stat().st_size > 0
    rows = rows_of(tmp_path / "methods.jsonl")
    assert {row["method"] for row in rows} >= {"fused", "corrected", "from scratch", "fine-tuned"}
    real = [row["share"] for row in rows_of(tmp_path / "fixed.jsonl") if row["method"] == "real digits"]
    assert all(abs(share - 0.6) < 0.05 for share in real)
    with Journal(store_path(tmp_path)) as journal:
        computed = {study.name: set(journal.grid(study.name).values()) for study in journal.studies()}
    assert digits.main([*run, "--draws", "2"]) == 0
    again = rows_of(tmp_path / "methods.jsonl")
    assert [row for row in again if row["draw"] == 0] == rows  # kept, to the bit
    assert {row["draw"] for row in again} == {0, 1}
    with Journal(store_path(tmp_path)) as journal:
        runs = journal.runs()
        assert all(keys <= set(journal.grid(name).values()) for name, keys in computed.items())
    assert all(run["outcome"] == "complete" for run in runs)


@pytest.mark.slow
def test_a_network_that_is_gone_is_trained_again_and_another_one_is_refused(mixture_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(mixture_run, folder)
    weights = (folder / "auxiliary_1" / "weights.safetensors").read_bytes()
    shutil.rmtree(folder / "auxiliary_1")
    assert mixture_1d.main(["--quick", "--out", str(folder)]) == 0  # deterministic: the same network
    assert (folder / "auxiliary_1" / "weights.safetensors").read_bytes() == weights
    ref = NetworkRef("auxiliary_1", "0" * 64)
    with in_study_folder(folder), pytest.raises(StudyError, match="is another one"):
        load_network(ref, VariancePreserving())
    with in_study_folder(tmp_path / "elsewhere"), pytest.raises(StudyError, match="is missing"):
        load_network(ref, VariancePreserving())


@pytest.mark.slow
def test_no_resume_trains_from_the_first_step_and_a_refused_grid_removes_nothing(mixture_run, tmp_path, monkeypatch):
    folder, steps, train = tmp_path / "run", [], mixture_1d_cells.train_score_network
    shutil.copytree(mixture_run, folder)
    manifests = [(folder / f"auxiliary_{i}" / "manifest.json").read_bytes() for i in range(2)]
    [tensors] = (folder / "auxiliary_1" / "state").glob("*.safetensors")
    tensors.write_bytes(b"damaged")  # a state that no run can go on from
    (folder / "auxiliary_1" / "notes.txt").write_text("mine")

    def counted(*args, **options):
        return train(*args, on_step=lambda step, loss: steps.append(step), **options)

    monkeypatch.setattr(mixture_1d_cells, "train_score_network", counted)

    def train_again(auxiliary_steps):
        specs = [mixture_1d_cells.TrainingSpec(i, auxiliary_steps, 0) for i in range(2)]
        run, title = Phases(folder, RunSettings(resume=False)), "1-D mixture, seed 0: auxiliaries"
        return train_all(run, mixture_1d_cells.train_auxiliary, specs, title)

    with pytest.raises(GridConflictError):
        train_again(TINY_MIXTURE.auxiliary_steps + 1)
    assert (folder / "auxiliary_0" / "manifest.json").read_bytes() == manifests[0]
    assert tensors.exists()
    assert steps == []
    records = train_again(TINY_MIXTURE.auxiliary_steps)
    assert steps == 2 * list(range(1, TINY_MIXTURE.auxiliary_steps + 1))
    assert [(folder / r["name"] / "manifest.json").read_bytes() for r in records] == manifests
    assert (folder / "auxiliary_1" / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_network_of_another_process_is_refused(mixture_run):
    found = rows_of(mixture_run / "auxiliaries.jsonl")[0]
    ref = NetworkRef(found["name"], found["sha256"])
    with in_study_folder(mixture_run), pytest.raises(CheckpointError, match="trained under"):
        load_network(ref, VariancePreserving())


@pytest.mark.slow
def test_mixture_says_what_it_must(mixture_run):
    summary = json.loads((mixture_run / "summary.json").read_text())["summary"]
    assert set(summary["from scratch over fused"]) == {"32", "256"}
    assert 0.4 < summary["population weight (exact scores, fitted window)"] < 0.7
    assert (mixture_run / "mixture_1d.png").stat().st_size > 0


@pytest.mark.parametrize("study", [digits, mixture_1d])
def test_bad_arguments_are_one_line(study, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SFBENCH_DEVICE", raising=False)
    out = tmp_path / "out"
    assert study.main(["--quick", "--device", "nonsense", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'nonsense'" in said
    for bad in (["--seed", "-1"], ["--draws", "0"], ["--jobs", "0"]):
        with pytest.raises(SystemExit) as stop:
            study.main(["--quick", "--out", str(out), *bad])
        assert stop.value.code == 2
    assert not out.exists()


def test_missing_data_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SFBENCH_DATA", str(tmp_path / "empty"))
    digits.load_pools.cache_clear()
    assert digits.main(["--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sfbench data fetch mnist" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_class_frequencies_pool_geometrically_where_classes_do_not_overlap():
    """Two separated modes on the line stand for two classes; the fused law's share lies within 0.005 of the pool's."""
    shares, weights = np.array(SHARES), np.array([0.19, 0.2, 0.35, 0.26])
    laws = [GaussianMixture([1 - s, s], [[-4.0], [4.0]], [[[0.25]], [[0.25]]]) for s in shares]
    predicted = pooled_share(weights, shares)
    x = np.linspace(-8.0, 8.0, 16_001)
    density = np.exp(LogLinearPool(laws, weights).log_prob(x[:, None]))
    assert density[x > 0].sum() / density.sum() == pytest.approx(predicted, abs=1e-6)
    assert abs(predicted - weights @ shares) > 0.01  # the arithmetic mixture has another share
    fused = fokker_planck_1d(FusedScore(laws, weights, process=OrnsteinUhlenbeck()), n_cells=1000)
    assert fused.mass(0.0, np.inf) == pytest.approx(predicted, abs=0.005)
