"""Solver backends side by side: time relative to a fresh cvxpy/Clarabel call, and worst certified gap.

``python -m benchmarks.solver_speed [--quick] [--seed N] [--out DIR] [--solver NAME]...``

Problems are Gram matrices in general position, ``P = A A' / rank``, ``q = -A y / rank`` with ``y = A'w + noise / 2``
and w uniform on the simplex, at full rank (2k columns) and half rank (k/2). Every time is the minimum over repeats of
one call of ``solve``, certificate and tie-break included, one process, one thread, solvers interleaved in random order:
read ratios, never seconds. Ratios must be taken in one process, so these parts do not run on the study engine; a long
run is cut by ``--part`` and ``--k`` instead. The part "published_way" has results besides times and does: its draws are
kept in ``journal.sqlite`` of the output folder.

The rules by which "auto" chooses were set on the family above at seed 0, so they are judged on problems they have not
seen as well: other seeds of a second family, "correlated", whose columns decay like a power law and whose auxiliaries
share a common part, as scores do, with three of them making up the target.

Writes ``solver_speed.jsonl`` and ``solver_speed.png`` / ``.pdf``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfbench.experiments.report.tables import write_rows as write_table
from sfbench.files import prepare_folder, provenance

from ..common.figures import draw
from ..common.study import OneLineParser, one_line_errors
from . import published_way
from .cells import (
    CONTENDERS,
    DIMS,
    LARGEST,
    RANKS,
    REFERENCE,
    Record,
    measure_cell,
    measure_constrained,
    measure_many,
    measure_overhead,
)

PARTS = ("general", "correlated", "overhead", "many", "published_way")
_TITLES = {
    "general": 'family "general", on which the rules of "auto" were set',
    "correlated": 'family "correlated", other seeds: held out',
}


@one_line_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    parser = OneLineParser(prog="python -m benchmarks.solver_speed", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="k up to 100 and few repeats: about a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/solver_speed"))
    parser.add_argument("--solver", action="append", help="only these solvers (repeatable); auto and cvxpy always run")
    parser.add_argument("--k", action="append", type=int, choices=DIMS, help="only these dimensions (repeatable)")
    parser.add_argument("--part", action="append", choices=PARTS, help="only these parts (repeatable)")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed must be at least 0, got {args.seed}")
    from threadpoolctl import threadpool_limits

    prepare_folder(args.out)
    parts, dims = args.part or PARTS, args.k or DIMS
    with threadpool_limits(1):
        records = run(quick=args.quick, seed=args.seed, only=args.solver, parts=parts, dims=dims, folder=args.out)
    header = {"kind": "header", "quick": args.quick, **provenance(args.seed)}
    write_table([header, *records], args.out / "solver_speed.jsonl")
    print(report(records))
    plot(records, args.out)
    print(f"wrote {args.out / 'solver_speed.jsonl'} and solver_speed.png, .pdf beside it")
    return 0


def run(
    *,
    quick: bool,
    seed: int,
    only: Sequence[str] | None = None,
    parts: Sequence[str] = PARTS,
    dims: Sequence[int] = DIMS,
    folder: Path | None = None,
) -> list[Record]:
    """All measurements, as records with a `kind`: cell, overhead, many, constrained, published_way."""
    from solvers import available_solvers

    names = [n for n in available_solvers() if not only or n in only or n in ("auto", REFERENCE)]
    records: list[Record] = []
    for family, solvers in (("general", names), ("correlated", [n for n in names if n in CONTENDERS])):
        for k, rank in itertools.product(dims if family in parts else (), RANKS):
            if quick and k > 100:
                continue
            cell = measure_cell(solvers, family, k, rank, seed, quick)
            records += cell
            over = auto_over_fastest(cell, family, k, rank)
            print(f"{family}, k = {k}, {rank} rank: auto over the fastest {over:.2f}", file=sys.stderr)
    if "overhead" in parts:
        records += measure_overhead(seed, quick)
    if "many" in parts:
        records += [measure_many(seed, quick), measure_constrained(seed, quick)]
    if "published_way" in parts:
        records.append(published_way.run(seed=seed, quick=quick, folder=folder))
    return records


def report(records: Sequence[Record]) -> str:
    """The tables as text."""
    lines: list[str] = []
    for family in _TITLES:
        lines += _family_table([r for r in records if r["kind"] == "cell" and r["family"] == family], family)
    lines += _overhead_table([record for record in records if record["kind"] == "overhead"])
    for record in records:
        if record["kind"] == "many":
            lines.append(
                f"solve_many, 1000 problems of k = 8: {record['ratio_to_cvxpy']:.5f} of 1000 fresh cvxpy calls, "
                f"{record['solves_per_second']:.0f} solves/s on 20,000, worst gap {record['worst_gap']:.1e} of scale"
            )
        if record["kind"] == "constrained":
            lines.append(
                f"solve_many with a cap on the weights, {record['n']} perturbed problems of k = 8: "
                f"{record['cpu_seconds']:.2f} s of CPU, {record['ratio_to_alone']:.2f} of one by one, "
                f"{record['certified']} certified, "
                f"the cap binds in {record['binding']:.0%}, worst gap {record['worst_gap']:.1e} of scale"
            )
        if record["kind"] == "published_way":
            lines += published_way.report(record)
    return "\n".join(lines)


def _family_table(cells: Sequence[Record], family: str) -> list[str]:
    if not cells:
        return []
    lines = [
        f"Time relative to a fresh cvxpy/Clarabel call (worst gap of scale); * = gap above 1e-9; {_TITLES[family]}"
    ]
    names, dims = list(dict.fromkeys(r["solver"] for r in cells)), sorted({r["k"] for r in cells})
    left_out: set[str] = set()
    for rank in RANKS:
        lines += ["", f"{rank} rank".ljust(24) + "".join(f"k = {k}".rjust(18) for k in dims)]
        for name in names:
            row = name.ljust(24)
            for k in dims:
                found = [r for r in cells if (r["solver"], r["k"], r["rank"]) == (name, k, rank)]
                if not found:
                    row += "left out".rjust(17) + " "
                    left_out.add(name)
                    continue
                star = " " if found[0]["certified"] else "*"
                row += f"{found[0]['ratio']:.4f} ({found[0]['gap']:.0e}){star}".rjust(18)
            lines.append(row)
        over = "".join(f"{auto_over_fastest(cells, family, k, rank):.2f}".rjust(17) + " " for k in dims)
        lines.append("auto / fastest".ljust(24) + over)
    lines += ["", *(f"left out above k = {LARGEST[n][0]}: {n}, {LARGEST[n][1]}" for n in names if n in left_out), ""]
    failed = [f"{r['solver']} at k = {r['k']}, {r['rank']} rank: {r['error']}" for r in cells if r["error"]]
    return lines + failed


def _overhead_table(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    lines = ["Time over a raw call of the library (median and range over five problems)"]
    for record in records:
        seconds = {name: np.array(values) for name, values in record["seconds"].items()}
        for library in record["libraries"]:
            raw = seconds[f"raw_{library}"]
            cells = {
                f"solve(problem, {library!r})": f"solve_{library}",
                f"solve(problem), by {record['chosen']}": "auto",
                "SimplexQP(P, q)": "construction",
                "solve(SimplexQP(P, q))": "auto_and_construction",
            }
            ratios = ", ".join(f"{name} {_spread(seconds[key] / raw)}" for name, key in cells.items())
            lines.append(f"{record['family']}, k = {record['k']}, {library}: {ratios}")
    return [*lines, ""]


def _spread(ratios: np.ndarray) -> str:
    return f"{np.median(ratios):.2f}x [{ratios.min():.2f}, {ratios.max():.2f}]"


def auto_over_fastest(cells: Sequence[Record], family: str, k: int, rank: str) -> float:
    """Time of "auto" over that of the fastest other backend whose gap is certified in this cell."""
    here = [r for r in cells if (r["family"], r["k"], r["rank"]) == (family, k, rank)]
    auto = next(float(r["ratio"]) for r in here if r["solver"] == "auto")
    return auto / min((float(r["ratio"]) for r in here if r["certified"] and r["solver"] != "auto"), default=np.nan)


def plot(records: Sequence[Record], out: Path) -> None:
    """Draw ratio against k, one panel a rank; hollow marks are gaps above the tolerance."""
    cells = [r for r in records if r["kind"] == "cell" and r["family"] == "general"]
    if cells:
        draw(out, lambda: {"solver_speed": _figure(cells)})


def _figure(cells: Sequence[Record]) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    names = list(dict.fromkeys(r["solver"] for r in cells))
    colours = plt.get_cmap("tab20")
    for axis, rank in zip(axes, ("full", "half"), strict=True):
        for i, name in enumerate(names):
            rows = sorted((r for r in cells if r["solver"] == name and r["rank"] == rank), key=lambda r: r["k"])
            rows = [r for r in rows if np.isfinite(r["ratio"])]
            wide = 2.5 if name == "auto" else 1.0
            axis.plot([r["k"] for r in rows], [r["ratio"] for r in rows], color=colours(i), lw=wide, label=name)
            for r in rows:
                face = colours(i) if r["certified"] else "white"
                axis.plot(r["k"], r["ratio"], "o", ms=4, color=colours(i), markerfacecolor=face)
        axis.set(xscale="log", yscale="log", xlabel="auxiliaries k", title=f"{rank} rank")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("time / fresh cvxpy call")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main())
