"""Fits kept in files: complete, without models, the same bits in another process, and nothing that runs code."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import FitWarning, ModelError
from sfbench.fusion import ResultError
from sfbench.fusion.saving import RECORD
from solvers import SolverFailureError
from synthetic import SyntheticProblem, make_problem

ROOT = Path(__file__).parents[2]
CODE = """
import sys, numpy as np, sfbench
from synthetic import make_problem
laws = make_problem("shifted_gaussians", k=3, d=5, weights=(0.5, 0.3, 0.2)).auxiliaries
result = sfbench.load_result(sys.argv[1]).attach(dict(zip(["a", "b", "c"], laws)))
np.save(sys.argv[2], sfbench.sample(result, 200, steps=16, check_steps=False, rng=5).x)
"""


@pytest.fixture(scope="module")
def fit(shifted: SyntheticProblem) -> sfbench.FusionResult:
    models = dict(zip("abc", shifted.auxiliaries, strict=True))
    x = shifted.target.sample(300, rng=0)
    return sfbench.fuse(models, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)


def test_a_fit_comes_back_whole_but_for_its_models(fit: sfbench.FusionResult, tmp_path: Path) -> None:
    back = sfbench.load_result(fit.save(tmp_path / "fit"))
    assert back.labels == ("a", "b", "c")
    assert back.weights.tobytes() == fit.weights.tobytes()
    assert back.gram.G.tobytes() == fit.gram.G.tobytes()
    assert back.summary() == fit.summary()
    assert back.to_dict() == fit.to_dict()
    assert np.array_equal(back.confidence_interval(0.5), fit.confidence_interval(0.5))
    assert back.statistics.at(slice(0, 8)).value(fit.weights) == fit.statistics.at(slice(0, 8)).value(fit.weights)
    with pytest.raises(ModelError, match="attach"):
        back.score.score(np.zeros((2, 5)), 0.5)
    again = sfbench.load_result(back.save(tmp_path / "copy"))  # a fit without its models is kept, too
    assert again.to_dict() == fit.to_dict()


@pytest.mark.slow
def test_the_same_bits_of_samples_in_another_process_and_folder(fit: sfbench.FusionResult, tmp_path: Path) -> None:
    folder, points = fit.save(tmp_path / "here").rename(tmp_path / "there"), tmp_path / "x.npy"
    subprocess.run([sys.executable, "-c", CODE, folder, points], check=True, cwd=ROOT)
    here = sfbench.sample(fit, 200, steps=16, check_steps=False, rng=5).x
    assert np.load(points).tobytes() == here.tobytes()


def test_other_models_are_noticed(fit: sfbench.FusionResult, shifted: SyntheticProblem, tmp_path: Path) -> None:
    back = sfbench.load_result(fit.save(tmp_path))
    a, b, c = shifted.auxiliaries
    back.attach({"c": c, "b": b, "a": a})  # by name, in any order
    with pytest.warns(FitWarning, match="'b' is not the one"):
        back.attach([a, a, c])
    with pytest.raises(ModelError, match="names of the fit"):
        back.attach({"a": a, "b": b})
    with pytest.raises(ModelError, match=r"one of 3 models \(a, b, c\), got 2"):
        back.attach([a, b])


def _spoil(folder: Path, how: str) -> None:
    record = json.loads((folder / RECORD).read_text())
    arrays = folder / record["arrays"]["file"]
    if how == "flipped bit":
        content = bytearray(arrays.read_bytes())
        content[len(content) // 2] ^= 1
        arrays.write_bytes(bytes(content))
    elif how == "cut short":
        arrays.write_bytes(arrays.read_bytes()[:-7])
    elif how == "longer":
        arrays.write_bytes(arrays.read_bytes() + b"x")
    elif how == "no arrays":
        arrays.unlink()
    elif how == "other file":
        record["arrays"]["file"] = "../../etc/passwd"
    elif how == "compressed":
        import hashlib

        with zipfile.ZipFile(arrays, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a0.npy", b"\0" * 100000)
        content = arrays.read_bytes()
        record["arrays"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    elif how == "unknown class":
        record["result"]["class"] = "Popen"
    elif how == "off the simplex":
        record["result"]["fields"]["weights"] = {"array": "nothing"}
    elif how == "newer":
        record["format"] = 99
    (folder / RECORD).write_text("{" if how == "half a record" else json.dumps(record))


HOWS = ["flipped bit", "cut short", "longer", "no arrays", "other file", "compressed", "unknown class"]


@pytest.mark.parametrize("how", [*HOWS, "off the simplex", "newer", "half a record"])
def test_damage_is_refused(how: str, fit: sfbench.FusionResult, tmp_path: Path) -> None:
    fit.save(tmp_path)
    _spoil(tmp_path, how)
    with pytest.raises(ResultError):
        sfbench.load_result(tmp_path)


def test_a_new_fit_replaces_the_old_one_and_nothing_else(
    fit: sfbench.FusionResult, shifted: SyntheticProblem, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    fit.save(tmp_path)
    other = sfbench.fuse(
        shifted.auxiliaries, shifted.target.sample(50, rng=1), process=sfbench.OrnsteinUhlenbeck(), rng=1
    )
    other.save(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npz", ".txt"]
    assert sfbench.load_result(tmp_path).labels == ("0", "1", "2")


@pytest.mark.parametrize(
    "process", [sfbench.VariancePreserving(), sfbench.VarianceExploding(5.0), sfbench.processes.ddpm()], ids=repr
)
def test_every_process_weighting_and_objective_is_kept(process: Any, tmp_path: Path) -> None:
    problem = make_problem("shifted_gaussians", k=2, d=2)
    x = problem.target.sample(100, rng=0)
    fit = sfbench.fuse(problem.auxiliaries, x, process=process, weighting=lambda t: 1.0 + t, n_nodes=4, rng=0)
    back = sfbench.load_result(fit.save(tmp_path), process=process)
    assert back.process == process
    assert back.statistics.settings.describe() == fit.statistics.settings.describe()
    with pytest.raises(ResultError, match="was made under"):
        sfbench.load_result(tmp_path, process=sfbench.OrnsteinUhlenbeck())


def test_the_likelihood_fit_is_kept(reference: SyntheticProblem, tmp_path: Path) -> None:
    fit = sfbench.fuse(
        reference.auxiliaries,
        reference.target.sample(100, rng=0),
        process=sfbench.OrnsteinUhlenbeck(),
        objective="likelihood",
    )
    assert sfbench.load_result(fit.save(tmp_path)).to_dict() == fit.to_dict()


@pytest.mark.slow
def test_intervals_under_constraints_are_kept_at_their_level(shifted: SyntheticProblem, tmp_path: Path) -> None:
    from solvers.cvxpy_conic import Cvxpy

    solver = Cvxpy(constraints=lambda w: [w <= 0.6])
    x = shifted.target.sample(100, rng=0)
    fit = sfbench.fuse(shifted.auxiliaries[:2], x, process=sfbench.OrnsteinUhlenbeck(), solver=solver, rng=0)
    back = sfbench.load_result(fit.save(tmp_path))
    assert np.array_equal(back.confidence_interval(), fit.confidence_interval())
    with pytest.raises(SolverFailureError, match="could not be kept"):
        back.confidence_interval(0.5)


@pytest.mark.parametrize("names", [["a", "a", "b"], ["a", "b"], ["a", "b", ""], "abcd", [1, 2, 3]])
def test_bad_names_are_refused(names: Any, shifted: SyntheticProblem) -> None:
    with pytest.raises(ModelError, match="names must be 3 distinct strings"):
        sfbench.fuse(shifted.auxiliaries, np.zeros((4, 5)), process=sfbench.OrnsteinUhlenbeck(), names=names)
