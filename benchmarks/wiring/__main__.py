"""Are mis-wired networks named? ``python -m benchmarks.wiring``: twelve mistakes with trained networks, and none.

Networks predict the noise of 8x8 digits at steps 0 to 999: of digits 0-3, 3-6 and 6-9. Each is wired wrongly in twelve
ways and in three pairs of ways, on digits that it knows; and rightly on ten batches of them, of which half hold as many
digits that it never saw. Claimed is that the check, on 64 rows, names every mistake with its cause and says nothing of
right wirings; each is the other's negative control. With 32 rows, as a fit looks, it is reported.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import GROUPS, WiringSpec, run_wiring_cell
from .claims import evaluate_claims

STEPS = {"mlp": 1000, "unet": 800}


def cells(args: argparse.Namespace) -> Cells:
    """Every group of digits by every kind of network."""
    kinds = ["mlp"] if args.quick else args.kinds
    return {
        "wiring": (
            run_wiring_cell,
            [WiringSpec(kind, group, STEPS[kind], args.seed) for kind in kinds for group in range(len(GROUPS))],
        )
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["wiring"]),
    title="wiring, seed {seed}",
    options={"--kinds": {"nargs": "+", "choices": [*STEPS], "default": [*STEPS], "help": "networks"}},
    quick="perceptrons only",
)


if __name__ == "__main__":
    raise SystemExit(main())
