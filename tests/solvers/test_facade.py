"""`solve`: certificate, statuses, arguments, fallback, extra constraints, the stochastic reference."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import (
    Candidate,
    NonFiniteError,
    ShapeError,
    SimplexQP,
    SolverFailureError,
    Status,
    UnsupportedObjectiveError,
    api,
    known_solvers,
    project_simplex,
    solve,
    solve_many,
)
from solvers.auto import Auto, first_certified
from solvers.cvxpy_conic import Cvxpy
from solvers.testing import SoftMaximum, random_qp

QUADRATIC = ["active_set", "piqp", "daqp", "proxqp", "clarabel", "osqp", "cvxpy", "qpsolvers", "newton", "auto"]


@dataclass(frozen=True)
class Fails:
    """Raises, or returns what it is told to."""

    answer: Any = None
    name: ClassVar[str] = "fails"
    requires: ClassVar[Any] = "quadratic"

    def solve(self, objective: Any, *, tol: float, max_iter: Any, start: Any, rng: Any) -> Candidate:
        if self.answer is None:
            raise RuntimeError("boom")
        return Candidate(np.asarray(self.answer), 1)


@pytest.mark.parametrize("solver", QUADRATIC)
@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(("k", "rank"), [(4, 8), (6, 3)])
def test_scale_does_not_move_the_weights(solver: str, factor: float, k: int, rank: int) -> None:
    problem = random_qp(k, rank, 0)
    reference = solve(problem, "active_set", tol=1e-12)
    scaled = solve(SimplexQP(problem.P * factor, problem.q * factor), solver, tol=1e-9)
    assert scaled.converged
    assert np.abs(scaled.weights - reference.weights).max() < 1e-4
    assert scaled.gap <= 1e-9 * scaled.scale


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(k=st.integers(1, 8), rank=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_gap_bounds_the_excess_at_any_point(k: int, rank: int, seed: int) -> None:
    problem = random_qp(k, rank, seed)
    w = np.random.default_rng(seed).dirichlet(np.ones(k))
    best = solve(problem, tol=1e-11)
    result = solve(problem, Given(w), tol=1e-9) if k > 1 else best
    assert result.gap >= result.value - best.value - 1e-12 * problem.scale
    assert result.converged == (result.gap <= 1e-9 * problem.scale)


@dataclass(frozen=True)
class Given:
    """Returns a fixed point."""

    point: Any
    name: ClassVar[str] = "given"
    requires: ClassVar[Any] = "gradient"

    def solve(self, objective: Any, *, tol: float, max_iter: Any, start: Any, rng: Any) -> Candidate:
        return Candidate(self.point, 1)


def test_result_is_frozen_and_reads_well() -> None:
    result = solve(random_qp(3, 6, 0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.gap = 0.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.weights[0] = 1.0
    text = repr(result)
    assert "certified: the duality gap is within the tolerance" in text
    assert "weights" in text
    assert "not unique" not in text
    assert result.relative_gap == result.gap / result.scale


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tol": 0.0}, ValueError, "tol must be positive"),
        ({"tol": np.nan}, ValueError, "tol must be positive"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"start": [1.0]}, ShapeError, r"start must have shape \(3,\)"),
        ({"start": [np.nan, 0, 1]}, NonFiniteError, r"first start\[0\] = nan"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        solve(random_qp(3, 6, 0), **arguments)


def test_a_solver_that_breaks_down_raises_with_its_name() -> None:
    problem = random_qp(3, 6, 0)
    with pytest.raises(SolverFailureError, match="fails failed: boom"):
        solve(problem, Fails())
    with pytest.raises(SolverFailureError, match="not on the simplex"):
        solve(problem, Fails([np.nan, 0.0, 1.0]))
    with pytest.raises(SolverFailureError, match="not on the simplex"):
        solve(problem, Fails([-1.0, 0.0, 0.0]))
    with pytest.raises(SolverFailureError, match=r"shape \(2,\)"):
        solve(problem, Fails([0.5, 0.5]))


def test_fallback_takes_the_next_solver_and_says_so() -> None:
    problem = random_qp(4, 8, 1).normalised()
    from solvers.active_set import ActiveSet

    judged = first_certified(
        [Fails(), Fails([1.0, 0.0, 0.0, 0.0]), ActiveSet()], problem, tol=1e-9, max_iter=None, start=None, rng=0
    )
    assert judged.solver.name == "active_set"
    assert judged.trail[0] == "fails failed: boom"
    assert judged.trail[1].startswith("fails stopped at gap")
    assert judged.trail[2] == "active_set certified"


def test_auto_falls_back_when_its_first_choice_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "quick_solve", lambda *_: None)
    monkeypatch.setattr(Auto, "choices", lambda self, *_: iter([Fails([1.0, 1.0, 1.0, 1.0]), Given(np.ones(4))]))
    result = solve(random_qp(4, 8, 1))
    assert not result.converged
    assert result.status is Status.INACCURATE
    assert len(result.trail) == 2


@pytest.mark.parametrize("k", [2, 3, 8, 40, 41, 120])
@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize("tol", [1e-6, 1e-9, 1e-12])
def test_auto_certifies_everywhere(k: int, factor: float, tol: float) -> None:
    assert solve(random_qp(k, max(1, int(factor * k)), 0), tol=tol).converged


def test_general_objective_needs_a_general_solver() -> None:
    objective = SoftMaximum(np.eye(3))
    with pytest.raises(UnsupportedObjectiveError, match="'piqp' needs a quadratic objective, got SoftMaximum"):
        solve(objective, "piqp")
    result = solve(objective)
    assert np.allclose(result.weights, 1 / 3, atol=1e-8)
    assert result.solver == "newton"


def test_a_non_finite_objective_is_reported() -> None:
    @dataclass(frozen=True)
    class Bad:
        dim: int = 3
        scale: float = 1.0

        def value(self, w: Any) -> float:
            return np.nan

        def gradient(self, w: Any) -> Any:
            return np.full(3, np.nan)

    with pytest.raises(NonFiniteError, match=r"problem\.gradient\(w\) has 3 non-finite entries"):
        solve(Bad(), "frank_wolfe", max_iter=5)
    with pytest.raises(NonFiniteError, match=r"problem\.scale"):
        solve(Bad(scale=np.inf), "frank_wolfe")


def test_vertex_weights_are_exactly_zero_and_one() -> None:
    result = solve(SimplexQP(np.eye(4), [-9.0, 0.0, 0.0, 0.0]))
    assert result.weights.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert not np.signbit(result.weights).any()


@pytest.mark.parametrize("solver", sorted(set(known_solvers()) - {"torch", "cvxpy"}))
def test_solve_many_agrees_with_solve(solver: str) -> None:
    problems = [random_qp(4, 8, seed) for seed in range(5)]
    many = solve_many(problems, solver, tol=1e-7)
    assert len(many) == 5
    for problem, one in zip(problems, many, strict=True):
        assert one.converged
        assert np.allclose(one.weights, solve(problem, "active_set").weights, atol=2e-3)
    assert "5 certified" in repr(many)


def test_solve_many_refuses_mixed_sizes_and_bad_data() -> None:
    with pytest.raises(ShapeError, match=r"dimensions \[2, 3\]"):
        solve_many([random_qp(2, 2, 0), random_qp(3, 3, 0)])
    with pytest.raises(ShapeError, match="empty"):
        solve_many([])
    P = np.stack([np.eye(3), np.eye(3)])
    P[1, 0, 1] = 0.5
    with pytest.raises(ValueError, match="problem 1 of the batch: P is not symmetric"):
        solve_many((P, np.zeros((2, 3))))
    P[1] = -np.eye(3)
    with pytest.raises(ValueError, match="problem 1 of the batch: P is not positive semidefinite"):
        solve_many((P, np.zeros((2, 3))))


def test_extra_constraints_and_their_certificate() -> None:
    problem = random_qp(4, 8, 3)
    free = solve(problem)
    capped = solve(problem, Cvxpy(constraints=lambda w: [w <= 0.4]), tol=1e-7)
    assert capped.converged
    assert np.isnan(capped.kkt)
    assert capped.weights.max() <= 0.4 + 1e-7
    assert capped.value >= free.value - 1e-9
    # Oracle: on a fine grid no feasible point is better.
    rng = np.random.default_rng(0)
    points = rng.dirichlet(np.ones(4), size=20_000)
    points = points[points.max(axis=1) <= 0.4]
    values = 0.5 * np.einsum("ni,ij,nj->n", points, problem.P, points) + points @ problem.q + problem.r
    assert capped.value <= values.min() + 1e-9
    diverse = solve(problem, Cvxpy(constraints=lambda w: [cvxpy.sum(cvxpy.entr(w)) >= 1.3]), tol=1e-5)
    assert -(diverse.weights * np.log(diverse.weights)).sum() >= 1.3 - 1e-6
    with pytest.raises(SolverFailureError, match="some point of the simplex"):
        solve(problem, Cvxpy(constraints=lambda w: [w <= 0.1]))


@pytest.mark.parametrize("name", ["CLARABEL", "SCS", "OSQP", "HIGHS", "PIQP", "PROXQP", "DAQP"])
def test_cvxpy_with_any_of_its_solvers(name: str) -> None:
    result = solve(random_qp(5, 10, 0), "cvxpy", cvxpy_solver=name, tol=1e-5)
    assert result.converged, result


@pytest.mark.parametrize("name", ["clarabel", "daqp", "highs", "osqp", "piqp", "proxqp", "scs"])
def test_qpsolvers_with_any_of_its_solvers(name: str) -> None:
    result = solve(random_qp(5, 10, 0), "qpsolvers", backend=name, tol=1e-5)
    assert result.converged, result


def test_qpsolvers_unknown_backend() -> None:
    with pytest.raises(ValueError, match="qpsolvers finds"):
        solve(random_qp(3, 3, 0), "qpsolvers", backend="nonsense")


@dataclass(frozen=True)
class NoisyGradient:
    """A quadratic seen through minibatches."""

    problem: SimplexQP

    @property
    def dim(self) -> int:
        return self.problem.dim

    @property
    def scale(self) -> float:
        return self.problem.scale

    def value(self, w: Any) -> float:
        return self.problem.value(w)

    def gradient(self, w: Any) -> Any:
        return self.problem.gradient(w)

    def minibatch_gradient(self, w: Any, rng: np.random.Generator) -> Any:
        return self.problem.gradient(w) + 0.3 * rng.normal(size=self.dim)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_stochastic_reference_gets_near_and_repeats(optimizer: str) -> None:
    problem = random_qp(4, 12, 2)
    best = solve(problem)
    lr = {"adam": 0.02, "sgd": 1.0}[optimizer]
    runs = [solve(NoisyGradient(problem), "torch", optimizer=optimizer, lr=lr, rng=5, max_iter=1500) for _ in range(2)]
    assert np.array_equal(runs[0].weights, runs[1].weights)
    assert runs[0].value - best.value < 0.02 * problem.scale
    assert not runs[0].converged
    assert not np.array_equal(
        solve(NoisyGradient(problem), "torch", lr=lr, rng=6, max_iter=10).weights, runs[0].weights
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_projection_is_the_closest_point(values: list[float]) -> None:
    v = np.array(values)
    w = project_simplex(v)
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    # Variational inequality: <v - w, u - w> <= 0 at every vertex u.
    assert float((v - w).max() - (v - w) @ w) <= 1e-9 * (1.0 + np.abs(v).max())
    assert np.allclose(project_simplex(w), w, atol=1e-15)
    assert np.array_equal(project_simplex(np.stack([v, v]))[1], w)
