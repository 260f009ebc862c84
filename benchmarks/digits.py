r"""Sevens and nines: ``python -m benchmarks.digits [--quick] [--data mnist | digits8]``.

Four auxiliaries with 10, 30, 70 and 90 % sevens, a target of 60 % sevens seen through n images. Methods: fused,
corrected, uniform weights, arithmetic mixture, parameter average, nearest auxiliary, fine-tuned, from scratch. Judges:
bits per dimension of held-out target images (probability flow, dequantised, with the Jacobian of the scaling), share of
sevens by an outside classifier with confusion correction, and a digit-FID.

**Which share to expect.** If sevens and nines do not overlap, the pool ``prod p_i^{w_i}`` has a share s of sevens with

    logit s = sum_i w_i logit s_i + log Z_7 - log Z_9,

where ``Z_c`` is the normalising constant of the pool of the class-c laws: class frequencies pool geometrically. The
auxiliaries' class laws are nearly one law, so the last two terms nearly cancel. The arithmetic mixture would have
``sum_i w_i s_i``. Both predictions stand beside the measured shares.

``--quick`` takes the 8 x 8 digits that scikit-learn ships; ``--data digits8`` the same with more draws. Checkpoints,
cells and pictures are cached: a run that was stopped goes on where it was.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sfbench.data import DataUnavailable, data_entry
from sfbench.errors import OutputError
from sfbench.files import prepare_folder, provenance, write_json

from .digits_cells import Cell, find_window, pools_and_judge, run_cell
from .digits_models import QUICK, STUDIES, Study, train_auxiliaries
from .study import OneLineParser, read_rows, run_cells, write_rows

Row = dict[str, Any]
_METRICS = ("share", "fid", "bits")


def main(argv: list[str] | None = None) -> int:
    """Train, run all cells, write tables and figures."""
    parser = OneLineParser(prog="python -m benchmarks.digits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 x 8 digits, small networks: minutes")
    parser.add_argument("--data", choices=list(STUDIES), default="mnist", help="data set of the full study")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--device", default="cpu", help="torch device of the networks")
    parser.add_argument("--out", default=None, help="folder for checkpoints, tables and figures")
    parser.add_argument("--collect", action="store_true", help="tables and figures of the finished cells, no computing")
    args = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    study = QUICK if args.quick else STUDIES[args.data]
    try:
        pools, _ = pools_and_judge(study, args.seed)
        folder = prepare_folder(args.out or f"results/digits_{'quick' if args.quick else args.data}")
    except (OutputError, DataUnavailable) as error:
        parser.error(str(error))
    started = time.perf_counter()
    if args.collect:
        return _report(folder, _finished(folder), study, args, started)
    _, _, held_out = train_auxiliaries(study, pools, folder, seed=args.seed, device=args.device, progress=True)
    window = find_window(str(folder), held_out, args.device, args.seed)
    write_json(folder / "window.json", window)
    cells = [
        Cell(n, draw, args.seed, study, str(folder), args.device) for draw in range(study.draws) for n in study.sizes
    ]
    records = run_cells(run_cell, cells, n_jobs=args.jobs, title="draws of the target")
    return _report(folder, records, study, args, started)


def _finished(folder: Path) -> list[Row]:
    """Records of the cells that are done."""
    paths = sorted((folder / "cells").glob("*.json"))
    if not paths:
        raise SystemExit(f"python -m benchmarks.digits: no finished cell in {str(folder)!r}")
    return [json.loads(path.read_text()) for path in paths]


def _report(folder: Path, records: list[Row], study: Study, args: argparse.Namespace, started: float) -> int:
    """Tables and figures of these cells."""
    window = json.loads((folder / "window.json").read_text())
    _, judge = pools_and_judge(study, args.seed)
    share = f"{len(records)} of {study.draws * len(study.sizes)}"
    rows = [{"n": r["spec"]["n"], "draw": r["spec"]["draw"], **row} for r in records for row in r["rows"]]
    write_rows(folder, "methods", rows)
    kept = ("weights", "low", "high", "geometric_share", "arithmetic_share", "seconds")
    fits = [{"n": r["spec"]["n"], "draw": r["spec"]["draw"], **{k: r[k] for k in kept}} for r in records]
    write_rows(folder, "weights", fits)
    summary = summarise(rows, fits) | {"judge": {"true_rate": judge.true_rate, "false_rate": judge.false_rate}}
    summary["window"] = [window["t_min"], window["t_max"], window["chosen"]]
    record = {"cells": share, "summary": summary, "quick": args.quick, "seconds": time.perf_counter() - started}
    write_json(folder / "summary.json", record | provenance(args.seed))
    draw_figure(folder, study)
    print(f"{share} cells")
    print(as_text(summary))
    print(f"{record['seconds']:.0f} s; tables and figures in {folder}")
    return 0


def summarise(rows: list[Row], fits: list[Row]) -> Row:
    """Mean and standard error over draws of every metric."""
    table: Row = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        table[method] = {}
        for n in sorted({row["n"] for row in rows}):
            own = [row for row in rows if row["method"] == method and row["n"] == n]
            table[method][str(n)] = {
                m: _mean_and_error([row[m] for row in own]) for m in _METRICS if all(m in row for row in own)
            }
    sizes = sorted({fit["n"] for fit in fits})
    weights = {
        str(n): {
            k: np.mean([fit[k] for fit in fits if fit["n"] == n], axis=0).tolist()
            for k in ("weights", "geometric_share", "arithmetic_share")
        }
        for n in sizes
    }
    return {"mean and standard error over draws": table, "fitted": weights}


def _mean_and_error(values: list[float]) -> list[float | None]:
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return [float(np.mean(values)), error]


def as_text(summary: Row) -> str:
    """The tables as plain text."""
    table = summary["mean and standard error over draws"]
    sizes = list(next(iter(table.values())))
    low, high, chosen = summary["window"]
    lines = [f"fitted window t in [{low:.3g}, {high:.3g}] ({chosen}); judge {summary['judge']}"]
    for metric, title in zip(_METRICS, ("share of sevens", "digit-FID", "bits per dimension"), strict=True):
        lines.append(f"{title}: mean (standard error over draws)")
        lines.append(f"  {'method':20s}" + "".join(f"{'n=' + n:>18s}" for n in sizes))
        for method, per_n in table.items():
            if metric in per_n[sizes[0]]:
                cells = [per_n[n][metric] for n in sizes]
                shown = [f"{v:.3f} ({e:.3f})" if e is not None else f"{v:.3f}" for v, e in cells]
                lines.append(f"  {method:20s}" + "".join(f"{s:>18s}" for s in shown))
    for n, fit in summary["fitted"].items():
        w = ", ".join(f"{v:.3f}" for v in fit["weights"])
        lines.append(
            f"n = {n}: mean weights ({w}) predict {fit['geometric_share']:.3f} sevens by geometric pooling, "
            f"{fit['arithmetic_share']:.3f} by arithmetic mixing"
        )
    return "\n".join(lines)


def draw_figure(folder: Path, study: Study) -> None:
    """Metrics against n, and generated digits, from the written files."""
    from matplotlib.figure import Figure

    rows = read_rows(folder, "methods")
    sizes, methods = sorted({row["n"] for row in rows}), list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.25, 1.0])
    top, bottom = parts
    titles = {"share": "share of sevens (target .6)", "fid": "digit-FID", "bits": "bits per dimension"}
    for axis, (metric, title) in zip(top.subplots(1, 3), titles.items(), strict=True):
        for j, method in enumerate(methods):
            found = [[r[metric] for r in rows if r["method"] == method and r["n"] == n and metric in r] for n in sizes]
            if not all(found):
                continue
            means = [np.mean(f) for f in found]
            errors = [np.std(f, ddof=1) / np.sqrt(len(f)) if len(f) > 1 else 0.0 for f in found]
            axis.errorbar(
                np.array(sizes) * 1.03**j, means, yerr=errors, fmt="o-", ms=3, lw=1, label=method, color=f"C{j}"
            )
        axis.set(xscale="log", xlabel="n", title=title)
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.minorticks_off()
        if metric == "share":
            axis.axhline(0.6, color="k", lw=0.8, ls="--")
            axis.legend(fontsize=6, loc="upper right", ncols=2)
            axis.set_ylim(0.2, 1.0)
        if metric == "fid":
            axis.set_yscale("log")
    shape = data_entry(study.data).shape
    shown = ("real digits", "fused", "corrected", "fine-tuned", "from scratch", "parameter average")
    with np.load(folder / "cells" / f"n{sizes[0]}_draw0.npz", allow_pickle=False) as pictures:
        for axis, method in zip(bottom.subplots(1, len(shown)), shown, strict=True):
            tiles = np.pad(pictures[method][:16].reshape(16, *shape), ((0, 0), (1, 1), (1, 1)))
            tiles = tiles.reshape(4, 4, *tiles.shape[1:])
            axis.imshow(np.concatenate(np.concatenate(tiles, axis=1), axis=1), cmap="gray_r")
            axis.set(title=f"{method}, n = {sizes[0]}", xticks=[], yticks=[])
            axis.title.set_fontsize(7)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / f"digits.{suffix}", dpi=130)


if __name__ == "__main__":
    sys.exit(main())
