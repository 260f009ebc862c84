r"""Sample complexity of fusion, against exact ground truth: ``python -m benchmarks.complexity``.

For independent data draws, weights are fitted from the first n samples and compared with the population optimum w*:

1. excess objective ``J(w_hat) - J(w*)`` and ``TV(p_what, p_w*)`` against n, with fitted slopes, the slow and fast
   rates, and the computed bounds;
2. the same at fixed n against d, 3. against k;
4. the standard deviation of the fitted weight for the three estimators as t shrinks;
5. solver backends side by side on the same statistics: certified gaps, distances, times as ratios.

Every run of the first three is checked against its certificate: with commuting problems the exact divergence of the
fused law against the Girsanov bound, and the excess against the slow rate. Claims are asserted at the end, each beside
a negative control that must fail (:mod:`benchmarks.complexity.claims`); figures are drawn from the written files alone
(``python -m benchmarks.complexity.plots DIR`` draws them again).
"""

import argparse
import time

import numpy as np

from sfbench.files import prepare_folder, provenance, write_json
from sfbench.statistics.passes import ESTIMATORS
from solvers import available_solvers
from synthetic import SyntheticError, known_problems, make_problem, problem_parameters

from ..common.claims import exit_code, write_claims
from ..common.study import (
    OneLineParser,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    time_left,
    write_rows,
)
from .cells import ESTIMATOR_TIMES, CellSpec, EstimatorSpec, build_problem, run_cell, run_estimator_cell, window_rows
from .claims import evaluate_claims, print_report
from .plots import draw_figures

FIXED_N, FIXED_K, FIXED_D = 1024, 4, 16
ESTIMATOR_DRAWS = 8  # draws of the estimator study per seed of the others: standard deviations need more
COMPARED_DRAWS = 5  # draws on which all backends run: the published way costs 1000 times the others


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.complexity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problem", default="shifted_gaussians", help="problem family (see: sfbench problems)")
    parser.add_argument(
        "--solver", nargs="+", default=["active_set", "piqp", "cvxpy", "torch"], help="backends compared"
    )
    parser.add_argument("--estimator", default="antithetic", choices=ESTIMATORS)
    parser.add_argument("--n", default="64:65536", help="sample sizes, octaves from A up to B as A:B, or a list A,B,C")
    parser.add_argument("--d", default="4,16,128,1024", help="dimensions of the d study")
    parser.add_argument("--k", default="2,4,8,16", help="numbers of auxiliaries of the k study")
    parser.add_argument("--seeds", type=int, default=50, help="independent data draws")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/complexity", help="folder for results, tables and figures")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and sizes: under a minute")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    try:
        args.n = _sizes(args.n)
        args.d, args.k = _counts("--d", args.d), _counts("--k", args.k)
    except ValueError as error:
        parser.error(str(error))
    if args.problem not in known_problems():
        try:
            make_problem(args.problem)
        except SyntheticError as error:
            parser.error(str(error))
    for name in args.solver:
        if name not in available_solvers():
            parser.error(f"solver {name!r} is not available; choose from {', '.join(available_solvers())}")
    if args.seeds < 2 or args.jobs < 1 or args.seed < 0:
        parser.error("--seeds must be at least 2, --jobs at least 1, --seed at least 0")
    if args.quick:
        args.seeds, args.n = min(args.seeds, 20), [n for n in args.n if n <= 8192] or args.n[:1]
    return args


def _counts(flag: str, text: str) -> list[int]:
    try:
        values = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ValueError(f"{flag} takes whole numbers separated by commas, got {text!r}") from None
    if not values or values[0] < 1:
        raise ValueError(f"{flag} takes numbers of at least 1, got {text!r}")
    return values


def _sizes(text: str) -> list[int]:
    if ":" not in text:
        return _counts("--n", text)
    try:
        low, high = (int(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(f"--n takes A:B or a list of whole numbers, got {text!r}") from None
    if not 1 <= low <= high:
        raise ValueError(f"--n A:B needs 1 <= A <= B, got {text!r}")
    return sorted({*(low * 2**i for i in range(int(np.log2(high / low)) + 1)), high})


def build_specs(args: argparse.Namespace) -> list[CellSpec]:
    """Cells of the n, d and k studies; families without d or k only take part in the n study."""
    seeds, accepted = range(args.seeds), problem_parameters(args.problem)
    d0, k0 = (FIXED_D if "d" in accepted else None), (FIXED_K if "k" in accepted else None)
    if args.problem == "bimodal_from_unimodal":
        k0 = 2

    def cells(study: str, d: int | None, k: int | None, sizes: list[int]) -> list[CellSpec]:
        compared = [
            tuple(args.solver) if study == "n" and seed < COMPARED_DRAWS else (args.solver[0],) for seed in seeds
        ]
        return [
            CellSpec(study, args.problem, d, k, tuple(sizes), seed, args.seed, args.estimator, names)
            for seed, names in zip(seeds, compared, strict=True)
        ]

    specs = cells("n", d0, k0, args.n)
    if d0 is not None and k0 is not None:
        for d in args.d:
            specs += cells("d", d, k0, [FIXED_N])
        for k in args.k:
            specs += cells("k", max(d0, k - 1), k, [FIXED_N])
    return specs


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the study; exit code 1 if a claim fails, 2 for bad arguments."""
    args = parse_arguments(argv)
    started = time.monotonic()
    folder = prepare_folder(args.out)
    specs = build_specs(args)
    for d, k in {(spec.d, spec.k) for spec in specs}:  # a family may refuse a pair: before, not after, computing
        build_problem(args.problem, d, k, args.seed)
    # another problem, estimator or seed is another study of the same folder; other sizes are another grid
    name = f"{args.problem}, {args.estimator}, seed {args.seed}{', quick' if args.quick else ''}"
    settings = run_settings(args)
    records = run_cells(run_cell, specs, title=name, folder=folder, settings=settings)
    repeats = range(ESTIMATOR_DRAWS * args.seeds)
    estimator_specs = [EstimatorSpec(t, seed, args.seed) for t in ESTIMATOR_TIMES for seed in repeats]
    name = f"estimators, seed {args.seed}"
    settings = time_left(settings, started)
    estimators = run_cells(run_estimator_cell, estimator_specs, title=name, folder=folder, settings=settings)
    rows = [row for record in records for row in record]
    write_rows(folder, "cells", rows)
    write_rows(folder, "estimators", (row for record in estimators for row in record))
    write_rows(folder, "windows", window_rows(args.seed))
    claims = evaluate_claims(folder)
    write_claims(folder, claims, seed=args.seed, quick=args.quick)
    manifest = provenance(args.seed) | {"wall_s": time.monotonic() - started, "arguments": vars(args)}
    write_json(folder / "manifest.json", manifest)
    figures = draw_figures(folder)
    print_report(folder, claims)
    print(f"wrote {len(rows)} rows and {len(figures)} figures to {folder} in {time.monotonic() - started:.0f} s")
    return exit_code(claims)


if __name__ == "__main__":
    raise SystemExit(main())
