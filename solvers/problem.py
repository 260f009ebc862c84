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
    DataTypeError,
    InvalidProblemError,
    NonFiniteError,
    NotPositiveSemidefiniteError,
    ShapeError,
)

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
_SMALLEST, LARGEST = 1e-290, 1e300
_Masked = np.ma.MaskedArray


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
        All are `ValueError`; the message names the array, the value and the mend.

    Notes
    -----
    The arrays are copied as float64 and read-only; the caller's arrays are never modified.
    `definite` says whether every eigenvalue of P is above rounding, in which case the minimiser is unique.
    Cost: one or two Cholesky factorisations, k^3/3 flops each (an
    eigendecomposition only when P is indefinite beyond k eps trace).
    """

    P: Matrix
    q: Vector
    r: float
    clipped: float
    scale: float
    definite: bool
    _normal: SimplexQP | None

    def __init__(self, P: ArrayLike, q: ArrayLike, r: float = 0.0) -> None:
        matrix, eps = real_array(P, "P")
        vector, _ = real_array(q, "q")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
            raise ShapeError(f"P must have shape (k, k) with k >= 1, got {matrix.shape}")
        k = matrix.shape[0]
        if vector.shape != (k,):
            raise ShapeError(f"q must have shape ({k},) to match P, got {vector.shape}")
        low, high = finite_range(matrix, "P")
        lowest, highest = finite_range(vector, "q")
        r = real_number(r, "r")
        largest, spread = max(high, -low), highest - lowest
        if not max(largest, spread) < LARGEST:
            raise NonFiniteError(
                f"P and q reach {max(largest, spread):.3g}, near overflow; divide both by a common factor first"
            )
        matrix = _symmetrised(matrix, largest, eps)
        trace = math.fsum(matrix.reshape(-1)[:: k + 1].tolist())
        clipped = 0.0
        rounding = k * EPS * trace
        definite = trace > 0.0 and cholesky_succeeds(matrix, -10.0 * rounding)
        if not definite and not cholesky_succeeds(matrix, rounding):
            matrix, clipped = _clip_spectrum(matrix, 10 * k * eps * abs(trace))
            trace = float(matrix.trace())
        scale = max(trace / k, spread) or 1.0
        if scale < _SMALLEST:
            raise InvalidProblemError(
                f"P and q have scale {scale:.3g}, near underflow; multiply both by a common factor first"
            )
        _set(self, frozen(matrix), frozen(vector), r, clipped, scale, definite)

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
            factor, lowest = power_of_two_below(self.scale), self.q[self.q.argmin()]
            P = self.P if factor == 1.0 else frozen(self.P / factor)
            q = frozen((self.q - lowest) / factor)
            normal = trusted_qp(P, q, 0.0, self.scale / factor, self.definite)
            object.__setattr__(self, "_normal", normal)
            return normal
        return self._normal

    def __getstate__(self) -> tuple[Any, ...]:
        return self.P, self.q, self.r, self.clipped, self.scale, self.definite

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        P, q, *rest = state
        _set(self, frozen(P), frozen(q), *rest)

    def __repr__(self) -> str:
        return f"SimplexQP(dim={self.dim}, scale={self.scale:.3g}, clipped={self.clipped:.1e})"


def trusted_qp(P: Matrix, q: Vector, r: float, scale: float, definite: bool) -> SimplexQP:
    """A `SimplexQP` from arrays already known to be valid: no copy, no check."""
    qp = object.__new__(SimplexQP)
    _set(qp, P, q, r, 0.0, scale, definite)
    return qp


def power_of_two_below(scale: float) -> float:
    """Largest power of two not above `scale`."""
    return math.ldexp(1.0, math.frexp(scale)[1] - 1)


def _set(qp: SimplexQP, P: Matrix, q: Vector, r: float, clipped: float, scale: float, definite: bool) -> None:
    assign = object.__setattr__
    assign(qp, "P", P)
    assign(qp, "q", q)
    assign(qp, "r", r)
    assign(qp, "clipped", clipped)
    assign(qp, "scale", scale)
    assign(qp, "definite", definite)
    assign(qp, "_normal", None)


def frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """A copy that nobody can write to: a solver must not be able to change what its answer is judged by.

    An array that owns its memory could be made writeable again; one that looks into `bytes` cannot.
    """
    return np.frombuffer(array.tobytes()).reshape(array.shape)


def real_array(values: ArrayLike, name: str) -> tuple[NDArray[np.float64], float]:
    """`values` as float64 in C order, and the rounding unit of their own dtype; `DataTypeError` unless real numbers.

    Not a copy where they are such an array already.
    """
    if isinstance(values, _Masked):
        raise DataTypeError(f"{name} is a masked array; fill or drop what is masked first")
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of unequal length
        raise ShapeError(f"{name} is not a rectangular array: {error}") from None
    except (TypeError, RuntimeError) as error:  # a tensor on a device, or one that records gradients
        raise DataTypeError(f"{name} cannot be read as an array: {error}") from None
    if array.dtype == np.float64:
        return array if array.flags.c_contiguous else np.array(array, order="C"), EPS
    kind = array.dtype.kind
    if kind not in "fiub":
        raise DataTypeError(f"{name} must hold real numbers, got dtype {array.dtype}; convert it with astype(float)")
    eps = float(np.finfo(array.dtype).eps) if kind == "f" else EPS
    return array.astype(np.float64, order="C"), max(eps, EPS)


def real_number(value: Any, name: str) -> float:
    """`value` as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataTypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise NonFiniteError(f"{name} must be finite, got {number}")
    return number


def finite_range(array: NDArray[np.float64], name: str) -> tuple[float, float]:
    """Smallest and largest entry; `NonFiniteError` naming the array and its first bad index unless all are finite."""
    # NaN is both the argmin and the argmax; and on a few numbers these are several times faster than min and max.
    low, high = float(array.item(array.argmin())), float(array.item(array.argmax()))
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = np.argwhere(~np.isfinite(array))
        index = tuple(int(i) for i in bad[0])
        raise NonFiniteError(
            f"{name} has {len(bad)} non-finite entries, the first {name}{list(index)} = {array[index]}; "
            "find the model or sample that produced it"
        )
    return low, high


def require_finite(array: NDArray[np.float64], name: str, largest: float = math.inf) -> None:
    """Raise `NonFiniteError` naming the array if an entry is not finite, or as large as `largest`."""
    if not array.size:
        return
    low, high = finite_range(array, name)
    if not max(high, -low) < largest:
        raise NonFiniteError(f"{name} reaches {max(high, -low):.3g}, near overflow; divide by a common factor first")


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
