r"""Coverage of the confidence intervals for fitted weights: ``python -m benchmarks.coverage``.

Nominal 90 % intervals against the population optimum over independent data draws, by interval method, sample size and
problem. The last problem has its target at a vertex: coverage at the boundary is reported, not required. Interior
cells must lie in [0.85, 0.95]; intervals a third as wide are the negative control.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench.files import prepare_folder, provenance, write_json

from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import PROBLEMS, CoverageSpec, run_coverage_cell

SIZES = (256, 4096)
REQUIRED = (0.85, 0.95)


@final
@dataclass(frozen=True)
class Coverage:
    """Share of draws whose interval holds the truth, averaged over weights, with its standard error."""

    value: float
    stderr: float
    control: float


def summarise(rows: list[Row]) -> Coverage:
    """Coverage over the draws of one cell; draws are independent, weights within a draw are not."""
    shares = np.array([np.mean(row["covered"]) for row in rows])
    control = float(np.mean([np.mean(row["covered_by_third"]) for row in rows]))
    return Coverage(float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(len(shares))), control)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the study; exit code 1 if an interior cell leaves its interval."""
    parser = OneLineParser(prog="python -m benchmarks.coverage", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=400, help="independent data draws per cell")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/coverage", help="folder for the table")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.draws < 10 or args.jobs < 1 or args.seed < 0:
        parser.error("--draws must be at least 10, --jobs at least 1, --seed at least 0")
    specs = [
        CoverageSpec(problem, n, draw, args.seed) for problem in PROBLEMS for n in SIZES for draw in range(args.draws)
    ]
    folder: Path = prepare_folder(args.out)
    records = run_cells(run_coverage_cell, specs, title="coverage", folder=folder, settings=run_settings(args))
    rows = [row for record in records for row in record]
    write_rows(folder, "coverage", rows)
    write_json(folder / "manifest.json", provenance(args.seed))
    return 0 if _report(rows) else 1


def _report(rows: list[Row]) -> bool:
    from rich.console import Console
    from rich.table import Table

    table = Table("problem", "n", "method", "coverage", "required", "a third as wide", "", title="90 % intervals")
    good = True
    keys: list[Any] = sorted({(row["problem"], row["n"], row["method"]) for row in rows})
    for problem, n, method in keys:
        chosen = [row for row in rows if (row["problem"], row["n"], row["method"]) == (problem, n, method)]
        cell = summarise(chosen)
        interior = all(0.02 < w < 0.98 for w in chosen[0]["truth"])
        low, high = REQUIRED
        holds = not interior or (low <= cell.value <= high and not low <= cell.control <= high)
        good &= holds
        table.add_row(
            problem,
            str(n),
            method,
            f"{cell.value:.3f} +- {cell.stderr:.3f}",
            f"[{low}, {high}]" if interior else "boundary",
            f"{cell.control:.3f}",
            "holds" if holds else "FAILS",
        )
    Console(width=120).print(table)
    return good


if __name__ == "__main__":
    raise SystemExit(main())
