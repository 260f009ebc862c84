"""Small problems with known answers, for the conformance suite. Everything is drawn from a fixed seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..problem import Matrix, SimplexQP, Vector


def random_qp(k: int, rank: int, seed: int) -> SimplexQP:
    """A Gram problem ``1/2 |A'w - y|^2 / rank`` in general position, `A` (k, rank)."""
    rng = np.random.default_rng([k, rank, seed])
    A, y = rng.normal(size=(k, rank)), rng.normal(size=rank)
    return SimplexQP(A @ A.T / rank, -(A @ y) / rank, 0.5 * float(y @ y) / rank)


def separable_qp(target: Vector, curvature: Vector) -> SimplexQP:
    """Minimiser `target` (k,) in closed form: ``1/2 sum_i curvature_i (w_i - target_i)^2``."""
    return SimplexQP(np.diag(curvature), -curvature * target, 0.5 * float(curvature @ target**2))


def duplicated(problem: SimplexQP, index: int) -> SimplexQP:
    """The same problem with auxiliary `index` listed once more, at the end."""
    rows = np.append(np.arange(problem.dim), index)
    return SimplexQP(problem.P[np.ix_(rows, rows)], problem.q[rows], problem.r)


def grid_minimum(problem: SimplexQP, n: int = 400) -> float:
    """Smallest value over a grid of the simplex with `n` steps an axis; k <= 3."""
    axis = np.arange(n + 1) / n
    if problem.dim == 2:
        points = np.column_stack([axis, 1.0 - axis])
    else:
        a, b = np.meshgrid(axis, axis)
        points = np.column_stack([a.ravel(), b.ravel(), 1.0 - a.ravel() - b.ravel()])
        points = points[points[:, 2] >= -1e-12].clip(0.0)
    values = 0.5 * np.einsum("ni,ij,nj->n", points, problem.P, points) + points @ problem.q + problem.r
    return float(values.min())


def tangent_modulus(problem: SimplexQP) -> float:
    """Strong-convexity modulus along the simplex: the smallest eigenvalue of P on ``1'd = 0``."""
    k = problem.dim
    centring: Matrix = np.eye(k) - 1.0 / k
    return float(np.linalg.eigvalsh(centring @ problem.P @ centring)[1])


@dataclass(frozen=True)
class SoftMaximum:
    """A smooth convex objective that is not quadratic: ``log sum_j exp((A w)_j)``, `A` (m, k)."""

    A: Matrix

    @property
    def dim(self) -> int:
        """Number of weights."""
        return int(self.A.shape[1])

    @property
    def scale(self) -> float:
        """Largest entry of `A`, the size of the variation over the simplex."""
        return float(np.abs(self.A).max())

    def _mixture(self, w: Vector) -> tuple[float, Vector]:
        z = self.A @ w
        e = np.exp(z - z.max())
        return float(z.max() + np.log(e.sum())), e / e.sum()

    def value(self, w: Vector) -> float:
        """Objective at `w` (k,)."""
        return self._mixture(w)[0]

    def gradient(self, w: Vector) -> Vector:
        """``A' softmax(A w)``, (k,)."""
        out: Vector = self.A.T @ self._mixture(w)[1]
        return out

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of `w`."""
        return cvxpy.log_sum_exp(self.A @ w)

    def hessian(self, w: Vector) -> Matrix:
        """``A' (diag p - p p') A``, (k, k)."""
        p = self._mixture(w)[1]
        mean = self.A.T @ p
        out: Matrix = (self.A.T * p) @ self.A - np.outer(mean, mean)
        return out
