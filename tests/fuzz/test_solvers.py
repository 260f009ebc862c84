"""Every public function of `solvers` with hostile arguments.

The oracle: an error of the package that names the argument, or a finite answer whose certificate, computed here from
the data alone, holds; arrays passed in keep their bits; no call takes longer than `HANG` seconds. The number of cases
is that of the environment variable SFBENCH_FUZZ_CASES, shared out among the tests of this file.
"""

import os
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import solvers
from solvers import SimplexQP, SolversError, available_solvers
from solvers.cvxpy_conic import Cvxpy

CASES = int(os.environ.get("SFBENCH_FUZZ_CASES", "160"))
HANG = 15.0  # the default limit of `solve` is 10 s

fuzz = settings(
    max_examples=max(CASES // 8, 1), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)

SCALARS: list[Any] = [
    None,
    True,
    "0.5",
    "",
    b"1",
    0,
    1,
    -1,
    3,
    10**12,
    2**63,
    10**400,
    0.0,
    -0.0,
    1e-9,
    0.5,
    1e12,
    1e-300,
    1e300,
    -1e300,
    5e-324,
    np.nan,
    np.inf,
    -np.inf,
    1j,
    Decimal("1e-6"),
    Decimal("nan"),
    Fraction(1, 3),
    np.float32(0.1),
    np.float16(1e-3),
    np.int8(2),
    np.bool_(True),
    np.complex64(1),
    np.datetime64("2020"),
    np.timedelta64(3, "s"),
    np.array(0.25),
    np.array([0.25]),
    np.ma.masked,
    torch.tensor(0.5),
    torch.tensor(0.5, requires_grad=True),
    object(),
    len,
    [],
    (1.0,),
    {"a": 1},
    {0.5},
    float,
]
scalars = st.sampled_from(SCALARS)
exponents = st.one_of(st.just(0.0), st.floats(-12, 12), st.floats(-300, 300))


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> Any:
    """Arrays of any kind: mostly finite numbers, sometimes of the wrong shape, dtype or container."""
    if shape is None or draw(st.integers(0, 9)) == 0:
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=shape) * 10.0 ** draw(exponents)
    if draw(st.booleans()):
        x = np.abs(x)
    kind = draw(st.integers(0, 24))
    if kind <= 3 and x.size:
        x.flat[rng.integers(x.size)] = [np.nan, np.inf, -np.inf, 1e308][kind]
    with np.errstate(all="ignore"):
        return {
            4: lambda: x.astype(np.float32),
            5: lambda: x.astype(np.float16),
            6: lambda: x.astype(complex),
            7: lambda: x.tolist(),
            8: lambda: np.asfortranarray(x),
            9: lambda: np.ma.masked_array(x, mask=x > 0),
            10: lambda: x.astype(object),
            11: lambda: x.astype(str),
            12: lambda: torch.tensor(x),
            13: lambda: torch.tensor(x, requires_grad=True),
            14: lambda: torch.tensor(x).to(torch.bfloat16),
            15: lambda: [np.ma.masked_array(row) for row in np.atleast_1d(x)],
            16: lambda: np.stack([x, x])[::-1][0],
            17: lambda: np.round(np.clip(x, -99, 99)).astype(np.int64),
            18: lambda: draw(scalars),
            19: lambda: x.astype(np.longdouble),
            20: lambda: np.broadcast_to(x, (2, *x.shape)),
        }.get(kind, lambda: x)()


@st.composite
def grams(draw: st.DrawFn, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Valid P (k, k) and q (k,): any rank, copies, difference bases, columns and problems of any scale."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    A = rng.normal(size=(k, draw(st.integers(1, k + 2))))
    trick = draw(st.integers(0, 6))
    if trick == 1:
        A[-1] = A[0] + draw(st.sampled_from([0.0, 1e-12, 1e-8, 1e-5])) * rng.normal(size=A.shape[1])
    if trick == 2:
        A = A - A[0]
    if trick == 3:
        A = A * 10.0 ** rng.uniform(-5, 5, size=(k, 1))
    if trick == 4:
        A = np.zeros_like(A)
    q = rng.normal(size=k) if draw(st.booleans()) else -A @ rng.normal(size=A.shape[1])
    factor = 10.0 ** draw(exponents)
    with np.errstate(all="ignore"):
        return factor * (A @ A.T), factor * q + draw(st.sampled_from([0.0, 0.0, 1.0, 1e6]))


problems = st.integers(1, 6).flatmap(lambda k: grams(k))
solver_names = st.one_of(st.just("auto"), st.sampled_from(available_solvers()), scalars)
some = st.integers(0, 5)  # an option is given one time in six


@st.composite
def options(draw: st.DrawFn, k: int) -> dict[str, Any]:
    """Keyword arguments of `solve`, each left out most of the time."""
    table = {"tol": scalars, "max_iter": scalars, "time_limit": scalars, "start": arrays((k,)), "rng": scalars}
    return {name: draw(strategy) for name, strategy in table.items() if draw(some) == 0}


@pytest.fixture(scope="module", autouse=True)
def libraries_are_imported() -> None:
    """The first call of a library imports it, which may take longer than a hang."""
    for name in available_solvers():
        solvers.solve(SimplexQP(np.eye(3), [0.0, 0.1, 0.2]), name, max_iter=2)


def outcome(call: Callable[[], Any], *given: Any) -> Any:
    """The answer of `call`, or None where it was refused with a reason; arrays in `given` keep their bits."""
    arrays = [a for a in given if type(a) is np.ndarray]
    before = [a.tobytes() for a in arrays]
    began = time.perf_counter()
    try:
        answer = call()
    except SolversError as error:
        answer, reason = None, str(error)
    else:
        reason = ""
    assert answer is not None or any(name in reason for name in ARGUMENTS), f"no argument is named: {reason}"
    assert time.perf_counter() - began < HANG, "hang"
    assert [a.tobytes() for a in arrays] == before, "an argument was written to"
    return answer


ARGUMENTS = (
    "P ",
    "P[",
    "q ",
    "q[",
    "r ",
    "r[",
    "tol",
    "max_iter",
    "time_limit",
    "start",
    "rng",
    "solver",
    "problem",
    "strength",
    "reference",
    "regulariser",
    "smoothing",
    "v ",
    "v[",
    "log_densities",
    "log_weights",
    "mean_log_densities",
    "option",
    "name",
    "constraints",
    "failed",
    "returned",
    "index",
)


def check_weights(w: Any, k: int) -> None:
    assert w.shape[-1] == k
    assert np.isfinite(w).all()
    assert w.min() >= 0.0
    assert np.abs(w.sum(axis=-1) - 1.0).max() <= 1e-12


def check(result: solvers.SolverResult, problem: SimplexQP, tol: float) -> None:
    """The certificate, from the data alone; with q shifted, which changes neither weights nor gap."""
    w, scale = result.weights, problem.scale
    check_weights(w, problem.dim)
    g = problem.P / scale @ w + (problem.q - problem.q.min()) / scale
    gap = float(w @ (g - g.min()))
    assert abs(gap - result.gap / scale) <= 1e-11, f"gap {result.gap / scale}, recomputed {gap}"
    assert result.converged == (result.gap <= tol * scale * (1 + 1e-12)), result
    assert np.isfinite(result.value)
    assert np.isfinite(result.dual_bounds).all()
    assert np.isfinite(result.dual_sum)


def as_tol(options: dict[str, Any]) -> float:
    return float(options.get("tol", 1e-9))


@fuzz
@given(st.data())
def test_solve(data: st.DataObject) -> None:
    P, q = data.draw(problems)
    chosen, keywords = data.draw(solver_names), data.draw(options(len(q)))
    qp = outcome(lambda: SimplexQP(P, q), P, q)
    if qp is None:
        return
    result = outcome(lambda: solvers.solve(qp, chosen, **keywords), *keywords.values())
    if result is not None:
        check(result, qp, as_tol(keywords))
        if result.is_unique and qp.definite and chosen == "auto" and not {"max_iter", "time_limit"} & set(keywords):
            assert result.converged or as_tol(keywords) < 1e-12, result


@fuzz
@given(arrays((3, 3)), arrays((3,)), scalars)
def test_problems(P: Any, q: Any, r: Any) -> None:
    qp = outcome(lambda: SimplexQP(P, q, r), P, q)
    if qp is not None:
        check(solvers.solve(qp), qp, 1e-9)
        spectrum = solvers.tangent_spectrum(qp)
        assert np.isfinite(spectrum.eigenvalues).all()


@fuzz
@given(st.data())
def test_solve_many(data: st.DataObject) -> None:
    k, B = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    keywords = {name: value for name, value in data.draw(options(k)).items() if name != "start"}
    if data.draw(st.booleans()):
        pairs = [data.draw(grams(k)) for _ in range(B)]
        given: tuple[Any, ...] = np.stack([P for P, _ in pairs]), np.stack([q for _, q in pairs])
    else:
        given = data.draw(arrays((B, k, k))), data.draw(arrays((B, k)))
        if data.draw(st.booleans()):
            given = (*given, data.draw(st.one_of(scalars, arrays((B,)))))
    chosen = data.draw(solver_names)
    many = outcome(lambda: solvers.solve_many(given, chosen, **keywords), *given)
    if many is not None:
        for i in range(len(many)):
            qp = many.problems[i]
            check(many[i], qp, as_tol(keywords))
            assert many.values[i] == pytest.approx(qp.value(many.weights[i]), rel=1e-9, abs=1e-9 * qp.scale)


@fuzz
@given(st.data())
def test_solve_path(data: st.DataObject) -> None:
    P, q = data.draw(problems)
    qp = outcome(lambda: SimplexQP(P, q), P, q)
    if qp is None:
        return
    strengths = data.draw(st.one_of(arrays((2,)), st.lists(scalars, max_size=3), scalars))
    keywords: dict[str, Any] = {"regulariser": data.draw(st.sampled_from(["ridge", "entropy", "entropy", "x", None]))}
    if data.draw(some) == 0:
        keywords["reference"] = data.draw(arrays((qp.dim,)))
    if data.draw(some) == 0:
        keywords["tol"] = data.draw(scalars)
    path = outcome(lambda: solvers.solve_path(qp, strengths, **keywords), strengths, *keywords.values())
    for result in path or ():
        check_weights(result.weights, qp.dim)
        assert np.isfinite([result.value, result.gap, result.scale]).all()
        assert result.converged == (result.gap <= as_tol(keywords) * result.scale)
        assert result.converged or as_tol(keywords) < 1e-10, result


@fuzz
@given(st.data())
def test_solve_over_time(data: st.DataObject) -> None:
    k, B = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    if data.draw(some):
        pairs = [data.draw(grams(k)) for _ in range(B)]
        given: Any = np.stack([P for P, _ in pairs]), np.stack([q for _, q in pairs])
    else:
        given = data.draw(st.one_of(scalars, st.tuples(arrays((B, k, k)), arrays((B, k)))))
    table = {"smoothing": scalars, "tol": scalars, "max_iter": scalars, "time_limit": scalars, "solver": scalars}
    keywords = {name: data.draw(strategy) for name, strategy in table.items() if data.draw(some) == 0}
    keywords.setdefault("smoothing", data.draw(st.sampled_from([0.0, 0.1, 10.0])))
    keywords.setdefault("time_limit", 2.0)
    found = outcome(lambda: solvers.solve_over_time(given, **keywords), *(given if isinstance(given, tuple) else ()))
    if found is not None:
        check_weights(found.weights, found.weights.shape[1])
        assert np.isfinite([found.value, found.gap, found.scale]).all()
        assert found.gap >= 0.0
        assert found.converged == (found.gap <= float(keywords.get("tol", 1e-6)) * found.scale)


@fuzz
@given(st.one_of(arrays((4,)), arrays((2, 3)), scalars))
def test_project_simplex(v: Any) -> None:
    w = outcome(lambda: solvers.project_simplex(v), v)
    if w is None:
        return
    assert w.dtype == np.float64
    assert np.abs(w.sum(axis=-1) - 1.0).max(initial=0.0) <= 1e-15
    if w.size:
        point = np.asarray(v, dtype=np.float64)
        with np.errstate(all="ignore"):
            point = point - point.max(axis=-1, keepdims=True)
        point = np.maximum(point, -10.0)  # what is further down has no part in the projection
        least = (point - w).max(axis=-1) - ((point - w) * w).sum(axis=-1)
        assert least.max() <= 1e-12, "not the closest point"


@fuzz
@given(st.data())
def test_likelihoods(data: st.DataObject) -> None:
    n, k = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    given = data.draw(arrays((n, k))), data.draw(arrays((n,))), data.draw(arrays((k,)))
    objective = outcome(lambda: solvers.LogPartitionObjective(*given), *given)
    if objective is None:
        return
    chosen, keywords = data.draw(solver_names), data.draw(options(k))
    keywords.setdefault("time_limit", 2.0)
    result = outcome(lambda: solvers.solve(objective, chosen, **keywords), *keywords.values())
    if result is not None:
        w = result.weights
        check_weights(w, k)
        z = objective.log_weights + objective.log_densities @ w
        pool = np.exp(z - z.max())
        gradient = pool / pool.sum() @ objective.log_densities - objective.mean_log_densities
        gap = float(w @ (gradient - gradient.min()))
        assert abs(gap - result.gap) <= 1e-9 * (result.scale + np.abs(objective.log_densities).max())
        assert result.converged == (result.gap <= as_tol(keywords) * result.scale)
        assert np.isfinite(result.value)


@fuzz
@given(st.data())
def test_solvers_and_their_options(data: st.DataObject) -> None:
    qp = SimplexQP([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]], [0.0, -0.3, 0.2])
    name = data.draw(solver_names)
    call = data.draw(
        st.sampled_from(
            [
                lambda x: solvers.solve(qp, "torch", lr=x, max_iter=30),
                lambda x: solvers.solve(qp, "torch", optimizer=x, max_iter=30),
                lambda x: solvers.solve(qp, "cvxpy", cvxpy_solver=x),
                lambda x: solvers.solve(qp, "cvxpy", solver_options=x),
                lambda x: solvers.solve(qp, "qpsolvers", backend=x),
                lambda x: solvers.solve(qp, "qpsolvers", backend_options=x),
                lambda x: solvers.solve(qp, Cvxpy(constraints=x)),
                lambda x: solvers.solve(qp, Cvxpy(constraints=lambda w: x)),
                lambda x: solvers.solve(qp, Cvxpy(constraints=lambda w: [w <= x])),
                lambda x: solvers.solve(qp, name, unknown=x),
                lambda x: solvers.solve(x, name),
                lambda x: solvers.get_solver(x),
                lambda x: solvers.describe_solver(x),
                lambda x: solvers.resolve_solver(x),
                lambda x: solvers.ridge(qp, x),
                lambda x: solvers.solve(solvers.EntropyRegularised(qp, x)),
            ]
        )
    )
    value = data.draw(scalars)
    result = outcome(lambda: call(value))
    if isinstance(result, solvers.SolverResult):
        check_weights(result.weights, 3)
        assert np.isfinite([result.value, result.gap]).all()
        assert result.converged == (result.gap <= 1e-9 * result.scale)
