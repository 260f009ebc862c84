"""What samplers, laws and metrics refuse, and that the message names what was wrong."""

import json

import numpy as np
import pytest

from sfbench import cli
from sfbench.baselines import superdiff
from sfbench.errors import ModelError, NotFiniteError, ProcessMismatchError, SfbenchError
from sfbench.fusion.from_paths import fit_from_scores, path_ratios
from sfbench.laws import fokker_planck_1d, ode_log_density
from sfbench.metrics import mode_mass_error, total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck, VariancePreserving
from sfbench.processes.times import time_steps
from sfbench.sampling import CorrectedSampler, sample
from sfbench.scores import AlignedScore, AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture

OU = OrnsteinUhlenbeck()
LAW = GaussianMixture([1.0], [[0.0]], 1.0)
NORMAL = AnalyticScore(LAW, OU)
FUSED = FusedScore([NORMAL, NORMAL], [0.5, 0.5], process=OU)


class Stub:
    dim = 1

    def __init__(self, function):
        self.function = function

    def score(self, x, t):
        return self.function(x)


@pytest.mark.parametrize("sampler", ["fused", "corrected"])
@pytest.mark.parametrize("function", [lambda x: -x + 0j, lambda x: (-x).astype(object)])
def test_scores_of_other_types_are_refused(sampler, function):
    fused = FusedScore([Stub(function), Stub(function)], [0.5, 0.5], process=OU)
    with pytest.raises(ModelError, match="dtype"):
        sample(fused, 10, sampler, steps=3, rng=0)


CASES = {
    "n that no memory holds": (lambda: sample(FUSED, 10**12, steps=2), "GiB"),
    "dtype": (lambda: sample(FUSED, 5, dtype="flot"), "flot"),
    "max_lost": (lambda: sample(FUSED, 5, max_lost="all"), "all"),
    "callback": (lambda: sample(FUSED, 5, callback=3, steps=2), "callback"),
    "callback of one argument": (lambda: sample(FUSED, 5, callback=float, steps=2), "callback must be a function of"),
    "sampler, close match": (lambda: sample(FUSED, 5, "corected"), "did you mean 'corrected'"),
    "threshold": (lambda: CorrectedSampler(threshold="high"), "threshold"),
    "moves": (lambda: CorrectedSampler(moves=3), "moves"),
    "resampled": (lambda: sample(FUSED, 5, steps=2, rng=0).resampled(0), "n must"),
    "expectation": (lambda: sample(FUSED, 5, steps=2, rng=0).expectation(lambda x: x), r"\(5,\), got \(5, 1\)"),
    "cells": (lambda: fokker_planck_1d(FUSED, n_cells=100.5), "100.5"),
    "law instead of score": (lambda: fokker_planck_1d(LAW, process=OU), "AnalyticScore"),
    "process of steps": (lambda: time_steps("ou", 5), "'ou'"),
    "bins": (lambda: total_variation_from_samples(np.arange(9.0), LAW, n_bins=2.5), "2.5"),
    "law without density": (lambda: total_variation_from_samples(np.arange(9.0), 3), "log_prob"),
    "mixture": (lambda: mode_mass_error(np.zeros((5, 1)), 3), "GaussianMixture"),
    "dimension of modes": (lambda: mode_mass_error(np.zeros((5, 2)), LAW), "2 dimensions"),
    "superdiff, points": (lambda: superdiff(FUSED, 0), "n must"),
    "superdiff, source": (lambda: superdiff(LAW, 5), "process"),
    "superdiff, bound": (lambda: superdiff(FUSED, 5, "and", largest=-1.0), "largest"),
    "paths": (lambda: path_ratios(FUSED, 1), "at least 2"),
    "paths, source": (lambda: path_ratios(LAW, 10), "FusedScore"),
    "weights of paths": (lambda: path_ratios(FUSED, 9, steps=3, rng=0).log_partition([1.0]), r"shape \(2,\)"),
    "no models": (lambda: fit_from_scores([], [], process=OU), "no models given"),
    "process of an aligned score": (lambda: AlignedScore(NORMAL, 1.0, process="ou"), "'ou'"),
    "copies": (lambda: ProductScore(NORMAL, 1.5), "1.5"),
    "copies of a law": (lambda: ProductScore(LAW, 2), "AnalyticScore"),
}


@pytest.mark.parametrize("name", CASES)
def test_refusals_name_the_fault(name):
    call, named = CASES[name]
    with pytest.raises(SfbenchError, match=named):
        call()


@pytest.mark.parametrize("law", [fokker_planck_1d, lambda s, process: ode_log_density(s, [[0.0]], process=process)])
@pytest.mark.parametrize("score", [FUSED, NORMAL])
def test_laws_under_another_process_are_refused(law, score):
    with pytest.raises(ProcessMismatchError, match=r"OrnsteinUhlenbeck.*VariancePreserving"):
        law(score, process=VariancePreserving())


def test_expectations_that_are_not_finite_name_the_point():
    with pytest.raises(NotFiniteError, match="returned nan"):
        sample(FUSED, 5, steps=2, rng=0).expectation(lambda x: x[:, 0] * np.nan)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--n", "0"], "n must"),
        (["--n", "100000000000000"], "GiB"),
        (["--steps", "-3"], "n_steps"),
        (["--sampler", "corected"], "did you mean"),
        (["--weights", ".5"], "shape (2,)"),
        (["--weights", "a,b"], "--weights"),
        (["--weights", "2,-1"], "non-negative"),
        (["--process", "ou"], "unknown process"),
        (["--out", "points.txt"], ".npz"),
        (["--out", "."], ".npz"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, named, capsys):
    assert cli.main(["sample", "--problem", "paper_mixture_1d", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("sfbench: ")
    assert named in error
    assert "\n" not in error


def test_the_command_reports_law_log_z_and_steps(tmp_path, capsys):
    path = tmp_path / "points.npz"
    problem = ["--problem", "paper_mixture_1d", "--param", "scale=6"]
    arguments = [*problem, "--sampler", "corrected", "--n", "1000", "--steps", "64", "--out", str(path), "--json"]
    assert cli.main(["sample", *arguments]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["law"].startswith("KL barycenter")
    assert set(record["log_z_errors"]) == {"sampling", "steps", "prior", "noise left"}
    assert abs(record["log_z"]["value"] - record["log_z_truth"]) < 3 * record["log_z"]["stderr"]
    with np.load(path) as points:
        assert points["x"].shape == (1000, 1)
    assert cli.main(["sample", "--n", "600", "--steps", "16", "--sampler", "fused", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["law"].startswith("fused law")
