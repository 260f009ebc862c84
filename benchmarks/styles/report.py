"""What the style study shows: fusion against fine-tuning in nats, controls, tables and figures, from its files alone.

``python -m benchmarks.styles.report DIR`` draws the figures again.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..common.claims import Claim
from ..common.figures import draw, redraw
from ..common.study import Row, read_rows

ORDER = ("fused", "parameter average", "nearest auxiliary", "fine-tuned", "fused, fine-tuned", "from scratch")
COLOURS = {
    "fused": "#0072B2",
    "fine-tuned": "#D55E00",
    "fused, fine-tuned": "#009E73",
    "nearest auxiliary": "#777777",
    "from scratch": "#000000",
}
CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of Student's 95 % interval (infinite for one value)."""
    from scipy.stats import t

    if len(values) < 2:
        return float(np.mean(values)), math.inf
    half = t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


def losses(rows: Sequence[Row], style: str, n: int, method: str) -> dict[int, float]:
    """Losses by draw; training from scratch knows no style."""
    wanted = "" if method == "from scratch" else style
    found = [row for row in rows if (row["style"], row["n"], row["method"]) == (wanted, n, method)]
    return {int(row["draw"]): float(row["loss"]) for row in found}


def compare(folder: Path) -> list[Row]:
    """One row for each level and n with a result: excesses over the reference in nats, and paired differences.

    Averages are over the draws that are there, counted in ``draws``; what has none is None.
    """
    rows, distances = read_rows(folder, "methods"), read_rows(folder, "distances")
    table: list[Row] = []
    for level in distances:
        scale, floor = level["nats_per_loss"], level["reference_loss"]
        for n in sorted({row["n"] for row in rows}):
            found = {method: losses(rows, level["style"], n, method) for method in ORDER}
            tuned = found["fine-tuned"]
            if not tuned:
                continue
            row: Row = {key: level[key] for key in ("style", "own", "shuffled", "distance_nats")}
            row |= {"n": n, "draws": len(tuned)}
            for method, values in found.items():
                row |= _pair(method, [scale * (loss - floor) for loss in values.values()])
            row["uniform weights"] = scale * (level["uniform_loss"] - floor)
            row["best weights"] = scale * (level["best_loss"] - floor)
            for name, other in (("fused", "fused"), ("combined", "fused, fine-tuned"), ("scratch", "from scratch")):
                both = sorted(tuned.keys() & found[other].keys())
                row |= _pair(f"{name} - fine-tuned", [scale * (found[other][i] - tuned[i]) for i in both])
            row["log ratio"] = float(np.mean([math.log(loss / tuned[i]) for i, loss in found["fused"].items()]))
            table.append(row)
    return table


def _pair(name: str, values: Sequence[float]) -> Row:
    """Mean and half-width as two columns, None where they do not exist."""
    if not values:
        return {name: None, f"{name} +-": None}
    mean, half = interval(values)
    return {name: mean, f"{name} +-": half if math.isfinite(half) else None}


def controls(comparison: Sequence[Row]) -> list[Claim]:
    """Where the answer is known beforehand: for auxiliaries of the target's law, and for shuffled pixels."""
    sizes = sorted({row["n"] for row in comparison})
    near = [row for row in comparison if row["own"] == 1.0 and row["n"] == sizes[0]]
    far = [row for row in comparison if row["shuffled"] and row["n"] == sizes[-1]]
    checks: list[Claim] = []
    cases = [(row, "does not lose", False) for row in near] + [(row, "loses", True) for row in far]
    for row, claim, must_lose in cases:
        d, half = row["fused - fine-tuned"], row["fused - fine-tuned +-"]
        loses = half is not None and d > half
        text = f"fusion {claim} to fine-tuning ({row['style']}, n = {row['n']})"
        required = "above 0" if must_lose else "not above 0"
        ends = None if half is None else (d - half, d + half)
        checks.append(Claim(text, d, required, loses == must_lose, ends, note="nats, 95 % interval over draws"))
    return checks


def as_text(folder: Path, comparison: Sequence[Row]) -> str:
    """Tables for the terminal, and for documentation."""
    rows = read_rows(folder, "methods")
    sizes, styles = (list(dict.fromkeys(row[key] for row in comparison)) for key in ("n", "style"))
    lines = ["excess over the reference network in nats, mean +- 95 % interval over draws"]
    head = "".join(f"{f'n = {n}':>18s}" for n in sizes)
    by = {(row["style"], row["n"]): row for row in comparison}
    far = {row["style"]: row["distance_nats"] for row in comparison}
    for style in styles:
        lines.append(f"{style} (nearest auxiliary at {far[style]:.1f} nats)")
        lines.append(f"  {'':22s}{head}")
        for method in (*ORDER, "uniform weights", "best weights", "fused - fine-tuned", "combined - fine-tuned"):
            cells = [_with_half(by.get((style, n), {}), method) for n in sizes]
            lines.append(f"  {method:22s}" + "".join(f"{cell:>18s}" for cell in cells))
        for n in sizes:
            fits = [r for r in rows if (r["style"], r["n"], r["method"]) == (style, n, "fused")]
            if not fits:
                continue
            mean, low, high = (np.mean([r[key] for r in fits], axis=0) for key in ("weights", "low", "high"))
            shown = ", ".join(f"{w:.3f} [{a:.2f}, {b:.2f}]" for w, a, b in zip(mean, low, high, strict=True))
            lines.append(f"  n = {n}: weights {shown} (means over draws of weights and of their 95 % intervals)")
    return "\n".join(lines)


def _with_half(row: Row, name: str) -> str:
    value, half = row.get(name), row.get(f"{name} +-")
    if value is None:
        return "-"
    return _number(value) if half is None else f"{_number(value)} +- {_number(half)}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2f}"


def draw_figures(folder: Path) -> list[Path]:
    """Draw the heat maps and the curves; return the PNG paths."""
    return draw(folder, lambda: {"styles": _heat_maps(folder), "styles_curves": _curves(folder)})


def _heat_maps(folder: Path) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.colors import SymLogNorm

    comparison = read_rows(folder, "comparison")
    styles = list(dict.fromkeys(row["style"] for row in sorted(comparison, key=lambda row: row["distance_nats"])))
    sizes = sorted({row["n"] for row in comparison})
    by = {(row["style"], row["n"]): row for row in comparison}
    far = {row["style"]: row["distance_nats"] for row in comparison}
    titles = {
        "fused - fine-tuned": "fused against fine-tuned",
        "combined - fine-tuned": "fused, then fine-tuned, against fine-tuned",
    }
    largest = max(abs(row[name]) for row in comparison for name in titles)
    norm = SymLogNorm(1.0, vmin=-max(largest, 1.0), vmax=max(largest, 1.0), base=10)
    figure, axes = plt.subplots(
        1, 2, figsize=(2.6 + 1.45 * len(styles), 1.5 + 0.55 * len(sizes)), sharey=True, layout="constrained"
    )
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        values = np.array([[by[style, n][name] if (style, n) in by else np.nan for style in styles] for n in sizes])
        mesh = axis.pcolormesh(values, cmap="RdBu_r", norm=norm, edgecolors="white", linewidth=1.0)
        for i, n in enumerate(sizes):
            for j, style in enumerate(styles):
                if (style, n) not in by:
                    axis.text(j + 0.5, i + 0.5, "not computed", ha="center", va="center", fontsize=6)
                    continue
                value, half = by[style, n][name], by[style, n][f"{name} +-"]
                sure = half is not None and abs(value) > half
                dark = abs(float(norm(np.array([value]))[0]) - 0.5) > 0.33
                axis.text(
                    j + 0.5,
                    i + 0.5,
                    _number(value) + ("" if half is None else f"\n± {_number(half)}"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else "black",
                    weight="bold" if sure else "normal",
                )
        axis.set_xticks(
            np.arange(len(styles)) + 0.5,
            [f"{far[style]:.0f}\n{style.replace(', ', chr(10))}" for style in styles],
            fontsize=7,
        )
        axis.set_yticks(np.arange(len(sizes)) + 0.5, [str(n) for n in sizes])
        axis.set_title(title, fontsize=9)
        axis.grid(visible=False)
        for side in axis.spines.values():
            side.set_visible(False)
    axes[0].set_ylabel("n, images of the target")
    draws = sorted({row["draws"] for row in comparison})
    counted = str(draws[0]) if len(draws) == 1 else f"{draws[0]} to {draws[-1]}"
    figure.supxlabel(
        "distance of the nearest auxiliary from the target (nats), and the auxiliaries' data; "
        f"mean and 95 % interval over {counted} draws",
        fontsize=8,
    )
    bar = figure.colorbar(mesh, ax=axes, label="held-out difference (nats)\nblue: fusion is better", aspect=30)
    bar.ax.tick_params(labelsize=7)
    return figure


def _curves(folder: Path) -> Any:
    import matplotlib.pyplot as plt

    comparison = read_rows(folder, "comparison")
    styles = list(dict.fromkeys(row["style"] for row in comparison))
    columns = min(3, len(styles))
    lines = -(-len(styles) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(2.9 * columns, 2.4 * lines),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, style in zip(axes.flat, styles, strict=False):
        own = [row for row in comparison if row["style"] == style]
        sizes = [row["n"] for row in own]
        for method, colour in COLOURS.items():
            there = [row for row in own if row[method] is not None]
            values, halves = [row[method] for row in there], [row[f"{method} +-"] or 0.0 for row in there]
            axis.errorbar(
                [row["n"] for row in there], values, yerr=halves, fmt="o-", ms=3, lw=1.2, color=colour, label=method
            )
        axis.axhline(own[0]["uniform weights"], color=COLOURS["fused"], ls=":", lw=1, label="uniform weights")
        axis.set(xscale="log", yscale="log")
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.minorticks_off()
        axis.set_title(f"{style}: {own[0]['distance_nats']:.0f} nats", fontsize=9)
    for axis in list(axes.flat)[len(styles) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("n")
    for axis in axes[:, 0]:
        axis.set_ylabel("excess loss (nats)")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), fontsize=7, frameon=False, loc="outside lower center", ncols=6
    )
    return figure


if __name__ == "__main__":
    raise SystemExit(redraw("benchmarks.styles.report", draw_figures))
