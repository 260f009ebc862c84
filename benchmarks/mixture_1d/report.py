"""Tables and figures of the 1-D study, from the rows of its cells."""

from typing import Any

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row

METRICS = ("w1", "w1_clipped", "tv", "mode_mass_error")
_SHOWN = ("fused", "corrected", "nearest auxiliary", "fine-tuned", "from scratch", "a sample of the target")


def summarise(rows: list[Row], published: list[Row], window: Row) -> Row:
    """Medians with ranges over draws, ratios of fusion to training from scratch, weights against the population."""
    sizes = sorted({row["n"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))

    def values(method: str, n: int, metric: str) -> list[float]:
        return [row[metric] for row in rows if row["method"] == method and row["n"] == n]

    table = {
        method: {
            str(n): {m: [float(v) for v in np.quantile(values(method, n, m), [0.5, 0.0, 1.0])] for m in METRICS}
            for n in sizes
        }
        for method in methods
    }
    ratios: dict[str, Row] = {}
    for n in sizes:
        ratios[str(n)] = {}
        for metric in ("w1", "w1_clipped", "tv"):
            pairs = zip(values("from scratch", n, metric), values("fused", n, metric), strict=True)
            found = np.array([a / b for a, b in pairs])
            ratios[str(n)][metric] = [float(v) for v in np.quantile(found, [0.5, 0.0, 1.0])]
    truth = window["population_weight"]
    inside = [row["low"] <= truth <= row["high"] for row in rows if row["method"] == "fused"]
    return {
        "median, smallest and largest over draws": table,
        "from scratch over fused": ratios,
        "population weight (exact scores, fitted window)": truth,
        "weight of the networks at n = 20,000": window["network_weight"],
        "share of 95 % intervals that hold the population weight": float(np.mean(inside)),
        "window": [window["t_min"], window["t_max"]],
        "published way": published,
    }


def evaluate_claims(rows: list[Row], published: list[Row], window: Row) -> list[Claim]:
    """Weights, fusion against training and mixing (and where it loses), and the price of the published way."""
    sizes, truth = sorted({row["n"] for row in rows}), window["population_weight"]

    def ratio(above: str, below: str, n: int, metric: str = "tv") -> tuple[float, tuple[float, float]]:
        """Median and range over draws."""
        a, b = ([row[metric] for row in rows if (row["method"], row["n"]) == (name, n)] for name in (above, below))
        found = np.array(a) / np.array(b)
        return float(np.median(found)), (float(found.min()), float(found.max()))

    fits = [row for row in rows if row["method"] == "fused"]
    middles = [0.5 * (row["low"] + row["high"]) for row in fits]
    reaches = np.array([0.5 * (row["high"] - row["low"]) for row in fits])
    held, half = (float(np.mean(np.abs(truth - np.array(middles)) <= part * reaches)) for part in (1.0, 0.25))
    cpu = [row["cpu_ratio"] for row in published]
    few, many = sizes[0], sizes[-1]
    value, ends = ratio("from scratch", "fused", few)
    best, range_of_best = ratio("fused", "arithmetic mixture", few)
    claims = [
        within(
            "95 % intervals that hold the population weight",
            held,
            low=0.85,
            control=(half, "a quarter as wide"),
            note=f"{len(fits)} fits",
        ),
        within(
            f"total variation from scratch over fused, n = {few}",
            value,
            low=1.0,
            interval=ends,
            control=(ratio("from scratch", "fused", many)[0], f"n = {many}, where fusion loses"),
        ),
        within(
            f"total variation of fused over the arithmetic mixture, n = {few}",
            best,
            high=0.5,
            interval=range_of_best,
            control=(ratio("nearest auxiliary", "arithmetic mixture", few)[0], "the nearest auxiliary"),
        ),
        within(
            "CPU of the published way over one pass", float(np.median(cpu)), low=10.0, interval=(min(cpu), max(cpu))
        ),
    ]
    for n in sizes[1:]:
        value, ends = ratio("from scratch", "fused", n)
        claims.append(Claim(f"total variation from scratch over fused, n = {n}", value, interval=ends))
    return claims


def as_text(summary: Row) -> str:
    """The tables as plain text."""
    table = summary["median, smallest and largest over draws"]
    sizes = list(next(iter(table.values())))
    lines = [f"fitted window t in [{summary['window'][0]:.3g}, {summary['window'][1]:.3g}]"]
    for metric in METRICS:
        lines.append(f"{metric}: median over draws")
        lines.append(f"  {'method':24s}" + "".join(f"{'n=' + n:>10s}" for n in sizes))
        lines += [f"  {m:24s}" + "".join(f"{table[m][n][metric][0]:10.3f}" for n in sizes) for m in table]
    for n, ratio in summary["from scratch over fused"].items():
        parts = ", ".join(f"{m} {v[0]:.2f} [{v[1]:.2f}, {v[2]:.2f}]" for m, v in ratio.items())
        lines.append(f"from scratch over fused at n = {n}: {parts}")
    lines.append(
        f"population weight {summary['population weight (exact scores, fitted window)']:.4f}, through the networks "
        f"{summary['weight of the networks at n = 20,000']:.4f}, held by "
        f"{summary['share of 95 % intervals that hold the population weight']:.0%} of the 95 % intervals"
    )
    lines += [
        f"published way, n = {r['n']}, draw {r['draw']}: {r['cpu_ratio']:.0f}x the CPU, excess "
        f"{r['excess_published']:.2e} against {r['excess_one_pass']:.2e}"
        for r in summary["published way"]
    ]
    return "\n".join(lines)


def draw_figure(rows: list[Row], window: Row) -> Any:
    """Distances against n, and fitted weights with their intervals."""
    from matplotlib.figure import Figure

    fits, sizes = [row for row in rows if row["method"] == "fused"], sorted({row["n"] for row in rows})
    figure = Figure(figsize=(11, 4.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axis, metric, title in ((left, "w1_clipped", "$W_1$, clipped"), (middle, "tv", "total variation")):
        for method in _SHOWN:
            found = [[r[metric] for r in rows if r["method"] == method and r["n"] == n] for n in sizes]
            line = axis.plot(sizes, [np.median(f) for f in found], "o-", ms=3, label=method)[0]
            axis.fill_between(
                sizes, [min(f) for f in found], [max(f) for f in found], color=line.get_color(), alpha=0.15
            )
        axis.set(xscale="log", yscale="log", xlabel="n", ylabel=title)
    figure.legend(*left.get_legend_handles_labels(), fontsize=7, loc="outside lower left", ncols=len(_SHOWN))
    draws = sorted({fit["draw"] for fit in fits})
    for j, draw in enumerate(draws):
        own = [fit for fit in fits if fit["draw"] == draw]
        at = [fit["n"] * 1.06 ** (j - len(draws) / 2) for fit in own]
        w = np.array([fit["weight"] for fit in own])
        bars = [w - [fit["low"] for fit in own], np.array([fit["high"] for fit in own]) - w]
        right.errorbar(at, w, yerr=np.maximum(bars, 0.0), fmt="o", ms=2, lw=0.8, color="0.45")
    right.axhline(window["population_weight"], color="k", lw=0.8, ls="--", label="population, exact scores")
    right.set(xscale="log", xlabel="n", ylabel=f"fitted weight, 95 % interval, {len(draws)} draws")
    figure.legend(*right.get_legend_handles_labels(), fontsize=7, loc="outside lower right")
    return figure
