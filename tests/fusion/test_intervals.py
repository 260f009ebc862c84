"""Intervals for weights: they hold the fit and cover at the boundary; constraints, equal models, bad arguments."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

import sfbench
from benchmarks.coverage.problems import Location
from benchmarks.coverage.sandwich import sandwich_intervals
from sfbench.fusion.intervals import confidence_interval
from sfbench.fusion.zero_weights import zero_weights
from sfbench.statistics.gram import Contributions
from solvers import SimplexQP, available_solvers, solve
from solvers.cvxpy_conic import Cvxpy
from synthetic import GaussianMixture, make_problem

PROCESS = sfbench.OrnsteinUhlenbeck()


def unit(*mean: float) -> GaussianMixture:
    return GaussianMixture([1.0], [mean], 1.0)


def regression(k: int, truth: list[float], n: int, seed: int, noise: float = 1.0) -> sfbench.ScoreGram:
    """Statistics of a linear regression on the simplex: g constant, b noisy, the minimiser known in closed form."""
    rng = np.random.default_rng(seed)
    G = np.eye(k)
    b = G @ np.array(truth) + noise * rng.normal(size=(n, k))
    kept = Contributions(np.broadcast_to(G, (n, k, k)), b, np.ones(n))
    return sfbench.ScoreGram(G, b.mean(axis=0), None, n, "regression", kept)


def fitted(gram: sfbench.ScoreGram) -> np.ndarray:
    return np.asarray(solve(gram.to_qp()).weights)


def holds(interval: np.ndarray, weights: Any, rounding: float = 0.0) -> np.ndarray:
    return np.asarray((interval[:, 0] <= weights + rounding) & (weights <= interval[:, 1] + rounding))


# ------------------------------------------------------------------ the interior
@pytest.mark.parametrize("n", [8, 50])
def test_interior_interval_in_closed_form(n: int) -> None:
    """For G = I the weights are the centred means of b, so the interval is Student's of their mean."""
    gram = regression(3, [0.4, 0.35, 0.25], n, 0, noise=0.06)
    assert gram.contributions is not None
    rows = gram.contributions.b - gram.contributions.b.mean(axis=1, keepdims=True)
    half = student.ppf(0.95, n - 1) * rows.std(axis=0, ddof=1) / np.sqrt(n)
    weights = fitted(gram)
    interval = confidence_interval(gram, weights)
    assert np.allclose(interval[:, 0], weights - half, atol=0.03 * half.max())
    assert np.allclose(interval[:, 1], weights + half, atol=0.03 * half.max())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["profile", "bootstrap"])
def test_intervals_shrink_with_the_root_of_n_and_grow_with_the_level(method: Any) -> None:
    widths = []
    for n in (400, 6400):
        gram = regression(3, [0.4, 0.3, 0.3], n, 2, noise=0.3)
        interval = confidence_interval(gram, fitted(gram), 0.9, method=method)
        wide = confidence_interval(gram, fitted(gram), 0.99, method=method)
        assert np.all(wide[:, 0] < interval[:, 0])
        assert np.all(wide[:, 1] > interval[:, 1])
        widths.append(np.ptp(interval, axis=1).mean())
    assert widths[0] / widths[1] == pytest.approx(4.0, rel=0.25)


def test_batches_of_samples_give_the_same_interval_in_law() -> None:
    """Averaged rows carry the same information about the spread, up to the noise of estimating it."""
    gram = regression(3, [0.4, 0.3, 0.3], 8000, 3)
    kept = gram.contributions
    assert kept is not None
    batched = Contributions(kept.g[:200], kept.b.reshape(200, 40, 3).mean(axis=1), np.full(200, 40.0))
    fine = kept.gradient_covariance(np.full(3, 1 / 3))
    coarse = batched.gradient_covariance(np.full(3, 1 / 3))
    assert np.allclose(np.diag(coarse), np.diag(fine), rtol=0.35)


# ------------------------------------------------------------------ the boundary
@pytest.mark.parametrize("solver", ["piqp", "clarabel", "cvxpy", "active_set"])
def test_weights_that_a_solver_leaves_near_zero_are_zero(solver: str) -> None:
    """Interior-point solvers leave 1e-13: intervals and warnings are those of exact zeros."""
    x = unit(0.8, -1.0).sample(2000, rng=0)
    result = sfbench.fuse([unit(0, 0), unit(2, 0), unit(1, 2)], x, process=PROCESS, solver=solver, rng=0)
    interval = result.confidence_interval()
    assert np.all(holds(interval, result.weights))
    assert np.allclose(interval[:2, 0], [0.574, 0.391], atol=0.01)
    assert interval[2, 1] < 1e-6
    assert any(text.startswith("weight at the boundary for auxiliary 2:") for text in result.warnings)


@pytest.mark.parametrize("solver", [name for name in available_solvers() if not name.startswith("torch")])
def test_zero_weights_do_not_depend_on_the_solver(solver: str) -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(6, 9))
    truth = np.array([0.5, 0.3, 0.2, 0.0, 0.0, 0.0])
    P = root @ root.T
    q = -P @ truth + np.array([0, 0, 0, 1e-3, 1.0, 10.0])
    assert zero_weights(solve(SimplexQP(P, q), solver, tol=1e-7)).tolist() == [False] * 3 + [True] * 3


def test_a_clear_zero_is_known_and_a_doubtful_one_is_not() -> None:
    clear = regression(3, [0.9, 0.1, -3.0], 400, 1, noise=0.3)
    interval = confidence_interval(clear, fitted(clear))
    assert interval[2].tolist() == [0.0, 0.0]
    assert interval[0, 0] < 0.9 < interval[0, 1]
    doubtful = regression(3, [0.6, 0.4, 0.0], 400, 1, noise=0.3)
    low, high = confidence_interval(doubtful, fitted(doubtful))[2]
    assert low == 0.0
    assert 0.001 < high < 0.06


@pytest.mark.slow
def test_coverage_where_one_weight_is_at_zero_and_its_multiplier_is_not_clear() -> None:
    """The population weights are (0.6, 0.4, 0): the projection of the mean onto the nearest edge."""
    laws, truth = [unit(0, 0), unit(2, 0), unit(1, 1)], np.array([0.6, 0.4, 0.0])
    hits = np.zeros(3)
    for seed in range(60):
        result = sfbench.fuse(laws, unit(0.8, -0.2).sample(200, rng=seed), process=PROCESS, n_nodes=4, rng=seed)
        interval = result.confidence_interval()
        assert np.all(holds(interval, result.weights))
        hits += holds(interval, truth, 1e-9)
    assert hits.min() >= 48  # 0.9 less two and a half standard errors; two thirds for the first two were a fault


@pytest.mark.slow
def test_coverage_near_zero_multipliers_and_the_sandwich_fails() -> None:
    problem = Location((0.5, 0.381, 0.0, 0.0, 0.119), (0.7, 0.2), seed=2)
    truth, rng = problem.truth(1000)[:, 0], np.random.default_rng(5)
    hits: dict[str, np.ndarray] = {"profile": np.zeros(5), "sandwich": np.zeros(5)}
    outside = 0
    for _ in range(30):
        gram = problem.draw(1000, rng)
        weights = fitted(gram)
        found = confidence_interval(gram, weights), sandwich_intervals(gram, weights, 0.9)
        assert np.all(holds(found[0], weights))
        outside += not np.all(holds(found[1], weights, 1e-9))
        for name, interval in zip(hits, found, strict=True):
            hits[name] += holds(interval, truth, 1e-9)
    assert hits["profile"].min() >= 24
    assert hits["sandwich"].min() < 20
    assert outside > 5


@pytest.mark.slow
def test_at_a_vertex_with_no_multipliers_the_weight_of_one_is_covered() -> None:
    """The target is an auxiliary: percentiles of resampled fits never reach one."""
    problem = Location((1.0, 0.0, 0.0, 0.0), (0.0,) * 3, seed=9)
    rng = np.random.default_rng(0)
    grams = [problem.draw(100, rng) for _ in range(20)]
    assert sum(confidence_interval(gram, fitted(gram))[0, 1] > 1.0 - 1e-9 for gram in grams) >= 16


# ------------------------------------------------------------------ constraints and inexact fits
@pytest.mark.slow
def test_constraints_of_the_solver_hold_for_the_intervals() -> None:
    x = unit(0.9, 0.6).sample(500, rng=0)
    laws = [unit(0, 0), unit(2, 0), unit(1, 2)]
    capped = Cvxpy(constraints=lambda w: [w <= 0.38])
    result = sfbench.fuse(laws, x, process=PROCESS, solver=capped, tol=1e-6, rng=0)
    interval = result.confidence_interval(n_resamples=100)
    assert np.all(holds(interval, result.weights))
    assert interval.max() <= 0.38 + 1e-6
    assert interval.min() >= 0.24 - 1e-6  # the others take at most 0.76
    assert np.all(np.ptp(interval, axis=1) < 0.15)
    free = sfbench.fuse(laws, x, process=PROCESS, rng=0).confidence_interval()
    assert free.max() > 0.39
    with pytest.raises(sfbench.GramError, match="method 'profile' is for solvers without constraints"):
        result.confidence_interval(method="profile")


def test_an_inexact_fit_is_inside_its_intervals() -> None:
    class Lazy:
        name, requires = "lazy", "quadratic"

        def solve(self, objective: Any, **options: Any) -> Any:
            from solvers import Candidate

            return Candidate(np.full(objective.dim, 1.0 / objective.dim), 1)

    x = unit(0.2, -1.0).sample(500, rng=0)
    laws = [unit(0, 0), unit(2, 0), unit(1, 2)]
    with pytest.warns(sfbench.FitWarning, match="not certified"):
        result = sfbench.fuse(laws, x, process=PROCESS, solver=Lazy(), allow_inexact=True, rng=0)
    interval = result.confidence_interval()
    assert np.all(holds(interval, result.weights))
    assert np.all(holds(interval, sfbench.fuse(laws, x, process=PROCESS, rng=0).weights))


# ------------------------------------------------------------------ weights that are not unique
def test_equal_models_get_the_range_of_their_weight() -> None:
    x = unit(0.0, 0.0).sample(200, rng=0)
    twice = sfbench.fuse([unit(0, 0)] * 2, x, process=PROCESS, rng=0)
    assert twice.confidence_interval().tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert any("not unique" in text for text in twice.warnings)
    x = unit(0.3, 0.6).sample(400, rng=0)
    third = sfbench.fuse([unit(0, 0), unit(1, 2), unit(0, 0)], x, process=PROCESS, rng=0)
    alone = sfbench.fuse([unit(0, 0), unit(1, 2)], x, process=PROCESS, rng=0)
    interval, whole = third.confidence_interval(), alone.confidence_interval()
    assert interval[[0, 2], 0].tolist() == [0.0, 0.0]
    assert np.allclose(interval[[0, 2], 1], whole[0, 1], atol=0.02)
    assert np.allclose(interval[1], whole[1], atol=0.02)


def test_a_flat_direction_that_is_not_a_duplicate_is_covered() -> None:
    """Means (0, 0), (2, 0), (0, 2), (2, 2) at target (1, 1): any share on the two diagonals serves as well."""
    laws = [unit(0, 0), unit(2, 0), unit(0, 2), unit(2, 2)]
    interval = sfbench.fuse(laws, unit(1, 1).sample(1000, rng=0), process=PROCESS, rng=0).confidence_interval()
    assert np.all(interval[:, 0] == 0.0)
    assert np.all((interval[:, 1] > 0.5) & (interval[:, 1] < 0.6))


# ------------------------------------------------------------------ every interval holds its fit
@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(2, 7),
    rank=st.integers(1, 8),
    n=st.integers(1, 40),
    scale=st.floats(-8, 8),
    repeats=st.booleans(),
    method=st.sampled_from(["auto", "bootstrap"]),
    seed=st.integers(0, 10_000),
)
def test_intervals_hold_the_fit(k: int, rank: int, n: int, scale: float, repeats: bool, method: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, rank)) + 0.3 * rng.normal(size=(n, k, rank))
    targets = rng.normal(size=(n, rank)) + 2.0 * rng.normal(size=rank)
    if repeats:
        roots[:, -1] = roots[:, 0]
    roots *= 10.0 ** (scale / 2)
    targets *= 10.0 ** (scale / 2)
    g, b = np.einsum("nir,njr->nij", roots, roots), np.einsum("nir,nr->ni", roots, targets)
    G = g.mean(axis=0)
    gram = sfbench.ScoreGram(0.5 * (G + G.T), b.mean(axis=0), None, n, "", Contributions(g, b, np.ones(n)))
    weights = fitted(gram)
    interval = confidence_interval(gram, weights, method=method, n_resamples=100)
    assert np.all(np.isfinite(interval))
    assert np.all(holds(interval, weights))
    assert interval.min() >= 0.0
    assert interval.max() <= 1.0


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_of_the_objective_play_no_part(scale: float) -> None:
    gram = regression(4, [0.5, 0.3, 0.2, 0.0], 100, 0, noise=0.4)
    kept = gram.contributions
    assert kept is not None
    terms = Contributions(scale * kept.g, scale * kept.b, kept.counts)
    scaled = sfbench.ScoreGram(scale * gram.G, scale * gram.b, None, gram.n, "", terms)
    expected = confidence_interval(gram, fitted(gram))
    assert np.allclose(confidence_interval(scaled, fitted(scaled)), expected, atol=1e-3)


def test_many_weights_in_play_are_resampled() -> None:
    gram = regression(30, [1 / 30] * 30, 200, 0, noise=0.02)
    interval = confidence_interval(gram, fitted(gram), n_resamples=100)
    assert np.all(holds(interval, fitted(gram)))
    assert np.all(np.ptp(interval, axis=1) < 0.02)
    with pytest.raises(sfbench.GramError, match="at most 24 weights that may differ from zero, here are 30"):
        confidence_interval(gram, fitted(gram), method="profile")


def test_few_samples_say_little() -> None:
    assert confidence_interval(regression(2, [0.5, 0.5], 1, 0), np.array([0.5, 0.5])).tolist() == [[0, 1], [0, 1]]
    problem = make_problem("paper_mixture_1d", scale=6.0)
    for n, words in ((1, "only n = 1 sample"), (2, "only n = 2 samples"), (5, "only n = 5 samples")):
        few = sfbench.fuse(problem.auxiliaries, problem.target.sample(n, rng=0), process=PROCESS, rng=0)
        assert any(text.startswith(words) and "interval" in text for text in few.warnings)
    two = sfbench.fuse(problem.auxiliaries, problem.target.sample(2, rng=0), process=PROCESS, rng=0)
    assert np.ptp(two.confidence_interval(), axis=1).max() > 0.5
    many = sfbench.fuse(problem.auxiliaries, problem.target.sample(64, rng=0), process=PROCESS, rng=0)
    assert not any(text.startswith("only n =") for text in many.warnings)


@pytest.mark.parametrize("method", ["profile", "bootstrap"])
def test_intervals_repeat_with_their_seed(method: Any) -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 200, 4)
    first, again, other = (confidence_interval(gram, fitted(gram), method=method, rng=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# ------------------------------------------------------------------ bad arguments
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gram": None}, "gram must be a ScoreGram, got a NoneType"),
        ({"level": 0.0}, "level must be strictly between 0 and 1, got 0.0"),
        ({"level": 1.0}, "level must be"),
        ({"level": -0.5}, "level must be"),
        ({"level": np.nan}, "level must be finite"),
        ({"level": True}, "level must be a real number"),
        ({"level": "a"}, "level must be a real number, got 'a'"),
        ({"level": None}, "level must be"),
        ({"method": "jackknife"}, "unknown method 'jackknife'; use 'auto', 'profile' or 'bootstrap'"),
        ({"method": ["profile"]}, "unknown method"),
        ({"n_resamples": 0}, "n_resamples must be an integer of at least 100"),
        ({"n_resamples": 150.5}, "n_resamples must be an integer"),
        ({"n_resamples": 10**12}, "n_resamples must be at most 10000, got 1000000000000"),
        ({"weights": np.ones(2)}, r"weights must have shape \(3,\)"),
        ({"weights": np.array([np.nan, 0.5, 0.5])}, "weights must be finite"),
        ({"weights": [1e308, 1e308, 1e308]}, "weights must be non-negative, finite and sum to 1"),
        ({"weights": [1j, 0, 0]}, "weights must hold real numbers"),
        ({"weights": None}, "weights must"),
        ({"weights": [0.5, 0.5, 0.5]}, "sum to 1"),
        ({"weights": np.ma.masked_array([0.5, 0.5, 0.0], mask=[0, 0, 1])}, "weights is a masked array"),
        ({"rng": "seed"}, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 20, 0)
    with pytest.raises(sfbench.SfbenchError, match=message):
        confidence_interval(**{"gram": gram, "weights": np.full(3, 1 / 3), **arguments})


def test_an_unknown_solver_is_named() -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 20, 0)
    with pytest.raises(ValueError, match="unknown solver 'gurobo'"):
        confidence_interval(gram, fitted(gram), solver="gurobo")


def test_a_gram_without_contributions_says_how_to_keep_them() -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 20, 0)
    with pytest.raises(sfbench.GramError, match=r"score_gram\(\.\.\., keep=4096\)"):
        confidence_interval(sfbench.ScoreGram(gram.G, gram.b, None, 20), np.full(3, 1 / 3))


def test_fits_say_whether_zeros_are_clear() -> None:
    """A multiplier within five standard errors is named; three clear weights are not."""
    x = unit(0.8, -0.2).sample(200, rng=0)
    unclear = sfbench.fuse([unit(0, 0), unit(2, 0), unit(1, 1)], x, process=PROCESS, rng=0)
    assert any("do not tell whether the weight of auxiliary 2 is zero" in text for text in unclear.warnings)
    x = unit(0.8, 0.6).sample(5000, rng=0)
    assert sfbench.fuse([unit(0, 0), unit(2, 0), unit(1, 2)], x, process=PROCESS, rng=0).warnings == ()
