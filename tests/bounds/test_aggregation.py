"""The bound of the excess by aggregation: against simulated projections, in its special cases, and with teeth."""

import numpy as np
import pytest

from sfbench import GramError, ScoreGram
from sfbench.bounds import aggregation_rate
from solvers import SimplexQP, solve


def _location(means: np.ndarray, weights: np.ndarray) -> tuple[ScoreGram, np.ndarray]:
    """J(w) = |M w - M w*|^2 / 2 and the covariance of its gradient for unit Gaussian data."""
    differences = means - means[0]
    G = 0.5 * differences @ differences.T
    return ScoreGram(G, G @ weights, None, 0), 4.0 * 0.5 * G


def _mean_excess(population: ScoreGram, covariance: np.ndarray, n: int, weights: np.ndarray, draws: int) -> float:
    """Mean excess of fits to normal statistics."""
    values, vectors = np.linalg.eigh(0.25 * covariance / n)
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        b = population.b + half @ rng.normal(size=len(weights))
        w = solve(SimplexQP(2.0 * population.G, -2.0 * b, 0.0), "active_set").weights
        found.append(population.excess(w, weights))
    return float(np.mean(found))


CASES = {
    "interior": (np.eye(5), np.full(5, 0.2), 2000, 0.8),
    "a vertex": (np.eye(12), np.eye(12)[0], 500, 0.7),
    "few of many": (6.0 * np.eye(20), np.r_[0.5, 0.5, np.zeros(18)], 100, 0.8),
    "near-duplicates": (np.repeat(np.eye(2), 6, axis=0) + 1e-3 * np.eye(12, 2), np.full(12, 1 / 12), 100, 0.15),
    "more auxiliaries than dimensions": (
        np.random.default_rng(1).normal(size=(30, 3)) / 2.0,
        np.full(30, 1 / 30),
        400,
        0.8,
    ),
    "few samples": (np.eye(40) / 4.0, np.full(40, 1 / 40), 5, 0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_bounds_the_mean_excess_and_is_near_it(name: str) -> None:
    means, weights, n, least = CASES[name]
    population, covariance = _location(means, weights)
    bound = aggregation_rate(population, covariance, n, weights).value
    observed = _mean_excess(population, covariance, n, weights, 200)
    assert least * bound < observed < 1.15 * bound  # 200 draws: a spread of about 5 %


def test_its_limits_are_the_dimension_and_the_logarithm() -> None:
    k = 50
    weights = np.full(k, 1.0 / k)
    population, covariance = _location(np.eye(k), weights)
    many = aggregation_rate(population, covariance, 10**6, weights)
    assert many.value == pytest.approx((k - 1) / 2e6)
    few = aggregation_rate(population, covariance, 1, weights)
    assert few.value == pytest.approx(np.sqrt(1 - 1 / k) * np.sqrt(2 * np.log(k)))
    assert "effective dimension 0 of 49" in few.label


def test_with_a_probability_it_bounds_single_fits() -> None:
    weights = np.full(6, 1.0 / 6.0)
    population, covariance = _location(np.eye(6), weights)
    mean = aggregation_rate(population, covariance, 100, weights)
    single = aggregation_rate(population, covariance, 100, weights, delta=0.05)
    assert single.value == pytest.approx(20 * mean.value)
    assert "probability 0.95" in single.label
    with pytest.raises(GramError, match="delta must be strictly between 0 and 1"):
        aggregation_rate(population, covariance, 100, weights, delta=1.0)


def test_few_in_use_cost_less_than_all_and_duplicates_nothing() -> None:
    k, n = 64, 10**4
    population, covariance = _location(np.eye(k), np.eye(k)[0])
    values = [
        aggregation_rate(population, covariance, n, np.r_[np.full(s, 1.0 / s), np.zeros(k - s)]).value
        for s in (1, 2, 8, 32, 64)
    ]
    assert np.all(np.diff(values) > 0)
    assert values[0] < 0.15 * values[-1]
    twice, both = _location(np.repeat(np.eye(3), 20, axis=0), np.full(60, 1 / 60))
    once, alone = _location(np.eye(3), np.full(3, 1 / 3))
    assert aggregation_rate(twice, both, n, np.full(60, 1 / 60)).value == pytest.approx(
        aggregation_rate(once, alone, n, np.full(3, 1 / 3)).value
    )


def test_one_auxiliary_has_no_excess_and_bad_input_is_refused() -> None:
    one = ScoreGram(np.zeros((1, 1)), np.zeros(1), None, 0)
    assert aggregation_rate(one, [[1.0]], 5, [1.0]).value == 0.0
    population, covariance = _location(np.eye(3), np.full(3, 1 / 3))
    for bad, message in (
        ((covariance[:2, :2], 5, np.full(3, 1 / 3)), "gradient_covariance must be a finite matrix of shape"),
        ((covariance * np.nan, 5, np.full(3, 1 / 3)), "gradient_covariance must be a finite matrix"),
        ((covariance + np.triu(np.ones((3, 3))), 5, np.full(3, 1 / 3)), "symmetric"),
        ((-covariance, 5, np.full(3, 1 / 3)), "positive semidefinite"),
        ((covariance, 0, np.full(3, 1 / 3)), "n must be"),
        ((covariance, 5, np.full(3, 0.5)), "sum to 1"),
    ):
        with pytest.raises(GramError, match=message):
            aggregation_rate(population, *bad)
