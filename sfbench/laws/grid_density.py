r"""A density on a grid of intervals, with what is known about its own error."""

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
from numpy.typing import ArrayLike

from synthetic import Estimate

from .._internal.aliases import Float64Array, FloatArray, SeedLike
from .._internal.validation import as_generator
from ..errors import GridError


class HasLogProb(Protocol):
    """Anything with a log density on the line."""

    def log_prob(self, x: Float64Array) -> FloatArray:
        """Log density at x (n, 1), shape (n,)."""


@final
@dataclass(frozen=True, eq=False)
class GridDensity:
    """Piecewise constant density on R.

    Attributes
    ----------
    edges : array (c + 1,)
        Increasing cell edges.
    density : array (c,)
        Non-negative cell averages; they integrate to one.
    error : float
        Estimate of the total variation to the law meant (discretisation in space and time together).
    method : str
        How it was computed.
    log_error : array (c,), optional
        Estimated error of the log density per cell; what a KL divergence from another law inherits.
    """

    edges: Float64Array
    density: Float64Array
    error: float
    method: str
    log_error: Float64Array | None = None

    def __post_init__(self) -> None:
        edges, density = np.asarray(self.edges, np.float64), np.asarray(self.density, np.float64)
        if edges.ndim != 1 or density.shape != (len(edges) - 1,) or np.any(np.diff(edges) <= 0):
            raise GridError(f"need c + 1 increasing edges and c values, got {edges.shape} and {density.shape}")
        if not (np.all(np.isfinite(edges)) and np.all(np.isfinite(density))) or np.any(density < 0):
            raise GridError("edges and density must be finite and the density non-negative")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "density", density / (density @ np.diff(edges)))

    @property
    def dim(self) -> int:
        """1."""
        return 1

    @property
    def widths(self) -> Float64Array:
        """Cell widths (c,)."""
        return np.diff(self.edges)

    @property
    def centres(self) -> Float64Array:
        """Cell midpoints (c,)."""
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))

    @property
    def masses(self) -> Float64Array:
        """Cell probabilities (c,)."""
        return np.asarray(self.density * self.widths)

    def cdf(self, x: ArrayLike) -> Float64Array:
        """Distribution function, elementwise in x."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.masses)])
        return np.asarray(np.interp(np.asarray(x, np.float64), self.edges, cumulative / cumulative[-1]))

    def mass(self, low: float, high: float) -> float:
        """Probability of the interval (low, high]."""
        ends = self.cdf([low, high])
        return float(ends[1] - ends[0])

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log density at x (n, 1), shape (n,), interpolated linearly in the logarithm; -inf outside the grid."""
        points = np.asarray(x, np.float64)
        if points.ndim != 2 or points.shape[1] != 1:
            raise GridError(f"x must have shape (n, 1), got {points.shape}")
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(self.density, 1e-320))
        out = np.interp(points[:, 0], self.centres, logs)
        out[(points[:, 0] < self.edges[0]) | (points[:, 0] > self.edges[-1])] = -np.inf
        return out

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws (n, 1), uniform within cells."""
        generator = as_generator(rng)
        cumulative = np.concatenate([[0.0], np.cumsum(self.masses)])
        return np.interp(generator.random(n), cumulative / cumulative[-1], self.edges)[:, None]

    def raw_moments(self, of: object = None) -> tuple[Float64Array, Float64Array]:
        """``E X`` and ``E X^2``, each (1,), of the piecewise constant density; ``of`` is for laws made of others."""
        first, second = (self.density @ np.diff(self.edges**power / power) for power in (2, 3))
        return np.array([first]), np.array([second])

    def total_variation(self, other: "HasLogProb | GridDensity") -> Estimate:
        """Total variation to another law on the line; ``stderr`` is the error of this density."""
        return Estimate(
            0.5 * float(np.abs(self.masses - self._masses_of(other)).sum()) + 0.5 * self._outside(other),
            self.error,
            len(self.density),
            self.method,
        )

    def kl_from(self, other: HasLogProb) -> Estimate:
        """``KL(other || self)`` in nats, by Simpson's rule; ``stderr`` is the mean error of the log density."""
        nodes, weights = self._simpson()
        log_q = np.asarray(other.log_prob(nodes.reshape(-1, 1)), np.float64)
        log_p = self.log_prob(nodes.reshape(-1, 1))
        q = np.exp(log_q)
        value = float(np.where(q > 0, q * (log_q - log_p), 0.0) @ weights.ravel())
        error = self.error if self.log_error is None else float(self._masses_of(other) @ self.log_error)
        return Estimate(value, error, len(self.density), self.method)

    # ------------------------------------------------------------------ cells of other laws
    def _simpson(self) -> tuple[Float64Array, Float64Array]:
        nodes = np.stack([self.edges[:-1], self.centres, self.edges[1:]])
        return nodes, np.array([[1.0], [4.0], [1.0]]) / 6.0 * self.widths

    def _masses_of(self, other: "HasLogProb | GridDensity") -> Float64Array:
        if isinstance(other, GridDensity):  # its own kind, whose cells are summed exactly
            return np.diff(other.cdf(self.edges))
        nodes, weights = self._simpson()
        densities = np.exp(np.asarray(other.log_prob(nodes.reshape(-1, 1)), np.float64)).reshape(nodes.shape)
        return np.asarray((densities * weights).sum(axis=0))

    def _outside(self, other: "HasLogProb | GridDensity") -> float:
        return max(0.0, 1.0 - float(self._masses_of(other).sum()))

    def __repr__(self) -> str:
        return f"GridDensity({len(self.density)} cells, error {self.error:.2g}, {self.method})"
