"""The same figures for papers, by matplotlib: medians, 10-90 % bands, slopes, and what is missing in the caption."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files import prepare_folder, write_atomically
from .aggregate import Summary

# Okabe-Ito colours: distinguishable with every common colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")


def draw_figures(summaries: Sequence[Summary], folder: Path, kinds: Sequence[str] = ("pdf",)) -> list[Path]:
    """Draw every metric of every study against each of its axes; returns the paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    prepare_folder(folder)
    drawn = []
    for summary in summaries:
        for axis in summary.axes:
            for metric in summary.metrics:
                figure = _figure(summary, axis, metric)
                stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{summary.name}_{metric}_{axis}")
                for kind in kinds:

                    def save(f: Any, figure: Any = figure, kind: str = kind) -> None:
                        figure.savefig(f, format=kind, dpi=150, bbox_inches="tight")

                    write_atomically(folder / f"{stem}.{kind}", save, binary=True)
                    drawn.append(folder / f"{stem}.{kind}")
                plt.close(figure)
    return drawn


def _figure(summary: Summary, axis: str, metric: str) -> Any:
    import matplotlib.pyplot as plt

    others = [f for f in summary.factors if f != axis]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for point in summary.points:
        if metric in point["metrics"]:
            groups.setdefault(tuple(point["factors"][f] for f in others), []).append(point)
    slopes = {
        tuple(s["factors"][f] for f in others): s for s in summary.slopes if (s["axis"], s["metric"]) == (axis, metric)
    }
    figure, plot = plt.subplots(figsize=(5, 3.6))
    positive = True
    for i, (key, points) in enumerate(groups.items()):
        x = [p["factors"][axis] for p in points]
        middle, low, high = ([p["metrics"][metric][j] for p in points] for j in range(3))
        positive &= min(low) > 0 and min(x) > 0
        colour = _COLOURS[i % len(_COLOURS)]
        named = [f"{f} = {v}" for f, v in zip(others, key, strict=True) if len(summary.factors[f]) > 1]
        label = ", ".join(named) or metric
        if key in slopes:
            s = slopes[key]
            label += f": slope {s['slope']:.2f} [{s['low']:.2f}, {s['high']:.2f}]"
        plot.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        plot.plot(x, middle, "-", color=colour, label=label)
        for lacking, marker in ((False, "o"), (True, "x")):
            chosen = [j for j, p in enumerate(points) if bool(p["missing"]) is lacking]
            plot.plot([x[j] for j in chosen], [middle[j] for j in chosen], marker, color=colour, ms=5)
    if positive and groups:
        plot.set(xscale="log", yscale="log")
    marked = "; crosses lack some" if summary.missing else ""
    plot.set(xlabel=axis, ylabel=metric)
    plot.set_title(f"{summary.name}, {summary.caption}{marked}", fontsize=8)
    if len(groups) <= 12:
        plot.legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    plot.grid(alpha=0.25)
    return figure
