"""The figure of ``python -m benchmarks.conditions``, from its rows: ``python -m benchmarks.conditions.plots DIR``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, read_rows
from .claims import HIGH, LOW, by_problem, over_fast


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``conditions`` as PNG and PDF."""
    return draw(folder, lambda: {"conditions": _figure(read_rows(folder, "conditions"))})


def _figure(rows: list[Row]) -> Any:
    """Trust the rate here: mean excess over the fast rate, by distance and spread."""
    import matplotlib.pyplot as plt

    problems = by_problem(rows)
    dims = sorted({key[3] for key in problems})
    distances, spreads = sorted({key[1] for key in problems}), sorted({key[2] for key in problems})
    panels = [(rank, tails) for rank in ("fixed", "growing") for tails in ("gaussian", "heavy")]
    figure, axes = plt.subplots(
        len(dims), 4, figsize=(3.1 * 4, 2.6 * len(dims)), layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    for line, d in zip(axes, dims, strict=True):
        for axis, (rank, tails) in zip(line, panels, strict=True):
            values = np.full((len(distances), len(spreads)), np.nan)
            for key, own in problems.items():
                ratio = over_fast(own)
                if (key[0], key[3], key[4]) == (rank, d, tails) and ratio is not None:
                    values[distances.index(key[1]), spreads.index(key[2])] = ratio
            axis.imshow(np.log2(values), cmap="RdBu_r", vmin=-3, vmax=3, origin="lower", aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                known = np.isfinite(value)
                text = (f"{value:.2f}" if known else "edge") + ("" if known and LOW <= value <= HIGH else " !")
                axis.text(j, i, text, ha="center", va="center", fontsize=7)
            axis.set_xticks(range(len(spreads)), [f"{s:g}" for s in spreads])
            axis.set_yticks(range(len(distances)), [f"{s:g}" for s in distances])
            axis.set_title(f"{rank} rank, {tails}, d = {d}", fontsize=8)
            axis.grid(visible=False)
        line[0].set_ylabel("distance from the family")
    for axis in axes[-1]:
        axis.set_xlabel("spread of the auxiliaries")
    figure.suptitle(
        "Trust the rate here: mean excess over the fast rate (! outside 1/2 to 2, or at the edge)", fontsize=10
    )
    return figure


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.conditions.plots", draw_figures))
