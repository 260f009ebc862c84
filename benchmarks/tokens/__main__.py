"""Does fusing help real tokens? ``python -m benchmarks.tokens [--quick]``: digits and text, by held-out likelihood.

Masked networks of 8 x 8 digits in three levels of grey (four auxiliaries) and of windows of letters (two texts): fused
by averaged logits with fitted weights, mixed, merged, fine-tuned, from scratch, on rows of a target that none was
trained on.
"""

import argparse

from ..common.frame import Cells, Study
from .cells import TokensSpec, run_cell
from .claims import evaluate_claims
from .plots import draw_figures


def cells(args: argparse.Namespace) -> Cells:
    """One cell for each kind of data: its networks are trained once."""
    steps, draws = (200, 2) if args.quick else (1600, 3)
    sizes = (
        {"digits": (32, 256), "text": (32, 512)} if args.quick else {"digits": (32, 128, 370), "text": (32, 256, 2048)}
    )
    return {"tokens": (run_cell, [TokensSpec(kind, steps, own, draws, args.seed) for kind, own in sizes.items()])}


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["tokens"]),
    quick="fewer steps and draws: a minute",
    seed="of networks and draws",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
