"""The figure of ``python -m benchmarks.diversity``, from its rows: ``python -m benchmarks.diversity.plots DIR``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.rows import pick
from ..common.study import read_rows
from .claims import Tables

COLOURS = {"p_w": "#0072B2", "P_w": "#D55E00", "mixture": "#009E73", "merged": "#CC79A7"}
KINDS = {"both": ("-", "means and covariances differ"), "shifted": (":", "means differ")}
NAMES = {"p_w": "barycenter p_w", "P_w": "fused law P_w", "mixture": "mixture", "merged": "merged parameters"}


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``diversity`` as PNG and PDF."""
    return draw(folder, lambda: {"diversity": _figure({n: read_rows(folder, n) for n in ("gaussians", "modes")})})


def _figure(tables: Tables) -> Any:
    import matplotlib.pyplot as plt

    rows = tables["gaussians"]
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    d = max(r["d"] for r in rows)
    for law, colour in COLOURS.items():
        own = pick(rows, kind="both", d=d, law=law)
        x = sorted({r["weight"] for r in own})
        y = [np.mean([r["entropy"] - r["mean_entropy"] for r in pick(own, weight=w)]) / d for w in x]
        axes[0].plot(x, y, "o-", ms=3, color=colour, label=NAMES[law])
        for kind, (style, what) in KINDS.items():
            own = pick(rows, kind=kind, weight=0.5, law=law)
            x = sorted({r["d"] for r in own})
            y = [np.mean([r["entropy"] - r["mean_entropy"] for r in pick(own, d=w)]) for w in x]
            axes[1].plot(x, y, style, marker="o", ms=3, color=colour, label=what if law == "p_w" else None)
    axes[0].set(xlabel="weight of the second", ylabel="entropy above the auxiliaries' mean, per dimension")
    axes[0].set_title(f"Gaussians of other means and covariances, d = {d}", fontsize=9)
    axes[1].set(xscale="log", xlabel="dimension d", ylabel="the same in all, w = 1/2", title="growing and fixed rank")
    axes[1].set_yscale("symlog", linthresh=0.1)
    modes = tables["modes"]
    a = sorted({r["a"] for r in modes if r["a"] >= 4})[0]
    own = sorted((r for r in pick(modes, a=a) if r["shared"] > 0), key=lambda r: r["shared"])
    for law in ("p_w", "P_w", "mixture"):
        values = [r[f"middle_{law}"] for r in own]
        axes[2].plot([r["shared"] for r in own], values, "o-", ms=3, color=COLOURS[law])
    axes[2].plot([r["shared"] for r in own], [r["predicted"] for r in own], "k:")
    axes[2].set(xscale="log", xlabel="share of the mode of the other", ylabel="mass between the modes")
    axes[2].set_title(f"modes {2 * a:g} standard deviations apart", fontsize=9)
    axes[1].legend(fontsize=7, loc="lower left")
    axes[2].legend(axes[2].lines[-1:], ["predicted for p_w"], fontsize=7)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.diversity.plots", draw_figures))
