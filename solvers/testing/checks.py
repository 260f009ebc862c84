"""The checks of the conformance suite. Each takes a solver and the suite's tolerance and raises `AssertionError`.

No check has a tolerance of its own for a solver: the facade's duality gap bounds the error in value, and with the
strong-convexity modulus mu of a test problem the error in weights, ``|w - w*| <= sqrt(2 gap / mu)``.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np

from ..api import solve
from ..base import SimplexSolver, SolverResult, Status
from ..certificates import duality_gap
from ..errors import InvalidProblemError, UnsupportedObjectiveError
from ..problem import SimplexQP, Vector
from .arguments import assert_untouched, check_batches
from .problems import SoftMaximum, duplicated, grid_minimum, random_qp, separable_qp, tangent_modulus

Check = Callable[[SimplexSolver, float], None]
_ROUNDING = 1e-12


def _certified(problem: SimplexQP, solver: SimplexSolver, tol: float) -> SolverResult:
    result = solve(problem, solver, tol=tol)
    assert result.converged, f"not certified on {problem}: gap {result.relative_gap:.1e} of scale > {tol:.0e}"
    _assert_on_simplex(result.weights, problem.dim, 1e-12)
    # The certificate is recomputed here from the data alone.
    gap = duality_gap(result.weights, problem.P @ result.weights + problem.q)
    assert abs(gap - result.gap) <= _ROUNDING * problem.scale, f"reported gap {result.gap}, recomputed {gap}"
    return result


def _assert_on_simplex(w: Vector, k: int, tolerance: float) -> None:
    assert w.shape == (k,), f"weights have shape {w.shape}, expected ({k},)"
    assert w.dtype == np.float64, f"weights have dtype {w.dtype}, expected float64"
    assert w.min() >= -tolerance, f"negative weight {w.min()}"
    assert abs(w.sum() - 1.0) <= tolerance, f"weights sum to {w.sum()}"


def _assert_close(problem: SimplexQP, first: Vector, first_gap: float, second: Vector, second_gap: float = 0.0) -> None:
    modulus = tangent_modulus(problem)
    bound = np.sqrt(2.0 * first_gap / modulus) + np.sqrt(2.0 * second_gap / modulus) + 1e-9
    distance = float(np.linalg.norm(first - second))
    assert distance <= bound, f"weights {first} and {second} are {distance:.1e} apart, allowed {bound:.1e}"


def check_feasible(solver: SimplexSolver, tol: float) -> None:
    """The raw answer is on the simplex before the facade repairs it."""
    for seed in range(3):
        problem = random_qp(4, 8, seed).normalised()
        rng = np.random.default_rng(0)
        raw = solver.solve(problem, tol=tol, max_iter=None, start=None, rng=rng)
        _assert_on_simplex(np.asarray(raw.weights), 4, max(tol, 1e-8))


def check_certified(solver: SimplexSolver, tol: float) -> None:
    """Well-conditioned problems of several sizes reach the tolerance."""
    for k in (2, 3, 5, 8):
        _certified(random_qp(k, 3 * k, 0), solver, tol)


def check_single(solver: SimplexSolver, tol: float) -> None:
    """With k = 1 the answer is 1, without a solve."""
    result = solve(SimplexQP([[2.0]], [1.0], 0.5), solver, tol=tol)
    assert result.weights.tolist() == [1.0]
    assert result.value == 2.5
    assert result.converged


def check_vertex(solver: SimplexSolver, tol: float) -> None:
    """A minimiser at a vertex is found, from the quadratic and from P = 0."""
    for problem in (separable_qp(np.array([3.0, 0.0, -1.0]), np.ones(3)), SimplexQP(np.zeros((3, 3)), [0.0, 1.0, 2.0])):
        result = _certified(problem, solver, tol)
        assert result.weights[0] >= 1.0 - 10.0 * tol, f"weights {result.weights}, expected the first vertex"


def check_interior(solver: SimplexSolver, tol: float) -> None:
    """Minimisers inside the simplex agree with their closed form."""
    target = np.array([0.5, 0.2, 0.2, 0.1])
    problem = separable_qp(target, np.array([1.0, 2.0, 0.5, 4.0]))
    result = _certified(problem, solver, tol)
    _assert_close(problem, result.weights, result.gap, target)


def check_flat(solver: SimplexSolver, tol: float) -> None:
    """P = 0 and q constant: every weight is a minimiser, the tie-break gives equal weights, and the result says so."""
    result = _certified(SimplexQP(np.zeros((4, 4)), np.full(4, 3.0)), solver, tol)
    assert np.allclose(result.weights, 0.25, atol=1e-9), f"weights {result.weights}, expected 1/4 each"
    assert not result.is_unique, "is_unique should be False"


def check_rank_deficient(solver: SimplexSolver, tol: float) -> None:
    """Singular P: the certificate still holds, and the best value is found."""
    for k, rank in ((3, 1), (6, 3), (8, 2)):
        problem = random_qp(k, rank, 1)
        result = _certified(problem, solver, tol)
        best = solve(problem, "active_set", tol=1e-12)
        assert result.value <= best.value + result.gap + _ROUNDING * problem.scale


def check_duplicates(solver: SimplexSolver, tol: float) -> None:
    """An auxiliary listed twice changes nothing but the share-out: both copies get the same weight, and it is said."""
    target = np.array([0.5, 0.3, 0.2])
    problem = separable_qp(target, np.array([1.0, 2.0, 1.5]))
    result = _certified(duplicated(problem, 0), solver, tol)
    assert not result.is_unique, "is_unique should be False"
    assert abs(result.weights[0] - result.weights[3]) <= 1e-9, f"copies got {result.weights[[0, 3]]}"
    merged = result.weights[:3] + np.array([result.weights[3], 0.0, 0.0])
    _assert_close(problem, merged, result.gap, target)


def check_scale(solver: SimplexSolver, tol: float) -> None:
    """Multiplying the objective does not move the weights: the same bits for powers of two, 1e-8 ... 1e8 certified."""
    problem = random_qp(4, 8, 2)
    reference = _certified(problem, solver, tol)
    for power in (-27, 27):
        scaled = SimplexQP(problem.P * 2.0**power, problem.q * 2.0**power)
        assert np.array_equal(_certified(scaled, solver, tol).weights, reference.weights), f"changed at 2**{power}"
    for factor in (1e-8, 1e8):
        scaled = SimplexQP(problem.P * factor, problem.q * factor)
        other = _certified(scaled, solver, tol)
        _assert_close(problem, reference.weights, reference.gap, other.weights, other.gap / factor)


def check_equivariance(solver: SimplexSolver, tol: float) -> None:
    """Relabelling auxiliaries relabels weights; adding a constant to the objective changes nothing."""
    problem = random_qp(5, 12, 3)
    reference = _certified(problem, solver, tol)
    order = np.array([3, 0, 4, 1, 2])
    permuted = _certified(SimplexQP(problem.P[np.ix_(order, order)], problem.q[order]), solver, tol)
    back = np.empty(5)
    back[order] = permuted.weights
    _assert_close(problem, reference.weights, reference.gap, back, permuted.gap)
    shifted = _certified(SimplexQP(problem.P, problem.q + 7.0, problem.r - 7.0), solver, tol)
    _assert_close(problem, reference.weights, reference.gap, shifted.weights, shifted.gap)


def check_monotone(solver: SimplexSolver, tol: float) -> None:
    """One more auxiliary never makes the best value worse."""
    problem = random_qp(6, 12, 4)
    previous = np.inf
    for k in range(2, 7):
        result = _certified(SimplexQP(problem.P[:k, :k], problem.q[:k], problem.r), solver, tol)
        assert result.value <= previous + result.gap + _ROUNDING, f"value rose to {result.value} at k = {k}"
        previous = result.value


def check_grid_oracle(solver: SimplexSolver, tol: float) -> None:
    """For k = 2 and 3 no grid point is better by more than the certificate allows."""
    for k, seed in ((2, 0), (2, 1), (3, 0), (3, 1)):
        problem = random_qp(k, 2 * k, 10 + seed)
        result = _certified(problem, solver, tol)
        assert result.value <= grid_minimum(problem) + result.gap + _ROUNDING * problem.scale


def check_inputs_untouched(solver: SimplexSolver, tol: float) -> None:
    """Neither the problem nor the starting point is written to."""
    problem = random_qp(4, 8, 5).normalised()
    P, q = problem.P.copy(), problem.q.copy()
    start = np.array([0.4, 0.3, 0.2, 0.1])
    given = start.copy()
    given.flags.writeable = False
    solver.solve(problem, tol=tol, max_iter=None, start=given, rng=np.random.default_rng(0))
    assert np.array_equal(problem.P, P), "P was changed"
    assert np.array_equal(problem.q, q), "q was changed"
    assert np.array_equal(given, start), "start was changed"


def check_arguments_untouched(solver: SimplexSolver, tol: float) -> None:
    """`solve` and `solve_many` neither write to the arrays they are given nor keep looking into them."""
    problem = random_qp(4, 8, 5)

    def call(P: Any, q: Any, start: Any) -> Callable[[], tuple[Any, ...]]:
        result = solve(SimplexQP(P, q), solver, tol=tol, start=start)
        return lambda: (result.weights, result.value, result.gap)

    assert_untouched(call, 5.0 * problem.P, 5.0 * problem.q, np.array([0.4, 0.3, 0.2, 0.1]))
    check_batches(solver, tol)


def check_start(solver: SimplexSolver, tol: float) -> None:
    """Any starting point, the answer or a vertex included, leads to the same minimum."""
    problem = random_qp(4, 12, 6)
    reference = _certified(problem, solver, tol)
    for start in (reference.weights, np.array([0.0, 0.0, 0.0, 1.0])):
        result = solve(problem, solver, tol=tol, start=start)
        assert result.converged, f"not certified from the start {start}"
        _assert_close(problem, reference.weights, reference.gap, result.weights, result.gap)


def check_deterministic(solver: SimplexSolver, tol: float) -> None:
    """The same call gives the same bits."""
    problem = random_qp(6, 9, 7)
    first, second = (solve(problem, solver, tol=tol, rng=3) for _ in range(2))
    assert np.array_equal(first.weights, second.weights), f"{first.weights} then {second.weights}"


def check_honest_status(solver: SimplexSolver, tol: float) -> None:
    """Stopped at one iteration, the result is either certified or says that the iteration limit was met."""
    result = solve(random_qp(8, 8, 8), solver, tol=1e-12, max_iter=1)
    if result.gap > 1e-12 * result.scale:
        assert not result.converged
        assert result.status is Status.ITERATION_LIMIT, f"status {result.status!r} at max_iter=1"


def check_refuses_invalid(solver: SimplexSolver, tol: float) -> None:
    """NaN, infinite, indefinite, asymmetric and misshapen data are refused with a `ValueError`, before the solver."""
    good = np.eye(2)
    for P, q in (
        ([[1.0, np.nan], [np.nan, 1.0]], [0.0, 0.0]),
        (good, [np.inf, 0.0]),
        ([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0]),
        ([[1.0, 0.5], [0.0, 1.0]], [0.0, 0.0]),
        (good, [0.0, 0.0, 0.0]),
    ):
        try:
            solve(SimplexQP(P, q), solver, tol=tol)
        except InvalidProblemError:
            continue
        raise AssertionError(f"P = {P}, q = {q} was accepted")


def check_picklable(solver: SimplexSolver, tol: float) -> None:
    """The solver survives pickling and gives the same answer."""
    problem = random_qp(3, 6, 9)
    copy = pickle.loads(pickle.dumps(solver))
    assert np.array_equal(solve(problem, copy, tol=tol).weights, solve(problem, solver, tol=tol).weights)


def check_silent(solver: SimplexSolver, tol: float) -> None:
    """Nothing is printed, also not by compiled code, and no warning is raised."""
    with _captured_output() as read, warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in (random_qp(5, 10, 10), random_qp(5, 2, 10)):
            solve(problem, solver, tol=tol)
        printed = read()
    assert not printed, f"printed {printed[:200]!r}"


def check_general_objective(solver: SimplexSolver, tol: float) -> None:
    """A first-order solver minimises any smooth convex function; a quadratic one refuses it with a clear error."""
    objective = SoftMaximum(np.random.default_rng(0).normal(size=(12, 4)))
    if solver.requires == "quadratic":
        try:
            solve(objective, solver, tol=tol)
        except UnsupportedObjectiveError:
            return
        raise AssertionError("a quadratic solver accepted a general objective")
    result = solve(objective, solver, tol=tol)
    assert result.converged, f"gap {result.relative_gap:.1e} of scale > {tol:.0e}"
    best = solve(objective, "newton", tol=1e-12)
    assert result.value <= best.value + result.gap + 1e-12


@contextmanager
def _captured_output() -> Iterator[Callable[[], bytes]]:
    """Capture what Python prints and what compiled code writes to the file descriptors of output and error."""
    printed = io.StringIO()
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as sink:

        def read() -> bytes:
            sys.stdout.flush()
            sys.stderr.flush()
            sink.seek(0)
            return sink.read() + printed.getvalue().encode()

        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                yield read
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])


CHECKS: dict[str, Check] = {
    "feasible": check_feasible,
    "certified": check_certified,
    "single": check_single,
    "vertex": check_vertex,
    "interior": check_interior,
    "flat": check_flat,
    "rank_deficient": check_rank_deficient,
    "duplicates": check_duplicates,
    "scale": check_scale,
    "equivariance": check_equivariance,
    "monotone": check_monotone,
    "grid_oracle": check_grid_oracle,
    "inputs_untouched": check_inputs_untouched,
    "arguments_untouched": check_arguments_untouched,
    "start": check_start,
    "deterministic": check_deterministic,
    "honest_status": check_honest_status,
    "refuses_invalid": check_refuses_invalid,
    "picklable": check_picklable,
    "silent": check_silent,
    "general_objective": check_general_objective,
}
