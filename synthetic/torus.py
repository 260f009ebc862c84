r"""Laws of angles: wrapped normal mixtures on the torus ``[-pi, pi)^d``, and their KL barycenters.

The wrapped normal is the law of a normal angle modulo 2 pi,

    f(x; v) = sum_j N(x + 2 pi j; 0, v) = (1 / 2 pi) (1 + 2 sum_{n >= 1} exp(-n^2 v / 2) cos n x).

Three terms of the first series (v < 1) or nine of the second (v >= 1) leave less than rounding. Brownian motion adds
variance, so wrapped mixtures are closed under it; angles have no scale, so there is nothing else that could be done to
them. Functions here are periodic: points may be given on the line, as the particles of a reverse process are.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray, SeedLike
from ._validation import (
    as_count,
    as_finite,
    as_generator,
    as_laws,
    as_number,
    as_points,
    as_real,
    as_simplex,
    finite_result,
)
from .errors import CovarianceError, IntractableError, ShapeError
from .estimate import Estimate

__all__ = ["WrappedMixture", "WrappedPool", "torus_grid", "torus_total_variation", "wrap"]

_TURN = 2.0 * np.pi
_NOTHING = 80.0  # of n^2 v: beyond, harmonics are below rounding
_GRID = {1: 2048, 2: 256}  # nodes a side


def wrap(x: ArrayLike) -> Float64Array:
    """Angles in ``[-pi, pi)``."""
    angles = np.mod(as_finite("x", as_real("x", x)) + np.pi, _TURN) - np.pi
    return np.where(angles >= np.pi, -np.pi, angles)  # a tiny negative remainder rounds up to a full turn


@final
class WrappedMixture:
    """A mixture of wrapped normals with independent coordinates within a component.

    Parameters
    ----------
    weights : array_like, shape (m,)
        Component probabilities.
    means : array_like, shape (m, d)
        Angles in radians.
    variances : array_like, scalar, (m,) or (m, d)
        Variances of the angles before they are wrapped, positive.

    Raises
    ------
    SimplexError, ShapeError, NotFiniteError, CovarianceError
        If weights are off the simplex, shapes disagree, or a variance is not positive.

    Notes
    -----
    Evaluation of n points costs ``O(n m d)``, about 30 exponentials for each.
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, variances: ArrayLike) -> None:
        mu = as_finite("means", as_real("means", means))
        if mu.ndim != 2 or 0 in mu.shape:
            raise ShapeError(f"means must have shape (m, d) with m, d >= 1, got {mu.shape}")
        given = as_finite("variances", as_real("variances", variances))
        if given.shape not in ((), mu.shape[:1], mu.shape):
            raise ShapeError(f"variances must be a number or have shape (m,) or (m, d) = {mu.shape}, got {given.shape}")
        if not np.all(given > 0):
            raise CovarianceError(f"variances must be positive, got {given.min()!r}")
        self.weights: Float64Array = as_simplex(weights, len(mu))
        self.means: Float64Array = wrap(mu)
        spread = given[:, None] if given.ndim == 1 else given
        self.variances: Float64Array = np.broadcast_to(spread, mu.shape).copy()
        for array in (self.weights, self.means, self.variances):
            array.setflags(write=False)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return int(self.means.shape[1])

    def _parts(self, x: ArrayLike) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        """Log density (n,), responsibilities (m, n), and of components the score and its derivatives (m, n, d)."""
        points = np.asarray(as_points(x, self.dim), dtype=np.float64)
        shape = (len(self.weights), *points.shape)
        logs, first, second = np.empty(shape), np.empty(shape), np.empty(shape)
        for j, (mean, variance) in enumerate(zip(self.means, self.variances, strict=True)):
            for i in range(self.dim):
                logs[j, :, i], first[j, :, i], second[j, :, i] = _wrapped(points[:, i] - mean[i], float(variance[i]))
        with np.errstate(divide="ignore"):
            joint = np.log(self.weights)[:, None] + logs.sum(axis=2)
        total = np.logaddexp.reduce(joint, axis=0)
        return total, np.exp(joint - total), first, second

    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density at x (n, d) with respect to angles, shape (n,)."""
        return self._parts(x)[0]

    def score(self, x: ArrayLike) -> FloatArray:
        """Score at x (n, d), shape (n, d)."""
        return self.score_and_divergence(x)[0]

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score at x (n, d), shape (n,)."""
        return self.score_and_divergence(x)[1]

    def score_and_divergence(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Score (n, d) and divergence (n,) in one pass."""
        _, shares, first, second = self._parts(x)
        score = np.einsum("mn,mnd->nd", shares, first)
        squares = np.einsum("mn,mnd->n", shares, second + first**2)
        divergence = squares - np.einsum("nd,nd->n", score, score)
        points = np.asarray(x)
        return finite_result("score", points, score), finite_result("divergence", points, divergence)

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws (n, d) in ``[-pi, pi)``."""
        count = as_count("n", n, at_least=0)
        refuse_huge("a sample of n points", count, self.dim)
        generator = as_generator(rng)
        which = generator.choice(len(self.weights), count, p=self.weights)
        noise = generator.standard_normal((count, self.dim))
        return wrap(self.means[which] + np.sqrt(self.variances[which]) * noise)

    def diffuse(self, alpha: float, sigma: float) -> "WrappedMixture":
        """The law after Brownian motion of variance ``sigma^2``.

        Raises
        ------
        IntractableError
            Unless ``alpha`` is 1: multiples of an angle are not defined on the torus.
        """
        _refuse_scale("alpha", alpha)
        added = as_number("sigma", sigma) ** 2
        return WrappedMixture(self.weights, self.means, self.variances + added)

    def affine(self, scale: float, shift: ArrayLike = 0.0) -> "WrappedMixture":
        """The law turned by ``shift``; ``scale`` must be 1."""
        _refuse_scale("scale", scale)
        return WrappedMixture(self.weights, self.means + as_finite("shift", as_real("shift", shift)), self.variances)

    def __repr__(self) -> str:
        return f"WrappedMixture({len(self.weights)} components on the torus of dimension {self.dim})"


@final
class WrappedPool:
    """The KL barycenter ``prod_i p_i^{w_i} / Z`` of wrapped mixtures, exact by the trapezoidal rule (d = 1, 2).

    On periodic analytic functions that rule converges exponentially: nodes are 0.003 (d = 1) or 0.025 (d = 2) apart.

    Parameters
    ----------
    components : sequence of WrappedMixture
    weights : array_like, shape (k,)
        Simplex weights.

    Raises
    ------
    SyntheticError, ShapeError, SimplexError
        For other laws, several dimensions, or weights off the simplex.
    IntractableError
        If d > 2.
    """

    def __init__(self, components: Sequence[WrappedMixture], weights: ArrayLike) -> None:
        self.components: tuple[WrappedMixture, ...] = as_laws("components", components, WrappedMixture)
        self.weights: Float64Array = as_simplex(weights, len(self.components))
        if self.dim > 2:
            raise IntractableError(f"pools on the torus are integrated on a grid in d <= 2, got d = {self.dim}")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.components[0].dim

    def _pooled(self, x: ArrayLike) -> Float64Array:
        return np.asarray(sum(w * p.log_prob(x) for w, p in zip(self.weights, self.components, strict=True) if w > 0))

    @cached_property
    def _log_z(self) -> Estimate:
        values = self._pooled(torus_grid(self.dim)).reshape((_GRID[self.dim],) * self.dim)
        fine, coarse = (
            float(np.logaddexp.reduce(v, axis=None) + self.dim * np.log(_TURN) - np.log(v.size))
            for v in (values, values[(slice(None, None, 2),) * self.dim])
        )
        return Estimate(min(fine, 0.0), abs(fine - coarse), values.size, "quadrature")

    def log_partition(self) -> Estimate:
        """``log Z(w) <= 0``; its error is the change made by twice the step."""
        return self._log_z

    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density at x (n, d), shape (n,)."""
        return np.asarray(self._pooled(x) - self._log_z.value)

    def score(self, x: ArrayLike) -> FloatArray:
        """Score ``sum_i w_i grad log p_i`` at x (n, d), shape (n, d)."""
        return np.asarray(sum(w * p.score(x) for w, p in zip(self.weights, self.components, strict=True) if w > 0))

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score at x (n, d), shape (n,)."""
        return np.asarray(sum(w * p.divergence(x) for w, p in zip(self.weights, self.components, strict=True) if w > 0))

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws (n, d), exact: rejection from ``sum_i w_i p_i``, which dominates the geometric mean; Z is accepted.

        Raises
        ------
        IntractableError
            If less than one proposal in a thousand would be accepted.
        """
        count, generator = as_count("n", n, at_least=0), as_generator(rng)
        refuse_huge("a sample of n points", count, self.dim)
        if self._log_z.value < np.log(1e-3):
            raise IntractableError(f"Z = {np.exp(self._log_z.value):.2g}: these laws have almost no overlap")
        found = np.empty((0, self.dim))
        while len(found) < count:
            tries = int(min(1.2 * (count - len(found)) * np.exp(-self._log_z.value) + 64, 200_000))
            which = generator.choice(len(self.weights), tries, p=self.weights)
            x = np.concatenate(
                [p.sample(int((which == i).sum()), rng=generator) for i, p in enumerate(self.components)]
            )
            x = generator.permutation(x)
            used = [(np.log(w), p) for w, p in zip(self.weights, self.components, strict=True) if w > 0]
            proposal = np.logaddexp.reduce([log_w + p.log_prob(x) for log_w, p in used], axis=0)
            found = np.concatenate([found, x[np.log(generator.random(tries)) < self._pooled(x) - proposal]])
        return found[:count]

    def __repr__(self) -> str:
        return f"WrappedPool(k={len(self.components)}, d={self.dim}, weights={np.round(self.weights, 4).tolist()})"


def torus_grid(dim: int) -> Float64Array:
    """Nodes (N, d) of the trapezoidal rule, d = 1 or 2, the first coordinate slowest; each has mass ``(2 pi)^d / N``.

    Raises
    ------
    IntractableError
        For other dimensions.
    """
    d = as_count("dim", dim)
    if d not in _GRID:
        raise IntractableError(f"laws on the torus are integrated on a grid in d <= 2, got d = {d}")
    side = np.arange(_GRID[d]) * (_TURN / _GRID[d]) - np.pi
    return np.stack(np.meshgrid(*[side] * d, indexing="ij"), axis=-1).reshape(-1, d)


def torus_total_variation(p: WrappedMixture | WrappedPool, q: WrappedMixture | WrappedPool) -> Estimate:
    """Total variation of two laws on the torus, d <= 2, on the grid of :func:`torus_grid`."""
    p, q = as_laws("laws", [p, q], WrappedMixture, WrappedPool)
    nodes = torus_grid(p.dim)
    gap = np.abs(np.exp(p.log_prob(nodes)) - np.exp(q.log_prob(nodes)))
    cell = _TURN**p.dim / len(nodes)
    rows = gap.reshape((_GRID[p.dim],) * p.dim)[(slice(None, None, 2),) * p.dim]
    value = 0.5 * cell * float(gap.sum())
    return Estimate(min(value, 1.0), abs(value - 0.5 * cell * 2**p.dim * float(rows.sum())), len(nodes), "quadrature")


def _wrapped(x: Float64Array, variance: float) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Log density of a wrapped normal at angles x (n,), and its two derivatives."""
    if variance < 1.0:
        near = wrap(x)
        distances = near + _TURN * np.arange(-1, 2)[:, None]
        shares = np.exp(0.5 * (near**2 - distances**2) / variance)  # of the nearest image 1
        total = shares.sum(axis=0)
        first = -(shares * distances).sum(axis=0) / (variance * total)
        second = (shares * distances**2).sum(axis=0) / (variance**2 * total) - first**2 - 1.0 / variance
        return np.log(total) - 0.5 * near**2 / variance - 0.5 * np.log(_TURN * variance), first, second
    density, slope, bend = np.ones_like(x), np.zeros_like(x), np.zeros_like(x)
    for n in range(1, math.ceil(math.sqrt(_NOTHING / variance)) + 1):
        strength = 2.0 * math.exp(-0.5 * n**2 * variance)
        cosine = strength * np.cos(n * x)
        density += cosine
        slope -= n * strength * np.sin(n * x)
        bend -= n**2 * cosine
    first = slope / density
    return np.log(density / _TURN), first, bend / density - first**2


def _refuse_scale(name: str, value: float) -> None:
    if as_number(name, value) != 1.0:
        raise IntractableError(
            f"{name} must be 1 on the torus, got {value!r}: use a process with alpha = 1, such as Karras()"
        )
