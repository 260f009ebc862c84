"""The exact solver against independent oracles, and where it is hardest: singular, duplicated, large, warm-started."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from solvers import SimplexQP, SimplexQPBatch, Status, solve, solve_many
from solvers.active_set import ActiveSet, _finish
from solvers.certificates import null_directions
from solvers.limits import Budget
from solvers.minimum_norm import minimum_norm
from solvers.testing import duplicated, grid_minimum, random_qp

EXACT = 1e-12


def nnls_oracle(A: np.ndarray, y: np.ndarray) -> float:
    """Minimum of ``1/2 |A'w - y|^2`` on the simplex by non-negative least squares with a heavy row for the sum."""
    heavy = 1e5
    w, _ = nnls(np.vstack([A.T, heavy * np.ones(len(A))]), np.append(y, heavy))
    w /= w.sum()
    return 0.5 * float(np.sum((A.T @ w - y) ** 2))


@settings(max_examples=150, deadline=None)
@given(k=st.integers(2, 12), rank=st.integers(1, 14), seed=st.integers(0, 10**6), pull=st.floats(0.0, 3.0))
def test_certified_and_optimal_at_any_rank(k: int, rank: int, seed: int, pull: float) -> None:
    rng = np.random.default_rng(seed)
    A, y = rng.normal(size=(k, rank)), pull * rng.normal(size=rank)
    problem = SimplexQP(A @ A.T, -A @ y, 0.5 * float(y @ y))
    result = solve(problem, "active_set", tol=EXACT)
    assert result.converged, result
    oracle = nnls_oracle(A, y)
    assert result.value <= oracle + 1e-7 * problem.scale
    assert oracle <= result.value + 1e-7 * problem.scale


@settings(max_examples=60, deadline=None)
@given(k=st.integers(2, 10), rank=st.integers(1, 10), seed=st.integers(0, 10**6))
def test_primal_phase_alone_reaches_the_same_minimum(k: int, rank: int, seed: int) -> None:
    problem = random_qp(k, rank, seed).normalised()
    w, settled = _finish(problem.P, problem.q, np.full(k, 1.0 / k), Budget(1000, 60.0))
    assert settled
    assert problem.value(w) == pytest.approx(problem.value(solve(problem, "active_set").weights), abs=1e-13)


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 1.0])
def test_near_duplicates_reach_the_value_of_the_smaller_problem(distance: float) -> None:
    rng = np.random.default_rng(5)
    A = rng.normal(size=(4, 6))
    y = A.T @ np.array([0.4, 0.3, 0.2, 0.1])  # every auxiliary is needed
    twin = A[0] + distance * rng.normal(size=6)
    B = np.vstack([A, twin])
    small = solve(SimplexQP(A @ A.T, -A @ y), "active_set", tol=EXACT)
    large = solve(SimplexQP(B @ B.T, -B @ y), "active_set", tol=EXACT)
    assert large.converged
    assert large.value <= small.value + 1e-12
    if distance <= 1e-8:
        assert large.value == pytest.approx(small.value, abs=1e-7)
        assert not large.is_unique
        direction = large.null_directions[:, 0]
        assert np.allclose(np.abs(direction), [2**-0.5, 0, 0, 0, 2**-0.5], atol=1e-6)
        assert large.weights[0] == pytest.approx(large.weights[4], abs=1e-6)
    if distance >= 1e-4:
        assert large.is_unique


def test_many_copies_share_equally() -> None:
    problem = SimplexQP(np.diag([1.0, 2.0]), [0.0, -1.0])
    for _ in range(6):
        problem = duplicated(problem, 0)
    result = solve(problem, "active_set", tol=EXACT)
    copies = result.weights[[0, 2, 3, 4, 5, 6, 7]]
    assert np.ptp(copies) <= 1e-14
    assert result.null_directions.shape == (8, 6)


def test_flat_directions_are_flat_and_orthonormal() -> None:
    problem = random_qp(9, 3, 11)
    interior = SimplexQP(problem.P, -problem.P @ np.random.default_rng(0).dirichlet(np.ones(9)))
    result = solve(interior, "active_set", tol=EXACT)
    N = result.null_directions
    assert N.shape[1] == 9 - 3 - 1
    assert np.allclose(N.T @ N, np.eye(N.shape[1]), atol=1e-12)
    assert np.abs(interior.P @ N).max() < 1e-12
    assert np.abs(N.sum(axis=0)).max() < 1e-12


@settings(max_examples=60, deadline=None)
@given(k=st.integers(3, 9), rank=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_minimum_norm_beats_every_other_minimiser(k: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(k, rank))
    P = A @ A.T
    truth = rng.dirichlet(np.ones(k))
    result = solve(SimplexQP(P, -P @ truth), "active_set", tol=EXACT)
    assert result.converged
    assert np.linalg.norm(result.weights) <= np.linalg.norm(truth) + 1e-9  # truth is a minimiser too
    # First-order optimality of the least-distance problem: no flat direction shortens w while staying feasible.
    N = result.null_directions
    for _ in range(20):
        d = N @ rng.normal(size=N.shape[1]) if N.shape[1] else np.zeros(k)
        room = np.min(np.where(d < 0, result.weights / np.maximum(-d, 1e-300), np.inf))
        if np.isfinite(room):
            other = result.weights + min(room, 1e-3) * d
            assert np.linalg.norm(other) >= np.linalg.norm(result.weights) - 1e-8


def test_minimum_norm_closed_form() -> None:
    w = np.array([0.7, 0.1, 0.2])
    d = np.array([[1.0], [-1.0], [0.0]]) / np.sqrt(2)
    assert np.allclose(minimum_norm(w, d), [0.4, 0.4, 0.2], atol=1e-15)
    assert np.allclose(minimum_norm(np.array([1.0, 0.0, 0.0]), np.eye(3)[:, :0]), [1, 0, 0])


def test_strictly_convex_has_no_null_direction() -> None:
    w = np.array([0.5, 0.5, 0.0])
    assert null_directions(w, np.eye(3), np.zeros(3)).shape == (3, 0)


def test_difference_basis_with_a_zero_row_is_still_unique() -> None:
    A = np.random.default_rng(3).normal(size=(4, 9))
    D = A - A[0]
    problem = SimplexQP(D @ D.T, -D @ np.ones(9))
    assert problem.definite  # along the simplex
    assert solve(problem, "active_set", tol=EXACT).is_unique


@pytest.mark.parametrize("rank", [150, 40])
def test_large_problems(rank: int) -> None:
    problem = random_qp(300, rank, 0)
    result = solve(problem, "active_set", tol=EXACT)
    assert result.converged
    assert result.n_iter < 60


def test_warm_start_at_the_answer_takes_one_round() -> None:
    problem = random_qp(30, 60, 1)
    first = solve(problem, "active_set", tol=EXACT)
    again = solve(problem, "active_set", tol=EXACT, start=first.weights)
    assert again.n_iter == 1
    assert np.allclose(again.weights, first.weights, atol=1e-14)


def test_ill_conditioned() -> None:
    rng = np.random.default_rng(4)
    Q = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    for smallest in (1e-4, 1e-8, 1e-12):
        P = (Q * np.geomspace(smallest, 1.0, 10)) @ Q.T
        problem = SimplexQP(0.5 * (P + P.T), -0.1 * rng.normal(size=10))
        assert solve(problem, "active_set", tol=EXACT).converged


@pytest.mark.parametrize("k", [2, 3])
def test_grid_oracle(k: int) -> None:
    for seed in range(20):
        problem = random_qp(k, 1 + seed % 4, seed)
        result = solve(problem, "active_set", tol=EXACT)
        assert result.value <= grid_minimum(problem) + EXACT * problem.scale


def test_two_weights_closed_form_handles_flat_and_linear() -> None:
    assert solve(SimplexQP(np.ones((2, 2)), [1.0, 1.0]), "active_set").weights.tolist() == [0.5, 0.5]
    assert solve(SimplexQP(np.ones((2, 2)), [2.0, 1.0]), "active_set").weights.tolist() == [0.0, 1.0]


def test_iteration_limit_is_honest() -> None:
    result = solve(random_qp(40, 15, 3), "active_set", tol=EXACT, max_iter=1)
    assert result.status is Status.ITERATION_LIMIT
    assert result.n_iter == 1


@pytest.mark.parametrize("k", [2, 3, 8, 17])
@pytest.mark.parametrize("rank_factor", [0.5, 1, 3])
def test_batch_equals_one_by_one(k: int, rank_factor: float) -> None:
    B = 60
    problems = [random_qp(k, max(1, int(k * rank_factor)), seed) for seed in range(B)]
    many = solve_many(problems, "active_set", tol=EXACT)
    assert many.converged.all()
    for problem, result in zip(problems, many, strict=True):
        one = solve(problem, "active_set", tol=EXACT)
        assert np.allclose(result.weights, one.weights, atol=1e-7)
        assert result.value == pytest.approx(one.value, abs=1e-12 * problem.scale)
        assert result.is_unique == one.is_unique


def test_batch_of_every_kind_of_trouble() -> None:
    """Duplicates, zero P, huge and tiny scales in one batch: each as if alone."""
    base = random_qp(4, 8, 0)
    P = np.stack([base.P, np.zeros((4, 4)), base.P * 1e12, base.P * 1e-12, np.ones((4, 4))])
    q = np.stack([base.q, np.array([1.0, 0, 2, 3]), base.q * 1e12, base.q * 1e-12, np.zeros(4)])
    many = solve_many((P, q), tol=EXACT)
    assert many.converged.all()
    assert np.allclose(many.weights[2], many.weights[0], atol=1e-13)
    assert np.allclose(many.weights[3], many.weights[0], atol=1e-13)
    assert many.weights[1].tolist() == [0, 1, 0, 0]
    assert np.allclose(many.weights[4], 0.25, atol=1e-15)
    assert many.is_unique.tolist() == [True, True, True, True, False]


def test_solver_object_is_stateless() -> None:
    assert ActiveSet() == ActiveSet()
    assert len(SimplexQPBatch(np.zeros((0, 3, 3)), np.zeros((0, 3)))) == 0


def test_empty_batch() -> None:
    many = solve_many(SimplexQPBatch(np.zeros((0, 3, 3)), np.zeros((0, 3))))
    assert many.weights.shape == (0, 3)
    assert "0 problems" in repr(many)


def test_batch_of_single_weights() -> None:
    many = solve_many((np.ones((4, 1, 1)), np.zeros((4, 1))))
    assert many.weights.tolist() == [[1.0]] * 4
    assert many.converged.all()


@pytest.mark.parametrize("solver", ["frank_wolfe", "exponentiated_gradient", "projected_gradient", "piqp"])
def test_an_unused_copy_is_found_from_an_inexact_answer(solver: str) -> None:
    """Started with all weight on one of two copies, a first-order answer still reports the flat direction."""
    problem = duplicated(random_qp(4, 12, 2), 1)
    start = np.array([0.3, 0.3, 0.2, 0.2, 0.0])
    result = solve(problem, solver, tol=1e-7, start=start)
    assert result.converged
    if result.weights[1] > 1e-3:
        assert not result.is_unique
        assert result.weights[1] == pytest.approx(result.weights[4], abs=1e-9)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_hard_gram_matrices_are_certified(seed: int) -> None:
    """Copies at distances 0 to 0.1, scales over eight decades, difference bases, few columns, in any mixture."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 20))
    A = rng.normal(size=(k, int(rng.integers(1, k + 5))))
    for _ in range(int(rng.integers(0, k))):
        i, j = rng.integers(k, size=2)
        A[i] = A[j] + rng.choice([0.0, 1.0]) * 10.0 ** rng.uniform(-16, -1) * rng.normal(size=A.shape[1])
    if rng.random() < 0.3:
        A *= 10.0 ** rng.uniform(-4, 4, size=(k, 1))
    if rng.random() < 0.3:
        A -= A[0]
    y = A.T @ rng.dirichlet(np.ones(k)) if rng.random() < 0.5 else rng.normal(size=A.shape[1])
    problem = SimplexQP(A @ A.T, -A @ y)
    assert solve(problem, "active_set", tol=1e-11).converged
    assert solve(problem).converged
    assert solve_many([problem, problem], tol=1e-11).converged.all()
