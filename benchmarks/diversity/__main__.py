"""Which weights give diverse samples? ``python -m benchmarks.diversity [--quick]``, exact or with errors stated.

1. ``gaussians``: entropy and Vendi score of the barycenter p_w, the fused law P_w, the arithmetic mixture and merged
   parameters along a segment of weights, d = 2 to 1,024, at fixed and at growing rank;
2. ``modes``: mass between two modes against their distance and the share that the auxiliaries have in both;
3. ``weights``: fitted weights against the most diverse ones; weights under an entropy floor; minimax weights;
4. ``samples``: density and coverage.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sfbench.files import prepare_folder, provenance

from ..common.claims import exit_code, print_claims, write_claims
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    time_left,
    write_rows,
)
from . import cells
from .claims import evaluate_claims
from .plots import draw_figures


def grids(quick: bool, seed: int) -> dict[str, tuple[Callable[[Any], Any], Sequence[Any]]]:
    """Cell function and specs of every experiment."""
    dims = (2, 32, 512) if quick else (2, 8, 32, 128, 512, 1024)
    seeds = range(seed, seed + (3 if quick else 10))
    shares = (0.0, 1e-8, 1e-4, 1e-2, 0.1) if quick else (0.0, 1e-12, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3)
    places = (4.0, 5.0) if quick else (2.0, 3.0, 4.0, 5.0, 6.0)
    problems = range(seed, seed + (6 if quick else 20))
    return {
        "gaussians": (
            cells.run_gaussian_cell,
            [cells.GaussianSpec(k, d, w, s) for k in cells.KINDS for d in dims for w in cells.WEIGHTS for s in seeds],
        ),
        "modes": (cells.run_modes_cell, [cells.ModesSpec(e, a) for e in shares for a in places]),
        "weights": (
            cells.run_weights_cell,
            [cells.WeightsSpec(d, c, s) for d in (2, 16) for c in (False, True) for s in problems],
        ),
        "samples": (
            cells.run_sample_cell,
            [cells.SampleSpec(k, d, 500, s) for k in cells.KINDS for d in (2, 32, 256) for s in seeds],
        ),
    }


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run all experiments, write tables and the figure, check the claims."""
    parser = OneLineParser(prog="python -m benchmarks.diversity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer dimensions and seeds: under a minute")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--out", default="results/diversity", help="folder for results, tables and the figure")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.seed < 0 or args.jobs < 1:
        parser.error("--seed must be at least 0 and --jobs at least 1")
    started = time.monotonic()
    folder, settings = prepare_folder(args.out), run_settings(args)
    tables: dict[str, list[Row]] = {}
    for name, (run_cell, specs) in grids(args.quick, args.seed).items():
        title = f"{name}, seed {args.seed}{', quick' if args.quick else ''}"
        found = run_cells(run_cell, specs, title=title, folder=folder, settings=time_left(settings, started))
        tables[name] = [row for record in found for row in (record if isinstance(record, list) else [record])]
        write_rows(folder, name, tables[name])
    claims = evaluate_claims(tables)
    write_claims(folder, claims, quick=args.quick, **provenance(args.seed))
    draw_figures(folder)
    print_claims(claims)
    print(f"{time.monotonic() - started:.0f} s; tables and figure in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    sys.exit(main())
