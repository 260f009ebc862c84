r"""Networks on the published 1-D mixture: ``python -m benchmarks.mixture_1d [--quick]``.

Two auxiliaries are trained on 20,000 points each, in the coordinates of the authors' code (each law standardised by its
own moments), under the variance-exploding process with sigma = 25. A diagnostic on their held-out data chooses the
window of the fit. Then, for every n and every draw of target data: fused and corrected samples, uniform weights, the
nearest auxiliary, arithmetic mixture, parameter averaging, fine-tuning, and training from scratch (two capacities,
chosen and stopped on a quarter of the data, averaged weights). Distances are in the target's own units.

Everything is cached: a run that was stopped goes on where it was. Tables are CSV and JSON lines, figures PNG and PDF.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sfbench.errors import OutputError
from sfbench.files import prepare_folder, provenance, write_json

from .mixture_1d_cells import FULL, QUICK, Cell, Scale, find_window, published_way, run_cell, train_auxiliary
from .study import OneLineParser, read_rows, run_cells, write_rows

Row = dict[str, Any]
_METRICS = ("w1", "w1_clipped", "tv", "mode_mass_error")
_SHOWN = ("fused", "corrected", "nearest auxiliary", "fine-tuned", "from scratch", "a sample of the target")


def main(argv: list[str] | None = None) -> int:
    """Train, run all cells, write tables and figures."""
    parser = OneLineParser(prog="python -m benchmarks.mixture_1d", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small networks and few draws: about two minutes")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--device", default="cpu", help="torch device of the networks")
    parser.add_argument("--out", default=None, help="folder for checkpoints, tables and figures")
    parser.add_argument("--collect", action="store_true", help="tables and figures of the finished cells, no computing")
    args = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    scale = QUICK if args.quick else FULL
    try:
        folder = prepare_folder(args.out or f"results/mixture_1d{'_quick' if args.quick else ''}")
    except OutputError as error:
        parser.error(str(error))
    started = time.perf_counter()
    if args.collect:
        return _report(folder, _finished(folder), scale, args, started)
    train = partial(_train, scale=scale, folder=str(folder), seed=args.seed, device=args.device)
    write_rows(folder, "auxiliaries", run_cells(train, [0, 1], n_jobs=min(args.jobs, 2), title="auxiliaries"))
    window = find_window(str(folder), args.seed, args.device)
    write_json(folder / "window.json", window)
    cells = [
        Cell(n, draw, args.seed, scale, str(folder), args.device) for draw in range(scale.seeds) for n in scale.sizes
    ]
    records = run_cells(run_cell, cells, n_jobs=args.jobs, title="draws of the target")
    specs = [(n, draw) for n in scale.sizes if n in (256, 1024) for draw in range(min(scale.seeds, 3))]
    published = partial(_published, scale=scale, folder=str(folder), seed=args.seed, device=args.device)
    write_rows(folder, "published_way", run_cells(published, specs, n_jobs=1, title="published way"))
    return _report(folder, records, scale, args, started)


def _finished(folder: Path) -> list[Row]:
    """Records of the cells that are done."""
    paths = sorted((folder / "cells").glob("*.json"))
    if not paths:
        raise SystemExit(f"python -m benchmarks.mixture_1d: no finished cell in {str(folder)!r}")
    return [json.loads(path.read_text()) for path in paths]


def _report(folder: Path, records: list[Row], scale: Scale, args: argparse.Namespace, started: float) -> int:
    """Tables and figures of these cells."""
    window = json.loads((folder / "window.json").read_text())
    published = read_rows(folder, "published_way") if (folder / "published_way.jsonl").exists() else []
    rows = [{"n": r["spec"]["n"], "draw": r["spec"]["draw"], **row} for r in records for row in r["rows"]]
    write_rows(folder, "methods", rows)
    kept = ("weight", "low", "high", "cpu_s")
    fits = [{"n": r["spec"]["n"], "draw": r["spec"]["draw"], **{k: r[k] for k in kept}} for r in records]
    write_rows(folder, "weights", fits)
    summary = summarise(rows, fits, published, window)
    share = f"{len(records)} of {scale.seeds * len(scale.sizes)}"
    record = {"cells": share, "summary": summary, "quick": args.quick, "seconds": time.perf_counter() - started}
    write_json(folder / "summary.json", record | provenance(args.seed))
    draw_figure(folder)
    print(f"{share} cells")
    print(as_text(summary))
    print(f"{record['seconds']:.0f} s; tables and figures in {folder}")
    return 0


def _train(i: int, *, scale: Scale, folder: str, seed: int, device: str) -> Row:
    return train_auxiliary(i, scale, folder, seed, device)


def _published(spec: tuple[int, int], *, scale: Scale, folder: str, seed: int, device: str) -> Row:
    return published_way(*spec, scale, folder, seed, device)


def summarise(rows: list[Row], fits: list[Row], published: list[Row], window: Row) -> Row:
    """Medians with ranges over draws, ratios of fusion to training from scratch, weights against the population."""
    sizes = sorted({row["n"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))

    def values(method: str, n: int, metric: str) -> list[float]:
        return [row[metric] for row in rows if row["method"] == method and row["n"] == n]

    table = {
        method: {
            str(n): {
                m: [float(v) for v in np.quantile(values(method, n, m), [0.5, 0.0, 1.0])] for m in _METRICS
            }
            for n in sizes
        }
        for method in methods
    }  # fmt: skip
    ratios: dict[str, Row] = {}
    for n in sizes:
        ratios[str(n)] = {}
        for metric in ("w1", "w1_clipped", "tv"):
            pairs = zip(values("from scratch", n, metric), values("fused", n, metric), strict=True)
            found = np.array([a / b for a, b in pairs])
            ratios[str(n)][metric] = [float(v) for v in np.quantile(found, [0.5, 0.0, 1.0])]
    truth = window["population_weights"]["window"][0]
    inside = [fit["low"] <= truth <= fit["high"] for fit in fits]
    return {
        "median, smallest and largest over draws": table,
        "from scratch over fused": ratios,
        "population weight (exact scores, fitted window)": truth,
        "weight of the networks at n = 20,000": window["network_weights_n_20000"]["window"][0],
        "share of 95 % intervals that hold the population weight": float(np.mean(inside)),
        "window": [window["t_min"], window["t_max"]],
        "published way": published,
    }


def as_text(summary: Row) -> str:
    """The tables as plain text."""
    table = summary["median, smallest and largest over draws"]
    sizes = list(next(iter(table.values())))
    lines = [f"fitted window t in [{summary['window'][0]:.3g}, {summary['window'][1]:.3g}]"]
    for metric in _METRICS:
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


def draw_figure(folder: Path) -> None:
    """Distances against n, and fitted weights with their intervals, from the written files."""
    from matplotlib.figure import Figure

    rows, fits = read_rows(folder, "methods"), read_rows(folder, "weights")
    window = json.loads((folder / "window.json").read_text())
    sizes = sorted({row["n"] for row in rows})
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axis, metric, title in ((left, "w1_clipped", "$W_1$, clipped"), (middle, "tv", "total variation")):
        for method in _SHOWN:
            found = [[r[metric] for r in rows if r["method"] == method and r["n"] == n] for n in sizes]
            line = axis.plot(sizes, [np.median(f) for f in found], "o-", ms=3, label=method)[0]
            axis.fill_between(
                sizes, [min(f) for f in found], [max(f) for f in found], color=line.get_color(), alpha=0.15
            )
        axis.set(xscale="log", yscale="log", xlabel="n", ylabel=title)
    left.legend(fontsize=7)
    draws = sorted({fit["draw"] for fit in fits})
    for j, draw in enumerate(draws):
        own = [fit for fit in fits if fit["draw"] == draw]
        at = [fit["n"] * 1.06 ** (j - len(draws) / 2) for fit in own]
        w = np.array([fit["weight"] for fit in own])
        bars = [w - [fit["low"] for fit in own], np.array([fit["high"] for fit in own]) - w]
        right.errorbar(at, w, yerr=np.maximum(bars, 0.0), fmt="o", ms=2, lw=0.8)
    right.axhline(
        window["population_weights"]["window"][0], color="k", lw=0.8, ls="--", label="population, exact scores"
    )
    right.set(xscale="log", xlabel="n", ylabel="fitted weight, 95 % interval")
    right.legend(fontsize=7)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / f"mixture_1d.{suffix}", dpi=130)


if __name__ == "__main__":
    sys.exit(main())
