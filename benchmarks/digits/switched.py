"""Digits at equal evaluations: ``python -m benchmarks.digits.switched``, one auxiliary a step against all four.

The four networks kept in ``benchmarks/results/digits_mnist`` at the weights that 1,024 images gave. Each image costs
the same number of evaluations of a network either way; what is judged is the digit-FID (to real digits in the target's
proportions) and the share of sevens.
"""

import argparse
from collections.abc import Sequence

import numpy as np

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
from .models import SHARES
from .switched_cells import SwitchedDigitsSpec, run_switched_digits_cell

SCHEMES = ("exponential", "exponential_2m")
REFERENCE = 64  # steps of all networks
FEW = 32  # evaluations up to which one network a step must be the better way


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.digits.switched", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=3, help="runs of each kind")
    parser.add_argument("--images", type=int, default=300, help="images a run")
    parser.add_argument("--evaluations", type=int, nargs="+", default=[16, 32, 64], help="per image")
    parser.add_argument("--reference", action="store_true", help="also all networks at 64 steps")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/digits_switched", help="folder for results and tables")
    add_engine_arguments(parser, jobs=1)
    args = parser.parse_args(argv)
    if min(args.evaluations) < len(SHARES) or args.draws < 1 or args.images < 50 or args.jobs < 1 or args.seed < 0:
        parser.error("--evaluations must be at least 4, --draws and --jobs 1, --images at least 50, --seed at least 0")
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Draw and judge; exit code 1 if a claim fails."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    runs = [
        (method, scheme, spent) for spent in args.evaluations for method in ("all", "balanced") for scheme in SCHEMES
    ]
    if args.reference:
        runs.append(("all", SCHEMES[-1], len(SHARES) * REFERENCE))
    specs = [
        SwitchedDigitsSpec(method, scheme, spent, args.images, draw, args.seed)  # type: ignore[arg-type]
        for draw in range(args.draws)
        for method, scheme, spent in runs
    ]
    title = f"switched digits, seed {args.seed}"
    found: list[Row] = run_cells(
        run_switched_digits_cell, specs, title=title, folder=folder, settings=run_settings(args)
    )
    rows = [vars(spec) | row for spec, row in zip(specs, found, strict=True)]
    write_rows(folder, "switched", rows)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    claims = evaluate_claims(rows)
    write_claims(folder, claims, seed=args.seed)
    print_claims(claims)
    return exit_code(claims)


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """Digit-FID and share of sevens of each way at each cost, by its better scheme, with the least and largest of the
    runs; one network a step must be the better way at the least.
    """
    runs: dict[tuple[int, str], dict[str, list[Row]]] = {}
    for row in rows:
        schemes = runs.setdefault((row["evaluations"], row["method"]), {})
        schemes.setdefault(row["scheme"], []).append(row)
    claims, best = [], {}
    for (spent, method), schemes in sorted(runs.items()):
        fids = {scheme: float(np.mean([r["fid"] for r in found])) for scheme, found in sorted(schemes.items())}
        scheme = min(fids, key=fids.__getitem__)
        best[spent, method], found = fids[scheme], schemes[scheme]
        way = f"{spent} evaluations, {'all networks' if method == 'all' else 'one network a step'}"
        note = f"{len(found)} runs; " + ", ".join(f"{s} {v:.3g}" for s, v in fids.items())
        for column, what in (("fid", "digit-FID"), ("share", "share of sevens")):
            values = [r[column] for r in found]
            error = f"{scheme}; standard error of a run {np.mean([r['share_stderr'] for r in found]):.2g}"
            told, ends = note if column == "fid" else error, (min(values), max(values))
            claims.append(within(f"{what} at {way}", float(np.mean(values)), interval=ends, note=told))
        if method == "balanced" and (spent, "all") in best:
            name, goal = f"digit-FID at {spent} evaluations, one network a step over all", spent <= FEW
            claims.append(within(name, best[spent, method] / best[spent, "all"], high=1.0 if goal else None))
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
