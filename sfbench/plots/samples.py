"""Samples beside the law that they should follow, or beside data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.arrays import to_host
from .._internal.validation import as_count, as_generator, as_points
from ..errors import SfbenchError
from .axes import COLOURS, as_axes, finished

_MOST_POINTS, _CELLS, _BINS, _CURVE = 2000, 120, 60, 400


def plot_samples(sample: Any, law: Any = None, *, coordinates: Sequence[int] = (0, 1), ax: Any = None) -> Any:
    """Points on the line as a histogram, others in two of their coordinates; with the law they should follow, or data.

    Parameters
    ----------
    sample : SampleResult or array_like, shape (n, d)
        Weighted points count with their weights; beyond the line 2,000 of them are shown.
    law : law with ``log_prob``, or ``sample(n, rng=)``, or array_like, shape (m, d), optional
        Densities are drawn on the line and in the plane; in higher dimensions, points of the law.
    coordinates : pair of int
        Axes of the figure where d is above 2.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    SfbenchError
        For points, laws or coordinates that do not fit; the message says which.

    Examples
    --------
    >>> import matplotlib, sfbench
    >>> matplotlib.use("Agg")
    >>> from synthetic import make_problem
    >>> problem = make_problem("paper_mixture_1d", scale=6.0)
    >>> ax = sfbench.plot_samples(problem.target.sample(500, rng=0), problem.target)
    >>> ax.get_xlabel()
    'x'
    """
    x, weights = _points("sample", sample)
    d, data = x.shape[1], None
    if law is not None and not hasattr(law, "log_prob") and not hasattr(law, "sample"):
        data = _points("law", law)
    wanted = data[0].shape[1] if data else getattr(law, "dim", d)
    if wanted != d:
        raise SfbenchError(f"law has dimension {wanted}, sample has {d}")
    name, curve = ("data", False) if data else ("law", hasattr(law, "log_prob") and d <= 2)
    if law is not None and data is None and not curve:
        data = _drawn(law)
    if d == 1:
        ax = as_axes(ax, 5.4, 3.2)
        before = ax.get_xlim() if ax.has_data() else (np.inf, -np.inf)
        low, high = (float(end) for end in np.quantile(x, [0.001, 0.999]))
        margin = 0.1 * max(high - low, 1e-9)
        span = (low - margin, high + margin)
        ax.hist(x[:, 0], _BINS, range=span, weights=weights, density=True, color=COLOURS[0], alpha=0.45, label="sample")
        if curve:
            grid = np.linspace(*span, _CURVE)
            ax.plot(grid, np.exp(law.log_prob(grid[:, None])), color=COLOURS[1], label=name)
        elif data:
            options: dict[str, Any] = {"density": True, "histtype": "step", "color": COLOURS[1], "label": name}
            ax.hist(data[0][:, 0], _BINS, range=span, weights=data[1], **options)
        wide = (min(span[0], before[0]), max(span[1], before[1]))  # of used axes, nothing is cut
        ax.set(xlabel="x", ylabel="density", xlim=wide)
    else:
        i, j = _pair(coordinates, d)
        ax = as_axes(ax, 5.0, 4.0)
        clouds = [(data, COLOURS[1], name)] if data else []
        for points, colour, label in [*clouds, ((x, weights), COLOURS[0], "sample")]:
            shown = _equal(*points)
            ax.plot(shown[:, i], shown[:, j], ".", color=colour, markersize=3, alpha=0.5, label=label)
        if curve:
            _contours(ax, law)
        ax.set(xlabel=f"x[{i}]", ylabel=f"x[{j}]", aspect="equal")
        shared = any(len(group.get_siblings(ax)) > 1 for group in (ax.get_shared_x_axes(), ax.get_shared_y_axes()))
        ax.set_adjustable("box" if shared else "datalim")  # the limits of shared axes are not this figure's alone
    return finished(ax)


def _points(name: str, given: Any) -> tuple[Float64Array, Float64Array]:
    """Points (n, d) and their weights; those of weight zero, which lost trajectories have, are left out."""
    if not hasattr(given, "log_weights"):
        points = np.asarray(as_points(name, given), np.float64)
        return points, np.full(len(points), 1.0 / len(points))
    kept = np.isfinite(given.log_weights)
    return np.asarray(as_points(name, to_host(given.x)[kept]), np.float64), np.exp(given.log_weights[kept])


def _equal(x: Float64Array, weights: Float64Array) -> Float64Array:
    """At most 2,000 points of equal weight; the same ones every time."""
    if len(x) <= _MOST_POINTS and np.ptp(weights) <= 1e-12 * weights.max():
        return x
    return x[as_generator(0).choice(len(x), min(len(x), _MOST_POINTS), p=weights / weights.sum())]


def _drawn(law: Any) -> tuple[Float64Array, Float64Array]:
    if not hasattr(law, "sample"):
        raise SfbenchError(f"law has a density only, and the figure needs points of it: pass points, got {law!r:.80}")
    return _points("law", law.sample(_MOST_POINTS, rng=0))


def _pair(coordinates: Any, d: int) -> tuple[int, int]:
    try:
        i, j = coordinates
    except (TypeError, ValueError):
        raise SfbenchError(f"coordinates must be two numbers below d = {d}, got {coordinates!r:.80}") from None
    return tuple(as_count("coordinates", c, at_least=0, at_most=d - 1) for c in (i, j))  # type: ignore[return-value]


def _contours(ax: Any, law: Any) -> None:
    """Lines of the density that hold 50, 80 and 95 % of what the axes show."""
    left, right, low, high = ax.axis()
    first, second = np.linspace(left, right, _CELLS), np.linspace(low, high, _CELLS)
    mesh = np.stack(np.meshgrid(first, second), axis=-1)
    density = np.exp(law.log_prob(mesh.reshape(-1, 2))).reshape(_CELLS, _CELLS)
    ordered = np.sort(density, axis=None)[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    levels = np.unique([ordered[np.searchsorted(share, level)] for level in (0.95, 0.8, 0.5)])
    ax.contour(first, second, density, levels, colors=COLOURS[1], linewidths=1.2)
    ax.plot([], [], color=COLOURS[1], linewidth=1.2, label="law: 50, 80, 95 %")
