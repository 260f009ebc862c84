r"""Convex objectives on the probability simplex.

.. math:: \min_{w \in \Delta} f(w), \qquad \Delta = \{ w \in R^k : w \ge 0,\ 1'w = 1 \},

either quadratic, :math:`f(w) = \tfrac12 w'Pw + q'w + r` with P symmetric positive semidefinite (`SimplexQP`), or any
smooth convex function (the protocol `SimplexObjective`). For score matching P = 2G, q = -2b and r = c.

**Scale.** The scale of a quadratic is ``max(trace(P)/k, max(q) - min(q))``, or 1 when both vanish. It has the units of
f, it does not change when a constant is added to f, and every tolerance of this package is a multiple of it. An
auxiliary whose P_ii dwarfs the others raises the scale and so loosens the tolerance for the rest: drop it, or lower
``tol``.

Solvers see the problem divided by the largest power of two below the scale, which is exact in floating point.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import (
    AsymmetricMatrixError,
    InvalidProblemError,
    NonFiniteError,
    NotPositiveSemidefiniteError,
    ShapeError,
)
from .validation import EPS, FLOAT64, LARGEST, finite_range, frozen, real_array, real_number

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_SMALLEST = 1e-290
_CLEAR = 1e4  # a pivot this many times above rounding leaves no doubt that the matrix is definite


@runtime_checkable
class SimplexObjective(Protocol):
    """A smooth convex function on the simplex of `dim` weights.

    `scale` is a positive number in the units of the value; tolerances are relative to it.
    """

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        ...

    @property
    def scale(self) -> float:
        """Typical size of the objective's variation over the simplex."""
        ...

    def value(self, w: Vector) -> float:
        """Objective at `w` (k,)."""
        ...

    def gradient(self, w: Vector) -> Vector:
        """Gradient (k,) at `w` (k,)."""
        ...


@runtime_checkable
class TwiceDifferentiableObjective(SimplexObjective, Protocol):
    """An objective that also offers its Hessian."""

    def hessian(self, w: Vector) -> Matrix:
        """Hessian (k, k) at `w` (k,)."""
        ...


@runtime_checkable
class StochasticObjective(SimplexObjective, Protocol):
    """An objective that also offers unbiased gradient estimates from a minibatch of its samples."""

    def minibatch_gradient(self, w: Vector, rng: np.random.Generator) -> Vector:
        """Unbiased estimate (k,) of the gradient at `w` (k,)."""
        ...


@runtime_checkable
class ConicObjective(SimplexObjective, Protocol):
    """An objective that can write itself as a cvxpy expression."""

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """Convex expression in the cvxpy variable `w` (k,); `cvxpy` is the module."""
        ...


@dataclass(frozen=True, slots=True, init=False, eq=False)
class SimplexQP:
    """Minimise ``1/2 w'Pw + q'w + r`` over the simplex.

    Parameters
    ----------
    P : (k, k) real array
        Symmetric positive semidefinite. Eigenvalues between ``-c`` and 0, with ``c = 10 k eps trace(P)`` and eps that
        of the array's own dtype (so a float32 Gram matrix is forgiven more), are set to zero and the most negative one
        is recorded in `clipped`.
    q : (k,) real array
    r : float

    Raises
    ------
    ShapeError, DataTypeError, NonFiniteError, AsymmetricMatrixError, NotPositiveSemidefiniteError
        All are `ValueError`; the message names the array, the value and the repair.

    Notes
    -----
    The arrays are copied as float64 and read-only; the caller's arrays are never modified.
    `definite` says whether ``d'Pd`` is above rounding for all d with ``1'd = 0``, in which case the minimiser is
    unique; this holds for a Gram matrix relative to one of its own members too, which has a row of zeros.
    `pivot` is the smallest pivot of the Cholesky factorisation that showed it, relative to the scale: where it is
    small, the weights are badly determined. `nonsingular` says that P has an inverse, `lowest` is the least entry of q.
    Cost: one Cholesky factorisation, k^3/3 flops, or three (an eigendecomposition only when P is indefinite beyond
    k eps trace).
    """

    P: Matrix
    q: Vector
    r: float
    clipped: float
    scale: float
    definite: bool
    pivot: float
    nonsingular: bool
    lowest: float
    _normal: SimplexQP | None

    def __init__(self, P: ArrayLike, q: ArrayLike, r: float = 0.0) -> None:
        matrix, eps = real_array(P, "P", ("k", "k"))
        vector, _ = real_array(q, "q", ("k",))
        k = len(vector)
        if matrix.shape != (k, k) or not k:
            _refuse_shapes(matrix, vector)
        lowest, highest = finite_range(vector, "q")
        if type(r) is not float or not math.isfinite(r):
            r = real_number(r, "r")
        diagonal = matrix.diagonal().tolist()
        trace, spread, clipped = sum(diagonal), highest - lowest, 0.0
        content = matrix.tobytes()
        # A symmetric matrix with clear pivots is finite and positive definite: nothing else needs to be looked at. One
        # row of zeros, as in a Gram matrix relative to one of its members, is left out.
        nonsingular = 0.0 not in diagonal
        left_out = -1 if nonsingular else diagonal.index(0.0)
        pivot = 0.0
        if content == matrix.tobytes("F") and (nonsingular or not any(matrix[left_out].tolist())):
            pivot = smallest_pivot(matrix, left_out)
        definite = pivot > max(_CLEAR * k * EPS * trace, 0.0) and max(trace, spread) < LARGEST
        if not definite:
            nonsingular = False
            matrix, clipped = _semidefinite(matrix, eps, spread)
            content = matrix.tobytes()
            trace = float(matrix.trace())
            pivot, definite = _definite_along(matrix, trace)
        scale = max(trace / k, spread) or 1.0
        if scale < _SMALLEST:
            raise InvalidProblemError(
                f"P and q have scale {scale:.3g}, near underflow; multiply both by a common factor first"
            )
        P, q = np.ndarray((k, k), FLOAT64, content), frozen(vector)
        _fill(self, P, q, r, clipped, scale, definite, pivot / scale, nonsingular, lowest)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return len(self.q)

    def value(self, w: Vector) -> float:
        """``1/2 w'Pw + q'w + r`` at `w` (k,)."""
        return 0.5 * float(w.dot(self.P.dot(w))) + float(self.q.dot(w)) + self.r

    def gradient(self, w: Vector) -> Vector:
        """``Pw + q`` (k,) at `w` (k,)."""
        out: Vector = self.P.dot(w)
        out += self.q
        return out

    def hessian(self, w: Vector) -> Matrix:
        """``P`` (k, k), whatever `w`."""
        return self.P

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of the variable `w`.

        ``assume_PSD`` because semidefiniteness was checked above; cvxpy's own check (ARPACK) can fail on singular P.
        """
        return 0.5 * cvxpy.quad_form(w, self.P, assume_PSD=True) + self.q @ w + self.r

    def normalised(self) -> SimplexQP:
        """The same minimisers at scale in [1, 2): P, q divided by a power of two, q shifted to start at zero, r = 0."""
        if self._normal is None:
            factor = power_of_two_below(self.scale)
            P = self.P if factor == 1.0 else frozen(self.P / factor)
            q = frozen((self.q - self.lowest) / factor)
            normal = object.__new__(SimplexQP)
            about = self.definite, self.pivot, self.nonsingular
            _fill(normal, P, q, 0.0, 0.0, self.scale / factor, *about, 0.0)
            object.__setattr__(self, "_normal", normal)
            return normal
        return self._normal

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field) for field in self.__slots__[:-1])

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        P, q, *rest = state
        _fill(self, frozen(P), frozen(q), *rest)

    def __repr__(self) -> str:
        return f"SimplexQP(dim={self.dim}, scale={self.scale:.3g}, clipped={self.clipped:.1e})"


def power_of_two_below(scale: float) -> float:
    """Largest power of two not above `scale`."""
    return math.ldexp(1.0, math.frexp(scale)[1] - 1)


# The descriptors of the slots: setting through them is faster than by name.
_P, _q, _r, _clipped, _scale, _definite, _pivot, _nonsingular, _lowest, _normal = (
    vars(SimplexQP)[field].__set__ for field in SimplexQP.__slots__
)


def _fill(
    qp: SimplexQP,
    P: Matrix,
    q: Vector,
    r: float,
    clipped: float,
    scale: float,
    definite: bool,
    pivot: float,
    nonsingular: bool,
    lowest: float,
) -> None:
    _P(qp, P)
    _q(qp, q)
    _r(qp, r)
    _clipped(qp, clipped)
    _scale(qp, scale)
    _definite(qp, definite)
    _pivot(qp, pivot)
    _nonsingular(qp, nonsingular)
    _lowest(qp, lowest)
    _normal(qp, None)


def _refuse_shapes(matrix: Matrix, vector: Vector) -> None:
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ShapeError(f"P must have shape (k, k) with k >= 1, got {matrix.shape}")
    raise ShapeError(f"q must have shape ({len(matrix)},) to match P, got {vector.shape}")


def _semidefinite(matrix: Matrix, eps: float, spread: float) -> tuple[Matrix, float]:
    """The checks in full: finite, symmetric, positive semidefinite up to rounding. Returns what was clipped too."""
    low, high = finite_range(matrix, "P")
    largest = max(high, -low)
    if not max(largest, spread) < LARGEST:
        raise NonFiniteError(
            f"P and q reach {max(largest, spread):.3g}, near overflow; divide both by a common factor first"
        )
    k = len(matrix)
    matrix = _symmetrised(matrix, largest, eps)
    trace = math.fsum(matrix.diagonal().tolist())
    if cholesky_succeeds(matrix, k * EPS * trace):
        return matrix, 0.0
    return _clip_spectrum(matrix, 10 * k * eps * abs(trace))


def _definite_along(matrix: Matrix, trace: float) -> tuple[float, bool]:
    """Smallest pivot of ``P + trace/k 11'``, which is definite exactly where P is along the simplex; and whether."""
    k = len(matrix)
    if trace <= 0.0:
        return 0.0, k == 1
    bordered = matrix + trace / k
    pivot = smallest_pivot(bordered)
    return pivot, pivot > 0.0 and cholesky_succeeds(bordered, -10.0 * k * EPS * 2.0 * trace)


def _symmetrised(matrix: Matrix, highest: float, eps: float) -> Matrix:
    if matrix.tobytes("C") == matrix.tobytes("F"):
        return matrix
    difference = matrix - matrix.T
    i, j = divmod(int(np.abs(difference).argmax()), len(matrix))
    if abs(difference[i, j]) > 100 * len(matrix) * eps * highest:
        raise AsymmetricMatrixError(
            f"P is not symmetric: P[{i}, {j}] = {matrix[i, j]:.17g} but P[{j}, {i}] = {matrix[j, i]:.17g}; "
            "pass (P + P.T) / 2"
        )
    out: Matrix = 0.5 * (matrix + matrix.T)
    return out


def smallest_pivot(matrix: Matrix, left_out: int = -1) -> float:
    """Smallest pivot of the Cholesky factorisation of a symmetric matrix; 0 if it breaks down or meets NaN.

    `left_out` is the index of a row of zeros that has no part in it.
    """
    work = matrix.copy()
    if left_out >= 0:
        work[left_out, left_out] = 1.0
    factor, failed = _dpotrf()(work.T, 1, 0, 1)
    roots = factor.diagonal().tolist()
    if left_out >= 0:
        del roots[left_out]
    return min(roots) ** 2 if not failed and sum(roots) < math.inf and roots else 0.0  # the sum is NaN where a root is


def cholesky_succeeds(matrix: Matrix, shift: float) -> bool:
    """Whether ``matrix + shift I`` is positive definite (``matrix`` must be symmetric, C order)."""
    work = matrix.copy()
    work.reshape(-1)[:: len(matrix) + 1] += shift + 1e-300
    return bool(_dpotrf()(work.T, 1, 0, 1)[1] == 0)


@functools.cache
def _dpotrf() -> Any:
    """LAPACK's factorisation; importing scipy.linalg takes longer than the rest of the package, so not before use."""
    from scipy.linalg.lapack import dpotrf

    return dpotrf


def _clip_spectrum(matrix: Matrix, limit: float) -> tuple[Matrix, float]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    lowest = float(eigenvalues[0])
    if lowest < -limit:
        raise NotPositiveSemidefiniteError(
            f"P is not positive semidefinite: smallest eigenvalue {lowest:.6g}, rounding explains -{limit:.2g}; "
            "check how the Gram matrix was accumulated (float64, symmetric)"
        )
    clipped = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
    return 0.5 * (clipped + clipped.T), min(lowest, 0.0)
