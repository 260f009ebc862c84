"""The figure of ``python -m benchmarks.noises``, from its rows: ``python -m benchmarks.noises.plots DIR``."""

import sys
from pathlib import Path
from typing import Any

from ..common.figures import draw, redraw
from ..common.rows import mean, pick
from ..common.study import Row, read_rows
from .claims import rms
from .student_cells import GAUSSIAN

TABLES = (
    "torus_laws",
    "torus_fits",
    "torus_bounds",
    "student_laws",
    "student_fits",
    "student_bounds",
    "tails",
    "shared",
)


def draw_figures(folder: Path) -> list[Path]:
    """Draw ``noises`` as PNG and PDF."""
    return draw(folder, lambda: {"noises": _figure({name: read_rows(folder, name) for name in TABLES})})


def _figure(tables: dict[str, list[Row]]) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11.0, 6.4), layout="constrained")
    _laws(axes[0, 0], tables)
    _rates(axes[0, 1], tables)
    _certificates(axes[0, 2], tables)
    _clock(axes[1, 0], tables["student_laws"])
    _tails(axes[1, 1], tables["tails"])
    _shared(axes[1, 2], tables["shared"])
    return figure


def _laws(axis: Any, tables: dict[str, list[Row]]) -> None:
    cases = [(f"torus, d = {d}", pick(tables["torus_laws"], d=d), "floor") for d in (1, 2)]
    cases.append(("Student", [r for r in tables["student_laws"] if r["df"] != GAUSSIAN], "floor_pool"))
    for i, (_, rows, floor) in enumerate(cases):
        for key, mark, colour in (("tv_fused", "s", "C1"), ("tv_corrected", "o", "C0"), (floor, "_", "k")):
            values = [row[key] for row in rows]
            label = {"tv_fused": "fused", "tv_corrected": "corrected"}.get(key, "direct draws")
            axis.plot([i] * len(values), values, mark, color=colour, alpha=0.7, label=None if i else label)
    axis.set_xticks(range(len(cases)), [name for name, _, _ in cases])
    axis.set_ylabel("TV to the exact barycenter")
    axis.legend(frameon=False)


def _rates(axis: Any, tables: dict[str, list[Row]]) -> None:
    kinds = [
        ("torus, d = 1", pick(tables["torus_fits"], d=1)),
        ("torus, one angle of many", [r for r in tables["torus_fits"] if r["d"] > 1 and not r["growing"]]),
        ("Student, d = 1", [r for r in tables["student_fits"] if r["df"] != GAUSSIAN and r["d"] == 1]),
        ("Student, embedded", [r for r in tables["student_fits"] if r["df"] != GAUSSIAN and r["d"] > 1]),
        ("Gaussian noise", pick(tables["student_fits"], df=GAUSSIAN, d=1)),
    ]
    for name, rows in kinds:
        sizes = sorted({row["n"] for row in rows})
        axis.loglog(sizes, [rms(pick(rows, n=n), "tv") for n in sizes], "o-", markersize=3, label=name)
    sizes = sorted({row["n"] for row in tables["torus_fits"]})
    axis.loglog(sizes, [0.6 * n**-0.5 for n in sizes], "k:", label="slope -1/2")
    axis.set_xlabel("n")
    axis.set_ylabel("TV of fitted barycenters")
    axis.legend(frameon=False, fontsize=7)


def _certificates(axis: Any, tables: dict[str, list[Row]]) -> None:
    for name, colour in (("torus_bounds", "C0"), ("student_bounds", "C3")):
        rows = [row for row in tables[name] if row["bound"] > 1e-3]
        bound = [row["bound"] for row in rows]
        label = name.removesuffix("_bounds")
        axis.loglog(bound, [max(r["kl_fused"], 1e-5) for r in rows], "o", color=colour, markersize=3, label=label)
        axis.loglog(
            bound,
            [max(r["kl_other"], 1e-5) for r in rows],
            "x",
            color=colour,
            markersize=3,
            alpha=0.4,
            label=f"{label}, law of other weights",
        )
    axis.axline((0.1, 0.1), (1.0, 1.0), color="k", linewidth=0.8)
    axis.set_xlabel("certificate, nats")
    axis.set_ylabel("KL to the fused law, nats")
    axis.legend(frameon=False, fontsize=7)


def _clock(axis: Any, rows: list[Row]) -> None:
    for data in sorted({row["data"] for row in rows}):
        own = pick(rows, data=data)
        kinds = sorted({row["df"] for row in own}, key=lambda df: (df == GAUSSIAN, df))
        names = ["Gaussian" if df == GAUSSIAN else f"{df:g}" for df in kinds]
        axis.plot(
            names, [mean(pick(own, df=df), "exact_fused") for df in kinds], "o-", label=f"data of {data:g} degrees"
        )
    axis.set_ylim(bottom=0.0)
    axis.set_xlabel("degrees of freedom of the noise")
    axis.set_ylabel("TV, exact fused law to barycenter")
    axis.legend(frameon=False, fontsize=7)


def _tails(axis: Any, rows: list[Row]) -> None:
    for data, colour in zip(sorted({row["data"] for row in rows}), ("C0", "C1", "C2"), strict=False):
        own = sorted(pick(rows, data=data), key=lambda row: row["radius"])
        radii = [row["radius"] for row in own]
        axis.loglog(radii, [r["own"] for r in own], "o-", color=colour, markersize=3, label=f"{data:g}, independent")
        axis.loglog(radii, [r["coupled"] for r in own], "s:", color=colour, markersize=3, label=f"{data:g}, coupled")
    axis.set_xlabel("radius at which data are cut")
    axis.set_ylabel("prior mismatch, nats")
    axis.legend(frameon=False, fontsize=7, title="degrees of data, scale")


def _shared(axis: Any, rows: list[Row]) -> None:
    for df in sorted({row["df"] for row in rows}):
        own = sorted(pick(rows, df=df), key=lambda row: row["gap"])
        axis.plot([r["gap"] for r in own], [r["tv"] for r in own], "o-", markersize=3, label=f"{df:g} degrees")
    axis.set_xlabel("distance of the two laws")
    axis.set_ylabel("TV, pool with shared scale to pool")
    axis.legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    sys.exit(redraw("benchmarks.noises.plots", draw_figures))
