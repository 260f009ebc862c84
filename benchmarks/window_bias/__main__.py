"""False alarms and power of the test for window bias: ``python -m benchmarks.window_bias [--draws N] [--seed N]``.

No weights depend on the window for models around the target's score whose average at some w is that score, nor for
``shifted_gaussians``; they do on ``paper_mixture_1d`` with a long window, and hardly with one near zero.
"""

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
from .cells import CASES, WindowSpec, run_window_cell


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Count warnings; exit code 1 if more than 1 % are false or fewer than 99 % of the true ones are given."""
    parser = OneLineParser(prog="python -m benchmarks.window_bias", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--draws", type=int, default=200, help="fits for each case and size")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the draws")
    parser.add_argument("--out", default="results/window_bias", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.draws < 1 or args.jobs < 1 or args.seed < 0:
        parser.error("--draws and --jobs must be at least 1, --seed at least 0")
    draws = range(args.seed, args.seed + args.draws)
    specs = [WindowSpec(name, n, draw) for name, case in CASES.items() for n in case.sizes for draw in draws]
    folder = prepare_folder(args.out)
    title = f"window bias, first seed {args.seed}"
    rows: list[Row] = run_cells(run_window_cell, specs, title=title, folder=folder, settings=run_settings(args))
    write_rows(folder, "window_bias", rows)
    write_json(folder / "manifest.json", provenance(args.seed))
    claims = _claims(rows)
    write_claims(folder, claims, seed=args.seed, draws=args.draws)
    print_claims(claims, "Warnings of window bias")
    return exit_code(claims)


def _claims(rows: list[Row]) -> list[Claim]:
    """Share of fits with a warning: at least 99 % of the biased ones, at most 1 % of the others."""
    claims = []
    for name, n in dict.fromkeys((row["case"], row["n"]) for row in rows):
        chosen = [row for row in rows if (row["case"], row["n"]) == (name, n)]
        p_values = np.array([row["p_value"] for row in chosen if row["p_value"] is not None])
        small = f"{np.mean(p_values < 0.01):.3f}" if len(p_values) else "-"
        share = sum(row["warned"] for row in chosen) / len(chosen)
        note = f"{len(chosen)} fits; p < 0.01 in {small} of {len(p_values)} tests"
        low, high = (0.99, None) if CASES[name].biased else (None, 0.01)
        claims.append(within(f"{name}, n = {n}: share of fits with a warning", share, low, high, note=note))
    return claims


if __name__ == "__main__":
    raise SystemExit(main())
