"""Confidence intervals for weights: closed forms, boundary, few samples, bad arguments."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

import sfbench
from sfbench.fusion.intervals import confidence_interval
from sfbench.statistics.gram import Contributions
from synthetic import make_problem

PROCESS = sfbench.OrnsteinUhlenbeck()


def regression(k: int, truth: list[float], n: int, seed: int, noise: float = 1.0) -> sfbench.ScoreGram:
    """Statistics of a linear regression on the simplex: g constant, b noisy, the minimiser known in closed form."""
    rng = np.random.default_rng(seed)
    G = np.eye(k)
    b = G @ np.array(truth) + noise * rng.normal(size=(n, k))
    kept = Contributions(np.broadcast_to(G, (n, k, k)), b, np.ones(n))
    return sfbench.ScoreGram(G, b.mean(axis=0), None, n, "regression", kept)


def fitted(gram: sfbench.ScoreGram) -> np.ndarray:
    from solvers import solve

    return np.asarray(solve(gram.to_qp()).weights)


def test_interior_interval_in_closed_form() -> None:
    """For G = I the weights are the centred means of b, so the interval is Student's of their mean."""
    gram = regression(3, [0.5, 0.3, 0.2], 50, 0, noise=0.3)
    weights = fitted(gram)
    assert weights.min() > 0
    assert gram.contributions is not None
    rows = gram.contributions.b - gram.contributions.b.mean(axis=1, keepdims=True)
    half = student.ppf(0.95, 49) * rows.std(axis=0, ddof=1) / np.sqrt(50)
    interval = confidence_interval(gram, weights, 0.9)
    assert np.allclose(interval[:, 0], np.maximum(weights - half, 0.0), atol=1e-12)
    assert np.allclose(interval[:, 1], np.minimum(weights + half, 1.0), atol=1e-12)


def test_weight_at_a_clear_boundary_is_known_exactly_and_at_a_doubtful_one_is_not() -> None:
    clear = regression(3, [0.9, 0.1, -3.0], 400, 1, noise=0.3)
    interval = confidence_interval(clear, fitted(clear))
    assert interval[2].tolist() == [0.0, 0.0]
    assert interval[0, 0] < 0.9 < interval[0, 1]
    upper = []
    for seed in range(50):
        doubtful = regression(3, [0.6, 0.4, 0.0], 400, seed, noise=0.3)
        weights = fitted(doubtful)
        if weights[2] == 0.0:
            low, high = confidence_interval(doubtful, weights)[2]
            assert low == 0.0
            upper.append(high)
    assert len(upper) > 10
    assert np.mean(np.array(upper) > 0.0) > 0.5
    assert max(upper) < 0.05


@pytest.mark.parametrize("method", ["sandwich", "bootstrap"])
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


def test_few_samples_say_little() -> None:
    assert confidence_interval(regression(2, [0.5, 0.5], 1, 0), np.array([0.5, 0.5])).tolist() == [[0, 1], [0, 1]]
    problem = make_problem("paper_mixture_1d", scale=6.0)
    two = sfbench.fuse(problem.auxiliaries, problem.target.sample(2, rng=0), process=PROCESS, rng=0)
    assert np.ptp(two.confidence_interval(), axis=1).max() > 0.5


def test_bootstrap_repeats_with_its_seed() -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 200, 4)
    first, again, other = (confidence_interval(gram, fitted(gram), method="bootstrap", rng=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 0.0}, "level must be strictly between 0 and 1, got 0.0"),
        ({"level": 1.0}, "level must be"),
        ({"level": -0.5}, "level must be"),
        ({"level": np.nan}, "level must be"),
        ({"level": "a"}, "level must be strictly between 0 and 1, got 'a'"),
        ({"level": None}, "level must be"),
        ({"method": "jackknife"}, "unknown method 'jackknife'; use 'sandwich' or 'bootstrap'"),
        ({"n_resamples": 0}, "n_resamples must be a whole number"),
        ({"n_resamples": 1.5}, "n_resamples must be a whole number"),
        ({"weights": np.ones(2)}, "weights must be 3 finite numbers"),
        ({"weights": np.array([np.nan, 0.5, 0.5])}, "weights must be 3 finite numbers"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 20, 0)
    with pytest.raises(sfbench.GramError, match=message):
        confidence_interval(gram, **{"weights": np.full(3, 1 / 3), **arguments})


def test_a_gram_without_contributions_says_how_to_keep_them() -> None:
    gram = regression(3, [0.4, 0.3, 0.3], 20, 0)
    with pytest.raises(sfbench.GramError, match=r"score_gram\(\.\.\., keep=4096\)"):
        confidence_interval(sfbench.ScoreGram(gram.G, gram.b, None, 20), np.full(3, 1 / 3))
