"""The figure of ``python -m benchmarks.tokens``, from its rows: ``python -m benchmarks.tokens.plots DIR``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, read_rows


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``tokens`` as PNG and PDF."""
    return draw(folder, lambda: {"tokens": _figure(read_rows(folder, "tokens"))})


def _figure(rows: list[Row]) -> Any:
    """Bits for each site by method against n, a panel for each kind of data."""
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.4 * len(kinds), 3.6), layout="constrained", squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        own = [row for row in rows if row["kind"] == kind]
        sizes = sorted({row["n"] for row in own})
        for method in dict.fromkeys(row["method"] for row in own):
            values = [[r["bits"] for r in own if r["method"] == method and r["n"] == n] for n in sizes]
            middle = [float(np.mean(v)) for v in values]
            spread = [float(np.std(v)) for v in values]
            axis.errorbar(sizes, middle, spread, marker="o", markersize=3, label=method)
        axis.set_xscale("log")
        axis.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axis.minorticks_off()
        axis.set_xlabel("rows of the target, n")
        axis.set_title(kind)
    axes[0, 0].set_ylabel("held-out bits for each site")
    axes[0, -1].legend(frameon=False, fontsize=7)
    return figure


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.tokens.plots", draw_figures))
