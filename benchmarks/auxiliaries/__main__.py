"""How many auxiliaries? ``python -m benchmarks.auxiliaries [--quick]``: k = 2 to 256, exact excess of every fit.

Five geometries: ``random`` means in 64 dimensions, ``nested`` ones of which each further one differs less,
``near-duplicate`` (four groups), ``disjoint``, and ``covariances``, where the bound's assumption of a fixed Gram matrix
fails. The target needs one auxiliary, four, or all. Compared are the exact program, equal weights, the best one, two
and four, a cross-validated number of them, and cross-validated entropy and ridge regularisation.
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
from .cells import AuxiliariesSpec, run_cell
from .claims import evaluate_claims
from .plots import draw_figures

_LOCATION = ("random", "nested", "near-duplicate", "disjoint")


def grid(quick: bool, seed: int) -> list[AuxiliariesSpec]:
    """All cells."""
    numbers = (4, 16, 64) if quick else (2, 4, 16, 64, 256)
    sizes = (64, 1024, 16384) if quick else (64, 512, 4096, 65536)
    count = 6 if quick else 10
    seeds = range(seed, seed + count)
    specs = [AuxiliariesSpec(g, k, s, sizes, i) for g in _LOCATION for k in numbers for s in (1, 4, 0) for i in seeds]
    seeds = range(seed, seed + 3 * count)  # these are cheap: variances are free in eight coordinates
    few = (4, 16) if quick else (2, 4, 8, 16)
    return specs + [AuxiliariesSpec("covariances", k, s, sizes, i) for k in few for s in (4, 0) for i in seeds]


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run all cells, write the table and the figure, check the claims."""
    parser = OneLineParser(prog="python -m benchmarks.auxiliaries", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer k, n and seeds: under a minute")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--out", default="results/auxiliaries", help="folder for results, tables and the figure")
    add_engine_arguments(parser)
    args: argparse.Namespace = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    started = time.monotonic()
    folder = prepare_folder(args.out)
    title = f"auxiliaries, seed {args.seed}{', quick' if args.quick else ''}"
    found = run_cells(run_cell, grid(args.quick, args.seed), title=title, folder=folder, settings=run_settings(args))
    rows: list[Row] = [row for record in found for row in record]
    write_rows(folder, "fits", rows)
    claims = evaluate_claims(rows)
    write_claims(folder, claims, quick=args.quick, **provenance(args.seed))
    draw_figures(folder)
    print_claims(claims)
    print(f"{time.monotonic() - started:.0f} s; table and figure in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    sys.exit(main())
