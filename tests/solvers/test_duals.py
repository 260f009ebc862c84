"""Multipliers: sign, units, stationarity, sensitivity, an independent model; extra constraints in the result."""

import pickle
from typing import Any

import cvxpy
import numpy as np
import pytest

from solvers import EntropyRegularised, SimplexQP, available_solvers, solve, solve_many
from solvers.cvxpy_conic import Cvxpy
from solvers.testing import SoftMaximum, random_qp


def at_most_040(w: Any) -> Any:
    return [w <= 0.4]


@pytest.mark.parametrize("solver", sorted(set(available_solvers()) - {"scipy_slsqp"}))
@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e9])
def test_stationarity_and_complementarity(solver: str, factor: float) -> None:
    base = random_qp(5, 10, 1)
    problem = SimplexQP(factor * base.P, factor * (base.q + 3.0), 1.0)
    result = solve(problem, solver, tol=1e-9)
    gradient = problem.P @ result.weights + problem.q
    assert np.allclose(result.dual_bounds + result.dual_sum, gradient, atol=1e-9 * problem.scale)
    assert result.dual_bounds.min() >= 0.0
    assert result.weights @ result.dual_bounds == pytest.approx(result.gap, abs=1e-12 * problem.scale)
    assert np.allclose(result.slack * problem.scale, result.dual_bounds)
    # Weak duality: f(w) >= q'w-dual value for any point of the simplex.
    assert result.dual_sum <= gradient.min() + 1e-9 * problem.scale
    assert result.constraints is None
    assert result.dual_constraints == ()


def test_multipliers_are_cvxpys_own() -> None:
    for seed in range(5):
        problem = random_qp(6, 12, seed)
        w = cvxpy.Variable(6)
        bounds, total = w >= 0, cvxpy.sum(w) == 1
        model = cvxpy.Problem(
            cvxpy.Minimize(0.5 * cvxpy.quad_form(w, cvxpy.psd_wrap(problem.P)) + problem.q @ w), [bounds, total]
        )
        model.solve(solver="CLARABEL")
        result = solve(problem)
        assert np.allclose(result.dual_bounds, bounds.dual_value, atol=1e-5)
        assert result.dual_sum == pytest.approx(-float(total.dual_value), abs=1e-5)


def test_the_sum_s_multiplier_is_a_derivative() -> None:
    """Weights that sum to 1 + h are (1 + h) v, which turns P into (1 + h)^2 P and q into (1 + h) q."""
    problem, h = random_qp(4, 8, 2), 1e-5
    up, down = (solve(SimplexQP((1 + s) ** 2 * problem.P, (1 + s) * problem.q)).value for s in (h, -h))
    assert solve(problem).dual_sum == pytest.approx((up - down) / (2 * h), abs=1e-7)


def test_the_bounds_multipliers_are_derivatives() -> None:
    """Forcing weight h upon an unused auxiliary raises the minimum by h times its multiplier."""
    problem, h = random_qp(6, 12, 1), 1e-5
    free = solve(problem)
    unused = int(free.dual_bounds.argmax())
    assert free.dual_bounds[unused] > 0.01
    forced = solve(problem, Cvxpy(constraints=lambda w: [w[unused] >= h]), tol=1e-8)
    assert forced.value - free.value == pytest.approx(h * free.dual_bounds[unused], rel=1e-2)


@pytest.mark.parametrize("objective", [SoftMaximum(np.random.default_rng(0).normal(size=(9, 4)))], ids=["soft maximum"])
@pytest.mark.parametrize("solver", ["newton", "frank_wolfe", "cvxpy"])
def test_other_objectives_have_multipliers_too(objective: Any, solver: str) -> None:
    result = solve(objective, solver, tol=1e-7)
    assert np.allclose(result.dual_bounds + result.dual_sum, objective.gradient(result.weights), atol=1e-12)


def test_entropy_s_gradient_is_the_whole_gradient() -> None:
    objective, w, h = EntropyRegularised(random_qp(3, 6, 0), 0.3), np.array([0.5, 0.3, 0.2]), 1e-6
    for i in range(3):
        e = h * np.eye(3)[i]
        slope = (objective.value(w + e) - objective.value(w - e)) / (2 * h)
        assert objective.gradient(w)[i] == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_constrained_multipliers(factor: float) -> None:
    base = random_qp(5, 10, 0)
    problem = SimplexQP(factor * base.P, factor * base.q)
    result = solve(problem, Cvxpy(constraints=at_most_040), tol=1e-8)
    assert result.converged
    (caps,) = result.dual_constraints
    gradient = problem.P @ result.weights + problem.q
    assert np.allclose(gradient, result.dual_bounds + result.dual_sum - caps, atol=1e-6 * problem.scale)
    assert caps.max() > 1e-3 * problem.scale
    assert np.abs(caps * (result.weights - 0.4)).max() <= 1e-6 * problem.scale
    assert np.isnan(result.slack).all()


def test_the_result_says_that_there_were_constraints() -> None:
    problem = random_qp(5, 10, 0)
    result = solve(problem, Cvxpy(constraints=at_most_040), tol=1e-8)
    assert result.constraints is at_most_040
    assert "within   extra constraints" in repr(result)
    assert pickle.loads(pickle.dumps(result)).constraints is at_most_040
    again = solve_many([problem, problem], Cvxpy(constraints=result.constraints), tol=1e-7)
    assert all(one.constraints is at_most_040 for one in again)
    assert np.allclose(again.weights[0], result.weights, atol=1e-6)


def perturbed(n: int) -> list[SimplexQP]:
    base, rng = random_qp(5, 10, 0), np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=(n, 5, 20))
    return [SimplexQP(base.P + A @ A.T / 20, base.q + 0.05 * rng.normal(size=5)) for A in noise]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "cap", "entropy"])
def test_a_batch_keeps_its_constraints_and_is_translated_once(kind: str) -> None:
    written = []

    def constraints(w: Any) -> Any:
        written.append(1)
        return [w <= 0.4] if kind == "cap" else [cvxpy.sum(cvxpy.entr(w)) >= 1.3]

    solver = Cvxpy(constraints=None if kind == "none" else constraints)
    problems = perturbed(12)
    many = solve_many(problems, solver, tol=1e-6)
    assert len(written) in (0, 2)  # for the weights, and for the linear minimum of the gap; not once a problem
    assert many.converged.all()
    if kind == "cap":
        assert many.weights.max() <= 0.4 + 1e-7
        assert (many.weights >= 0.4 - 1e-7).any(axis=1).mean() > 0.5  # and it binds
    for problem, result in zip(problems, many, strict=True):
        alone = solve(problem, solver, tol=1e-6)
        assert np.allclose(result.weights, alone.weights, atol=1e-4)
        assert abs(result.value - alone.value) <= result.gap + alone.gap + 1e-9
        assert (result.constraints is None) == (kind == "none")


def test_the_order_of_a_batch_does_not_matter() -> None:
    problems = perturbed(6)
    forward = solve_many(problems, Cvxpy(constraints=at_most_040), tol=1e-6).weights
    backward = solve_many(problems[::-1], Cvxpy(constraints=at_most_040), tol=1e-6).weights
    assert np.array_equal(forward, backward[::-1])


def test_constraints_that_nobody_meets() -> None:
    for call in (solve, lambda p, s: solve_many([p, p], s)):
        with pytest.raises(RuntimeError, match="some point of the simplex meets them"):
            call(random_qp(3, 6, 0), Cvxpy(constraints=lambda w: [w <= 0.1]))  # type: ignore[operator]
