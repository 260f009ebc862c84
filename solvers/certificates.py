r"""Certificates that need no reference solution.

For convex f and w in the simplex, the Frank-Wolfe duality gap

.. math:: g(w) = \langle \nabla f(w), w \rangle - \min_i \nabla_i f(w)
               = \sum_i w_i (\nabla_i f(w) - \min_j \nabla_j f(w))

bounds the excess, :math:`g(w) \ge f(w) - \min f`, and vanishes exactly at minimisers (Frank and Wolfe 1956, Jaggi
2013).
The second form is a sum of non-negative terms, so rounding cannot make it negative.

Uniqueness of a quadratic minimiser: f is constant along d from w exactly when ``Pd = 0``, ``q'd = 0``, ``1'd = 0``; and
a minimiser can only move within Z, the indices with w_i > 0 or vanishing slack.
"""

from __future__ import annotations

import math

import numpy as np

from .errors import SolverFailureError
from .problem import Matrix, Vector, cholesky_succeeds
from .validation import EPS

_FEW = 40
DUST = 1e-15  # a weight below this is rounding; zero says that an auxiliary is not used
_SLACK = 1e-9  # relative slack under which an unused weight may still belong to another minimiser


def onto_simplex(weights: Vector, k: int, name: str, dust: float = DUST) -> Vector:
    """Set what is negative or at most `dust` to zero and divide by the sum, in float64.

    Raises
    ------
    SolverFailureError
        If `weights` is not of shape (k,), holds NaN or infinity, or no positive entry.
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (k,):
        raise SolverFailureError(f"solver {name!r} returned weights of shape {w.shape}, not ({k},)")
    if k <= _FEW:  # on a few numbers a list takes a third of the time of six calls of numpy
        values = w.tolist()
        positive = [v if v > dust else 0.0 for v in values]
        total = sum(positive)
        if 0.0 < total < math.inf and sum(values) == sum(values):  # NaN is not equal to itself
            return np.array([v / total for v in positive])
    else:
        w = np.maximum(w, 0.0)  # keeps NaN, and leaves no negative zero
        w *= w > dust
        total = float(w.sum())
        if 0.0 < total < math.inf:
            w /= total
            return w
    raise SolverFailureError(f"{name} returned weights {weights}, not on the simplex; use another solver")


def duality_gap(w: Vector, gradient: Vector) -> float:
    """Frank-Wolfe gap at `w` (k,) with `gradient` (k,), in the units of the objective."""
    return float(w @ (gradient - gradient.min()))


def null_directions(w: Vector, hessian: Matrix, gradient: Vector) -> Matrix:
    """Orthonormal basis (k, m) of the directions in which a minimiser may move; m = 0 when it is unique.

    `hessian` (k, k) and `gradient` (k,) are those of the objective at the minimiser `w` (k,), normalised to scale about
    1. An eigenvalue below ``10 k eps trace`` counts as zero. Cost: one Cholesky factorisation when the minimiser is
    unique, one eigendecomposition otherwise, of the size of the support.
    """
    k = len(w)
    slack = gradient - gradient[gradient.argmin()]
    # Too many candidates do no harm: along the directions found below, value and certificate stay as they are.
    inexact = 2.0 * float(slack[w > 1e-6].max(initial=0.0))
    free = ((w > 0.0) & (slack < 1e-3) | (slack <= max(_SLACK, inexact))).nonzero()[0]
    none = np.empty((k, 0))
    if len(free) < 2:
        return none
    block = hessian if len(free) == k else hessian[free[:, None], free]
    trace = sum(block.diagonal().tolist())
    weight = 1.0 + trace / len(free)
    # P + weight 11' is singular exactly along null vectors of P that sum to zero.
    bordered = block + weight
    limit = 10 * k * EPS * (trace + weight)
    if cholesky_succeeds(bordered, -limit):
        return none
    eigenvalues, vectors = np.linalg.eigh(bordered)
    basis = vectors[:, eigenvalues <= limit]
    # Along the flat directions the objective is linear; keep those where it is constant.
    slope = basis.T @ slack[free]
    if np.abs(slope).max(initial=0.0) > 1e-7:
        direction = slope / np.linalg.norm(slope)
        reflected = np.linalg.qr(np.column_stack([direction, np.eye(len(slope))]))[0]
        basis = basis @ reflected[:, 1 : len(slope)]
    out = np.zeros((k, basis.shape[1]))
    out[free] = basis
    return out
