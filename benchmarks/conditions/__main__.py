"""When can the rates be trusted? ``python -m benchmarks.conditions [--quick]``: four knobs, exact truth.

Distance of the target from the family, spread of the auxiliaries, dimension (at fixed and at growing rank), tails. For
each problem: the tightness of the certificate and of every bound of the excess, which assumption fails, how errors grow
with the dimension, and what the diagnostics of ``fuse`` tell from data alone.
"""

import argparse
import sys
import time

from sfbench.files import prepare_folder, provenance

from ..common.claims import exit_code, print_claims, write_claims
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import ConditionsSpec, run_cell
from .claims import evaluate_claims
from .plots import draw_figures


def grid(quick: bool, seed: int) -> list[ConditionsSpec]:
    """All problems."""
    distances = (0.0, 0.5, 2.0) if quick else (0.0, 0.25, 0.5, 1.0, 2.0)
    spreads = (0.03, 0.3, 3.0) if quick else (0.01, 0.1, 1.0, 3.0)
    dims, fits = ((4, 64), 6) if quick else ((4, 32, 128), 12)
    return [
        ConditionsSpec(rank, distance, spread, d, tails, 512, fits, seed)
        for rank in ("fixed", "growing")
        for distance in distances
        for spread in spreads
        for d in dims
        for tails in ("gaussian", "heavy")
    ]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run all cells, write the table and the figure, check the claims."""
    parser = OneLineParser(prog="python -m benchmarks.conditions", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer problems and fits: under a minute")
    parser.add_argument("--seed", type=int, default=0, help="seed of the problems")
    parser.add_argument("--out", default="results/conditions", help="folder for results, tables and the figure")
    add_engine_arguments(parser)
    args: argparse.Namespace = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    started = time.monotonic()
    folder = prepare_folder(args.out)
    title = f"conditions, seed {args.seed}{', quick' if args.quick else ''}"
    found = run_cells(run_cell, grid(args.quick, args.seed), title=title, folder=folder, settings=run_settings(args))
    rows: list[Row] = [row for record in found for row in record]
    write_rows(folder, "conditions", rows)
    claims = evaluate_claims(rows)
    write_claims(folder, claims, quick=args.quick, **provenance(args.seed))
    draw_figures(folder)
    print_claims(claims)
    print(f"{time.monotonic() - started:.0f} s; table and figure in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    sys.exit(main())
