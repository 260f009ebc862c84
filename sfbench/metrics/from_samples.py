r"""Distances of a sample to an exact law: total variation on the line, and mode masses.

A histogram compared with exact bin masses ``p_b`` is never 0: at the truth its total variation is about

    floor = 1/2 sum_b sqrt(2 p_b (1 - p_b) / (pi n)),

which for 8,000 points is 0.02-0.04. Every estimate here names its floor, and only the excess over it is evidence.
"""

from typing import Literal, Protocol

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate, GaussianMixture, as_gaussian_mixture
from synthetic._memory import refuse_huge

from .._internal.aliases import Float64Array, FloatArray
from .._internal.validation import as_choice, as_count, as_real
from ..errors import NotFiniteError, SfbenchError

_GRID = 4096
_MOST_BINS = 1 << 20
_MASS_TOLERANCE = 1e-3


class LawOnTheLine(Protocol):
    """A law with a log density on R."""

    def log_prob(self, x: Float64Array) -> FloatArray:
        """Log density at x (n, 1), shape (n,)."""


def total_variation_from_samples(
    x: ArrayLike,
    law: LawOnTheLine,
    *,
    log_weights: ArrayLike | None = None,
    method: Literal["histogram", "kde"] = "histogram",
    n_bins: int | None = None,
) -> Estimate:
    """Total variation between a (weighted) sample on the line and an exact law.

    Parameters
    ----------
    x : array_like (n,) or (n, 1)
        Sample.
    law : object with ``log_prob``
        The exact law.
    log_weights : array_like (n,), optional
        Log weights of the sample, up to a constant.
    method : {"histogram", "kde"}
        Bins of equal probability under the law, or a Gaussian kernel estimate against the law smoothed by that kernel.
        Both bound the total variation from below up to noise; the kernel's floor is lower.
    n_bins : int, optional
        Default: the cube root of the effective sample size, at least 8.

    Returns
    -------
    Estimate
        ``method`` names the floor; :func:`total_variation_floor` gives it as a number.
    """
    return _total_variation(x, law, log_weights, method, n_bins)[0]


def total_variation_floor(
    x: ArrayLike,
    law: LawOnTheLine,
    *,
    log_weights: ArrayLike | None = None,
    method: Literal["histogram", "kde"] = "histogram",
    n_bins: int | None = None,
) -> float:
    """What :func:`total_variation_from_samples` would report on average if x did follow the law."""
    return _total_variation(x, law, log_weights, method, n_bins)[1]


def mode_mass_error(x: ArrayLike, mixture: GaussianMixture, *, log_weights: ArrayLike | None = None) -> Estimate:
    """Total variation between the mode masses of a sample (n, d) and the weights of a mixture.

    A point counts for every component by its posterior responsibility, whose mean under the mixture is exactly the
    component's weight, so there is no assignment bias however much the modes overlap.
    """
    if mixture is None or as_gaussian_mixture(mixture) is not mixture:
        raise SfbenchError(f"mode masses are those of a GaussianMixture, got a {type(mixture).__name__}")
    points, w = weighted_points(x, log_weights)
    if points.shape[1] != mixture.dim:
        raise SfbenchError(f"the sample lives in {points.shape[1]} dimensions, the mixture in {mixture.dim}")
    components = zip(mixture.means, mixture.covariances, strict=True)
    logs = [GaussianMixture([1.0], mean[None], spread[None]).log_prob(points) for mean, spread in components]
    with np.errstate(divide="ignore"):
        resp = scipy.special.softmax(np.stack(logs, axis=1) + np.log(mixture.weights), axis=1)
    gap = w @ resp - mixture.weights
    influence = 0.5 * (resp @ np.sign(gap))
    centred = influence - w @ influence
    return Estimate(0.5 * float(np.abs(gap).sum()), float(np.sqrt(w**2 @ centred**2)), len(points), "responsibilities")


def weighted_points(x: ArrayLike, log_weights: ArrayLike | None, name: str = "x") -> tuple[Float64Array, Float64Array]:
    """Points (n, d) and normalised weights (n,), refusing values that are not finite.

    Points of weight zero (lost trajectories) are left out.
    """
    given = as_real(name, x)
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2 or 0 in given.shape:
        raise SfbenchError(f"{name} must have shape (n, d) with n, d >= 1, got {given.shape}")
    refuse_huge(f"{name}, in double precision,", *given.shape)
    points: Float64Array = given.astype(np.float64, copy=False)
    if log_weights is None:
        w = np.full(len(points), 1.0 / len(points))
    else:
        logs: Float64Array = as_real("log_weights", log_weights).astype(np.float64, copy=False)
        if logs.shape != (len(points),) or np.any(np.isnan(logs)) or not np.isfinite(logs.max()):
            raise SfbenchError(f"log_weights must have shape ({len(points)},), no NaN and a finite maximum")
        kept = logs > -np.inf
        points, w = points[kept], np.exp(logs[kept] - logs.max())
        w /= w.sum()
    if not np.all(np.isfinite(points)):
        row = int(np.argmin(np.isfinite(points).all(axis=1)))
        raise NotFiniteError(
            f"{name}[{row}] is {points[row]}; lost trajectories must be dropped or weighted explicitly"
        )
    return points, w


def weighted_pair(
    x: ArrayLike, y: ArrayLike, x_log_weights: ArrayLike | None = None, y_log_weights: ArrayLike | None = None
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Points and weights of two samples in one space."""
    a, v = weighted_points(x, x_log_weights)
    b, w = weighted_points(y, y_log_weights, "y")
    if a.shape[1] != b.shape[1]:
        raise SfbenchError(f"samples must live in one dimension, got {a.shape[1]} and {b.shape[1]}")
    return a, v, b, w


def _total_variation(
    x: ArrayLike, law: LawOnTheLine, log_weights: ArrayLike | None, method: str, n_bins: int | None
) -> tuple[Estimate, float]:
    """The estimate and its floor."""
    points, w = weighted_points(x, log_weights)
    if points.shape[1] != 1:
        raise SfbenchError(f"this total variation is for samples on the line, got dimension {points.shape[1]}")
    if not hasattr(law, "log_prob") or getattr(law, "dim", 1) != 1:
        raise SfbenchError(f"law must be a law on the line with `log_prob`, got {law!r}")
    values = points[:, 0]
    effective = 1.0 / float(w @ w)
    as_choice("method", method, ("histogram", "kde"))
    count = max(8, round(effective ** (1.0 / 3.0))) if n_bins is None else n_bins
    count = as_count("n_bins", count, at_least=2, at_most=_MOST_BINS)
    grid, cumulative = _cdf(values, law)
    if method == "histogram":
        edges = np.interp(np.linspace(0.0, 1.0, count + 1)[1:-1], cumulative / cumulative[-1], grid)
        p = np.diff(np.concatenate([[0.0], np.interp(edges, grid, cumulative), [1.0]]))
        q = np.bincount(np.searchsorted(edges, values), weights=w, minlength=count).astype(np.float64)
        floor = 0.5 * float(np.sqrt(2.0 * p * (1.0 - p) / (np.pi * effective)).sum())
        how = f"histogram, {count} bins"
    else:
        p, q, bandwidth = _smoothed(values, w, grid, cumulative, effective)
        floor = _kernel_floor(p, float(grid[-1] - grid[0]) / len(p), bandwidth, effective)
        how = f"kernel of bandwidth {bandwidth:.3g}"
    error = 0.5 * np.sqrt(max(0.0, 1.0 - float(np.sign(q - p) @ q) ** 2) / effective)
    return Estimate(0.5 * float(np.abs(q - p).sum()), float(error), len(values), f"{how}, floor {floor:.3g}"), floor


def _cdf(values: Float64Array, law: LawOnTheLine) -> tuple[Float64Array, Float64Array]:
    """Grid and distribution function of the law; the grid grows until it holds the law."""
    centre, half = float(np.median(values)), float(np.ptp(values)) + 1e-6
    for _ in range(20):
        grid = np.linspace(centre - half, centre + half, 8 * _GRID + 1)
        density = np.exp(np.asarray(law.log_prob(grid[:, None]), np.float64))
        step = grid[1] - grid[0]
        cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * step)])
        if abs(float(cumulative[-1]) - 1.0) < _MASS_TOLERANCE and max(density[0], density[-1]) * half < 1e-9:
            return grid, cumulative / cumulative[-1]
        if float(cumulative[-1]) > 1.0 + _MASS_TOLERANCE:
            break
        half *= 1.5
    raise SfbenchError(f"the law's density integrates to {cumulative[-1]:.6g} around the sample; is it normalised?")


def _smoothed(
    values: Float64Array, w: Float64Array, grid: Float64Array, cumulative: Float64Array, effective: float
) -> tuple[Float64Array, Float64Array, float]:
    """Cell masses of law and sample, both convolved with one Gaussian kernel."""
    quartiles = np.interp([0.25, 0.75], np.cumsum(w[np.argsort(values)]), np.sort(values))
    spread = min(float(np.sqrt(w @ (values - w @ values) ** 2)), float(quartiles[1] - quartiles[0]) / 1.349 or np.inf)
    bandwidth = 0.3 * spread * effective**-0.2  # a third of the usual rule: laws here have several modes
    edges = np.linspace(grid[0], grid[-1], _GRID + 1)
    p = np.diff(np.interp(edges, grid, cumulative))
    q = np.histogram(values, edges, weights=w)[0].astype(np.float64)
    frequency = np.fft.rfftfreq(2 * _GRID, d=float(edges[1] - edges[0]))
    damping = np.exp(-2.0 * (np.pi * frequency * bandwidth) ** 2)
    smooth = [np.fft.irfft(np.fft.rfft(np.concatenate([m, np.zeros(_GRID)])) * damping)[:_GRID] for m in (p, q)]
    return np.asarray(smooth[0]), np.asarray(smooth[1]), bandwidth


def _kernel_floor(p: Float64Array, cell: float, bandwidth: float, effective: float) -> float:
    """Mean total variation of a kernel estimate of the smoothed law p itself.

    The variance of a kernel estimate is ``density * int K^2 / n`` with ``int K^2 = 1 / (2 sqrt(pi) bandwidth)``.
    """
    density = np.maximum(p, 0.0) / cell
    deviation = np.sqrt(density / (2.0 * np.sqrt(np.pi) * bandwidth * effective))
    return 0.5 * float(np.sqrt(2.0 / np.pi) * deviation.sum() * cell)
