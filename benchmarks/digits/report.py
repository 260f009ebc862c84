"""Tables and figures of the digits study, from the rows of its cells."""

from typing import Any

import numpy as np

from sfbench._internal.aliases import Float64Array

from ..common.claims import Claim, within
from ..common.rows import pick
from ..common.study import Row
from .cells import pooled_share, unpack_pixels
from .models import SHARES, TARGET_SHARE

METRICS = {"share": f"share of sevens (target {TARGET_SHARE:g})", "fid": "digit-FID", "bits": "bits per dimension"}
_PICTURES = ("real digits", "fused", "corrected", "fine-tuned", "from scratch", "parameter average")


def summarise(methods: list[Row], fixed: list[Row], window: Row) -> Row:
    """Means and standard errors over draws, fitted weights, and the shares that they predict.

    Parameters
    ----------
    methods, fixed : list of rows
        Of the two studies.
    window : Row
        Of the window study.
    """
    sizes = sorted({row["n"] for row in methods})
    table: dict[str, dict[str, Row]] = {}
    for name in dict.fromkeys(row["method"] for row in methods):
        table[name] = {str(n): _metrics(pick(methods, method=name, n=n)) for n in sizes}
    for name in dict.fromkeys(row["method"] for row in fixed):
        same = _metrics(pick(fixed, method=name))
        table[name] = {str(n): same for n in sizes}
    fits = pick(methods, method="fused")
    by_draw = {(row["method"], row["draw"]): row for row in fixed}
    bits = {row["method"]: row["bits"] for row in fixed if row.get("bits") is not None}
    table["nearest auxiliary"] = {}
    for n in sizes:
        names = [(f"auxiliary {row['nearest']}", row["draw"]) for row in pick(fits, n=n)]
        chosen = [by_draw[name] | {"bits": bits[name[0]]} for name in names]
        table["nearest auxiliary"][str(n)] = _metrics(chosen)
    own = np.array([table[f"auxiliary {i}"][str(sizes[0])]["share"][0] for i in range(len(SHARES))])
    return {
        "mean and standard error over draws": table,
        "fitted": {str(n): _fitted(pick(fits, n=n), np.clip(own, 1e-3, 1.0 - 1e-3)) for n in sizes},
        "shares of the auxiliaries, as trained": list(SHARES),
        "shares of the auxiliaries, as sampled": own.tolist(),
        "uniform weights predict": {
            "from shares as trained": pooled_share(np.full(len(own), 1 / len(own)), np.array(SHARES)),
            "from shares as sampled": pooled_share(np.full(len(own), 1 / len(own)), np.clip(own, 1e-3, 1.0 - 1e-3)),
        },
        "window": [window["t_min"], window["t_max"], window["chosen"]],
        "meaningful nodes": [sum(window["meaningful"]), len(window["meaningful"])],
        "error over difference, worst auxiliary, by node": [max(ratios) for ratios in window["ratio"]],
    }


def evaluate_claims(methods: list[Row], fixed: list[Row]) -> list[Claim]:
    """Fused digits against those of other methods, by draw of the target data; where fusion loses is said."""
    sizes = sorted({row["n"] for row in methods})
    few, many = sizes[0], sizes[-1]

    def values(name: str, n: int, metric: str) -> Float64Array:
        rows = pick(methods, method=name, n=n) or pick(fixed, method=name)
        return np.array([row[metric] for row in sorted(rows, key=lambda row: row["draw"])])

    def ratio(a: str, b: str, n: int) -> tuple[float, tuple[float, float]]:
        """Median and range over draws of the digit-FID of a over that of b."""
        found = values(a, n, "fid") / values(b, n, "fid")
        return float(np.median(found)), (float(found.min()), float(found.max()))

    shares = values("fused", few, "share")
    less = values("fused", few, "bits") - values("fine-tuned", few, "bits")
    average = values("fused", few, "bits") - values("parameter average", few, "bits")
    tuned, nearest = ratio("fused", "fine-tuned", few), ratio("fused", "auxiliary 2", few)
    claims = [
        within(
            f"share of sevens of fused draws, n = {few} (target {TARGET_SHARE:g})",
            float(shares.mean()),
            TARGET_SHARE - 0.05,
            TARGET_SHARE + 0.05,
            interval=(float(shares.min()), float(shares.max())),
            control=(float(values("auxiliary 2", few, "share").mean()), "the nearest auxiliary"),
        ),
        within(
            f"bits per dimension of fused less fine-tuned, n = {few}",
            float(np.median(less)),
            high=-0.01,
            interval=(float(less.min()), float(less.max())),
            control=(float(np.median(average)), "less the average of parameters, which does as well"),
        ),
        within(
            f"digit-FID of fused over fine-tuned, n = {few}",
            tuned[0],
            high=1.0,
            interval=tuned[1],
            control=(ratio("fused", "fine-tuned", many)[0], f"n = {many}, where fusion loses"),
        ),
        within(
            f"digit-FID of fused over the nearest auxiliary, n = {few}",
            nearest[0],
            high=1.0,
            interval=nearest[1],
            control=(ratio("fused", "arithmetic mixture", few)[0], "over the mixture, to which fusion loses"),
        ),
    ]
    for name in ("from scratch", "fine-tuned", "parameter average", "arithmetic mixture", "corrected"):
        for n in sizes:
            value, ends = ratio("fused", name, n)
            claims.append(Claim(f"digit-FID of fused over {name}, n = {n}", value, interval=ends))
    return claims


def _metrics(rows: list[Row]) -> Row:
    found = {m: [row[m] for row in rows if row.get(m) is not None] for m in METRICS}
    return {m: mean_and_error(values) for m, values in found.items() if values}


def mean_and_error(values: list[float]) -> list[float | None]:
    """Mean and its standard error over draws; None for a single draw."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return [float(np.mean(values)), error]


def _fitted(rows: list[Row], own: Float64Array) -> Row:
    columns = {name: np.array([row[name] for row in rows]) for name in ("weights", "low", "high")}
    return {name: values.mean(axis=0).tolist() for name, values in columns.items()} | {
        "geometric": float(np.mean([row["geometric_share"] for row in rows])),
        "geometric, from shares as sampled": float(np.mean([pooled_share(row["weights"], own) for row in rows])),
        "arithmetic": float(np.mean([row["arithmetic_share"] for row in rows])),
        "arithmetic, from shares as sampled": float(np.mean([np.asarray(row["weights"]) @ own for row in rows])),
    }


def as_text(summary: Row) -> str:
    """The tables as plain text."""
    table = summary["mean and standard error over draws"]
    sizes = list(summary["fitted"])
    low, high, chosen = summary["window"]
    rates = summary["judge"]
    worst = summary["error over difference, worst auxiliary, by node"]
    good, nodes = summary["meaningful nodes"]
    lines = [
        f"fitted window t in [{low:.3g}, {high:.3g}] ({chosen})",
        f"{good} of {nodes} nodes are meaningful: error over difference {min(worst):.2f} to {max(worst):.2f}",
        f"judge: {rates['sevens called sevens']:.4f} of sevens, {rates['nines called sevens']:.4f} of nines called 7",
    ]
    for metric, title in METRICS.items():
        lines.append(f"{title}: mean (standard error over draws)")
        lines.append(f"  {'method':20s}" + "".join(f"{'n = ' + n:>16s}" for n in sizes))
        for method, per_n in table.items():
            if metric in per_n[sizes[0]]:
                cells = [per_n[n][metric] for n in sizes]
                shown = [f"{v:.3f} ({e:.3f})" if e is not None else f"{v:.3f}" for v, e in cells]
                lines.append(f"  {method:20s}" + "".join(f"{s:>16s}" for s in shown))
    for n, fit in summary["fitted"].items():
        w = ", ".join(
            f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in zip(fit["weights"], fit["low"], fit["high"], strict=True)
        )
        lines.append(f"n = {n}: mean weights and 95 % intervals {w}")
        lines.append(
            f"  predict sevens: pooling {fit['geometric']:.3f} (from the auxiliaries' sampled shares "
            f"{fit['geometric, from shares as sampled']:.3f}), mixing {fit['arithmetic']:.3f} "
            f"({fit['arithmetic, from shares as sampled']:.3f})"
        )
    uniform = summary["uniform weights predict"]
    lines.append(
        f"uniform weights predict {uniform['from shares as trained']:.3f} "
        f"(from sampled shares {uniform['from shares as sampled']:.3f})"
    )
    return "\n".join(lines)


def draw_figure(methods: list[Row], fixed: list[Row], summary: Row, shape: tuple[int, ...]) -> Any:
    """Metrics and weights against n, and generated digits."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    table, sizes = summary["mean and standard error over draws"], sorted({row["n"] for row in methods})
    figure = Figure(figsize=(12, 6.0), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.3, 1.0])
    *axes, last = parts[0].subplots(1, 4)
    shown = [name for name in table if not name.startswith("auxiliary ")]
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        for j, method in enumerate(shown):
            if metric not in table[method][str(sizes[0])]:
                continue
            found = [table[method][str(n)][metric] for n in sizes]
            errors = [error or 0.0 for _, error in found]
            at, style = np.array(sizes) * 1.03**j, {"color": f"C{j}", "ms": 3, "lw": 1, "label": method}
            axis.errorbar(at, [value for value, _ in found], yerr=errors, fmt="o-", **style)
        axis.set(xscale="log", xlabel="n", title=title)
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.minorticks_off()
    others = [cell["bits"][0] for m in shown for cell in table[m].values() if "bits" in cell and m != "from scratch"]
    margin = 0.1 * (max(others) - min(others))
    axes[2].set_ylim(min(others) - margin, max(others) + margin)  # training from scratch is off the scale
    scratch = [table["from scratch"][str(n)]["bits"][0] for n in sizes]
    note = "from scratch: " + ", ".join(f"{value:.2f}" for value in scratch)
    axes[2].text(0.5, 0.97, note, transform=axes[2].transAxes, ha="center", va="top", fontsize=7)
    axes[0].axhline(TARGET_SHARE, color="k", lw=0.8, ls="--")
    axes[1].set_yscale("log")
    handles = axes[0].get_legend_handles_labels()
    parts[0].legend(*handles, fontsize=7, loc="outside lower center", ncols=len(shown))
    tops = []
    for i, share in enumerate(SHARES):
        fits = [summary["fitted"][str(n)] for n in sizes]
        w, low, high = (np.array([fit[name][i] for fit in fits]) for name in ("weights", "low", "high"))
        bars = np.maximum([w - low, high - w], 0.0)
        style = {"color": mpl.colormaps["viridis"](i / len(SHARES)), "ms": 3, "lw": 1, "label": f"{share:.0%} sevens"}
        last.errorbar(np.array(sizes) * 1.04**i, w, yerr=bars, fmt="s-", **style)
        tops.append(float(np.max(high)))
    last.axhline(1 / len(SHARES), color="k", lw=0.8, ls="--")
    last.set(xscale="log", xlabel="n", title="fitted weights, 95 %", ylim=(0.0, 1.3 * max(tops)))
    last.set_xticks(sizes, [str(n) for n in sizes])
    last.minorticks_off()
    last.legend(fontsize=7, loc="upper center", ncols=2, frameon=False)
    rows = [*pick(fixed, draw=0), *pick(pick(methods, draw=0), n=sizes[0])]
    tiles = {row["method"]: unpack_pixels(row["pixels"], shape) for row in rows}
    for axis, method in zip(parts[1].subplots(1, len(_PICTURES)), _PICTURES, strict=True):
        padded = np.pad(tiles[method], ((0, 0), (1, 1), (1, 1)))
        grid = padded.reshape(4, 4, *padded.shape[1:])
        axis.imshow(np.concatenate(np.concatenate(grid, axis=1), axis=1), cmap="gray_r")
        axis.set_axis_off()
        axis.set_title(method if method == "real digits" else f"{method}, n = {sizes[0]}", fontsize=8)
    return figure
