"""The border of fuse and the statistics: foreign models and data are looked at once, and refused by name."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GramError, ModelError, NotFiniteError, SfbenchError, fuse, population_gram, score_gram, time_grid
from sfbench.fusion import fit_from_scores, inspect_windows, path_ratios
from synthetic import IntractableError, make_problem

from ..common import Foreign, settings

OU = sfbench.OrnsteinUhlenbeck()
PROBLEM = make_problem("shifted_gaussians", k=2, d=4)
LAWS, X = PROBLEM.auxiliaries, PROBLEM.target.sample(60, rng=0)


@dataclass(frozen=True)
class Odd:
    """A model that answers with what `change` makes of the right score."""

    change: Any
    dim: int = 4

    def score(self, x: np.ndarray, t: float) -> Any:
        return self.change(x)


def _writes(x: np.ndarray) -> np.ndarray:
    x *= -1.0
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: torch.tensor(-x), r"models\[1\] \(Odd\) returned a torch.Tensor; a score must be .* s.detach\(\)"),
        (lambda x: torch.tensor(-x, requires_grad=True), "returned a torch.Tensor"),
        (lambda x: (-x,), "returned a builtins.tuple"),
        (lambda x: None, "returned a builtins.NoneType"),
        (lambda x: (-x).tolist(), "returned a builtins.list"),
        (lambda x: np.ma.masked_array(-x), "returned a numpy.ma"),
        (lambda x: -x[:, :1], r"a score of shape \(3, 1\) for points of shape \(3, 4\)"),
        (lambda x: -x.sum(axis=1), r"a score of shape \(3,\)"),
        (lambda x: np.array([3.0] * 4), r"a score of shape \(4,\)"),
        (lambda x: -x + 0j, "of dtype complex128; it must be real and floating"),
        (lambda x: (-x).astype(int), "of dtype int64"),
        (_writes, r"models\[1\] \(Odd\) writes into the points it is given"),
    ],
)
def test_models_are_asked_once_before_the_pass(change: Any, message: str) -> None:
    for verb in (
        lambda models: fuse(models, X, process=OU, rng=0),
        lambda models: score_gram(models, X, settings(), rng=0),
        lambda models: inspect_windows(models, [X, X], process=OU, grid=time_grid(0.1, 1.0, 2)),
    ):
        with pytest.raises(ModelError, match=message):
            verb([Foreign(LAWS[0], OU), Odd(change)])


def test_divergences_are_asked_for_too() -> None:
    @dataclass(frozen=True)
    class Bending(Odd):
        def score_and_divergence(self, x: np.ndarray, t: float) -> Any:
            return self.change(x)

    for change, message in (
        (lambda x: -x, r"must return a pair \(score, divergence\), got a ndarray"),
        (lambda x: (-x, np.zeros((len(x), 1))), r"a divergence of shape \(3, 1\)"),
        (lambda x: (-x, 4.0), "returned a builtins.float; a divergence must be a numpy array"),
    ):
        with pytest.raises(ModelError, match=message):
            score_gram([Bending(change)] * 2, X, settings("stein"), rng=0)


def test_what_models_are_asked_beforehand_costs_one_call_each() -> None:
    calls = []

    @dataclass(frozen=True)
    class Counting(Foreign):
        def score(self, x: np.ndarray, t: float) -> np.ndarray:
            calls.append(len(x))
            return super().score(x, t)

    score_gram([Counting(law, OU) for law in LAWS], X, settings(n_nodes=5), rng=0)
    assert sorted(calls) == [3, 3, *[120] * 10]


@pytest.mark.parametrize("make", [iter, lambda laws: (law for law in laws)])
def test_models_may_come_from_a_generator(make: Any) -> None:
    expected = fuse(LAWS, X, process=OU, rng=0).weights
    assert np.array_equal(fuse(make(LAWS), X, process=OU, rng=0).weights, expected)
    assert np.array_equal(score_gram(make(LAWS), X, settings(), rng=0).G, score_gram(LAWS, X, settings(), rng=0).G)
    grams = [sfbench.simulated_grams(g, PROBLEM.target, settings(), [9], rng=0) for g in (make(LAWS), LAWS)]
    assert np.array_equal(grams[0][0].G, grams[1][0].G)
    report = inspect_windows(make(LAWS), make([X, X]), process=OU, grid=time_grid(0.1, 1.0, 2))
    assert report.ratio.shape == (2, 2)


# ---------------------------------------------------------------------- data
def test_images_are_flattened_and_frames_are_read() -> None:
    class Frame:
        """What reads a table of pandas, polars or xarray: nothing but the protocol."""

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return X.copy()

    expected = fuse(LAWS, X, process=OU, rng=0).weights
    for form in (X.reshape(60, 1, 2, 2), Frame(), torch.tensor(X), X.tolist(), [row for row in X]):  # noqa: C416
        assert np.array_equal(fuse(LAWS, form, process=OU, rng=0).weights, expected)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ma.masked_array(X, mask=X > 1), GramError, "data is a masked array"),
        (X + 1j, GramError, "data must hold real numbers, got dtype complex128"),
        (X.astype("datetime64[s]"), GramError, "datetime64"),
        (X.astype(object), GramError, "dtype object"),
        (X > 0, GramError, "dtype bool"),
        (torch.tensor(X, requires_grad=True), GramError, r"pass data.detach\(\)"),
        (torch.tensor(X, dtype=torch.bfloat16), GramError, r"pass data.float\(\)"),
        (np.where(np.arange(4) == 2, 1e308, X), NotFiniteError, r"data\[0, 2\] is 1e\+308; .* rescale the data"),
        (np.broadcast_to(0.0, (10**9, 10**4)), ModelError, "models live in 4 dimensions"),
        ([[1.0, 2.0], [3.0]], GramError, "data is ragged"),
        ("abc", GramError, r"got the path .abc.; read it first"),
        ({"a": 1}, GramError, "real numbers"),
    ],
)
def test_data_that_are_not_numbers_are_refused(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fuse(LAWS, x, process=OU, rng=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: population_gram(PROBLEM, process=None, grid=time_grid(0.1, 1)), "process must be a ForwardProcess"),
        (lambda: population_gram(PROBLEM, process=OU, grid=5), "grid must be a TimeGrid such as .* got 5"),
        (lambda: population_gram(LAWS, process=OU, grid=time_grid(0.1, 1)), "problem must be a SyntheticProblem"),
        (lambda: score_gram(LAWS, X, settings(), keep=2.5), "keep must be an integer of at least 0, got 2.5"),
        (lambda: score_gram(LAWS, X, settings(), keep=True), "keep must be an integer"),
        (lambda: settings(weighting=np.ones(3)), "unknown weighting"),
        (lambda: settings(weighting=lambda t: 1j * t), "the values of weighting must hold real numbers"),
        (lambda: settings(dtype="abc"), "dtype must be float32 or float64, got 'abc'"),
        (lambda: settings(n_noise=10**12), "n_noise must be at most"),
        (lambda: sfbench.prefix_grams(LAWS, X, settings(), [10.9, 20.2]), "sizes must be an integer .* got 10.9"),
        (lambda: sfbench.prefix_grams(LAWS, X, settings(), 3), "sizes must be a sequence of integers, got 3"),
        (lambda: sfbench.simulated_grams(LAWS, None, settings(), [3]), "target must be a law"),
        (lambda: sfbench.simulated_grams(None, LAWS[0], settings(), [3]), "models must be a sequence"),
        (lambda: inspect_windows(LAWS, [X, X], process=OU, grid=None), "grid must be a TimeGrid"),
        (lambda: inspect_windows(LAWS, [X, X], process=OU, grid=time_grid(0.1, 1), tolerance="x"), "tolerance must be"),
        (lambda: sfbench.ScoreGram(np.eye(2) + 1j, [0, 0], None, 1), "G must hold real numbers"),
        (lambda: sfbench.ScoreGram(np.eye(2), [0, np.nan], None, 1), "must be finite"),
        (lambda: sfbench.ScoreGram(np.eye(2), [0, 0], "a", 1), "c must be a real number"),
        (lambda: path_ratios(None), "fused must be a FusedScore"),
        (lambda: path_ratios(sfbench.FusedScore(LAWS, [0.5, 0.5], process=OU), 1.5), "n must be an integer"),
        (lambda: fit_from_scores(LAWS, [0.0, np.nan], process=OU), r"expected_log_densities\[1\] is nan"),
        (lambda: fit_from_scores(LAWS, [0.0, 1.0], process=OU, max_rounds=0), "max_rounds must be"),
        (lambda: fit_from_scores(None, [0.0], process=OU), "models must be a sequence"),
    ],
)
def test_wrong_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(SfbenchError, match=message):
        call()


def test_sizes_beyond_memory_are_refused_before_anything_is_done() -> None:
    many = list(itertools.repeat(LAWS[0], 40_000))
    with pytest.raises(IntractableError, match="data of shape"):
        score_gram(LAWS, np.broadcast_to(0.0, (10**12, 4)), settings(), rng=0)
    with pytest.raises(IntractableError, match="the statistics of all nodes of shape"):
        score_gram(many, X[:2], settings(), rng=0)
    with pytest.raises(IntractableError, match="the paths"):
        path_ratios(sfbench.FusedScore(LAWS, [0.5, 0.5], process=OU), 10**12)


def test_prefix_sizes_may_be_an_array() -> None:
    grams = sfbench.prefix_grams(LAWS, X, settings(), np.array([3, 60]), rng=0)
    assert [gram.n for gram in grams] == [3, 60]
