r"""Tensor-grid quadrature on R^1 and R^2 for laws built from Gaussian mixtures.

The trapezoidal rule converges faster than any power for smooth integrands that vanish at both ends, so a grid that
covers every component to 12 standard deviations at a fraction of the smallest one is exact to rounding. Nothing here
needs to know the integrand: only the mixtures that bound its scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ._memory import refuse_huge
from ._typing import Float64Array
from ._validation import as_finite, as_laws, as_points, as_positive
from .errors import IntractableError
from .gaussian_mixture import GaussianMixture
from .law import Law, components_of

_REACH = 12.0  # standard deviations covered beyond the outermost mean
_STEPS_PER_STD = {1: 16.0, 2: 5.0}
_SMALLEST = {1: 2001, 2: 129}
_SLACK = 0.1  # in the log of an envelope, for what happens between nodes
_LARGEST = {1: 2_000_001, 2: 1201}


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes (n, r) of a tensor grid, its axes, and the volume of one cell (the trapezoidal weight)."""

    axes: tuple[Float64Array, ...]
    nodes: Float64Array
    cell: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes per axis."""
        return tuple(len(axis) for axis in self.axes)


def can_cover(*laws: Law) -> bool:
    """Whether laws live on R^1 or R^2 and are made of mixtures whose scale is known there: what :func:`cover` needs."""
    return all(law.dim <= 2 and gaussian_components(law) for law in laws)


def gaussian_components(law: Law) -> tuple[GaussianMixture, ...]:
    """Mixtures on the law's own space of which it is made; empty if it does not say, or they are embedded ones."""
    parts = components_of(law)
    return () if any(part.embedding is not None for part in parts) else parts  # type: ignore[return-value]


def cover(laws: Sequence[Law], *, refine: float = 1.0) -> Grid:
    """Grid covering every component of the given laws on R^1 or R^2.

    Parameters
    ----------
    laws : sequence of GaussianMixture or LogLinearPool
        Laws of one dimension r, 1 or 2.
    refine : float
        Multiplies the number of nodes per standard deviation.

    Raises
    ------
    ShapeError
        If there are no laws, or their dimensions differ.
    IntractableError
        If r > 2, a law does not say of which mixtures it is made, or the ratio of extent to smallest standard deviation
        would need too many nodes.
    """
    refine, laws = as_positive("refine", refine), as_laws("laws", laws)
    r = laws[0].dim
    if r > 2:
        raise IntractableError(f"quadrature needs intrinsic rank at most 2, got {r}; use a Monte Carlo estimate")
    for law in laws:
        if not gaussian_components(law):
            raise IntractableError(
                f"{law!r} does not say of which mixtures on R^{r} it is made; their scale sets the grid"
            )
    mixtures = [part for law in laws for part in gaussian_components(law)]
    alive = [np.flatnonzero(p.weights) for p in mixtures]
    means = np.concatenate([p.means[a] for p, a in zip(mixtures, alive, strict=True)])
    spectra = [p.spectrum.subset(a) for p, a in zip(mixtures, alive, strict=True)]
    stds = np.concatenate([np.sqrt(np.einsum("mdd->md", spectrum.dense())) for spectrum in spectra])
    finest = min(float(np.sqrt(spectrum.values.min())) for spectrum in spectra)
    axes = []
    for e in range(r):
        centres, spread = means[:, e], stds[:, e]
        low, high = float((centres - _REACH * spread).min()), float((centres + _REACH * spread).max())
        wanted = int(np.ceil((high - low) / finest * _STEPS_PER_STD[r] * refine)) + 1
        count = max(wanted, int(np.ceil(_SMALLEST[r] * refine))) | 1  # odd: every other node is a coarser grid
        if count > _LARGEST[r] * refine:
            raise IntractableError(
                f"quadrature along axis {e} would need {count} nodes (limit {_LARGEST[r]}): the extent "
                f"{high - low:.3g} is too large for the smallest standard deviation {finest:.3g}"
            )
        axes.append(np.linspace(low, high, count))
    refuse_huge("the nodes", *map(len, axes), r, beside=2 * math.prod(map(len, axes)))
    mesh = np.meshgrid(*axes, indexing="ij")
    nodes = np.stack([part.ravel() for part in mesh], axis=1)
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    return Grid(tuple(axes), nodes, cell)


@final
class GridLaw:
    """Piecewise-constant law on the cells of a tensor grid: an envelope of any density known on its nodes.

    Each cell carries the largest of its corner values, enlarged for what happens between them.
    """

    def __init__(self, log_values: Float64Array, grid: Grid) -> None:
        corners = log_values.reshape(grid.shape)
        for axis in range(corners.ndim):
            low, high = (tuple(part if e == axis else slice(None) for e in range(corners.ndim)) for part in _ENDS)
            corners = np.maximum(corners[low], corners[high])
        self.axes = grid.axes
        self.top = float(corners.max())
        heights = np.exp(corners - self.top + _SLACK).ravel()
        self.cumulative = np.cumsum(heights)
        self.log_mass = self.top + float(np.log(self.cumulative[-1] * grid.cell))
        with np.errstate(divide="ignore"):
            self._log_density = np.log(heights / self.cumulative[-1] / grid.cell)
        self._shape = corners.shape

    def sample(self, n: int, *, rng: np.random.Generator) -> Float64Array:
        """Draw n points, (n, r)."""
        cell = np.searchsorted(self.cumulative, rng.random(n) * self.cumulative[-1], side="right")
        index = np.unravel_index(np.minimum(cell, len(self.cumulative) - 1), self._shape)
        corner = np.column_stack([axis[i] for axis, i in zip(self.axes, index, strict=True)])
        return np.asarray(corner + rng.random(corner.shape) * [axis[1] - axis[0] for axis in self.axes])

    def log_prob(self, x: Float64Array) -> Float64Array:
        """Log density at points (n, r), shape (n,); -inf outside the grid."""
        x = as_finite("x", as_points(x, len(self.axes)))
        steps = [axis[1] - axis[0] for axis in self.axes]
        beyond = [np.maximum(axis[0] - x[:, e], x[:, e] - axis[-1]) for e, axis in enumerate(self.axes)]
        outside = np.any([b > 1e-9 * step for b, step in zip(beyond, steps, strict=True)], axis=0)
        index = tuple(
            np.clip((x[:, e] - axis[0]) / step, 0, len(axis) - 2).astype(np.intp)
            for e, (axis, step) in enumerate(zip(self.axes, steps, strict=True))
        )
        return np.where(outside, -np.inf, self._log_density[np.ravel_multi_index(index, self._shape)])


_ENDS = (slice(None, -1), slice(1, None))


def log_integral(log_values: Float64Array, grid: Grid) -> tuple[float, float]:
    """Log of the integral of ``exp(log_values)`` over the grid, and its change against half the resolution."""
    top = float(log_values.max())
    values = np.exp(log_values - top).reshape(grid.shape)
    fine = float(values.sum()) * grid.cell
    every_other = values[tuple(slice(None, None, 2) for _ in grid.axes)]
    coarse = float(every_other.sum()) * grid.cell * 2 ** len(grid.axes)
    return top + float(np.log(fine)), abs(float(np.log(coarse / fine)))
