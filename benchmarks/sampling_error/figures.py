"""Figures of the sampling study, drawn from its files alone: ``python -m benchmarks.sampling_error.figures DIR``."""

from pathlib import Path
from typing import Any

import numpy as np

from ..common.figures import draw, redraw
from ..common.study import Row, read_rows
from .claims import slope

# Okabe-Ito colours: distinguishable with every common colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000")
MARKERS = "os^Dv<>P"


def draw_figures(folder: Path) -> list[Path]:
    """Draw every figure from the rows in a folder, as PNG and PDF; return the PNG paths."""
    return draw(folder, lambda: _figures(folder))


def _figures(folder: Path) -> dict[str, Any]:
    return {
        "0_densities": _densities(read_rows(folder, "densities")),
        "1_laws": _laws(read_rows(folder, "laws")),
        "2_integrators": _integrators(read_rows(folder, "orders"), read_rows(folder, "evaluations")),
        "3_certificate": _certificate(read_rows(folder, "certificate")),
        "4_dimension": _dimension(read_rows(folder, "embedded"), read_rows(folder, "products")),
    }


def _densities(rows: list[Row]) -> Any:
    """The two laws behind one pair of models, and what two samplers return."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.9), sharex=True, sharey=True)
    x = np.array([row["x"] for row in rows])
    laws = (("law_fused", "fused law $P_w$ (Fokker-Planck)", "-"), ("law_barycenter", "KL barycenter $p_w$", "--"))
    for axis, sampler, colour in zip(axes, ("fused", "corrected"), (COLOURS[5], COLOURS[4]), strict=True):
        axis.bar(x, [r[f"samples_{sampler}"] for r in rows], width=x[1] - x[0], color=colour, alpha=0.6)
        for key, label, line in laws:
            axis.plot(x, [r[key] for r in rows], line, color="#222222", lw=1.3, label=label)
        axis.set_title(f'sampler="{sampler}", 20,000 points', fontsize=9)
        axis.set_xlabel("x")
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def _laws(rows: list[Row]) -> Any:
    """Every method's distance to both truths."""
    import matplotlib.pyplot as plt

    weights = list(dict.fromkeys(row["w_1"] for row in rows))
    figure, axes = plt.subplots(1, len(weights), figsize=(3.4 * len(weights), 3.6), sharex=True, sharey=True)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    marks = "o^sDv<>P*X"
    for axis, w in zip(np.atleast_1d(axes), weights, strict=True):
        chosen = [row for row in rows if row["w_1"] == w]
        for j, method in enumerate(methods):
            points = [row for row in chosen if row["method"] == method]
            axis.plot(
                np.mean([p["tv_fused"] for p in points]),
                np.mean([p["tv_pool"] for p in points]),
                marks[j % len(marks)],
                color=COLOURS[j % len(COLOURS)],
                mfc="none" if j % 2 else COLOURS[j % len(COLOURS)],  # what agrees lies on top of one another
                mew=1.4,
                ms=7 + 2 * (j % 2),
                label=method,
                ls="none",
            )
        gap = chosen[0]["tv_laws"]
        axis.axvline(gap, color="#bbbbbb", lw=0.8, ls="--")
        axis.axhline(gap, color="#bbbbbb", lw=0.8, ls="--")
        axis.set_title(f"w = ({w:g}, {1 - w:g}): TV between the two laws {gap:.3f}", fontsize=8.5)
        axis.set_xlabel("TV to the fused law $P_w$")
    np.atleast_1d(axes)[0].set_ylabel("TV to the KL barycenter $p_w$")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=5, frameon=False, fontsize=8)
    figure.subplots_adjust(left=0.07, right=0.99, top=0.91, bottom=0.3, wspace=0.08)
    return figure


def _integrators(order_rows: list[Row], cost_rows: list[Row]) -> Any:
    """Strong and weak error against steps; total variation against evaluations."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.8))
    names = list(dict.fromkeys(row["integrator"] for row in order_rows))
    for j, name in enumerate(names):
        rows = [row for row in order_rows if row["integrator"] == name]
        steps = [row["n_steps"] for row in rows]
        look = {"color": COLOURS[j % 8], "marker": MARKERS[j % 8], "ms": 4, "lw": 1.2}
        axes[0].plot(steps, [r["strong"] for r in rows], label=f"{name} ({slope(rows, 'strong'):.2f})", **look)
        seen = [row for row in rows if row["weak"] > 2 * row["weak_error"]]
        axes[1].plot([r["n_steps"] for r in seen], [r["weak"] for r in seen], **look)
        spent = [row for row in cost_rows if row["integrator"] == name]
        axes[2].plot([r["evaluations"] for r in spent], [r["tv"] for r in spent], label=name, **look)
    axes[2].axhline(0.01, color="#555555", lw=0.8, ls=":")
    axes[2].axhline(cost_rows[0]["floor"], color="#555555", lw=0.8, ls="--")
    axes[2].text(20, cost_rows[0]["floor"] * 0.78, "noise floor of the histogram", fontsize=7.5, color="#555555")
    titles = (
        ("strong error (fitted order)", "steps"),
        ("weak error of E cos 2x, where above its noise", "steps"),
        ("TV to the scheme's own limit", "score evaluations"),
    )
    for axis, (title, label) in zip(axes, titles, strict=True):
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.set_title(title, fontsize=8.5)
    for axis in axes[:2]:  # after the scale, which brings its own ticks
        axis.set_xticks([16, 32, 64, 128, 256], labels=["16", "32", "64", "128", "256"])
        axis.minorticks_off()
    axes[2].set_ylim(cost_rows[0]["floor"] * 0.6, 1.0)
    axes[0].legend(fontsize=6.5, frameon=False, loc="lower left")
    figure.tight_layout()
    return figure


def _certificate(rows: list[Row]) -> Any:
    """Exact KL and the bound over the weights."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.6, 3.2))
    w = [row["w_1"] for row in rows]
    axis.plot(w, [row["bound"] for row in rows], "s--", color=COLOURS[1], ms=4, label="Girsanov bound")
    axis.errorbar(
        w,
        [row["kl"] for row in rows],
        [row["kl_error"] for row in rows],
        fmt="o-",
        color=COLOURS[0],
        ms=4,
        label="exact KL$(q \\| P_w)$ (Fokker-Planck)",
    )
    axis.set(xlabel="$w_1$", ylabel="nats", ylim=(0, None))
    axis.legend(frameon=False)
    figure.tight_layout()
    return figure


def _dimension(rank_rows: list[Row], product_rows: list[Row]) -> Any:
    """ESS against d at fixed rank; error against the number of independent copies."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.6))
    axes[0].plot([r["d"] for r in rank_rows], [r["ess"] for r in rank_rows], "o-", color=COLOURS[0], ms=4)
    axes[0].set(xscale="log", ylim=(0, 1.05), xlabel="dimension d (rank 1)", ylabel="effective share of the particles")
    methods = list(dict.fromkeys(row["method"] for row in product_rows))
    for j, method in enumerate(methods):
        rows = [row for row in product_rows if row["method"] == method]
        copies = sorted({row["r"] for row in rows})
        means = [np.mean([row["tv_mean"] for row in rows if row["r"] == r]) for r in copies]
        axes[1].plot(copies, means, "-", color=COLOURS[j % 8], lw=1.2, label=method)
        for r, mean in zip(copies, means, strict=True):
            trusted = all(row["trustworthy"] for row in rows if row["r"] == r)
            face = COLOURS[j % 8] if trusted else "white"
            axes[1].plot(r, mean, MARKERS[j % 8], color=COLOURS[j % 8], mfc=face, ms=5)
    axes[1].set(
        xscale="log", yscale="log", xlabel="independent copies r", ylabel="mean per-coordinate TV to the barycenter"
    )
    axes[1].set_title("hollow: the diagnostics warn", fontsize=8.5)
    axes[1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    raise SystemExit(redraw("benchmarks.sampling_error.figures", draw_figures))
