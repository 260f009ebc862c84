"""Weights from rates: convex objectives with exact derivatives, solvers that agree, intervals that cover."""

from typing import Any

import numpy as np
import pytest

from sfbench.discrete import DiscreteNoise, ExactRates, MaskedNoise, UniformNoise, fuse
from sfbench.discrete.terms import data_terms, population_terms
from sfbench.errors import FitWarning, GridError, ModelError
from solvers import ExponentialSumObjective, LogPartitionSumObjective, solve
from solvers.errors import InvalidArgumentError, NonFiniteError, ShapeError
from synthetic.discrete import MarkovChain, make_discrete_problem

PROBLEM = make_discrete_problem("potts_chains", length=3, weights=(0.6, 0.3, 0.1), contrast=1.0)
CASES: list[tuple[DiscreteNoise, Any]] = [
    (UniformNoise(2), "score_entropy"),
    (MaskedNoise(2), "score_entropy"),
    (MaskedNoise(2, "linear"), "cross_entropy"),
]


def objective(noise: DiscreteNoise, kind: str, n: int = 40) -> tuple[Any, Any]:
    models = [ExactRates(law, noise) for law in PROBLEM.auxiliaries]
    terms = data_terms(models, PROBLEM.target.sample(n, rng=0), (-4.0, 4.0), 2, np.random.default_rng(0))
    return terms, terms.score_entropy() if kind == "score_entropy" else terms.cross_entropy()


@pytest.mark.parametrize(("noise", "kind"), CASES)
def test_derivatives_are_those_of_the_value(noise: DiscreteNoise, kind: Any) -> None:
    terms, f = objective(noise, kind)
    w, step = np.array([0.2, 0.3, 0.5]), 1e-5
    gradient, hessian = f.gradient(w), f.hessian(w)
    for i in range(3):
        e = step * np.eye(3)[i]
        assert gradient[i] == pytest.approx((f.value(w + e) - f.value(w - e)) / (2 * step), rel=1e-6, abs=1e-7)
        np.testing.assert_allclose(
            hessian[i], (f.gradient(w + e) - f.gradient(w - e)) / (2 * step), rtol=1e-5, atol=1e-6
        )
    assert np.linalg.eigvalsh(hessian)[0] >= -1e-10
    parts = terms.gradients(w, kind).sum(axis=0)  # the same up to a multiple of ones, which the simplex does not see
    np.testing.assert_allclose(parts - parts[0], gradient - gradient[0], atol=1e-9)


@pytest.mark.parametrize(("noise", "kind"), CASES)
def test_all_backends_agree(noise: DiscreteNoise, kind: Any) -> None:
    f = objective(noise, kind)[1]
    found = {
        name: solve(f, name, tol=1e-6) for name in ("newton", "projected_gradient", "exponentiated_gradient", "cvxpy")
    }
    assert all(result.converged for result in found.values())
    for result in found.values():
        np.testing.assert_allclose(result.weights, found["newton"].weights, atol=1e-3)
        assert abs(result.value - found["newton"].value) <= 2e-6 * f.scale


def test_cross_entropy_is_never_above_score_entropy() -> None:
    terms, f = objective(MaskedNoise(2), "score_entropy")
    g = terms.cross_entropy()
    vertex = np.array([0.0, 1.0, 0.0])  # rates of one model are normalised: both objectives are its cross-entropy there
    offset = f.value(vertex) - g.value(vertex)
    for w in np.random.default_rng(0).dirichlet(np.ones(3), size=20):
        assert g.value(w) + offset <= f.value(w) + 1e-12


@pytest.mark.parametrize("noise", [UniformNoise(2), MaskedNoise(2)], ids=str)
def test_denoising_estimates_the_exact_objective_up_to_a_constant(noise: DiscreteNoise) -> None:
    models = [ExactRates(law, noise) for law in PROBLEM.auxiliaries]
    window = (-3.0, 3.0)
    exact = population_terms(models, PROBLEM.target, window).score_entropy()
    terms = data_terms(models, PROBLEM.target.sample(20_000, rng=0), window, 2, np.random.default_rng(1))
    w = np.array([0.2, 0.3, 0.5])
    rows = terms.gradients(w, "score_entropy") * 20_000
    rows -= rows[:, :1]
    wanted = exact.gradient(w) - exact.gradient(w)[0]
    error = rows.std(axis=0) / np.sqrt(len(rows)) + 1e-12
    assert np.all(np.abs(rows.mean(axis=0) - wanted) <= 4.5 * error)
    assert min(exact.value(v) for v in np.random.default_rng(0).dirichlet(np.ones(3), size=50)) >= 0  # a KL


def test_short_windows_near_zero_have_the_weights_of_the_barycenter() -> None:
    """Ratios of the pool with uniform noise, its conditionals (pseudo-likelihood) with normalised masked rates."""

    def error(noise: DiscreteNoise, kind: str, window: tuple[float, float]) -> float:
        models = [ExactRates(law, noise) for law in PROBLEM.auxiliaries]
        terms = population_terms(models, PROBLEM.target, window, 24)
        found = solve(terms.score_entropy() if kind == "score_entropy" else terms.cross_entropy(), "newton")
        return float(np.abs(found.weights - PROBLEM.true_weights).max())

    short, long = (9.0, 11.0), (-6.0, 6.0)
    assert error(UniformNoise(2), "score_entropy", short) < 2e-3
    assert error(MaskedNoise(2), "cross_entropy", short) < 2e-3
    assert (
        error(MaskedNoise(2), "score_entropy", short) > 1e-2
    )  # conditionals of a pool are normalised, these rates not
    assert error(UniformNoise(2), "score_entropy", long) > 5e-3  # noise and pooling do not commute


@pytest.mark.slow
def test_intervals_cover_the_population_minimiser() -> None:
    noise = MaskedNoise(2)
    models = [ExactRates(law, noise) for law in PROBLEM.auxiliaries]
    truth = solve(population_terms(models, PROBLEM.target, (-6.0, 6.0)).score_entropy(), "newton").weights
    inside = []
    for seed in range(40):
        fit = fuse(models, PROBLEM.target.sample(500, rng=seed), rng=seed, n_times=2)
        low, high = fit.confidence_interval(0.9).T
        inside.append((low <= truth) & (truth <= high))
    assert 0.75 <= np.mean(inside) <= 0.99  # 0.9 with three standard errors of 40 draws


def test_fit_says_what_it_rests_on() -> None:
    x = PROBLEM.target.sample(1000, rng=0)
    fit = fuse(PROBLEM.auxiliaries, x, noise=MaskedNoise(2), rng=3)
    assert fit.solver.converged
    assert "certified gap" in fit.summary()
    assert "interval" in fit.summary()
    assert 0.0 < fit.explained() <= 1.0
    np.testing.assert_array_equal(fit.weights, fuse(PROBLEM.auxiliaries, x, noise=MaskedNoise(2), rng=3).weights)
    np.testing.assert_array_equal(fit.rates.weights, fit.weights)
    with pytest.warns(FitWarning, match="not unique"):
        twins = fuse([PROBLEM.auxiliaries[0]] * 2, x, noise=MaskedNoise(2))
    assert "not unique" in twins.warnings[0]
    assert fuse(PROBLEM.auxiliaries[:1], x, noise=MaskedNoise(2)).weights.tolist() == [1.0]


LAWS, X = PROBLEM.auxiliaries, PROBLEM.target.sample(20, rng=0)
SURE = MarkovChain([1.0, 0.0], [[[1.0, 0.0], [0.0, 1.0]]] * 2)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: fuse(LAWS, X), ModelError, "noise="),
        (lambda: fuse(LAWS, X[:, :2], noise=MaskedNoise(2)), ModelError, r"\(n, 3\)"),
        (lambda: fuse(LAWS, X + 1, noise=MaskedNoise(2)), ModelError, "values are 0 ... 1"),
        (lambda: fuse(LAWS, X.astype(float), noise=MaskedNoise(2)), ModelError, "whole numbers"),
        (lambda: fuse(LAWS, X[:0], noise=MaskedNoise(2)), ModelError, "empty"),
        (lambda: fuse(LAWS, X, noise=UniformNoise(2), objective="cross_entropy"), ModelError, "masked"),
        (lambda: fuse(LAWS, X, noise=UniformNoise(2), t_min=0.5, t_max=0.1), GridError, "t_min=0.5"),
        (lambda: fuse(LAWS, X, noise=UniformNoise(2), t_min=0.0), GridError, "t_min=0.0"),
        (lambda: fuse([LAWS[0], SURE], X, noise=MaskedNoise(2)), ValueError, "zero"),
        (lambda: ExponentialSumObjective([[1000.0]], [0.0], [1.0]), NonFiniteError, "overflow"),
        (lambda: ExponentialSumObjective([[np.nan]], [0.0], [1.0]), NonFiniteError, "exponents"),
        (lambda: ExponentialSumObjective([[1.0]], [0.0], [1.0, 2.0]), ShapeError, "linear"),
        (lambda: LogPartitionSumObjective(np.zeros((2, 3)), [1.0], [0.0]), ShapeError, "log_densities"),
        (lambda: LogPartitionSumObjective(np.zeros((1, 3, 2)), [-1.0], [0.0, 0.0]), InvalidArgumentError, "counts"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
