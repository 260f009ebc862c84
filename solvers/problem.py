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

import math
from collections.abc import Iterator
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

    def __init__(self, P: ArrayLike, q: ArrayLike, r: float = 0.0) -> None:
        matrix, eps = real_array(P, "P")
        vector, _ = real_array(q, "q")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
            raise ShapeError(f"P must have shape (k, k) with k >= 1, got {matrix.shape}")
        k = matrix.shape[0]
        if vector.shape != (k,):
            raise ShapeError(f"q must have shape ({k},) to match P, got {vector.shape}")
        r = float(r)
        if not math.isfinite(r):
            raise NonFiniteError(f"r must be finite, got {r}")
        trace = float(matrix.trace())
        require_finite(matrix, "P")
        require_finite(vector, "q")
        matrix = _symmetrised(matrix, eps)
        clipped = 0.0
        rounding = k * EPS * trace
        definite = trace > 0.0 and cholesky_succeeds(matrix, -10.0 * rounding)
        if not definite and not cholesky_succeeds(matrix, rounding):
            matrix, clipped = _clip_spectrum(matrix, 10 * k * eps * abs(trace))
            trace = float(matrix.trace())
        matrix.flags.writeable = False
        vector.flags.writeable = False
        scale = qp_scale(trace, vector)
        if not scale < 1e300:
            raise NonFiniteError(f"P and q have scale {scale}, near overflow; divide both by a common factor first")
        _set(self, matrix, vector, r, clipped, scale, definite)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return len(self.q)

    def value(self, w: Vector) -> float:
        """``1/2 w'Pw + q'w + r`` at `w` (k,)."""
        return float(0.5 * (w @ (self.P @ w)) + self.q @ w) + self.r

    def gradient(self, w: Vector) -> Vector:
        """``Pw + q`` (k,) at `w` (k,)."""
        out: Vector = self.P @ w + self.q
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
        factor = power_of_two_below(self.scale)
        q = (self.q - np.minimum.reduce(self.q)) / factor
        P = self.P / factor
        # A solver that writes to its input must not be able to change what it is judged by.
        P.flags.writeable = q.flags.writeable = False
        return trusted_qp(P, q, 0.0, self.scale / factor, self.definite)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.P, self.q, self.r, self.clipped, self.scale, self.definite

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _set(self, *state)
        self.P.flags.writeable = False
        self.q.flags.writeable = False

    def __repr__(self) -> str:
        return f"SimplexQP(dim={self.dim}, scale={self.scale:.3g}, clipped={self.clipped:.1e})"


@dataclass(frozen=True, slots=True, init=False, eq=False)
class SimplexQPBatch:
    """B quadratic problems of one dimension, stacked: the input of `solve_many`.

    Parameters
    ----------
    P : (B, k, k) real array
    q : (B, k) real array
    r : (B,) real array or float

    Notes
    -----
    Shapes and finiteness are checked here in one pass; symmetry and convexity by `solve_many`, which also names the
    first bad problem. Indexing gives the validated `SimplexQP`.
    """

    P: Matrix
    q: Vector
    r: Vector

    def __init__(self, P: ArrayLike, q: ArrayLike, r: ArrayLike = 0.0) -> None:
        matrices, _ = real_array(P, "P", copy=False)
        vectors, _ = real_array(q, "q", copy=False)
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or matrices.shape[1] == 0:
            raise ShapeError(f"P must have shape (B, k, k) with k >= 1, got {matrices.shape}")
        if vectors.shape != matrices.shape[:2]:
            raise ShapeError(f"q must have shape {matrices.shape[:2]} to match P, got {vectors.shape}")
        offsets, _ = real_array(r, "r", copy=False)
        if offsets.shape not in {(), (len(vectors),)}:
            raise ShapeError(f"r must be a number or have shape ({len(vectors)},), got {offsets.shape}")
        for array, name in ((matrices, "P"), (vectors, "q"), (offsets, "r")):
            require_finite(array, name)
        object.__setattr__(self, "P", matrices)
        object.__setattr__(self, "q", vectors)
        object.__setattr__(self, "r", np.broadcast_to(offsets, (len(vectors),)))

    @property
    def dim(self) -> int:
        """Number of weights of each problem, k."""
        return int(self.q.shape[1])

    def __len__(self) -> int:
        return len(self.q)

    def __getitem__(self, index: int) -> SimplexQP:
        try:
            return SimplexQP(self.P[index], self.q[index], float(self.r[index]))
        except InvalidProblemError as error:
            raise type(error)(f"problem {index} of the batch: {error}") from None

    def __iter__(self) -> Iterator[SimplexQP]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"SimplexQPBatch({len(self)} problems, dim={self.dim})"


def trusted_qp(P: Matrix, q: Vector, r: float, scale: float, definite: bool) -> SimplexQP:
    """A `SimplexQP` from arrays already known to be valid: no copy, no check."""
    qp = object.__new__(SimplexQP)
    _set(qp, P, q, r, 0.0, scale, definite)
    return qp


def qp_scale(trace: float, q: Vector) -> float:
    """``max(trace/k, max q - min q)``, or 1 when both vanish."""
    return max(trace / q.shape[0], float(np.maximum.reduce(q)) - float(np.minimum.reduce(q))) or 1.0


def power_of_two_below(scale: float) -> float:
    """Largest power of two not above `scale`, kept away from overflow of its inverse."""
    return math.ldexp(1.0, min(max(math.frexp(scale)[1] - 1, -1000), 1000))


def _set(qp: SimplexQP, P: Matrix, q: Vector, r: float, clipped: float, scale: float, definite: bool) -> None:
    assign = object.__setattr__
    assign(qp, "P", P)
    assign(qp, "q", q)
    assign(qp, "r", r)
    assign(qp, "clipped", clipped)
    assign(qp, "scale", scale)
    assign(qp, "definite", definite)


def real_array(values: ArrayLike, name: str, *, copy: bool = True) -> tuple[NDArray[np.float64], float]:
    """Float64 C-ordered copy and the rounding unit of the original dtype; `DataTypeError` unless real numbers."""
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind not in "fiub":
        raise DataTypeError(f"{name} must hold real numbers, got dtype {array.dtype}; convert it with astype(float)")
    eps = float(np.finfo(array.dtype).eps) if kind == "f" else EPS
    out = np.array(array, dtype=np.float64, order="C") if copy else np.ascontiguousarray(array, dtype=np.float64)
    return out.reshape(array.shape), max(eps, EPS)


def require_finite(array: NDArray[np.float64], name: str) -> None:
    """Raise `NonFiniteError` naming the array and its first bad index."""
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        index = tuple(int(i) for i in bad[0])
        raise NonFiniteError(
            f"{name} has {len(bad)} non-finite entries, the first {name}{list(index)} = {array[index]}; "
            "find the model or sample that produced it"
        )


def _symmetrised(matrix: Matrix, eps: float) -> Matrix:
    difference = matrix - matrix.T
    if not difference.any():
        return matrix
    worst = int(np.abs(difference).argmax())
    i, j = divmod(worst, len(matrix))
    limit = 100 * len(matrix) * eps * float(np.abs(matrix).max())
    if abs(difference[i, j]) > limit:
        raise AsymmetricMatrixError(
            f"P is not symmetric: P[{i}, {j}] = {matrix[i, j]:.17g} but P[{j}, {i}] = {matrix[j, i]:.17g}; "
            "pass (P + P.T) / 2"
        )
    out: Matrix = 0.5 * (matrix + matrix.T)
    return out


def cholesky_succeeds(matrix: Matrix, shift: float) -> bool:
    """Whether ``matrix + shift I`` is positive definite (``matrix`` must be symmetric, C order)."""
    from scipy.linalg.lapack import dpotrf  # importing scipy.linalg takes longer than the rest of the package

    work = matrix.copy()
    work.flat[:: len(matrix) + 1] += shift + 1e-300
    return bool(dpotrf(work.T, lower=1, overwrite_a=1, clean=0)[1] == 0)


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
