"""Every public entry point against every hostile kind of argument: a specific error that names the argument."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from solvers import (
    EntropyRegularised,
    LogPartitionObjective,
    NonFiniteError,
    ShapeError,
    SimplexQP,
    SimplexQPBatch,
    SolversError,
    describe_solver,
    get_solver,
    project_simplex,
    resolve_solver,
    ridge,
    solve,
    solve_many,
    solve_over_time,
    solve_path,
    tangent_spectrum,
)
from solvers.cvxpy_conic import Cvxpy

EYE = np.eye(2)
QP = SimplexQP(EYE, [0.0, 0.1])
HALF = np.array([0.5, 0.5])
L = np.array([[0.0, 1.0], [1.0, 0.5], [0.2, 0.3]])

# name of the argument -> (call with it, a good value)
ARRAYS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "SimplexQP P": (lambda x: SimplexQP(x, [0.0, 0.0]), EYE),
    "SimplexQP q": (lambda x: SimplexQP(EYE, x), HALF),
    "SimplexQPBatch P": (lambda x: SimplexQPBatch(x, HALF[None]), EYE[None]),
    "SimplexQPBatch q": (lambda x: SimplexQPBatch(EYE[None], x), HALF[None]),
    "SimplexQPBatch r": (lambda x: SimplexQPBatch(EYE[None], HALF[None], x), np.ones(1)),
    "solve_many P": (lambda x: solve_many((x, HALF[None])), EYE[None]),
    "solve_many q": (lambda x: solve_many((EYE[None], x)), HALF[None]),
    "solve_over_time P": (lambda x: solve_over_time((x, HALF[None])), EYE[None]),
    "solve_over_time q": (lambda x: solve_over_time((EYE[None], x)), HALF[None]),
    "solve start": (lambda x: solve(QP, start=x), HALF),
    "project_simplex v": (project_simplex, HALF),
    "ridge reference": (lambda x: ridge(QP, 1.0, x), HALF),
    "EntropyRegularised reference": (lambda x: EntropyRegularised(QP, 1.0, x), HALF),
    "solve_path reference": (lambda x: solve_path(QP, [1.0], reference=x), HALF),
    "solve_path strength": (lambda x: solve_path(QP, x), np.array([1.0, 0.1])),
    "LogPartitionObjective log_densities": (lambda x: LogPartitionObjective(x, np.zeros(3), HALF), L),
    "LogPartitionObjective log_weights": (lambda x: LogPartitionObjective(L, x, HALF), np.zeros(3)),
    "LogPartitionObjective mean_log_densities": (lambda x: LogPartitionObjective(L, np.zeros(3), x), HALF),
}


def _with_first(x: np.ndarray, value: float) -> np.ndarray:
    y = x.copy()
    y.flat[0] = value
    return y


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "masked": lambda x: np.ma.masked_array(x, mask=np.zeros(x.shape, bool)),
    "list of masked": lambda x: [np.ma.masked_array(row, mask=False) for row in x],
    "list with the masked constant": lambda x: [np.ma.masked, *x[1:]],
    "complex": lambda x: x + 0j,
    "list of complex": lambda x: (x + 0j).tolist(),
    "dates": lambda x: np.zeros(x.shape, "datetime64[s]"),
    "durations": lambda x: np.ones(x.shape, "timedelta64[s]"),
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "not a number": lambda x: _with_first(x, np.nan),
    "infinite": lambda x: _with_first(x, np.inf),
    "one number": lambda x: 0.5,
    "ragged": lambda x: [[1.0, 2.0], [3.0]],
    "huge integers": lambda x: [[10**400, 1.0]],
    "text instead": lambda x: "abc",
    "a dict": lambda x: {"a": 1.0},
    "a set": lambda x: {1.0, 2.0},
    "a function": lambda x: len,
    "records gradients": lambda x: torch.tensor(x, requires_grad=True),
    "sparse": lambda x: torch.tensor(x).to_sparse(),
    "half precision without numpy": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "wider": lambda x: np.full(x.shape, np.longdouble(10) ** 4000),
    "a view of a trillion entries": lambda x: np.broadcast_to(np.float32(1.0), (10**6,) * max(x.ndim, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entry", ARRAYS)
def test_hostile_arrays(entry: str, kind: str) -> None:
    call, good = ARRAYS[entry]
    if (entry, kind) == ("SimplexQPBatch r", "one number"):
        return  # one offset for all is what r may be
    with pytest.raises(SolversError, match=entry.split()[1]):
        call(KINDS[kind](good))


@pytest.mark.parametrize("entry", sorted(set(ARRAYS) - {"project_simplex v"}))
def test_one_axis_too_many(entry: str) -> None:
    call, good = ARRAYS[entry]
    with pytest.raises(SolversError, match=entry.split()[1]):
        call(good[None])


@pytest.mark.parametrize("entry", ARRAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble, ">f8", "list", torch.tensor])
def test_good_arrays_of_any_real_kind(entry: str, dtype: Any) -> None:
    call, good = ARRAYS[entry]
    call(good.tolist() if dtype == "list" else torch.tensor(good) if dtype is torch.tensor else good.astype(dtype))


NUMBERS: dict[str, Callable[[Any], Any]] = {
    "solve tol": lambda x: solve(QP, tol=x),
    "solve time_limit": lambda x: solve(QP, time_limit=x),
    "solve max_iter": lambda x: solve(QP, max_iter=x),
    "solve_many tol": lambda x: solve_many([QP], tol=x),
    "solve_many max_iter": lambda x: solve_many([QP], max_iter=x),
    "solve_many time_limit": lambda x: solve_many([QP], "piqp", time_limit=x),
    "solve_path tol": lambda x: solve_path(QP, [1.0], tol=x),
    "solve_path strength": lambda x: solve_path(QP, [x]),
    "solve_over_time tol": lambda x: solve_over_time([QP], tol=x),
    "solve_over_time max_iter": lambda x: solve_over_time([QP], max_iter=x),
    "solve_over_time smoothing": lambda x: solve_over_time([QP], x),
    "solve_over_time time_limit": lambda x: solve_over_time([QP], time_limit=x),
    "ridge strength": lambda x: ridge(QP, x),
    "EntropyRegularised strength": lambda x: EntropyRegularised(QP, x),
    "SimplexQP r": lambda x: SimplexQP(EYE, HALF, x),
    "torch lr": lambda x: get_solver("torch", lr=x),
}
HUGE = 10**400
WRONG_NUMBERS: tuple[Any, ...] = (
    "0.5",
    b"1",
    1j,
    np.complex128(1.0),
    np.nan,
    -np.inf,
    Decimal("nan"),
    Decimal("snan"),
    HUGE,
    [1.0],
    np.ones(2),
    np.timedelta64(1, "s"),
    np.datetime64("2020"),
    np.ma.masked,
    np.ma.masked_array(1.0, mask=True),
    object(),
    True,
)


@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=lambda v: repr(v).partition(" at 0x")[0])
@pytest.mark.parametrize("entry", NUMBERS)
def test_wrong_numbers(entry: str, value: Any) -> None:
    if "max_iter" in entry and value is HUGE:
        return  # a number of steps that is never reached
    with pytest.raises(SolversError, match=entry.split()[1]):
        NUMBERS[entry](value)


@pytest.mark.parametrize("value", [Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
@pytest.mark.parametrize("entry", [entry for entry in NUMBERS if "max_iter" not in entry])
def test_numbers_of_any_real_kind(entry: str, value: Any) -> None:
    NUMBERS[entry](value)


OTHER: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "problem": (lambda x: solve(x), (None, 3, "a", [1.0], EYE, object())),
    "problems": (lambda x: solve_many(x), (None, 3, "a", [1.0], QP, [[QP]], iter([1]), {1: 2}, np.array(1.0))),
    "problem of solve_path": (lambda x: solve_path(x, [1.0]), (None, 3, "a", EYE)),
    "problem of ridge": (lambda x: ridge(x, 1.0), (None, 3, "a", EYE)),
    "problem of the entropy": (lambda x: EntropyRegularised(x, 1.0), (None, 3, "a", EYE)),
    "problem of the spectrum": (lambda x: tangent_spectrum(x), (None, 3, "a", EYE)),
    "problems of solve_over_time": (lambda x: solve_over_time(x), (None, 3, "a", [1.0], QP)),
    "solver": (lambda x: solve(QP, x), (None, 3, ["auto"], object(), dict)),
    "unknown solver": (lambda x: solve(QP, x), ("", "no such")),
    "solver of solve_many": (lambda x: solve_many([QP], x), (None, 3, ["auto"], object())),
    "solver of solve_over_time": (lambda x: solve_over_time([QP], solver=x), (None, 3, ["own"], "auto")),
    "name": (lambda x: get_solver(x), (None, 3, ["auto"], {})),
    "name of describe_solver": (lambda x: describe_solver(x), (None, 3, ["auto"], {})),
    "solver of resolve_solver": (lambda x: resolve_solver(x), (None, 3, ["auto"], {})),
    "rng": (lambda x: solve(QP, rng=x), ("a", -1, 1.5, [1], object(), True, np.timedelta64(1, "s"))),
    "rng of solve_many": (lambda x: solve_many([QP], rng=x), ("a", -1, 1.5)),
    "regulariser": (lambda x: solve_path(QP, [1.0], regulariser=x), (None, 3, ["ridge"], "lasso")),
    "strengths": (lambda x: solve_path(QP, x), (None, 3, object())),
    "index": (lambda x: solve_many([QP, QP])[x], (None, "a", 1.5, slice(None))),
    "constraints": (lambda x: Cvxpy(constraints=x), (3, [1], "w <= 1")),
    "constraints of the solver": (lambda x: solve(QP, Cvxpy(constraints=lambda w: x)), (None, 3, "a", [None])),
    "solver_options": (lambda x: Cvxpy(solver_options=x), (3, [1], None)),
    "cvxpy_solver": (lambda x: solve(QP, "cvxpy", cvxpy_solver=x), (3, [1], None, "nope")),
    "backend": (lambda x: solve(QP, "qpsolvers", backend=x), (3, [1], None, "nope")),
    "backend_options": (lambda x: solve(QP, "qpsolvers", backend_options=x), (3, [1], None)),
    "optimizer": (lambda x: get_solver("torch", optimizer=x), (3, ["adam"], None)),
    "device": (lambda x: solve(QP, "torch", device=x), (3.5, ["cpu"], "nope")),
}


@pytest.mark.parametrize("entry", OTHER)
def test_wrong_kinds(entry: str) -> None:
    call, values = OTHER[entry]
    for value in values:
        with pytest.raises(SolversError, match=entry.split(" of ")[0].split(" ")[-1].removesuffix("s")):
            call(value)


def test_projection_sums_to_one_whatever_comes_in() -> None:
    rng = np.random.default_rng(0)
    for v in (rng.normal(size=(50, 33)).astype(np.float16), 1e12 * rng.normal(size=(50, 7)), [[-1e308, 1e308]], [1, 2]):
        w = project_simplex(v)
        assert w.dtype == np.float64
        assert np.abs(w.sum(axis=-1) - 1.0).max() <= 4e-16
    with pytest.raises(ShapeError, match=r"v must have shape \(..., k\)"):
        project_simplex(np.empty((3, 0)))


class _Quadratic:
    """A good objective, to be spoiled one attribute at a time."""

    dim: Any = 2
    scale: Any = 1.0

    def value(self, w: Any) -> Any:
        return 0.5 * float(w @ w)

    def gradient(self, w: Any) -> Any:
        return w


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("dim", (0, -1, 2.5, None, "2", True)),
        ("scale", (0.0, -1.0, np.nan, np.inf, None, "1", 1j)),
        ("value", (lambda w: np.nan, lambda w: None, lambda w: "a", lambda w: w, lambda w: 1j)),
        ("gradient", (lambda w: w[:1], lambda w: w + 0j, lambda w: None, lambda w: w * np.nan, lambda w: 1.0)),
    ],
)
def test_objectives_that_are_none(attribute: str, values: tuple[Any, ...]) -> None:
    assert solve(_Quadratic(), "frank_wolfe").converged  # type: ignore[arg-type]
    for value in values:
        bad = _Quadratic()
        setattr(bad, attribute, value)
        for solver in ("auto", "frank_wolfe"):
            with pytest.raises(SolversError, match=rf"problem\.{attribute}"):
                solve(bad, solver)  # type: ignore[arg-type]


def test_an_objective_that_raises_is_named() -> None:
    bad = _Quadratic()
    bad.gradient = lambda w: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(SolversError, match="the problem fails at equal weights: ZeroDivisionError"):
        solve(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [1e-200, 1e200])
@pytest.mark.parametrize("regulariser", ["ridge", "entropy"])
def test_paths_at_extreme_scales(regulariser: Any, factor: float) -> None:
    problem = SimplexQP(factor * np.diag([1.0, 2.0, 3.0]), factor * np.array([0.0, -1.0, 0.5]))
    plain = SimplexQP(np.diag([1.0, 2.0, 3.0]), np.array([0.0, -1.0, 0.5]))
    strengths = [1e12, 1.0, 1e-3, 0.0]
    for one, other in zip(
        solve_path(problem, strengths, regulariser=regulariser),
        solve_path(plain, strengths, regulariser=regulariser),
        strict=True,
    ):
        assert one.converged
        assert np.isfinite(one.value)
        assert np.allclose(one.weights, other.weights, atol=1e-4)


def test_numbers_beyond_the_range_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="near overflow"):
        solve_path(SimplexQP(1e200 * EYE, [0.0, 0.0]), [1e100])
