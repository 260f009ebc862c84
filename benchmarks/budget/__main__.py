"""Fits on a budget: ``python -m benchmarks.budget``. Interval lengths at equal evaluations, and coverage.

On two problems (the reference on the line, and random mixtures in the plane outside which the target lies) each data
set of 8,000 samples is fitted thrice: by all 16 nodes of 500 samples, by as many evaluations spread over all samples at
the nodes that matter (``evaluations=``), and until intervals are shorter than 0.1 (``weight_tol=``). Intervals are for
the population's weights, which are exact.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import FAMILIES, BudgetSpec, run_budget_cell
from .claims import evaluate_claims


def cells(args: argparse.Namespace) -> Cells:
    """All problems of every family."""
    count = min(args.sets, 20) if args.quick else args.sets
    return {
        "budget": (run_budget_cell, [BudgetSpec(family, i, args.seed) for family in FAMILIES for i in range(count)])
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["budget"]),
    title="fits on a budget, seed {seed}",
    options={"--sets": {"type": int, "default": 200, "help": "data sets of each problem"}},
    least={"sets": 1},
    quick="20 data sets of each problem",
    label=lambda spec: {"family": spec.family, "number": spec.number},
)


if __name__ == "__main__":
    raise SystemExit(main())
