"""Figures of weights, of statistics, and of what changes with time; each takes axes or makes them, and returns them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.validation import as_real, as_weights
from ..errors import GramError
from .axes import COLOURS, REFERENCE, as_axes, finished, style

_MANY_TIMES = 20.0  # from which a ratio is read on a logarithmic axis only
_MOST_NUMBERED = 8  # cells of a larger matrix are too small for numbers


def plot_weights(
    labels: Sequence[str], weights: Float64Array, intervals: Float64Array | None, truth: Any = None, ax: Any = None
) -> Any:
    """Weights (k,) with intervals (k, 2), one model a line, from the first at the top; the dashed line is 1/k.

    Intervals are of level 0.9; ``truth`` (k,) are weights to compare with, such as a problem's ``true_weights``.
    """
    k = len(weights)
    known = None if truth is None else as_weights(truth, k, GramError)
    ax = as_axes(ax, 6.0, 1.2 + 0.3 * k)
    rows = np.arange(k)
    ax.axvline(1.0 / k, label="equal weights", zorder=0, **REFERENCE)
    if intervals is not None:
        ax.hlines(rows, intervals[:, 0], intervals[:, 1], color=COLOURS[0], linewidth=2.0, label="90 % interval")
    ax.plot(weights, rows, "o", color=COLOURS[0], label="fitted")
    if known is not None:
        ax.plot(known, rows, "d", color=COLOURS[1], markerfacecolor="none", markersize=9, label="truth")
    ends = [weights, *([] if intervals is None else [intervals.ravel()]), *([] if known is None else [known])]
    ax.set(yticks=rows, yticklabels=labels, xlabel="weight", ylim=(k - 0.5, -0.5))
    ax.set_xlim(-0.02, min(1.02, 1.1 * max(1.0 / k, float(np.max(np.concatenate(ends)))) + 0.02))
    return finished(ax)


def plot_weights_over_time(
    labels: Sequence[str],
    edges: Float64Array,
    weights: Float64Array,
    intervals: Float64Array | None,
    constant: Float64Array,
    ax: Any = None,
) -> Any:
    """Weights (bins, k) as steps between edges (bins + 1,), intervals as bands; dotted, the best constant weights."""
    ax = as_axes(ax)
    for i, label in enumerate(labels):
        ax.stairs(weights[:, i], edges, baseline=None, label=label, linewidth=1.8, **style(i))
        if intervals is not None:
            low, high = (np.append(intervals[:, i, j], intervals[-1, i, j]) for j in range(2))
            ax.fill_between(edges, low, high, step="post", color=COLOURS[i % len(COLOURS)], alpha=0.15, linewidth=0)
        ax.axhline(constant[i], color=COLOURS[i % len(COLOURS)], linestyle=":", linewidth=1.0)
    ax.plot([], [], color="0.3", linestyle=":", linewidth=1.0, label="best constant")
    if intervals is not None:
        ax.fill_between([], [], [], color="0.3", alpha=0.15, linewidth=0, label="90 % interval")
    ax.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(-0.02, 1.02), xlabel="time t", ylabel="weight")
    return finished(ax)


def plot_lines(
    labels: Sequence[str],
    times: Float64Array,
    values: Float64Array,
    y_label: str,
    reference: tuple[float, str],
    ax: Any,
) -> Any:
    """A line for each row of values (m, t) against times on a logarithmic axis; dashed, a reference with its name."""
    ax = as_axes(ax)
    for i, (name, row) in enumerate(zip(labels, values, strict=True)):
        ax.plot(times, row, marker="o", markersize=3, label=name, **style(i))
    ax.axhline(reference[0], label=reference[1], zorder=0, **REFERENCE)
    ax.set(xscale="log", xlabel="time t", ylabel=y_label)
    if values.min() > 0 and values.max() > _MANY_TIMES * values.min():
        ax.set_yscale("log")
    return finished(ax)


def plot_gram(labels: Sequence[str], G: Any, ax: Any = None) -> Any:
    """Root mean squares of the differences of every two scores over the window, sqrt(G_ii + G_jj - 2 G_ij).

    Pale pairs are models that the data can hardly tell apart: their weights trade for each other.
    """
    gram, k = as_real("G", G, GramError), len(labels)
    if gram.shape != (k, k) or not np.all(np.isfinite(gram)):
        raise GramError(f"G must be a finite matrix of shape ({k}, {k}), one row for each label, got {gram.shape}")
    own = np.diag(gram)
    distances = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2.0 * gram, 0.0))
    ax = as_axes(ax, 2.6 + 0.5 * min(k, 12), 1.8 + 0.45 * min(k, 12))
    drawn = ax.imshow(distances, cmap="Blues", vmin=0.0)
    ax.figure.colorbar(drawn, ax=ax, label="rms difference of scores")
    ax.set(xticks=range(k), yticks=range(k), yticklabels=labels)
    ax.set_xticks(range(k), labels, rotation=45 if max(map(len, labels)) > 3 else 0, ha="right", rotation_mode="anchor")
    for i, j in np.ndindex(k, k) if k <= _MOST_NUMBERED else ():
        dark = distances[i, j] > 0.6 * distances.max()
        ax.text(j, i, f"{distances[i, j]:.2g}", ha="center", va="center", color="white" if dark else "black", size=8)
    return ax
