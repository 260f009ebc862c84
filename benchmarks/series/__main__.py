"""Does fusion help with series? ``python -m benchmarks.series [--quick] [--tasks ...]``: returns, temperatures.

Auxiliaries are groups of series with many rows, the target another with few (:mod:`benchmarks.series.tasks`). Against
rows left out by date stand the averaged score, the barycenter, equal weights, the nearest auxiliary, arithmetic
mixtures, fine-tuning, training from scratch, and for returns GARCH (:mod:`benchmarks.series.laws`): likelihood,
forecasts by fused conditional scores, and stylised facts. ``comparison.csv`` holds the differences over splits.
"""

import argparse

from ..common.frame import Study
from .cells import FactsSpec, SeriesSpec, run_facts, run_split
from .claims import evaluate_claims, write_comparison
from .tasks import known_tasks, make_task

REAL = ["returns_sp500", "returns_nasdaq"]
SIZES = (16, 0)  # 0 means all rows that share no time with the held-out ones
MNIST_SPLITS = 4  # of its eight; its rows are independent, and its fits the slowest


def grid(args: argparse.Namespace) -> dict[str, object]:
    """Cells of both tables."""
    quick, tasks = args.quick, args.tasks or (["toy"] if args.quick else REAL)
    splits = []
    for task in tasks:
        count = len(make_task(task, args.seed).splits)
        count = min(count, 3) if quick else MNIST_SPLITS if task == "mnist1d" else count
        draws = min(args.draws, 32) if quick else args.draws
        splits += [SeriesSpec(task, split, n, draws, args.seed) for n in SIZES for split in range(count)]
    return {
        "splits": (run_split, splits),
        "facts": (run_facts, [FactsSpec(task, 200, args.seed) for task in tasks]),
    }


def _check(args: argparse.Namespace) -> None:
    if unknown := [name for name in args.tasks or [] if name not in known_tasks()]:
        raise ValueError(f"--tasks: unknown task {unknown[0]!r}; known: {', '.join(known_tasks())}")


main = Study(
    package=__package__,
    doc=__doc__,
    cells=grid,  # type: ignore[arg-type]
    claims=evaluate_claims,
    title="series {table}, seed {seed}{quick}",
    options={
        "--tasks": {
            "nargs": "*",
            "help": "names (default: returns of both indices; --quick: toy, which needs no data)",
        },
        "--draws": {"type": int, "default": 64, "help": "draws of every forecast; 0 makes none"},
    },
    least={"draws": 0},
    check=_check,
    quick="series drawn here, three splits: under a minute",
    figures=write_comparison,
)


if __name__ == "__main__":
    raise SystemExit(main())
