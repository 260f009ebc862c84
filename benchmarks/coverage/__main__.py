r"""Coverage of the confidence intervals for fitted weights: ``python -m benchmarks.coverage``.

Nominal 90 % intervals of the default method and of the sandwich (the negative control) against the
population weights, over independent draws of the data, for the problems of :mod:`benchmarks.coverage.cells`. A weight
is covered enough if an exact binomial interval (99 %) of its share of hits reaches 0.85, and a cell too much if the
mean over its weights is above 0.95 by a standard error. A cell holds if neither is so, or if nearly every fit of it
warns about its intervals; and no interval may miss its own fit. `--geometry` draws all means and covariances again.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import scipy

from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import CONTROL, PROBLEMS, QUICK, CoverageSpec, run_coverage_cell

LEAST, MOST, _CERTAIN, _MOSTLY = 0.85, 0.95, 0.99, 0.9
_BLOCK, _SLOW_BLOCK, _SLOW = 25, 5, ("k = 16", "cap")
_SLOW_SHARE = 5  # problems that cost seconds a draw get a fifth of the draws


@final
@dataclass(frozen=True)
class Coverage:
    """One method in one cell: shares over the draws."""

    problem: str
    n: int
    method: str
    draws: int
    covered: tuple[float, ...]
    width: float
    missed: float
    flagged: float

    @property
    def worst(self) -> tuple[float, float, float]:
        """Least share of hits of a weight, with its exact binomial interval."""
        hits = round(min(self.covered) * self.draws)
        tail = 0.5 * (1.0 - _CERTAIN)
        low = scipy.special.betaincinv(hits, self.draws - hits + 1, tail) if hits else 0.0
        high = scipy.special.betaincinv(hits + 1, self.draws - hits, 1.0 - tail) if hits < self.draws else 1.0
        return min(self.covered), float(low), float(high)

    @property
    def holds(self) -> bool:
        """Coverage in [0.85, 0.95] as far as the draws tell, or a warning; and no fit outside its interval."""
        return not self.missed and bool((self.enough and not self.excessive) or self.flagged >= _MOSTLY)

    @property
    def enough(self) -> bool:
        """Whether the least covered weight may have 0.85."""
        return self.worst[2] >= LEAST

    @property
    def excessive(self) -> bool:
        """Whether the mean over weights is above 0.95 by more than a standard error."""
        return bool(np.mean(self.covered) > MOST + np.sqrt(MOST * (1.0 - MOST) / self.draws))


def summarise(rows: list[Row]) -> list[Coverage]:
    """Cells in the order of the rows; blocks of draws are added up."""
    cells: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["problem"], row["n"], row["method"]].append(row)
    found = []
    for (problem, n, method), blocks in cells.items():
        draws = sum(row["draws"] for row in blocks)
        covered = np.sum([row["hits"] for row in blocks], axis=0) / draws
        width = sum(row["draws"] * np.mean(row["width"]) for row in blocks) / draws
        missed, flagged = (sum(row[name] for row in blocks) / draws for name in ("missed", "flagged"))
        found.append(Coverage(problem, n, method, draws, tuple(covered.tolist()), float(width), missed, flagged))
    return found


def claims(cells: list[Coverage]) -> list[Claim]:
    """The requirements of the study; the control must fail them."""
    default = [cell for cell in cells if cell.method == "auto"]
    control = [cell for cell in cells if cell.method == CONTROL]
    bad = [cell for cell in default if not cell.holds]
    names = "; ".join(f"{cell.problem}, n = {cell.n}" for cell in bad)
    boundary = [cell for cell in default if not cell.problem.startswith("interior")]
    interior = [cell for cell in default if cell.problem.startswith("interior")]
    wide = np.mean([share for cell in boundary for share in cell.covered])
    found = [
        within(
            "cells outside [0.85, 0.95] without a warning, or with an interval that misses its fit",
            len(bad),
            high=0,
            control=sum(not cell.holds for cell in control),
            control_name=CONTROL,
            note=f"of {len(default)} cells{': ' + names if names else ''}",
        ),
        within(
            "fits outside their own interval",
            sum(cell.missed for cell in default) / len(default),
            high=0.0,
            control=sum(cell.missed for cell in control) / len(control),
            control_name=CONTROL,
        ),
        within(
            "cells with a weight covered less than 0.85, warned or not",
            sum(not cell.enough for cell in default),
            high=0,
            control=sum(not cell.enough for cell in control),
            control_name=CONTROL,
            note="; ".join(f"{cell.problem}, n = {cell.n}" for cell in default if not cell.enough),
        ),
        Claim("cells covered more than 0.95", sum(cell.excessive for cell in default)),
        Claim("mean coverage near the boundary", float(wide), note="above 0.9 where other weights may be zero"),
    ]
    if interior:
        shares = [share for cell in interior for share in cell.covered]
        found.append(within("mean coverage in the interior, n of at least 32", float(np.mean(shares)), 0.85, 0.95))
    return found


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the study; exit code 1 if a claim fails or the control passes."""
    parser = OneLineParser(prog="python -m benchmarks.coverage", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few problems and 40 draws: under a minute")
    parser.add_argument("--draws", type=int, help="independent draws of the data per cell (80, quick 40)")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--geometry", type=int, default=0, help="another number draws all means and covariances again")
    parser.add_argument("--out", default="results/coverage", help="folder for the table")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    draws = args.draws or (40 if args.quick else 80)
    if draws < 10 or args.jobs < 1 or args.seed < 0 or args.geometry < 0:
        parser.error("--draws must be at least 10, --jobs at least 1, --seed and --geometry at least 0")
    specs = [
        spec
        for name, (_, sizes) in PROBLEMS.items()
        if not args.quick or name in QUICK
        for n in (sizes[:2] if args.quick else sizes)
        for spec in _blocks(name, n, draws, args.seed, args.geometry)
    ]
    folder: Path = prepare_folder(args.out)
    records = run_cells(run_coverage_cell, specs, title="coverage", folder=folder, settings=run_settings(args))
    rows = [row for record in records for row in record]
    write_rows(folder, "coverage", rows)
    write_json(folder / "manifest.json", provenance(args.seed))
    cells = summarise(rows)
    _print(cells)
    found = claims(cells)
    print_claims(found)
    write_claims(folder, found, seed=args.seed, draws=draws)
    return exit_code(found)


def _blocks(name: str, n: int, draws: int, seed: int, geometry: int) -> list[CoverageSpec]:
    """Cells of a few draws each, so that a stopped run loses little."""
    slow = name.startswith(_SLOW)
    block = _SLOW_BLOCK if slow else _BLOCK
    wanted = max(draws // _SLOW_SHARE, 10) if slow else draws
    edges = [*range(0, wanted, block), wanted]
    return [CoverageSpec(name, n, i, edges[i + 1] - edges[i], seed, geometry) for i in range(len(edges) - 1)]


def _print(cells: list[Coverage]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "problem",
        "n",
        "method",
        "draws",
        "mean",
        "worst weight [99 %]",
        "width",
        "misses its fit",
        "warned",
        "",
        title="90 % intervals",
    )
    for cell in cells:
        least, low, high = cell.worst
        table.add_row(
            cell.problem,
            str(cell.n),
            cell.method,
            str(cell.draws),
            f"{np.mean(cell.covered):.3f}",
            f"{least:.3f} [{low:.3f}, {high:.3f}]",
            f"{cell.width:.3f}",
            f"{cell.missed:.3f}",
            f"{cell.flagged:.2f}",
            "holds" if cell.holds else "FAILS",
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
