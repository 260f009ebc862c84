"""Figures of the complexity study, drawn from its files alone: ``python -m benchmarks.complexity.plots DIR``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, loglog_slope, read_rows
from .claims import first_solver, spread, table

# Okabe-Ito colours: distinguishable with every common colour vision.
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
_STYLES = {"dsm": (ORANGE, "s"), "antithetic": (BLUE, "o"), "stein": (GREEN, "^")}


def draw_figures(folder: Path) -> list[Path]:
    """Draw every figure that the rows in a folder allow, as PNG and PDF; return the PNG paths."""
    drawn = draw(folder, lambda: _figures(folder))
    for stale in folder.glob("[1-5]_*.p[nd][gf]"):  # of an earlier study in the same folder
        if stale.with_suffix(".png") not in drawn:
            stale.unlink()
    return drawn


def _figures(folder: Path) -> dict[str, Any]:
    rows = read_rows(folder, "cells")
    figures = {
        "1_samples": _against(rows, "n", "samples n"),
        "4_estimators": _estimators(folder),
        "5_solvers": _solvers(rows),
    }
    for name, x, label in (("2_dimension", "d", "dimension d"), ("3_auxiliaries", "k", "auxiliaries k")):
        if any(row["study"] == x for row in rows):
            figures[name] = _against(rows, x, label)
    return figures


def _band(axis: Any, x: list[float], values: np.ndarray, colour: str, label: str) -> None:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    axis.plot(x, middle, "o-", color=colour, label=label, ms=4)


def _against(rows: list[Row], x: str, label: str) -> Any:
    """Excess objective and TV against n, d or k: median, 10-90 % band, fitted slope, rates and bounds."""
    import matplotlib.pyplot as plt

    chosen = first_solver(rows, x)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, y, title in zip(axes, ("excess", "tv"), ("excess objective", "total variation"), strict=True):
        points, values = table(chosen, x, y)
        values = np.maximum(values, 1e-16)  # a logarithmic axis has no zero
        _band(axis, points, values, BLUE, "median, 10-90 % of seeds")
        middle = np.median(values, axis=0)
        if len(points) > 2:
            slope, low, high = loglog_slope(points, values)
            logs = np.log(points)
            fit = np.exp(np.log(middle).mean() + slope * (logs - logs.mean()))
            axis.plot(points, fit, "--", color="black", lw=1, label=f"slope {slope:.2f} [{low:.2f}, {high:.2f}]")
        if x == "n":
            fast, slow = (-1.0, -0.5) if y == "excess" else (-0.5, -0.25)
            start = np.asarray(points) / points[0]
            axis.plot(points, 1.6 * middle[0] * start**fast, ":", color=GREY, lw=1, label=f"fast rate $n^{{{fast:g}}}$")
            axis.plot(
                points, 1.6 * middle[0] * start**slow, "-.", color=GREY, lw=1, label=f"slow rate $n^{{{slow:g}}}$"
            )
        _draw_bounds(axis, chosen, x, y, points)
        axis.set(xscale="log", yscale="log", xlabel=label, title=title)
        if x != "n":
            axis.set_xticks(points, [f"{point:g}" for point in points])
            axis.minorticks_off()
        axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    fixed = ", ".join(f"{name} = {chosen[0][name]}" for name in ("n", "d", "k") if len({r[name] for r in chosen}) == 1)
    seeds, name = len({r["seed"] for r in chosen}), chosen[0].get("setting", chosen[0]["problem"])
    figure.suptitle(f"{name} ({fixed}), {seeds} seeds, {chosen[0]['estimator']}")
    figure.tight_layout()
    return figure


def _draw_bounds(axis: Any, chosen: list[Row], x: str, y: str, points: list[float]) -> None:
    if y == "excess":
        axis.plot(points, np.median(table(chosen, x, "slow_bound")[1], axis=0), color=ORANGE, label="upper bound, 95 %")
        if all("fast_rate" in row for row in chosen):
            fast = np.median(table(chosen, x, "fast_rate")[1], axis=0)
            axis.plot(points, fast, color=GREEN, lw=1.5, label="asymptotic mean, tr(H$^+$S)/2n")
    elif all("certificate_tv" in row for row in chosen):
        certified = np.median(table(chosen, x, "certificate_tv")[1], axis=0)
        axis.plot(points, certified, color=ORANGE, label="certificate of the run (TV to target)")


def _estimators(folder: Path) -> Any:
    """Spread of the fitted weight against t for the three estimators, and its mean against the truth."""
    import matplotlib.pyplot as plt

    rows, windows = read_rows(folder, "estimators"), read_rows(folder, "windows")
    times, seeds = sorted({row["t"] for row in rows}), len({row["seed"] for row in rows})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    for name, (colour, marker) in _STYLES.items():
        left.plot(times, [spread(rows, t, name) for t in times], marker + "-", color=colour, label=name, ms=4)
    left.set(xscale="log", yscale="log", xlabel="time t of the objective", title="std of the fitted weight")
    left.legend(frameon=False)
    labels = [f"[{row['t_min']:g}, {row['t_max']:g}]" for row in windows]
    right.axhline(0.5, color="black", lw=1, ls="--", label="weight of the KL barycenter")
    right.plot(labels, [row["weight"] for row in windows], "o", color=BLUE, label="population weight")
    for label, row in zip(labels, windows, strict=True):
        away = (0, 7 if row["weight"] >= 0.5 else -15)  # from the dashed line
        right.annotate(f"{row['weight']:.4f}", (label, row["weight"]), away, textcoords="offset points", ha="center")
    right.margins(x=0.15)
    right.set(xlabel="time window", title="bias of long windows", ylim=(0.45, 0.65))
    right.tick_params(axis="x", labelsize=7)
    right.legend(frameon=False)
    figure.suptitle(f"paper_mixture_1d, barycenter target, n = {rows[0]['n']}, {seeds} seeds")
    figure.tight_layout()
    return figure


def _solvers(rows: list[Row]) -> Any:
    """Certified gap, distance to the first backend, and time relative to cvxpy, per backend."""
    import matplotlib.pyplot as plt

    studied = [row for row in rows if row["study"] == "n"]
    compared = {row["seed"] for row in studied if row["solver"] != studied[0]["solver"]}
    studied = [row for row in studied if row["seed"] in compared] or studied
    names = list(dict.fromkeys(row["solver"] for row in studied))
    reference = "cvxpy" if "cvxpy" in names else names[0]
    base = float(np.median([row["solve_s"] for row in studied if row["solver"] == reference]))
    quantities: tuple[tuple[str, Callable[[Row], float]], ...] = (
        ("certified gap / scale", lambda row: row["gap"] / row["scale"]),
        (f"largest weight difference to {names[0]}", lambda row: row["distance"]),
        (f"solve time / {reference}", lambda row: row["solve_s"] / base),
    )
    figure, axes = plt.subplots(1, 3, figsize=(10, 1.2 + 0.4 * len(names)))
    for axis, (title, value) in zip(axes, quantities, strict=True):
        for i, name in enumerate(names):
            values = np.maximum([value(row) for row in studied if row["solver"] == name], 1e-18)
            low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
            axis.plot([low, high], [i, i], color=GREY, lw=2)
            axis.plot(middle, i, "o", color=BLUE)
            axis.annotate(f"{middle:.1e}", (middle, i), (0, 6), textcoords="offset points", ha="center", fontsize=7)
        axis.set(xscale="log", title=title, ylim=(-0.5, len(names) - 0.3))
        axis.margins(x=0.18)  # room for the numbers
        axis.set_yticks(range(len(names)), names)
        axis.title.set_fontsize(9)
    figure.suptitle(f"solvers on {len({(r['seed'], r['n']) for r in studied})} statistics: median and range")
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    raise SystemExit(redraw("benchmarks.complexity.plots", draw_figures))
