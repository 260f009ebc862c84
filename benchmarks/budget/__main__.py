"""Fits on a budget: ``python -m benchmarks.budget``. Interval lengths at equal evaluations, and coverage.

On two problems (the reference on the line, and random mixtures in the plane outside which the target lies) each data
set of 8,000 samples is fitted thrice: by all 16 nodes of 500 samples, by as many evaluations spread over all samples at
the nodes that matter (``evaluations=``), and until intervals are shorter than 0.1 (``weight_tol=``). Intervals are for
the population's weights, which are exact.
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
from .cells import FAMILIES, TOLERANCE, BudgetSpec, run_budget_cell

LEVEL = 0.9
FEWEST = 100  # data sets from which the control must fail


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.budget", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sets", type=int, default=200, help="data sets of each problem")
    parser.add_argument("--quick", action="store_true", help="20 data sets of each problem")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/budget", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.sets < 1 or args.jobs < 1 or args.seed < 0:
        parser.error("--sets and --jobs must be at least 1, --seed at least 0")
    if args.quick:
        args.sets = min(args.sets, 20)
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Fit all data sets; exit code 1 if a claim fails."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    specs = [BudgetSpec(family, i, args.seed) for family in FAMILIES for i in range(args.sets)]
    title = f"fits on a budget, seed {args.seed}"
    found: list[Row] = run_cells(run_budget_cell, specs, title=title, folder=folder, settings=run_settings(args))
    rows = [{"family": spec.family, "number": spec.number} | row for spec, row in zip(specs, found, strict=True)]
    write_rows(folder, "budget", rows)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    claims = evaluate_claims(rows)
    write_claims(folder, claims, seed=args.seed, quick=args.quick)
    print_claims(claims)
    return exit_code(claims)


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """Shorter intervals, coverage (four standard errors below the level at most), and what a tolerance costs."""
    claims = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        k = chosen[0]["k"]
        ratios = np.array([row["full_length"] / row["budget_length"] for row in chosen])
        ends = (float(np.quantile(ratios, 0.05)), float(np.quantile(ratios, 0.95)))
        name = f"{family}, k = {k}: interval length, full pass over budget"
        note = f"{len(chosen)} data sets; 5 to 95 % of them"
        claims.append(within(name, float(np.median(ratios)), 1.5, interval=ends, note=note))
        slack = 4.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / len(chosen))
        for kind in ("full", "budget", "tolerance"):
            covered = float(np.mean([row[f"{kind}_covered"] for row in chosen]))
            halved = float(np.mean([row[f"{kind}_covered_by_half"] for row in chosen]))
            name = f"{family}: coverage of {LEVEL:.0%} intervals, {kind}"
            claims.append(
                within(name, covered, LEVEL - slack, control=halved, control_name="intervals of half the length")
            )
        longest = max(row["tolerance_length"] for row in chosen)
        spent = float(np.median([row["tolerance_evaluations"] for row in chosen]))
        note = f"median evaluations {spent:,.0f}"
        claims.append(within(f"{family}: longest interval, weight_tol={TOLERANCE}", longest, high=TOLERANCE, note=note))
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
