r"""Maximum likelihood in the log-linear family of the auxiliaries.

.. math:: F(w) = \log Z(w) - \sum_i w_i\, E_q[\log p_i], \qquad Z(w) = \int \prod_i p_i^{w_i}
          \approx \sum_n e^{a_n + (L w)_n}

with :math:`L_{ni} = \log p_i(x_n)` at quadrature nodes and :math:`a_n` the logarithms of their weights. With
:math:`\pi_n \propto e^{a_n + (Lw)_n}`, the pool's probabilities on the nodes,

.. math:: \nabla F = L'\pi - E_q[\log p], \qquad \nabla^2 F = L' (\mathrm{diag}\,\pi - \pi\pi') L ,

the difference of two means and a covariance; F is convex, and on the nodes everything is exact. The numbers come in as
arrays, so nothing here knows what a distribution is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import NonFiniteError, ShapeError
from .problem import Matrix, Vector
from .validation import finite_range, real_array, require_finite

_MOST_NATS = 1e15


@dataclass(frozen=True, slots=True, init=False, eq=False)
class LogPartitionObjective:
    """Negative mean log-likelihood of the log-linear pool, up to a constant; units: nats.

    Parameters
    ----------
    log_densities : (n, k) real array
        ``log p_i(x_n)``, finite, below 1e15 in size.
    log_weights : (n,) real array
        Logarithms of the quadrature weights; ``-inf`` drops a node. A Monte Carlo sample from a proposal g has
        ``-log g(x_n) - log n``.
    mean_log_densities : (k,) real array
        ``E_q[log p_i]`` under the target.

    Notes
    -----
    `scale` is ``max(trace(H)/k, max(g) - min(g))`` with gradient g and Hessian H at equal weights, or 1 when both
    vanish: the same as for a quadratic. Cost: O(n k) for value and gradient, O(n k^2) for the Hessian.
    """

    log_densities: Matrix
    log_weights: Vector
    mean_log_densities: Vector
    scale: float

    def __init__(self, log_densities: ArrayLike, log_weights: ArrayLike, mean_log_densities: ArrayLike) -> None:
        L = real_array(log_densities, "log_densities", ("n", "k"))[0]
        a = real_array(log_weights, "log_weights", ("n",))[0]
        mean = real_array(mean_log_densities, "mean_log_densities", ("k",))[0]
        if 0 in L.shape:
            raise ShapeError(f"log_densities must have shape (n, k) with n, k >= 1, got {L.shape}")
        if a.shape != L.shape[:1]:
            raise ShapeError(f"log_weights must have shape {L.shape[:1]} to match log_densities, got {a.shape}")
        if mean.shape != L.shape[1:]:
            raise ShapeError(f"mean_log_densities must have shape {L.shape[1:]}, got {mean.shape}")
        for array, name in ((L, "log_densities"), (mean, "mean_log_densities")):
            low, high = finite_range(array, name)
            if max(high, -low) >= _MOST_NATS:
                raise NonFiniteError(f"{name} reaches {max(high, -low):.3g} nats, where float64 does not resolve one")
        kept = a != -np.inf
        require_finite(np.where(kept, a, 0.0), "log_weights")
        if not kept.any():
            raise ShapeError("log_weights are all -inf: no quadrature node is left")
        # Subtracting a constant from log p_i on both sides changes nothing and keeps the sums small.
        L, a = L[kept], a[kept]
        centre = L.max(axis=0)
        assign = object.__setattr__
        assign(self, "log_densities", L - centre)
        assign(self, "log_weights", a)
        assign(self, "mean_log_densities", mean - centre)
        for array in (self.log_densities, self.log_weights, self.mean_log_densities):
            array.flags.writeable = False
        w = np.full(self.dim, 1.0 / self.dim)
        g = self.gradient(w)
        assign(self, "scale", max(float(np.trace(self.hessian(w))) / self.dim, float(np.ptp(g))) or 1.0)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return int(self.log_densities.shape[1])

    def log_partition(self, w: Vector) -> float:
        """Value (nats) of ``log Z(w)``, shifted by ``<w, max_n log p(x_n)>``; use `value` for comparisons."""
        return self._pool(w)[0]

    def value(self, w: Vector) -> float:
        """Objective (nats) at `w` (k,)."""
        return self._pool(w)[0] - float(self.mean_log_densities @ w)

    def gradient(self, w: Vector) -> Vector:
        """``E_pool[log p_i] - E_q[log p_i]``, (k,)."""
        out: Vector = self._pool(w)[1] @ self.log_densities - self.mean_log_densities
        return out

    def hessian(self, w: Vector) -> Matrix:
        """Covariance (k, k) of the log densities under the pool."""
        pi = self._pool(w)[1]
        centred = self.log_densities - pi @ self.log_densities
        out: Matrix = (centred.T * pi) @ centred
        return 0.5 * (out + out.T)

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of the variable `w` (exponential cone)."""
        return cvxpy.log_sum_exp(self.log_weights + self.log_densities @ w) - self.mean_log_densities @ w

    def _pool(self, w: Vector) -> tuple[float, Vector]:
        z = self.log_weights + self.log_densities @ w
        top = float(z.max())
        e = np.exp(z - top)
        total = float(e.sum())
        return top + float(np.log(total)), e / total

    def __repr__(self) -> str:
        return f"LogPartitionObjective(dim={self.dim}, n={len(self.log_weights)}, scale={self.scale:.3g})"
