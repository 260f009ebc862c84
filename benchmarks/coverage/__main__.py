r"""Coverage of the confidence intervals for fitted weights: ``python -m benchmarks.coverage``.

Nominal 90 % intervals of the default method and of the sandwich (the negative control) against the
population weights, over independent draws of the data, for the problems of :mod:`benchmarks.coverage.cells`. A weight
is covered enough if an exact binomial interval (99 %) of its share of hits reaches 0.85, and a cell too much if the
mean over its weights is above 0.95 by a standard error. A cell is covered if neither is so, and warned if nearly every
fit of it warns about its intervals, however few they cover; each cell must be covered or warned, and no interval may
miss its own fit. `--geometry` draws all means and covariances again.
"""

import argparse

from ..common.claims import Claim
from ..common.frame import Cells, Study
from ..common.study import Row
from .cells import PROBLEMS, QUICK, CoverageSpec, run_coverage_cell
from .claims import evaluate_claims, print_cells, summarise

_BLOCK, _SLOW_BLOCK, _SLOW = 25, 5, ("k = 16", "cap")
_SLOW_SHARE = 5  # problems that cost seconds a draw get a fifth of the draws


def cells(args: argparse.Namespace) -> Cells:
    """Draws of the data of every problem and size, in blocks."""
    draws = args.draws or (40 if args.quick else 80)
    specs = [
        spec
        for name, (_, sizes) in PROBLEMS.items()
        if not args.quick or name in QUICK
        for n in (sizes[:2] if args.quick else sizes)
        for spec in _blocks(name, n, draws, args.seed, args.geometry)
    ]
    return {"coverage": (run_coverage_cell, specs)}


def _blocks(name: str, n: int, draws: int, seed: int, geometry: int) -> list[CoverageSpec]:
    """Cells of a few draws each, so that a stopped run loses little."""
    slow = name.startswith(_SLOW)
    block = _SLOW_BLOCK if slow else _BLOCK
    wanted = max(draws // _SLOW_SHARE, 10) if slow else draws
    edges = [*range(0, wanted, block), wanted]
    return [CoverageSpec(name, n, i, edges[i + 1] - edges[i], seed, geometry) for i in range(len(edges) - 1)]


def claims(tables: dict[str, list[Row]]) -> list[Claim]:
    """The claims, below a table of all cells."""
    found = summarise(tables["coverage"])
    print_cells(found)
    return evaluate_claims(found)


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=claims,
    title="coverage",
    options={
        "--draws": {"type": int, "help": "independent draws of the data per cell (80, quick 40)"},
        "--geometry": {"type": int, "default": 0, "help": "another number draws all means and covariances again"},
    },
    least={"draws": 10, "geometry": 0},
    quick="a few problems and 40 draws: under a minute",
    out="folder for the table",
)


if __name__ == "__main__":
    raise SystemExit(main())
