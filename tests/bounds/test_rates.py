"""Statistical bounds: the slow and the fast rate by hand, over draws, and what they refuse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import GramError, ScoreGram, bounds
from sfbench.bounds import check
from sfbench.statistics.gram import Contributions
from solvers import solve
from synthetic import SyntheticProblem, make_problem

from ..common import settings


def hand_made(g: np.ndarray, b: np.ndarray) -> Contributions:
    return Contributions(np.asarray(g, float), np.asarray(b, float), np.ones(len(b)))


def test_the_slow_rate_by_hand() -> None:
    """Two models, three samples: Var g_11 = 1, Var b_1 = 4, n = 100, delta = 0.04."""
    g, b = np.zeros((3, 2, 2)), np.zeros((3, 2))
    g[:, 1, 1], b[:, 1] = (1.0, 2.0, 3.0), (0.0, 2.0, 4.0)
    found = bounds.slow_rate(hand_made(g, b), 100, 0.04)
    assert found.value == pytest.approx(2 * (np.sqrt(1 / 4) + 2 * np.sqrt(4 / 4)))
    assert found.guarantee == "upper"
    assert bounds.slow_rate(hand_made(g, b), 400, 0.04).value == pytest.approx(found.value / 2)


def test_the_fast_rate_by_hand() -> None:
    """Two models: on the tangent u = (1, -1)/sqrt 2, H = 2 u'Gu = G_11, gradients 2(g w - b)."""
    g, b = np.zeros((3, 2, 2)), np.zeros((3, 2))
    g[:, 1, 1], b[:, 1] = (1.0, 2.0, 3.0), (0.0, 2.0, 4.0)
    w = np.array([0.5, 0.5])
    population = ScoreGram(np.diag([0.0, 2.0]), np.array([0.0, 1.0]), None, 0)
    gradients = 2 * (np.array([1.0, 2.0, 3.0]) * 0.5 - np.array([0.0, 2.0, 4.0])) / np.sqrt(2)
    expected = 0.5 * gradients.var(ddof=1) / 2.0 / 50
    assert bounds.fast_rate(population, hand_made(g, b), 50, w).value == pytest.approx(expected)


def test_batch_means_give_the_same_bounds_as_samples(shifted: SyntheticProblem) -> None:
    """Batches of m samples have a variance m times smaller, which the counts undo."""
    x = shifted.target.sample(6000, rng=0)
    fine, coarse = (sfbench.score_gram(shifted.auxiliaries, x, settings(), keep=keep, rng=1) for keep in (6000, 500))
    exact = [bounds.slow_rate(gram.contributions, 100).value for gram in (fine, coarse)]  # type: ignore[arg-type]
    assert exact[1] == pytest.approx(exact[0], rel=0.2)
    rates = [bounds.fast_rate(fine, gram.contributions, 100, [0.5, 0.3, 0.2]).value for gram in (fine, coarse)]  # type: ignore[arg-type]
    assert rates[1] == pytest.approx(rates[0], rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["shifted_gaussians", "embedded_mixture", "bimodal_from_unimodal"])
@pytest.mark.parametrize("n", [16, 400])
def test_the_slow_bound_holds_over_draws_and_a_thousandth_of_it_does_not(family: str, n: int) -> None:
    problem, rule = make_problem(family, k=2, d=3), settings(t_min=1e-2)
    population = sfbench.population_gram(problem, process=rule.process, grid=rule.grid)
    optimum = solve(population.to_qp(), "active_set", tol=1e-12).weights
    moments = sfbench.simulated_grams(problem.auxiliaries, problem.target, rule, [4000], keep=4000, rng=0)[0]
    bound = bounds.slow_rate(moments.contributions, n)  # type: ignore[arg-type]
    excess = [
        population.excess(
            solve(sfbench.simulated_grams(problem.auxiliaries, problem.target, rule, [n], rng=seed)[0].to_qp()).weights,
            optimum,
        )
        for seed in range(1, 60)
    ]
    assert all(check(value, bound).holds for value in excess)
    assert not all(check(value, replace(bound, value=bound.value / 1000)).holds for value in excess)


@pytest.mark.slow
def test_the_fast_rate_is_the_mean_of_the_excess_and_no_bound() -> None:
    problem, rule, n = make_problem("embedded_mixture", k=3, d=4, rng=3), settings(), 500
    population = sfbench.population_gram(problem, process=rule.process, grid=rule.grid)
    optimum = solve(population.to_qp(), "active_set", tol=1e-12).weights
    assert optimum.min() > 0.05
    moments = sfbench.simulated_grams(problem.auxiliaries, problem.target, rule, [5000], keep=5000, rng=0)[0]
    rate = bounds.fast_rate(population, moments.contributions, n, optimum)  # type: ignore[arg-type]
    assert rate.guarantee == "asymptotic"
    excess = np.array(
        [
            population.excess(
                solve(
                    sfbench.simulated_grams(problem.auxiliaries, problem.target, rule, [n], rng=s)[0].to_qp()
                ).weights,
                optimum,
            )
            for s in range(1, 151)
        ]
    )
    error = excess.std() / np.sqrt(len(excess))
    assert abs(excess.mean() - rate.value) < 5 * error + 0.05 * rate.value
    assert abs(excess.mean() - 2 * rate.value) > 5 * error  # without the half it would be seen
    assert excess.max() > rate.value


@pytest.mark.parametrize(
    ("n", "delta", "message"),
    [
        (0, 0.05, "n must be an integer of at least 1, got 0"),
        (1.5, 0.05, "got 1.5"),
        (10, 0.0, "delta must be strictly between 0 and 1"),
        (10, 1.0, "delta"),
        (10, np.nan, "delta"),
    ],
)
def test_bad_sizes_are_refused(n: Any, delta: float, message: str) -> None:
    moments = hand_made(np.zeros((3, 2, 2)), np.zeros((3, 2)))
    with pytest.raises(GramError, match=message):
        bounds.slow_rate(moments, n, delta)


def test_the_fast_rate_needs_an_interior_optimum_on_the_simplex_and_a_spread() -> None:
    population = ScoreGram(np.diag([0.0, 2.0]), np.array([0.0, 1.0]), None, 0)
    moments = hand_made(np.zeros((3, 2, 2)), np.zeros((3, 2)))
    for w, message in (
        ([1.0, 0.0], "interior optimum; weight 1 is 0"),
        ([0.5, 0.6], "sum to 1"),
        ([np.nan, 0.5], "finite"),
        ([1.0], r"shape \(2,\), got \(1,\)"),
    ):
        with pytest.raises(GramError, match=message):
            bounds.fast_rate(population, moments, 10, w)
    single = hand_made(np.zeros((1, 2, 2)), np.zeros((1, 2)))
    for call in (lambda: bounds.slow_rate(single, 10), lambda: bounds.fast_rate(population, single, 10, [0.5, 0.5])):
        with pytest.raises(GramError, match="moments hold 1 sample; their spread needs at least 2"):
            call()
