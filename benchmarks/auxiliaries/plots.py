"""The figure of ``python -m benchmarks.auxiliaries``, from its rows: ``python -m benchmarks.auxiliaries.plots DIR``."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, read_rows
from .claims import Cell, cells_of

COLOURS = {"random": "#0072B2", "nested": "#009E73", "near-duplicate": "#CC79A7", "disjoint": "#D55E00"}
METHODS = {
    "equal weights": "#777777",
    "best 2": "#E69F00",
    "exact": "#000000",
    "cross-validated k": "#0072B2",
    "ridge": "#009E73",
    "entropy": "#CC79A7",
}


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``auxiliaries`` as PNG and PDF."""
    return draw(folder, lambda: {"auxiliaries": _figure(read_rows(folder, "fits"))})


def _figure(rows: list[Row]) -> Any:
    import matplotlib.pyplot as plt

    excess, bound = cells_of(rows), cells_of(rows, "aggregation")
    k, n = max(c[1] for c in excess), max(c[4] for c in excess)
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for support, style, name in ((0, "-", "all in use"), (4, "--", "4 in use"), (1, ":", "1 in use")):
        for geometry, colour in COLOURS.items():
            x, y = _along(excess, 1, partial(_is, (geometry, None, support, "exact", n)))
            label = name if geometry == "disjoint" else None
            axes[0, 0].plot(x, y * 2 * n, style, color=colour, marker="o", ms=3, label=label)
    x, _ = _along(excess, 1, partial(_is, ("disjoint", None, 0, "exact", n)))
    axes[0, 0].plot(x, x - 1, color="grey", lw=4, alpha=0.3, label="k - 1")
    axes[0, 0].set_xscale("log", base=2)
    axes[0, 0].set(xlabel="auxiliaries k", ylabel="excess x 2n", title=f"n = {n:,}; colours as on the right")
    for geometry, colour in COLOURS.items():
        wanted = partial(_is, (geometry, k, 0, "exact", None))
        axes[0, 1].plot(*_along(excess, 4, wanted), "o-", ms=3, color=colour, label=geometry)
        axes[0, 1].plot(*_along(bound, 4, wanted), ":", color=colour)
    axes[0, 1].set(xlabel="samples n", ylabel="excess; bound dotted", title=f"k = {k}, all in use")
    for axis, geometry in zip(axes[1], ("disjoint", "near-duplicate"), strict=True):
        for method, colour in METHODS.items():
            x, y = _along(excess, 4, partial(_is, (geometry, k, 4, method, None)))
            axis.plot(x, y, "o-", ms=3, color=colour, label=method)
        axis.set(xlabel="samples n", ylabel="excess", title=f"{geometry}, 4 of {k} in use")
    for axis in axes.ravel()[1:]:
        axis.set_xscale("log")
    for axis in axes.ravel():
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.legend(fontsize=7)
    return figure


def _is(wanted: tuple[Any, ...], cell: Cell) -> bool:
    """Whether a cell has the given entries; None stands for any."""
    return all(a is None or a == b for a, b in zip(wanted, cell, strict=True))


def _along(values: dict[Cell, np.ndarray], axis: int, chosen: Callable[[Cell], bool]) -> tuple[np.ndarray, np.ndarray]:
    """Means over seeds along one entry of the cells."""
    points = sorted((float(cell[axis]), float(values[cell].mean())) for cell in values if chosen(cell))
    return np.array([p[0] for p in points]), np.array([p[1] for p in points])


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.auxiliaries.plots", draw_figures))
