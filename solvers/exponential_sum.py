r"""Sums of exponentials of linear forms, such as score entropies of geometric means of rates.

.. math:: f(w) = \sum_n e^{a_n + (L w)_n} - m'w + c,
          \qquad \nabla f = L'e - m, \qquad \nabla^2 f = L' \mathrm{diag}(e) L

with :math:`e_n = e^{a_n + (Lw)_n}`: convex, and an exponential cone in cvxpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import NonFiniteError, ShapeError
from .problem import Matrix, Vector
from .validation import finite_range, real_array, real_number, require_finite

_LARGEST_EXPONENT = 600.0


@dataclass(frozen=True, slots=True, init=False, eq=False)
class ExponentialSumObjective:
    """``sum_n exp(a_n + (L w)_n) - m'w + c``.

    Parameters
    ----------
    exponents : (n, k) real array
        L, finite.
    log_weights : (n,) real array
        a; ``-inf`` drops a term. ``a_n + max_i L_ni`` may not exceed 600.
    linear : (k,) real array
        m.
    constant : float
        c.

    Notes
    -----
    `scale` is ``max(trace(H)/k, max(g) - min(g))`` with gradient g and Hessian H at equal weights, or 1 when both
    vanish. Cost: O(n k) for value and gradient, O(n k^2) for the Hessian.
    """

    exponents: Matrix
    log_weights: Vector
    linear: Vector
    constant: float
    scale: float

    def __init__(self, exponents: ArrayLike, log_weights: ArrayLike, linear: ArrayLike, constant: float = 0.0) -> None:
        L = real_array(exponents, "exponents", ("n", "k"))[0]
        a = real_array(log_weights, "log_weights", ("n",))[0]
        m = real_array(linear, "linear", ("k",))[0]
        if 0 in L.shape or a.shape != L.shape[:1] or m.shape != L.shape[1:]:
            raise ShapeError(
                f"exponents must be (n, k), n and k >= 1, log_weights (n,) and linear (k,); got {L.shape}, {a.shape}, "
                f"{m.shape}"
            )
        for array, name in ((L, "exponents"), (m, "linear")):
            finite_range(array, name)
        kept = a != -np.inf
        require_finite(np.where(kept, a, 0.0), "log_weights")
        L, a = L[kept], a[kept]
        if len(a) and (top := float((a + L.max(axis=1)).max())) > _LARGEST_EXPONENT:
            raise NonFiniteError(f"exponents reach {top:.4g} with their weights, near overflow; at most 600")
        assign = object.__setattr__
        for name, array in (("exponents", L.copy()), ("log_weights", a.copy()), ("linear", m.copy())):
            array.flags.writeable = False
            assign(self, name, array)
        assign(self, "constant", real_number(constant, "constant"))
        w = np.full(self.dim, 1.0 / self.dim)
        spread = float(np.ptp(self.gradient(w)))
        assign(self, "scale", max(float(np.trace(self.hessian(w))) / self.dim, spread) or 1.0)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return int(self.exponents.shape[1])

    def terms(self, w: Vector) -> Vector:
        """``e_n`` (n,) at `w` (k,), of the terms that were kept."""
        out: Vector = np.exp(self.log_weights + self.exponents @ w)
        return out

    def value(self, w: Vector) -> float:
        """Objective at `w` (k,)."""
        return float(self.terms(w).sum() - self.linear @ w) + self.constant

    def gradient(self, w: Vector) -> Vector:
        """Gradient (k,) at `w` (k,)."""
        out: Vector = self.terms(w) @ self.exponents - self.linear
        return out

    def hessian(self, w: Vector) -> Matrix:
        """Hessian (k, k) at `w` (k,)."""
        out: Matrix = (self.exponents.T * self.terms(w)) @ self.exponents
        return 0.5 * (out + out.T)

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of the variable `w` (exponential cones)."""
        return cvxpy.sum(cvxpy.exp(self.log_weights + self.exponents @ w)) - self.linear @ w + self.constant

    def __repr__(self) -> str:
        return f"ExponentialSumObjective(dim={self.dim}, n={len(self.log_weights)}, scale={self.scale:.3g})"
