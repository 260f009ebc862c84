"""Likelihood in the log-linear family, regularisation, weights over time, spectrum: laws and independent oracles."""

import itertools

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from solvers import (
    DataTypeError,
    EntropyRegularised,
    LogPartitionObjective,
    NonFiniteError,
    ShapeError,
    SimplexQP,
    Status,
    ridge,
    solve,
    solve_many,
    solve_over_time,
    solve_path,
    tangent_spectrum,
)
from solvers.over_time import denoise
from solvers.testing import random_qp, separable_qp


def gaussians(means: list[float], target: float = 0.0, weights: list[float] | None = None) -> LogPartitionObjective:
    """Unit Gaussians on a grid; the target is a unit Gaussian, or the pool with `weights`."""
    x = np.linspace(-15, 15, 1201)
    L = -0.5 * (x[:, None] - np.array(means)) ** 2 - 0.5 * np.log(2 * np.pi)
    log_q = -0.5 * (x - target) ** 2 if weights is None else L @ np.array(weights)
    q = np.exp(log_q - logsumexp(log_q))
    return LogPartitionObjective(L, np.full(len(x), np.log(x[1] - x[0])), q @ L)


def test_log_partition_of_gaussians_in_closed_form() -> None:
    objective = gaussians([-1.0, 2.0], weights=[0.5, 0.5])
    w = np.array([0.3, 0.7])
    # log Z of a pool of unit Gaussians is minus half of the variance of the means under w.
    variance = 0.3 * 1.0 + 0.7 * 4.0 - (-0.3 + 1.4) ** 2
    centre = -0.5 * np.log(2 * np.pi)
    assert objective.log_partition(w) + centre == pytest.approx(-0.5 * variance, abs=1e-4)
    # E_pool[log p_i] - E_q[log p_i]: both Gaussians of unit variance, means 1.1 and 0.5.
    expected = [-0.5 * (2.1**2 - 1.5**2), -0.5 * (0.9**2 - 1.5**2)]
    assert np.allclose(objective.gradient(w), expected, atol=1e-10)


def test_log_partition_derivatives() -> None:
    objective = gaussians([-2.0, 0.0, 1.0], target=0.5)
    rng = np.random.default_rng(0)
    w, d, h = rng.dirichlet(np.ones(3)), rng.normal(size=3), 1e-5
    slope = (objective.value(w + h * d) - objective.value(w - h * d)) / (2 * h)
    assert slope == pytest.approx(objective.gradient(w) @ d, rel=1e-8)
    turn = (objective.gradient(w + h * d) - objective.gradient(w - h * d)) / (2 * h)
    assert np.allclose(turn, objective.hessian(w) @ d, rtol=1e-7, atol=1e-9)
    assert np.linalg.eigvalsh(objective.hessian(w))[0] > -1e-12


@pytest.mark.parametrize("truth", [[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])
def test_maximum_likelihood_recovers_the_pool(truth: list[float]) -> None:
    x = np.linspace(-14, 14, 801)
    log_p = [-0.5 * (x - 2) ** 2, -0.5 * ((x + 3) / 2) ** 2, np.logaddexp(-0.5 * (x - 4) ** 2, -0.5 * (x + 4) ** 2)]
    L = np.stack(log_p, axis=1)
    q = np.exp(L @ np.array(truth) - logsumexp(L @ np.array(truth)))
    objective = LogPartitionObjective(L, np.zeros(len(x)), q @ L)
    result = solve(objective, "newton", tol=1e-12)
    assert result.converged
    assert np.allclose(result.weights, truth, atol=1e-6)


SOLVERS = ["auto", "newton", "projected_gradient", "exponentiated_gradient", "frank_wolfe", "scipy_slsqp", "cvxpy"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_method_agrees_on_the_likelihood(solver: str) -> None:
    objective = gaussians([-3.0, -1.0, 2.0, 4.0], target=0.7)
    best = solve(objective, "newton", tol=1e-12)
    result = solve(objective, solver, tol=1e-7)
    assert result.converged, result
    assert abs(result.value - best.value) <= result.gap + best.gap + 1e-12


@pytest.mark.slow
def test_likelihood_torch_reference() -> None:
    result = solve(gaussians([-3.0, 2.0], target=0.0), "torch", tol=1e-6)
    assert result.converged
    assert np.allclose(result.weights, [0.4, 0.6], atol=1e-3)


def test_likelihood_flags_identical_auxiliaries() -> None:
    result = solve(gaussians([-1.0, 2.0, 2.0], target=0.5), "newton", tol=1e-10)
    assert not result.is_unique
    assert result.weights[1] == pytest.approx(result.weights[2], abs=1e-8)


def test_log_partition_shift_invariance_and_scale() -> None:
    L = np.random.default_rng(0).normal(size=(50, 3))
    a, mean = np.zeros(50), np.array([0.1, 0.0, -0.1])
    shift = np.array([100.0, -50.0, 3.0])
    one, two = LogPartitionObjective(L, a, mean), LogPartitionObjective(L + shift, a, mean + shift)
    w = np.array([0.2, 0.5, 0.3])
    assert one.value(w) == pytest.approx(two.value(w), abs=1e-12)
    assert one.scale == pytest.approx(two.scale, rel=1e-10)
    dropped = LogPartitionObjective(np.vstack([L, L[:1]]), np.append(a, -np.inf), mean)
    assert dropped.value(w) == one.value(w)


def test_log_partition_validation() -> None:
    L, a, mean = np.zeros((5, 2)), np.zeros(5), np.zeros(2)
    with pytest.raises(ShapeError, match=r"log_densities must have shape \(n, k\)"):
        LogPartitionObjective(a, a, mean)
    with pytest.raises(ShapeError, match="log_weights must have shape"):
        LogPartitionObjective(L, mean, mean)
    with pytest.raises(ShapeError, match="mean_log_densities"):
        LogPartitionObjective(L, a, a)
    with pytest.raises(ShapeError, match="all -inf"):
        LogPartitionObjective(L, a - np.inf, mean)
    with pytest.raises(DataTypeError, match="log_densities"):
        LogPartitionObjective(L + 0j, a, mean)
    L[3, 1] = -np.inf
    with pytest.raises(NonFiniteError, match=r"log_densities\[3, 1\] = -inf"):
        LogPartitionObjective(L, a, mean)


def test_ridge_tends_to_the_nearest_minimiser() -> None:
    problem = SimplexQP(np.diag([1.0, 1.0, 0.0]) + 1.0, np.zeros(3))
    twin = SimplexQP(np.ones((3, 3)), np.zeros(3))  # every weight is a minimiser
    reference = np.array([0.7, 0.2, 0.1])
    assert np.allclose(solve(ridge(twin, 1e-3, reference)).weights, reference, atol=1e-12)
    assert np.allclose(solve(ridge(twin, 1e-3)).weights, 1 / 3, atol=1e-12)
    strong = solve(ridge(problem, 1e9, reference)).weights
    assert np.allclose(strong, reference, atol=1e-7)
    assert ridge(problem, 0.0).value(reference) == problem.value(reference)


def test_ridge_value_is_the_sum() -> None:
    problem, v = random_qp(4, 6, 0), np.array([0.1, 0.2, 0.3, 0.4])
    w = np.array([0.4, 0.3, 0.2, 0.1])
    expected = problem.value(w) + 0.5 * 0.25 * problem.scale * np.sum((w - v) ** 2)
    assert ridge(problem, 0.25, v).value(w) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("solver", ["newton", "exponentiated_gradient", "cvxpy", "auto"])
def test_entropy_keeps_weights_positive_and_methods_agree(solver: str) -> None:
    objective = EntropyRegularised(random_qp(5, 2, 3), 0.1)
    result = solve(objective, solver, tol=1e-5)
    assert result.converged, result
    assert result.weights.min() > 0.0
    # Closed-form stationarity: gradient of f plus strength * log w is constant.
    assert np.allclose(result.weights, solve(objective, "newton", tol=1e-11).weights, atol=2e-3)


def test_entropy_without_data_returns_the_reference() -> None:
    reference = np.array([0.6, 0.3, 0.1])
    objective = EntropyRegularised(SimplexQP(np.ones((3, 3)), np.zeros(3)), 1.0, reference)
    assert np.allclose(solve(objective).weights, reference, atol=1e-8)


def test_regularisation_validation() -> None:
    problem = random_qp(3, 3, 0)
    with pytest.raises(ValueError, match="strength must be finite"):
        ridge(problem, -1.0)
    with pytest.raises(ShapeError, match="reference must have shape"):
        ridge(problem, 1.0, [1.0])
    with pytest.raises(ShapeError, match="reference must lie on the simplex"):
        ridge(problem, 1.0, [1.0, 1.0, 1.0])
    with pytest.raises(ShapeError, match="reference must be positive"):
        EntropyRegularised(problem, 1.0, [1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="regulariser"):
        solve_path(problem, [1.0], regulariser="lasso")  # type: ignore[arg-type]


@pytest.mark.parametrize("regulariser", ["ridge", "entropy"])
def test_path_moves_from_reference_to_solution(regulariser: str) -> None:
    problem = random_qp(4, 12, 5)
    path = solve_path(problem, np.geomspace(1e4, 1e-3, 12), regulariser=regulariser, tol=1e-7)  # type: ignore[arg-type]
    assert all(result.converged for result in path)
    values = [problem.value(result.weights) for result in path]
    assert all(b <= a + 1e-7 * problem.scale for a, b in itertools.pairwise(values))
    assert np.allclose(path[0].weights, 0.25, atol=1e-3)
    assert values[-1] == pytest.approx(solve(problem).value, abs=2e-2 * problem.scale)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0.0, 4.0))
def test_denoising_is_optimal(values: list[float], amount: float) -> None:
    y = np.array(values)
    z = denoise(y, amount)
    # Dual certificate: cumulative residuals stay in the tube and touch it where z jumps.
    u = np.cumsum(y - z)
    assert abs(u[-1]) < 1e-9
    assert np.abs(u[:-1]).max(initial=0.0) <= amount + 1e-9
    jumps = np.diff(z)
    moved = np.abs(jumps) > 1e-9
    assert np.allclose(u[:-1][moved], -amount * np.sign(jumps[moved]), atol=1e-8)


@pytest.fixture
def bins() -> list[SimplexQP]:
    return [random_qp(4, 8, seed) for seed in (0, 0, 0, 1, 1, 2, 3, 4)]


@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 0.05, 1.0])
def test_weights_over_time_own_and_cvxpy_agree(bins: list[SimplexQP], smoothing: float) -> None:
    own = solve_over_time(bins, smoothing, tol=1e-7)
    conic = solve_over_time(bins, smoothing, solver="cvxpy", tol=1e-7)
    assert own.converged
    assert conic.converged
    assert abs(own.value - conic.value) <= own.gap + conic.gap + 1e-12
    assert own.weights.shape == (8, 4)
    assert np.allclose(own.weights.sum(axis=1), 1.0)


def test_smoothing_limits(bins: list[SimplexQP]) -> None:
    alone = solve_over_time(bins)
    assert np.array_equal(alone.weights, solve_many(bins).weights)
    constant = solve_over_time(bins, 1e3, tol=1e-8)
    pooled = solve(SimplexQP(sum(b.P for b in bins), sum(b.q for b in bins)))
    assert np.allclose(constant.weights, pooled.weights, atol=1e-3)


def test_smoothed_value_by_an_independent_model(bins: list[SimplexQP]) -> None:
    own = solve_over_time(bins, 0.05, tol=1e-8)
    amount = 0.05 * sum(b.scale for b in bins) / len(bins)
    w = cvxpy.Variable((8, 4), nonneg=True)
    cost = sum(0.5 * cvxpy.quad_form(w[i], b.P, assume_PSD=True) + b.q @ w[i] + b.r for i, b in enumerate(bins))
    model = cvxpy.Problem(
        cvxpy.Minimize(cost + amount * cvxpy.sum(cvxpy.abs(w[1:] - w[:-1]))), [cvxpy.sum(w, axis=1) == 1]
    )
    model.solve(solver="CLARABEL")
    assert own.value == pytest.approx(model.value, abs=own.gap + 1e-7)


def test_over_time_is_honest_at_the_iteration_limit(bins: list[SimplexQP]) -> None:
    result = solve_over_time(bins, 0.05, tol=1e-12, max_iter=2)
    assert result.status is Status.ITERATION_LIMIT
    reference = solve_over_time(bins, 0.05, tol=1e-8)
    assert result.gap >= result.value - reference.value
    with pytest.raises(ValueError, match="smoothing"):
        solve_over_time(bins, -1.0)
    with pytest.raises(ValueError, match="'own' or 'cvxpy'"):
        solve_over_time(bins, 1.0, solver="admm")  # type: ignore[arg-type]


def test_tangent_spectrum() -> None:
    problem = random_qp(5, 9, 0)
    centring = np.eye(5) - 0.2
    expected = np.linalg.eigvalsh(centring @ problem.P @ centring)[1:]
    spectrum = tangent_spectrum(problem)
    assert np.allclose(spectrum.eigenvalues, expected, atol=1e-13)
    assert spectrum.condition_number == pytest.approx(expected[-1] / expected[0])
    assert spectrum.rank == 4
    equal = tangent_spectrum(separable_qp(np.full(5, 0.2), np.ones(5)))
    assert equal.effective_rank == pytest.approx(4.0)
    flat = tangent_spectrum(SimplexQP(np.ones((3, 3)), np.zeros(3)))
    assert (flat.rank, flat.effective_rank, flat.condition_number) == (0, 0.0, np.inf)
    assert tangent_spectrum(random_qp(6, 2, 0)).rank == 2
