"""Hostile input: every entry point refuses it with a message that says what was wrong, or answers rightly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from solvers import (
    ArgumentTypeError,
    DataTypeError,
    EntropyRegularised,
    InvalidProblemError,
    LogPartitionObjective,
    NonFiniteError,
    ShapeError,
    SimplexQP,
    SolverFailureError,
    UnsupportedObjectiveError,
    available_solvers,
    get_solver,
    ridge,
    solve,
    solve_many,
    solve_over_time,
    solve_path,
)
from solvers.cvxpy_conic import Cvxpy

QP = SimplexQP(np.eye(3), [0.0, 0.1, 0.2])
EYE = np.eye(2)
P3, Q3 = np.array([[2.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.0, -0.7, 0.1])

REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "r text": (lambda: SimplexQP(EYE, [0, 0], "x"), DataTypeError, "r must be a real number, got 'x'"),
    "r complex": (lambda: SimplexQP(EYE, [0, 0], 1j), DataTypeError, "r must be a real number"),
    "r infinite": (lambda: SimplexQP(EYE, [0, 0], np.inf), NonFiniteError, "r must be finite"),
    "ragged": (lambda: SimplexQP([[1, 2], [3]], [0, 1]), ShapeError, "P is not a rectangular array"),
    "masked": (lambda: SimplexQP(np.ma.masked_equal(EYE, 0), [0, 1]), DataTypeError, "P is a masked array"),
    "gradient": (
        lambda: SimplexQP(torch.eye(2, requires_grad=True), torch.zeros(2)),
        DataTypeError,
        "use tensor.detach|detach",
    ),
    "denormal": (lambda: SimplexQP(EYE * 1e-310, [0, 0]), InvalidProblemError, "near underflow"),
    "overflow": (lambda: SimplexQP(EYE, [1e308, -1e308]), NonFiniteError, "near overflow"),
    "solver none": (lambda: solve(QP, None), TypeError, "solver must be a name .* got None"),
    "solver class": (lambda: solve(QP, type(get_solver("piqp"))), TypeError, "or a solver object"),
    "options twice": (lambda: solve(QP, get_solver("piqp"), foo=1), TypeError, "options foo go with a solver's name"),
    "no options": (lambda: solve(QP, "piqp", foo=1), TypeError, "no option foo; it takes none"),
    "problem tuple": (lambda: solve((EYE, [0, 0])), TypeError, "tuple lacks dim, scale, value, gradient"),
    "problem none": (lambda: solve(None), TypeError, "NoneType lacks dim"),
    "tol text": (lambda: solve(QP, tol="a"), ValueError, "tol must be positive and finite, got 'a'"),
    "tol none": (lambda: solve(QP, tol=None), ValueError, "tol must be positive and finite, got None"),
    "max_iter real": (lambda: solve(QP, max_iter=1.5), ValueError, "max_iter must be at least 1, a whole number"),
    "max_iter nan": (lambda: solve(QP, max_iter=np.nan), ValueError, "max_iter must be at least 1"),
    "start text": (lambda: solve(QP, start="abc"), DataTypeError, "start must hold real numbers"),
    "start complex": (lambda: solve(QP, start=[1j, 0, 0]), DataTypeError, "start must hold real numbers"),
    "rng text": (lambda: solve(EntropyRegularised(QP, 1.0), "torch", rng="a"), TypeError, "rng must be a numpy Gen"),
    "optimizer": (lambda: solve(QP, "torch", optimizer="rms"), ValueError, "optimizer must be 'adam' or 'sgd'"),
    "lr": (lambda: solve(QP, "torch", lr=np.nan), ValueError, "lr must be positive"),
    "device": (lambda: solve(QP, "torch", device="nope"), SolverFailureError, "torch failed"),
    "cvxpy name": (lambda: solve(QP, "cvxpy", cvxpy_solver="nope"), ValueError, "cvxpy finds the solvers"),
    "cvxpy none": (lambda: solve(QP, "cvxpy", cvxpy_solver=None), ValueError, "cvxpy finds the solvers"),
    "not convex": (
        lambda: solve(QP, Cvxpy(constraints=lambda w: [w[0] * w[1] >= 0.1])),
        ValueError,
        "constraints are convex",
    ),
    "constraint raises": (lambda: solve(QP, Cvxpy(constraints=lambda w: 1 / 0)), SolverFailureError, "division"),
    "many single": (lambda: solve_many(QP), ShapeError, "single SimplexQP"),
    "many arrays": (lambda: solve_many([np.eye(3)]), UnsupportedObjectiveError, r"problems\[0\] is a ndarray"),
    "many general": (
        lambda: solve_many([QP, EntropyRegularised(QP, 1.0)]),
        UnsupportedObjectiveError,
        r"problems\[1\] is a Entropy",
    ),
    "many tol": (lambda: solve_many([QP], tol=-1.0), ValueError, "tol must be positive"),
    "many max_iter": (lambda: solve_many([QP], max_iter=0), ValueError, "max_iter must be"),
    "many k0": (lambda: solve_many((np.zeros((2, 0, 0)), np.zeros((2, 0)))), ShapeError, "k >= 1"),
    "many r": (lambda: solve_many((EYE[None], np.zeros((1, 2)), [np.nan])), NonFiniteError, r"r\[0\] = nan"),
    "many overflow": (
        lambda: solve_many((np.full((1, 2, 2), 1e308), [[1e308, -1e308]])),
        NonFiniteError,
        "near overflow",
    ),
    "many denormal": (
        lambda: solve_many((EYE[None] * 1e-310, np.zeros((1, 2)))),
        InvalidProblemError,
        "problem 0 of the batch",
    ),
    "path scalar": (lambda: solve_path(QP, 1.0), ArgumentTypeError, "strengths must be a sequence"),
    "path text": (lambda: solve_path(QP, ["a"]), DataTypeError, "strength must be a real number"),
    "path nan": (lambda: solve_path(QP, [np.nan]), NonFiniteError, "strength must be finite"),
    "path problem": (lambda: solve_path(None, [1.0]), UnsupportedObjectiveError, "got a NoneType"),
    "path huge": (lambda: solve_path(QP, [1e308], regulariser="entropy"), NonFiniteError, "near overflow"),
    "ridge huge": (lambda: ridge(SimplexQP(EYE * 1e200, [0, 0]), 1e200), NonFiniteError, "near overflow"),
    "time empty": (lambda: solve_over_time([]), ShapeError, "empty"),
    "time no bins": (lambda: solve_over_time((np.zeros((0, 2, 2)), np.zeros((0, 2)))), ShapeError, "empty"),
    "time nan": (lambda: solve_over_time([QP, QP], np.nan), NonFiniteError, "smoothing must be finite"),
    "time text": (lambda: solve_over_time([QP, QP], "a"), DataTypeError, "smoothing must be a real number"),
    "time max_iter": (lambda: solve_over_time([QP, QP], 0.1, max_iter=0), ValueError, "max_iter must be"),
    "time tol": (lambda: solve_over_time([QP, QP], 0.1, tol=np.nan), ValueError, "tol must be positive"),
    "nan node": (
        lambda: LogPartitionObjective(np.zeros((4, 2)), [0, np.nan, 0, 0], [0, 0]),
        NonFiniteError,
        r"log_weights\[1\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case: str) -> None:
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("solver", sorted(set(available_solvers()) - {"torch"}))
@pytest.mark.parametrize("factor", [1e-250, 1e-150, 1e150, 1e250])
def test_any_scale_gives_the_same_weights(solver: str, factor: float) -> None:
    result = solve(SimplexQP(P3 * factor, Q3 * factor), solver, tol=1e-6)
    assert result.converged
    assert np.allclose(result.weights, [4 / 45, 5 / 9, 16 / 45], atol=1e-4)
    assert result.gap <= 1e-6 * result.scale
    assert result.value == pytest.approx(factor * SimplexQP(P3, Q3).value(result.weights), rel=1e-12)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_batches_and_time_weights_at_any_scale(factor: float) -> None:
    problems = [SimplexQP(P3 * factor, Q3 * factor), SimplexQP(P3 * factor, -Q3 * factor)]
    plain = [SimplexQP(P3, Q3), SimplexQP(P3, -Q3)]
    assert np.allclose(solve_many(problems).weights, solve_many(plain).weights, atol=1e-12)
    for solver in ("own", "cvxpy"):
        scaled = solve_over_time(problems, 0.1, solver=solver)  # type: ignore[arg-type]
        assert scaled.converged
        assert np.allclose(scaled.weights, solve_over_time(plain, 0.1).weights, atol=1e-3)


@pytest.mark.parametrize("convert", [np.int64, np.uint8, bool, np.float16, np.longdouble, ">f8", "list", torch.tensor])
def test_dtypes_that_hold_the_same_numbers(convert: Any) -> None:
    P, q = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0])
    if convert == "list":
        given: tuple[Any, Any] = P.tolist(), q.tolist()
    elif callable(convert) and not isinstance(convert, type):
        given = convert(P), convert(q)
    else:
        given = P.astype(convert), q.astype(convert)
    assert solve(SimplexQP(*given)).weights.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("start", [[0, 0, 0], [-1, 5, 2], [1e300, 0, 0], [1e308, 1e308, 1e308], [-1e308, 1e308, 0]])
def test_any_finite_start_is_projected(start: list[float]) -> None:
    assert np.allclose(solve(QP, "active_set", start=start).weights, [13 / 30, 1 / 3, 7 / 30], atol=1e-12)


def test_a_hopeless_auxiliary_does_not_loosen_auto() -> None:
    """One P_ii of 1e10 makes the scale huge; the other weights are still exact."""
    P = np.diag([1.0, 2.0, 1e10])
    result = solve(SimplexQP(P, np.zeros(3)))
    assert np.allclose(result.weights[:2], [2 / 3, 1 / 3], atol=1e-6)


def test_constant_smoothing_of_any_size() -> None:
    assert np.ptp(solve_over_time([QP, SimplexQP(np.eye(3), [0.3, 0, 0])], 1e308).weights, axis=0).max() < 1e-9


def test_a_single_constraint_needs_no_list() -> None:
    assert solve(QP, Cvxpy(constraints=lambda w: w <= 0.4), tol=1e-7).weights.max() <= 0.4 + 1e-7


@pytest.mark.parametrize("copies", [2, 5])
@pytest.mark.parametrize("solver", ["auto", "piqp", "daqp", "cvxpy", "frank_wolfe"])
def test_all_auxiliaries_alike(solver: str, copies: int) -> None:
    result = solve(SimplexQP(np.full((copies, copies), 3.0), np.full(copies, 2.0)), solver)
    assert result.weights.tolist() == pytest.approx([1 / copies] * copies, abs=1e-14)
    assert result.null_directions.shape == (copies, copies - 1)


def test_no_solver_can_change_what_it_is_judged_by() -> None:
    work = QP.normalised()
    for array in (work.P, work.q, QP.P, QP.q):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
