"""Does the misfit test hold its level, and what does it find? ``python -m benchmarks.adequacy``.

Six directions out of the family of fused laws: on the line, in the plane, in 64 dimensions; at distance 0 the target is
a fused law. Claimed is that targets in the family are refused in at most as many draws as the level says (0.05 and
0.001, tested with a binomial bound of one in a thousand), that the farthest targets are refused in four directions, and
that the size of the misfit is no more than the excess loss over the target's own score. Power by distance is reported,
and nothing is claimed where the test is weak: more width on the line, and two modes along one of 64 axes, which
a few hundred rows do not single out.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import CASES, AdequacySpec, run_adequacy_cell
from .claims import evaluate_claims

DISTANCES = (0.0, 0.1, 0.3, 1.0)
SIZES = (300, 1000)
BLOCK = 20  # draws of a cell


def cells(args: argparse.Namespace) -> Cells:
    """Every direction at every distance and size."""
    blocks, sizes, distances = (1, SIZES[:1], (0.0, 1.0)) if args.quick else (args.blocks, args.n, DISTANCES)
    specs = [
        AdequacySpec(case, distance, n, BLOCK, block, args.seed)
        for case in CASES
        for n in sizes
        for distance in distances
        for block in range(blocks)
    ]
    return {"adequacy": (run_adequacy_cell, specs)}


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["adequacy"]),
    title="adequacy, seed {seed}",
    options={
        "--blocks": {"type": int, "default": 2, "help": f"blocks of {BLOCK} draws"},
        "--n": {"nargs": "+", "type": int, "default": list(SIZES), "help": "samples"},
    },
    least={"blocks": 1, "n": 1},
    quick="300 samples, one block, two distances",
)


if __name__ == "__main__":
    raise SystemExit(main())
