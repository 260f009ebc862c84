"""`SimplexQP`: validation, immutability, scale."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers import (
    AsymmetricMatrixError,
    DataTypeError,
    NonFiniteError,
    NotPositiveSemidefiniteError,
    ShapeError,
    SimplexQP,
    SimplexQPBatch,
    solve,
)
from solvers.testing import random_qp

EYE = np.eye(2)


@pytest.mark.parametrize(
    ("P", "q", "error", "message"),
    [
        ([[1.0, np.nan], [np.nan, 1.0]], [0, 0], NonFiniteError, r"P has 2 non-finite entries, the first P\[0, 1\]"),
        (EYE, [0.0, np.inf], NonFiniteError, r"q has 1 non-finite entries, the first q\[1\] = inf"),
        (np.ones((2, 3)), [0, 0], ShapeError, r"\(k, k\) with k >= 1, got \(2, 3\)"),
        (np.ones(4), [0, 0], ShapeError, r"got \(4,\)"),
        (np.empty((0, 0)), [], ShapeError, "k >= 1"),
        (EYE, [0, 0, 0], ShapeError, r"q must have shape \(2,\)"),
        (EYE.astype(object), [0, 0], DataTypeError, "P must hold real numbers, got dtype object"),
        (EYE, np.array([0j, 0]), DataTypeError, "q must hold real numbers, got dtype complex128"),
        (EYE, ["a", "b"], DataTypeError, "q must hold real numbers"),
        ([[1.0, 0.5], [0.2, 1.0]], [0, 0], AsymmetricMatrixError, r"P\[0, 1\] = 0.5 but P\[1, 0\]"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, 0], NotPositiveSemidefiniteError, "smallest eigenvalue -1"),
        (-EYE, [0, 0], NotPositiveSemidefiniteError, "smallest eigenvalue -1"),
        (EYE * 1e301, [0, 0], NonFiniteError, "near overflow"),
    ],
)
def test_invalid_data_is_named(P: Any, q: Any, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        SimplexQP(P, q)
    assert issubclass(error, ValueError)


def test_nonfinite_r() -> None:
    with pytest.raises(NonFiniteError, match="r must be finite"):
        SimplexQP(EYE, [0, 0], np.nan)


def test_integers_lists_strides_and_read_only_give_the_same_bits() -> None:
    P = np.array([[4.0, 1.0], [1.0, 3.0]])
    reference = SimplexQP(P, [1.0, 0.0])
    big = np.zeros((4, 4))
    big[::2, ::2] = P
    frozen = P.copy()
    frozen.flags.writeable = False
    for other in ([[4, 1], [1, 3]], np.asfortranarray(P), big[::2, ::2], frozen, P.astype(np.float32)):
        assert np.array_equal(SimplexQP(other, [1, 0]).P, reference.P)


def test_the_problem_owns_its_data() -> None:
    P, q = EYE.copy(), np.zeros(2)
    problem = SimplexQP(P, q)
    P[0, 0] = q[0] = 9.0
    assert problem.P[0, 0] == 1.0
    assert problem.q[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        problem.P[0, 0] = 2.0


def test_small_asymmetry_is_averaged() -> None:
    P = np.array([[1.0, 0.5 + 1e-15], [0.5, 1.0]])
    problem = SimplexQP(P, [0, 0])
    assert np.array_equal(problem.P, problem.P.T)


def test_rounding_level_indefiniteness_is_clipped_and_recorded() -> None:
    A = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    gram = A @ A.T  # float32: eigenvalues about -1e-7 of the trace
    assert np.linalg.eigvalsh(gram.astype(float))[0] < -1e-9
    problem = SimplexQP(gram, np.zeros(12))
    assert problem.clipped < 0.0
    assert np.linalg.eigvalsh(problem.P)[0] > -1e-12
    with pytest.raises(NotPositiveSemidefiniteError, match="float64"):
        SimplexQP(gram.astype(np.float64), np.zeros(12))


def test_value_gradient_hessian_agree() -> None:
    problem = random_qp(5, 9, 0)
    rng = np.random.default_rng(1)
    w, d = rng.dirichlet(np.ones(5)), rng.normal(size=5)
    h = 1e-6
    slope = (problem.value(w + h * d) - problem.value(w - h * d)) / (2 * h)
    assert slope == pytest.approx(problem.gradient(w) @ d, rel=1e-7)
    assert np.array_equal(problem.hessian(w), problem.P)


@given(st.integers(-40, 40), st.floats(-1e3, 1e3))
def test_scale_is_homogeneous_and_shift_free(power: int, shift: float) -> None:
    problem = random_qp(4, 4, 2)
    scaled = SimplexQP(problem.P * 2.0**power, problem.q * 2.0**power)
    assert scaled.scale == problem.scale * 2.0**power
    assert SimplexQP(problem.P, problem.q + shift).scale == pytest.approx(problem.scale, rel=1e-12)
    normal = scaled.normalised()
    assert 1.0 <= normal.scale < 2.0
    assert normal.q.min() == 0.0


def test_pickle_and_copy() -> None:
    problem = random_qp(3, 2, 3)
    for other in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        assert np.array_equal(other.P, problem.P)
        assert not other.P.flags.writeable
        assert solve(other).weights.tolist() == solve(problem).weights.tolist()
    assert "dim=3" in repr(problem)


def test_batch_validation_names_the_problem() -> None:
    P, q = np.stack([EYE, EYE]), np.zeros((2, 2))
    with pytest.raises(ShapeError, match=r"\(B, k, k\)"):
        SimplexQPBatch(EYE, q)
    with pytest.raises(ShapeError, match="q must have shape"):
        SimplexQPBatch(P, np.zeros(2))
    with pytest.raises(ShapeError, match="r must be"):
        SimplexQPBatch(P, q, np.zeros(3))
    bad = P.copy()
    bad[1, 0, 0] = np.inf
    with pytest.raises(NonFiniteError, match=r"P\[1, 0, 0\]"):
        SimplexQPBatch(bad, q)
    batch = SimplexQPBatch(P, q, 1.0)
    assert len(batch) == 2
    assert [problem.r for problem in batch] == [1.0, 1.0]
