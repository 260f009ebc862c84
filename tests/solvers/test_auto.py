""" "auto" is exact and fast at once: the short way, polishing, and what libraries leave undone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import (
    SimplexQP,
    SolverFailureError,
    Status,
    api,
    auto,
    available_solvers,
    daqp_dual,
    quick,
    registry,
    solve,
)
from solvers.active_set import polish
from solvers.testing import random_qp

K = (2, 3, 5, 8, 16, 32, 60)


def _gram(A: np.ndarray, rng: np.random.Generator) -> SimplexQP:
    y = rng.dirichlet(np.ones(len(A))) @ A + 0.3 * rng.normal(size=A.shape[1]) * np.sqrt((A**2).mean(axis=0))
    return SimplexQP(A @ A.T / A.shape[1], -A @ y / A.shape[1])


def _general(k: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(k, 2 * k))


def _relative_to_one(k: int, rng: np.random.Generator) -> np.ndarray:
    """What `ScoreGram.to_qp` gives: one row is zero, so P is singular though the weights are determined."""
    A = _general(k, rng)
    return A - A[0]


def _ill_conditioned(k: int, rng: np.random.Generator) -> np.ndarray:
    return _general(k, rng) * np.geomspace(1.0, 1e-3, 2 * k)


def _near_duplicates(k: int, rng: np.random.Generator) -> np.ndarray:
    A = _general(k, rng)
    A[-1] = A[0] + 1e-5 * rng.normal(size=2 * k)
    return A


def _scaled_columns(k: int, rng: np.random.Generator) -> np.ndarray:
    return _general(k, rng) * 10.0 ** rng.uniform(-2, 2, size=(k, 1))


FAMILIES: list[Callable[[int, np.random.Generator], np.ndarray]] = [
    _general,
    _relative_to_one,
    _ill_conditioned,
    _near_duplicates,
    _scaled_columns,
]


@pytest.fixture(params=["daqp", "core installation"])
def installation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With every library, and with those of a core installation."""
    if request.param != "daqp":
        without = {"daqp", "proxqp", "clarabel", "osqp", "qpsolvers"}
        monkeypatch.setattr(auto, "is_available", lambda name: name not in without and registry.is_available(name))
        monkeypatch.setattr(quick, "is_available", auto.is_available)
    auto._installed.cache_clear()
    quick._daqp.cache_clear()
    yield request.param
    auto._installed.cache_clear()
    quick._daqp.cache_clear()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__.strip("_"))
def test_auto_agrees_with_the_exact_solver_on_full_rank(installation: str, family: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(1)
    for k in K:
        for _ in range(6):
            problem = _gram(family(k, rng), rng)
            assert problem.definite
            best, result = solve(problem, "active_set", tol=1e-12), solve(problem)
            assert np.abs(result.weights - best.weights).max() <= 1e-12
            assert np.array_equal(result.weights > 0.0, best.weights > 0.0)
            assert result.relative_gap <= 1e-14
            if installation != "daqp":
                assert result.solver != "daqp"


@pytest.mark.parametrize("k", K)
def test_auto_is_exact_on_singular_matrices(installation: str, k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(6):
        problem = _gram(rng.normal(size=(k, max(1, k // 2))), rng)
        result = solve(problem)
        assert result.relative_gap <= 1e-12
        assert result.value <= solve(problem, "active_set", tol=1e-12).value + 1e-13 * problem.scale


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    k=st.integers(2, 5),
    entries=st.lists(st.integers(-3, 3), min_size=15, max_size=15),
    q=st.lists(st.integers(-2, 2), min_size=5, max_size=5),
    zeros=st.integers(0, 4),
)
def test_daqp_and_auto_on_small_semidefinite_matrices(k: int, entries: list[int], q: list[int], zeros: int) -> None:
    """Integer matrices of any rank, zero rows included: DAQP used to stop with exit flag -1 on some."""
    A = np.array(entries, dtype=float).reshape(5, 3)[:k]
    A[: min(zeros, k)] = 0.0
    problem = SimplexQP(A @ A.T, q[:k])
    result = solve(problem)
    assert result.converged
    assert not any("failed" in note for note in result.trail)
    direct = solve(problem, "daqp", tol=1e-6)
    assert direct.value >= result.value - result.gap - 1e-12 * problem.scale


def test_daqp_turns_to_a_heavier_proximal_term(monkeypatch: pytest.MonkeyPatch) -> None:
    import daqp

    calls: list[dict[str, Any]] = []
    true = daqp.solve

    def refuses_once(*args: Any, **settings: Any) -> Any:
        calls.append(settings)
        found = true(*args, **settings)
        return found if "eps_prox" in settings else (found[0], found[1], -1, found[3])

    monkeypatch.setattr(daqp, "solve", refuses_once)
    problem = random_qp(6, 3, 0)
    assert np.isfinite(solve(problem, "daqp", tol=1e-6).gap)
    assert [call.get("eps_prox") for call in calls] == [None, 1e-3]
    monkeypatch.setattr(daqp, "solve", lambda *args, **_: (np.zeros(6), 0.0, -1, {"iterations": 0}))
    with pytest.raises(SolverFailureError, match="exit flag -1"):
        solve(problem, "daqp")
    assert solve(problem).converged


@pytest.mark.parametrize("solver", ["auto", "daqp"])
def test_the_short_way_and_the_general_way_agree(monkeypatch: pytest.MonkeyPatch, solver: str) -> None:
    rng = np.random.default_rng(3)
    problems = [_gram(family(k, rng), rng) for family in FAMILIES[:2] for k in (2, 3, 8, 24) for _ in range(4)]
    problems += [SimplexQP(p.P * factor, p.q * factor, 1.0) for p in problems[:4] for factor in (1e-200, 1e-9, 1e200)]
    problems += [SimplexQP(p.P, p.q + 1e10, -2.0) for p in problems[:4]]
    short = [solve(p, solver) for p in problems]
    monkeypatch.setattr(api, "quick_solve", lambda *_: None)
    for problem, one in zip(problems, short, strict=True):
        other = solve(problem, solver)
        assert one.status is other.status is Status.CERTIFIED
        assert np.abs(one.weights - other.weights).max() <= 1e-12
        assert one.value == pytest.approx(other.value, rel=1e-13)
        assert one.dual_sum == pytest.approx(other.dual_sum, rel=1e-12, abs=1e-12 * problem.scale)
        assert np.allclose(one.dual_bounds, other.dual_bounds, atol=1e-12 * problem.scale)
        assert (one.scale, one.tol, one.solver) == (other.scale, other.tol, other.solver)
        assert one.is_unique
        assert not one.weights.flags.writeable


@pytest.mark.parametrize("lie", [np.full(3, np.nan), [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [np.inf, 0.0, 0.0]])
def test_a_wrong_answer_of_the_library_is_not_believed(monkeypatch: pytest.MonkeyPatch, lie: Any) -> None:
    """The certificate of the short way is computed outside the library, as that of the general way."""
    problem = random_qp(3, 6, 0)
    best = solve(problem, "active_set")

    def liar(P: Any, q: Any, *_: Any, **__: Any) -> Any:
        P[:], q[:] = 0.0, 0.0  # and it spoils what it was given
        return np.array(lie, dtype=float), 0.0, 1, {"iterations": 1}

    monkeypatch.setattr("daqp.solve", liar)
    quick._daqp.cache_clear()
    try:
        result = solve(problem)
    finally:
        quick._daqp.cache_clear()
    assert result.converged
    assert result.solver != "daqp"
    assert np.allclose(result.weights, best.weights, atol=1e-12)


def test_constants_shared_between_calls_stay_as_they_are() -> None:
    before = [array.copy() for array in daqp_dual.simplex(5)]
    for seed in range(50):
        solve(random_qp(5, 3 + seed % 8, seed), "daqp", tol=1e-5)
        solve(random_qp(5, 3 + seed % 8, seed))
    assert all(np.array_equal(a, b) for a, b in zip(before, daqp_dual.simplex(5), strict=True))


@pytest.mark.parametrize("solver", ["piqp", "clarabel", "proxqp", "osqp", "cvxpy", "qpsolvers"])
def test_the_support_of_an_interior_point_answer(solver: str) -> None:
    """Unused auxiliaries keep 1e-13 in these libraries; most are zeroed, and `support` sees through the rest."""
    zeros = kept = 0
    for seed in range(12):
        problem = random_qp(8, 16, seed)
        exact, result = solve(problem, "active_set"), solve(problem, solver)
        assert np.array_equal(result.support, exact.weights > 0.0)
        zeros += int((exact.weights == 0.0).sum())
        kept += int(((result.weights > 0.0) & (exact.weights == 0.0)).sum())
    assert zeros >= 20
    assert kept <= 0.3 * zeros


def test_polishing_makes_bits_equal() -> None:
    """On a definite problem the polished weights depend on the face alone, whoever found it."""
    for seed in range(10):
        problem = random_qp(7, 14, seed).normalised()
        best = solve(problem, "active_set", tol=1e-12)
        for solver in ("piqp", "clarabel", "frank_wolfe"):
            rough = solve(problem, solver, tol=1e-8)
            made = polish(problem, rough.weights, rough.slack)
            assert not made.exhausted
            assert np.array_equal(made.weights / made.weights.sum(), best.weights)


def test_polishing_the_wrong_face_says_so() -> None:
    problem = SimplexQP(np.eye(3), [-9.0, 0.0, 0.0]).normalised()
    made = polish(problem, np.zeros(3), np.ones(3))
    assert made.exhausted


@pytest.mark.parametrize("solver", sorted(set(available_solvers())))
def test_every_backend_certifies_at_the_default_tolerance_or_is_honest(solver: str) -> None:
    result = solve(random_qp(4, 16, 1), solver)
    assert result.converged == (result.gap <= 1e-9 * result.scale)
    assert result.converged or solver in ("scipy_slsqp",), result


@pytest.mark.parametrize("k", [2, 4, 8])
def test_torch_reaches_the_default_tolerance(k: int) -> None:
    """`sfbench fuse --solver torch` failed at its own default tolerance."""
    for seed in range(3):
        for rank in (k, max(1, k // 2)):
            result = solve(random_qp(k, rank, seed), "torch")
            assert result.converged, result
    assert not solve(random_qp(8, 8, 0), "torch", tol=1e-12, max_iter=200, polish=False).converged
