"""Limits of time: nobody hangs, every backend keeps to its time, and the status says so."""

import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from solvers import (
    Candidate,
    EntropyRegularised,
    LogPartitionObjective,
    SimplexQP,
    SolverFailureError,
    SolverTimeoutError,
    Status,
    known_solvers,
    solve,
    solve_many,
    solve_over_time,
)
from solvers.limits import Budget, default_time_limit
from solvers.testing import SoftMaximum, random_qp

QP = random_qp(5, 10, 0)


@dataclass(frozen=True)
class Sleeper:
    """Answers after `seconds`."""

    seconds: float
    name: ClassVar[str] = "sleeper"
    requires: ClassVar[Any] = "quadratic"

    def solve(self, objective: Any, *, tol: float, max_iter: Any, start: Any, rng: Any) -> Candidate:
        time.sleep(self.seconds)
        return Candidate(np.full(objective.dim, 1.0 / objective.dim), 1)


@dataclass(frozen=True)
class Constrained(Sleeper):
    """A sleeper over a part of the simplex."""

    constraints: Any = None

    def linear_minimum(self, gradient: Any) -> float:
        return float(gradient.min())


@dataclass(frozen=True)
class Punctual:
    """Takes the time limit and says what it was."""

    seen: list[float]
    name: ClassVar[str] = "punctual"
    requires: ClassVar[Any] = "quadratic"

    def solve(self, objective: Any, *, time_limit: float, **_: Any) -> Candidate:
        self.seen.append(time_limit)
        return Candidate(np.full(objective.dim, 1.0 / objective.dim), 1, exhausted=True, late=True)


def test_a_plugin_that_hangs_is_given_up_and_auto_answers() -> None:
    began = time.perf_counter()
    result = solve(QP, Sleeper(6.0), time_limit=0.1)
    assert time.perf_counter() - began < 5.0
    assert result.converged
    assert result.weights.tolist() == pytest.approx(solve(QP).weights.tolist(), abs=1e-12)
    assert result.solver == "daqp"
    assert "solver 'sleeper' gave no answer within 0.1 s" in result.trail[0]
    assert result.trail[-1] == "daqp answers in its place"


def test_nobody_answers_in_place_of_a_constrained_solver() -> None:
    with pytest.raises(SolverTimeoutError, match=r"'sleeper' gave no answer within 0\.05 s"):
        solve(QP, Constrained(1.0), time_limit=0.05)
    assert issubclass(SolverTimeoutError, TimeoutError)


def test_a_plugin_in_time_is_left_alone() -> None:
    assert solve(QP, Sleeper(0.0), time_limit=5.0).solver == "sleeper"
    before = threading.active_count()
    assert solve(QP, Sleeper(0.0), time_limit=np.inf).solver == "sleeper"
    assert threading.active_count() == before


def test_a_plugin_that_takes_the_limit_is_told() -> None:
    seen: list[float] = []
    result = solve(QP, Punctual(seen), time_limit=3.0)
    assert seen == [pytest.approx(3.0, abs=0.1)]
    assert result.status is Status.TIME_LIMIT
    assert "raise time_limit" in result.status


def test_a_plugin_that_raises_in_its_thread_is_reported() -> None:
    @dataclass(frozen=True)
    class Raises(Sleeper):
        def solve(self, objective: Any, **_: Any) -> Candidate:
            raise ZeroDivisionError("boom")

    with pytest.raises(SolverFailureError, match="sleeper failed: boom") as caught:
        solve(QP, Raises(0.0), time_limit=1.0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("answer", [None, 3, np.ones(5), "weights"])
def test_what_is_not_a_candidate_is_refused(answer: Any) -> None:
    @dataclass(frozen=True)
    class Wrong(Sleeper):
        def solve(self, objective: Any, **_: Any) -> Candidate:
            return answer  # type: ignore[no-any-return]

    with pytest.raises(SolverFailureError, match="not a Candidate"):
        solve(QP, Wrong(0.0))


# Their libraries count iterations only, see solvers.limits; each iteration is one factorisation.
WITHOUT_A_CLOCK = {"piqp", "proxqp"}
HARD = random_qp(60, 30, 0)


@pytest.mark.parametrize("solver", sorted(set(known_solvers()) - WITHOUT_A_CLOCK))
def test_every_backend_ends_soon_after_its_time(solver: str) -> None:
    solve(QP, solver, tol=1e-6)  # imports
    began = time.perf_counter()
    result = solve(HARD, solver, tol=1e-15, time_limit=1e-4)
    assert time.perf_counter() - began < 5.0
    assert np.isfinite(result.gap)
    assert result.converged == (result.gap <= 1e-15 * result.scale)
    if not result.converged:
        assert result.status in (Status.TIME_LIMIT, Status.INACCURATE, Status.ITERATION_LIMIT)


@pytest.mark.parametrize("solver", ["projected_gradient", "exponentiated_gradient", "frank_wolfe", "torch"])
def test_the_status_names_the_time(solver: str) -> None:
    options = {"polish": False} if solver == "torch" else {}
    result = solve(HARD, solver, tol=1e-15, time_limit=1e-3, **options)
    assert result.status is Status.TIME_LIMIT


def test_budget() -> None:
    budget = Budget(5, 60.0)
    assert list(budget) == [1, 2, 3, 4, 5]
    assert not budget.late
    assert list(Budget(5, 0.0)) == [1]  # one step is always made
    late = Budget(5, 0.0)
    list(late)
    assert late.late
    assert late.spent(np.ones(1)).late


def test_default_limit_grows_with_the_problem_and_its_gradient() -> None:
    assert default_time_limit(QP, 0.0) == pytest.approx(10.0, abs=0.1)
    assert default_time_limit(SoftMaximum(np.eye(3)), 0.01) == pytest.approx(210.0, abs=0.1)

    class Noisy:
        dim, minibatch_gradient = 3, None

    assert default_time_limit(Noisy(), 1.0) == np.inf


@pytest.mark.parametrize("strength", [1e4, 1e8, 1e12, 1e100, 1e250])
@pytest.mark.parametrize("solver", ["auto", "newton"])
def test_a_huge_entropy_gives_the_reference_at_once(solver: str, strength: float) -> None:
    reference = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    result = solve(EntropyRegularised(QP, strength, reference), solver)
    assert result.converged
    assert result.n_iter <= 12
    assert np.abs(result.weights - reference).max() <= 1.0 / strength + 1e-9


@pytest.mark.parametrize("strength", [1e-3, 0.1, 1.0, 1e3, 1e6])
def test_entropy_meets_its_stationarity(strength: float) -> None:
    """The gradient of f plus ``amount log(w/v)`` is constant, checked without the package's own gradient.

    At 1e-3 the smallest weight is about 1e-100: a weight that the entropy keeps positive is not rounded to zero.
    """
    result = solve(EntropyRegularised(QP, strength), tol=1e-12)
    assert result.converged
    assert result.weights.min() > 0.0
    g = QP.P @ result.weights + QP.q + strength * QP.scale * np.log(result.weights / 0.2)
    assert np.ptp(g) <= 1e-8 * QP.scale * (1.0 + strength)


@pytest.mark.parametrize("k", [20, 60])
@pytest.mark.parametrize("solver", ["projected_gradient", "torch_projected", "torch", "auto"])
def test_columns_ten_orders_of_magnitude_apart(solver: str, k: int) -> None:
    rng = np.random.default_rng(k)
    A = rng.normal(size=(k, 2 * k)) * 10.0 ** rng.uniform(-5, 5, size=(k, 1))
    result = solve(SimplexQP(A @ A.T, -A @ (rng.dirichlet(np.ones(k)) @ A)), solver)
    assert result.converged
    if solver in ("projected_gradient", "torch_projected"):
        assert result.n_iter <= 1000  # 20,000 without the metric


@pytest.mark.slow
def test_weights_over_time_end_at_their_limit() -> None:
    bins = [random_qp(6, 3, seed) for seed in range(30)]
    began = time.perf_counter()
    result = solve_over_time(bins, 0.05, tol=1e-15, max_iter=10**6, time_limit=0.2)
    assert time.perf_counter() - began < 10.0
    assert result.status is Status.TIME_LIMIT
    best = solve_over_time(bins, 0.05, tol=1e-8)
    assert result.gap >= result.value - best.value - 1e-9


def test_a_limit_for_each_problem_of_a_batch() -> None:
    many = solve_many([QP, QP], Sleeper(1.0), time_limit=0.05)
    assert many.converged.all()
    assert all("gave no answer" in one.trail[0] for one in many)


def test_likelihood_with_a_linear_programme_inside_ends() -> None:
    """Log densities of 1e5: the objective is nearly piecewise linear, which no first-order method likes."""
    rng = np.random.default_rng(0)
    L = 1e5 * rng.normal(size=(200, 6))
    objective = LogPartitionObjective(L, np.zeros(200), L.mean(axis=0))
    began = time.perf_counter()
    result = solve(objective, time_limit=3.0)
    assert time.perf_counter() - began < 15.0
    assert np.isfinite(result.gap)
