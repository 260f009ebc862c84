r"""Sums of log-partition functions: cross-entropies of normalised geometric means.

.. math:: f(w) = \sum_g c_g \log \sum_v e^{(L_g w)_v} - m'w

The softmax of averaged logits has cross-entropy f with :math:`L_{gvi} = \log p_i(v)` at position g, c the weights of
positions and m the weighted mean of :math:`\log p_i` at the data. Gradient and Hessian sum means and covariances under
the softmax of each position; `LogPartitionObjective` is the case of one position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidArgumentError, ShapeError
from .problem import Matrix, Vector
from .validation import finite_range, real_array


@dataclass(frozen=True, slots=True, init=False, eq=False)
class LogPartitionSumObjective:
    """``sum_g c_g log sum_v exp((L_g w)_v) - m'w``; units: nats.

    Parameters
    ----------
    log_densities : (g, v, k) real array
        L, finite.
    counts : (g,) real array
        c, not negative.
    linear : (k,) real array
        m.

    Notes
    -----
    `scale` as in `LogPartitionObjective`. Cost: O(g v k) for value and gradient, O(g v k^2) for the Hessian.
    """

    log_densities: Any
    counts: Vector
    linear: Vector
    scale: float

    def __init__(self, log_densities: ArrayLike, counts: ArrayLike, linear: ArrayLike) -> None:
        L = np.array(log_densities, dtype=np.float64)
        c = real_array(counts, "counts", ("g",))[0]
        m = real_array(linear, "linear", ("k",))[0]
        if L.ndim != 3 or 0 in L.shape or c.shape != L.shape[:1] or m.shape != L.shape[2:]:
            raise ShapeError(
                f"log_densities must be (g, v, k), none empty, counts (g,) and linear (k,); got {L.shape}, {c.shape}, "
                f"{m.shape}"
            )
        finite_range(L.reshape(-1, L.shape[2]), "log_densities")
        if finite_range(c, "counts")[0] < 0:
            raise InvalidArgumentError(f"counts must be at least 0, got {c.min()}")
        finite_range(m, "linear")
        assign = object.__setattr__
        # Subtracting a constant from all logs at a position, on both sides, changes nothing and keeps the sums small.
        top = L.max(axis=1, keepdims=True)
        assign(self, "log_densities", L - top)
        assign(self, "counts", c.copy())
        assign(self, "linear", m - c @ top[:, 0])
        for array in (self.log_densities, self.counts, self.linear):
            array.flags.writeable = False
        w = np.full(self.dim, 1.0 / self.dim)
        spread = float(np.ptp(self.gradient(w)))
        assign(self, "scale", max(float(np.trace(self.hessian(w))) / self.dim, spread) or 1.0)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return int(self.log_densities.shape[2])

    def softmax(self, w: Vector) -> tuple[Vector, Matrix]:
        """Log partitions (g,) and probabilities (g, v) at `w` (k,)."""
        z = self.log_densities @ w
        top = z.max(axis=1)
        e = np.exp(z - top[:, None])
        total = e.sum(axis=1)
        return top + np.log(total), e / total[:, None]

    def value(self, w: Vector) -> float:
        """Objective (nats) at `w` (k,)."""
        return float(self.counts @ self.softmax(w)[0] - self.linear @ w)

    def gradient(self, w: Vector) -> Vector:
        """Gradient (k,) at `w` (k,)."""
        means = np.einsum("gv,gvk->gk", self.softmax(w)[1], self.log_densities)
        out: Vector = self.counts @ means - self.linear
        return out

    def hessian(self, w: Vector) -> Matrix:
        """Hessian (k, k) at `w` (k,)."""
        p = self.softmax(w)[1]
        centred = self.log_densities - np.einsum("gv,gvk->gk", p, self.log_densities)[:, None]
        rows = centred.reshape(-1, self.dim)
        out: Matrix = (rows.T * (self.counts[:, None] * p).ravel()) @ rows
        return 0.5 * (out + out.T)

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of the variable `w` (exponential cones)."""
        g, v, k = self.log_densities.shape
        rows = cvxpy.reshape(self.log_densities.reshape(g * v, k) @ w, (g, v), order="C")
        return self.counts @ cvxpy.log_sum_exp(rows, axis=1) - self.linear @ w

    def __repr__(self) -> str:
        return f"LogPartitionSumObjective(dim={self.dim}, n={len(self.counts)}, scale={self.scale:.3g})"
