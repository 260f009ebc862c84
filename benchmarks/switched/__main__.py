"""k models at the price of one? ``python -m benchmarks.switched``: error against evaluations, by exact fused laws.

Random mixtures on the line (two modes a model, unequal weights) and in a random direction of 16 dimensions (three
modes, equal weights), k = 2 to 64. Both ways use the same schemes; evaluations are those of single models, per point.
The control draws one model for all points at every step. Total variation is taken over 20 cells of equal probability.
"""

import argparse

from ..common.figures import draw
from ..common.frame import Cells, Study
from ..common.study import read_rows
from .cells import FAMILIES, Method, OrderSpec, SwitchedSpec, run_order_cell, run_switched_cell
from .claims import FLOWS, SCHEMES, SPENT, evaluate_claims, figure, order_claims


def make_specs(models: list[int], problems: int, points: int, seed: int) -> list[SwitchedSpec]:
    """All models at 8 to 128 steps, one model a step at 16 to 256, other orders and the control at 256."""
    specs = []
    for family in FAMILIES:
        for k in models:
            for number in range(problems):
                runs: list[tuple[Method, str, int]] = [("all", s, steps // 2) for s in SCHEMES for steps in SPENT]
                runs += [("balanced", s, steps) for s in SCHEMES for steps in SPENT]
                runs += [("independent", SCHEMES[0], SPENT[-1]), ("shared", SCHEMES[0], SPENT[-1])]
                runs += [("one for all", SCHEMES[0], SPENT[-1])]
                specs += [SwitchedSpec(family, k, number, *run, points, seed) for run in runs]
    return specs


def cells(args: argparse.Namespace) -> Cells:
    """Errors by evaluations, and weak orders."""
    models, problems, points = args.models, args.problems, args.points
    if args.quick:
        models, problems, points = [2, 4], 1, min(points, 10_000)
    orders = [
        OrderSpec(k, number, method, scheme, args.seed)
        for k in models
        for scheme in FLOWS
        for method in ("balanced", "independent", "shared")
        for number in range(problems)
    ]
    return {
        "switched": (run_switched_cell, make_specs(models, problems, points, args.seed)),
        "orders": (run_order_cell, orders),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: [*evaluate_claims(tables["switched"]), *order_claims(tables["orders"])],
    title="switched sampling, {table}, seed {seed}",
    options={
        "--models": {"type": int, "nargs": "+", "default": [2, 4, 16, 64], "help": "numbers of models"},
        "--problems": {"type": int, "default": 3, "help": "random problems of each family and number of models"},
        "--points": {"type": int, "default": 20_000, "help": "points a run"},
    },
    least={"models": 2, "problems": 1, "points": 1000},
    quick="k = 2 and 4, one problem, 10,000 points",
    out="folder for results, tables and the figure",
    figures=lambda folder: draw(folder, lambda: {"switched_tv": figure(read_rows(folder, "switched"))}),
    label=vars,
)


if __name__ == "__main__":
    raise SystemExit(main())
