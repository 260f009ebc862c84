"""The figure of ``python -m benchmarks.conditions``, from its rows: ``python -m benchmarks.conditions.plots DIR``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, read_rows
from .claims import HIGH, LOW, Problem, by_problem, evidence, over_fast

_RANKS, _TAILS = ("fixed", "growing"), ("gaussian", "heavy")
_BOUNDS = (("excess", "mean excess", "o-"), ("fast", "fast rate", "k:"), ("slow", "slow bound", "s--"))


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``conditions`` as PNG and PDF."""
    return draw(folder, lambda: {"conditions": _figure(read_rows(folder, "conditions"))})


def _figure(rows: list[Row]) -> Any:
    """Trust the rate here: mean excess over the fast rate; below, excess against d, and what warnings tell."""
    import matplotlib.pyplot as plt

    problems = by_problem(rows)
    dims = sorted({key[3] for key in problems})
    height = 1.9 * len(dims)
    figure: Any = plt.figure(figsize=(12.4, height + 3.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(height, 3.2))
    upper.suptitle(
        "Trust the rate here: mean excess over the fast rate (! outside 1/2 to 2, or at the edge)", fontsize=10
    )
    axes = upper.subplots(len(dims), 4, squeeze=False, sharex=True, sharey=True)
    for line, d in zip(axes, dims, strict=True):
        for axis, (rank, tails) in zip(line, [(r, t) for r in _RANKS for t in _TAILS], strict=True):
            _map(axis, problems, rank, d, tails)
            axis.set_title(f"{rank} rank, {tails}, d = {d}", fontsize=8)
        line[0].set_ylabel("distance")
    for axis in axes[-1]:
        axis.set_xlabel("spread of the auxiliaries")
    panels = lower.subplots(1, 4)
    for axis, rank in zip(panels, _RANKS, strict=False):
        _against_d(axis, problems, rank)
    _curves(panels[2], rows, "gaussian")
    _curves(panels[3], rows, "heavy")
    return figure


def _map(axis: Any, problems: dict[Problem, list[Row]], rank: str, d: int, tails: str) -> None:
    """Mean over seeds of the excess over the fast rate, by distance and spread."""
    distances, spreads = (sorted({key[place] for key in problems}) for place in (1, 2))
    values = np.full((len(distances), len(spreads)), np.nan)
    for i, distance in enumerate(distances):
        for j, spread in enumerate(spreads):
            own = [over_fast(rows) for key, rows in problems.items() if key[:5] == (rank, distance, spread, d, tails)]
            found = [ratio for ratio in own if ratio is not None]
            values[i, j] = np.mean(found) if found else np.nan
    axis.imshow(np.log2(values), cmap="RdBu_r", vmin=-3, vmax=3, origin="lower", aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        known = np.isfinite(value)
        text = (f"{value:.2f}" if known else "edge") + ("" if known and LOW <= value <= HIGH else " !")
        axis.text(j, i, text, ha="center", va="center", fontsize=7)
    axis.set_xticks(range(len(spreads)), [f"{s:g}" for s in spreads])
    axis.set_yticks(range(len(distances)), [f"{s:g}" for s in distances])
    axis.grid(visible=False)


def _against_d(axis: Any, problems: dict[Problem, list[Row]], rank: str) -> None:
    """The excess and its rates against d, Gaussian targets of the widest spread."""
    widest = max(key[2] for key in problems)
    own = {key: rows for key, rows in problems.items() if (key[0], key[2], key[4]) == (rank, widest, "gaussian")}
    dims = sorted({key[3] for key in own})
    for name, label, style in _BOUNDS:
        at = [[r[name] for key, rows in own.items() if key[3] == d for r in rows if r[name] is not None] for d in dims]
        axis.plot(dims, [np.mean(values) if values else np.nan for values in at], style, ms=4, label=label)
    axis.set(xscale="log", yscale="log", xlabel="dimension d")
    axis.set_title(f"{rank} rank, spread {widest:g}", fontsize=9)
    axis.set_xticks(dims, [f"{d}" for d in dims])
    axis.minorticks_off()
    axis.legend(fontsize=7)


def _curves(axis: Any, rows: list[Row], tails: str) -> None:
    """Misfits found against false alarms, by distance from the family; dotted: window bias, which does not tell."""
    negative = [r for r in rows if r["distance"] == 0 and r["tails"] == "gaussian"]
    for i, distance in enumerate(sorted({r["distance"] for r in rows})):
        positive = [r for r in rows if r["distance"] == distance and r["tails"] == tails]
        if positive and positive != negative:
            curve = _roc(evidence(positive, "misfit_p"), evidence(negative, "misfit_p"))
            axis.plot(*curve, color=f"C{i}", label=f"{distance:g}")
    positive = [r for r in rows if r["distance"] > 0 and r["tails"] == tails]
    if positive:
        axis.plot(*_roc(evidence(positive, "window_p"), evidence(negative, "window_p")), "k:", label="window bias")
    axis.set(xlabel="false alarms", xlim=(-0.02, 1), ylim=(0, 1.02))
    axis.set_title(f"misfits found, {tails}, by distance", fontsize=9)
    axis.legend(fontsize=7)


def _roc(positive: list[float], negative: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Shares of negatives and of positives at or above every threshold, from none to all."""
    cuts = np.unique([*positive, *negative])[::-1]
    above = ((np.asarray(found)[None] >= cuts[:, None]).mean(axis=1) for found in (negative, positive))
    false, true = (np.concatenate([[0.0], part]) for part in above)
    return false, true


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.conditions.plots", draw_figures))
