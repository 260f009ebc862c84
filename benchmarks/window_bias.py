"""False alarms and power of the test for window bias: ``python -m benchmarks.window_bias [--draws N] [--seed N]``.

No weights depend on the window for models around the target's score whose average at some w is that score, nor for
``shifted_gaussians``; they do on ``paper_mixture_1d`` with a long window, and hardly with one near zero.
"""

from typing import Any

import numpy as np

from sfbench.files import prepare_folder, provenance, write_json

from .study import OneLineParser, Row, add_engine_arguments, one_line_errors, run_cells, run_settings, write_rows
from .window_bias_cells import CASES, WindowSpec, run_window_cell


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
    return 0 if _report(rows, args.draws) else 1


def _report(rows: list[Row], draws: int) -> bool:
    good = True
    keys: list[Any] = list(dict.fromkeys((row["case"], row["n"]) for row in rows))
    for name, n in keys:
        chosen = [row for row in rows if (row["case"], row["n"]) == (name, n)]
        warned = sum(row["warned"] for row in chosen)
        p_values = np.array([row["p_value"] for row in chosen if row["p_value"] is not None])
        low = f"{np.mean(p_values < 0.01):.3f}" if len(p_values) else "-"
        print(f"{name:32} n = {n:5d}  warned {warned} of {draws}  p < 0.01: {low} of {len(p_values)} tests")
        share = warned / draws
        good &= share >= 0.99 if CASES[name].biased else share <= 0.01
    return good


if __name__ == "__main__":
    raise SystemExit(main())
