"""False alarms and power of the test for window bias: ``python -m benchmarks.window_bias [--draws N] [--seed N]``.

No weights depend on the window for models around the target's score whose average at some w is that score, nor for
``shifted_gaussians``; they do on ``paper_mixture_1d`` with a long window, and hardly with one near zero.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import CASES, WindowSpec, run_window_cell
from .claims import evaluate_claims


def cells(args: argparse.Namespace) -> Cells:
    """Fits of every case and size."""
    draws = range(args.seed, args.seed + args.draws)
    specs = [WindowSpec(name, n, draw) for name, case in CASES.items() for n in case.sizes for draw in draws]
    return {"window_bias": (run_window_cell, specs)}


main = Study(
    package=__package__,
    doc=(__doc__ or "").split(":")[0],
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["window_bias"]),
    title="window bias, first seed {seed}",
    options={"--draws": {"type": int, "default": 200, "help": "fits for each case and size"}},
    least={"draws": 1},
    seed="first seed of the draws",
    claims_title="Warnings of window bias",
)


if __name__ == "__main__":
    raise SystemExit(main())
