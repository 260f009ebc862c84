"""Which weights give diverse samples? ``python -m benchmarks.diversity [--quick]``, exact or with errors stated.

1. ``gaussians``: entropy and Vendi score of the barycenter p_w, the fused law P_w, the arithmetic mixture and merged
   parameters along a segment of weights, d = 2 to 1,024, at fixed and at growing rank;
2. ``modes``: mass between two modes against their distance and the share that the auxiliaries have in both;
3. ``weights``: fitted weights against the most diverse ones; weights under an entropy floor; minimax weights;
4. ``samples``: density and coverage.
"""

from ..common.frame import Cells, Study
from . import cells
from .claims import evaluate_claims
from .plots import draw_figures


def grids(quick: bool, seed: int) -> Cells:
    """Cell function and specs of every experiment."""
    dims = (2, 32, 512) if quick else (2, 8, 32, 128, 512, 1024)
    seeds = range(seed, seed + (3 if quick else 4))
    shares = (0.0, 1e-8, 1e-4, 1e-2, 0.1) if quick else (0.0, 1e-12, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1)
    places = (4.0, 5.0) if quick else (2.0, 4.0, 5.0, 6.0)
    problems = range(seed, seed + (4 if quick else 8))
    return {
        "gaussians": (
            cells.run_gaussian_cell,
            [cells.GaussianSpec(k, d, w, s) for k in cells.KINDS for d in dims for w in cells.WEIGHTS for s in seeds],
        ),
        "modes": (cells.run_modes_cell, [cells.ModesSpec(e, a) for e in shares for a in places]),
        "weights": (
            cells.run_weights_cell,
            [cells.WeightsSpec(d, c, s) for d in (2, 16) for c in (False, True) for s in problems],
        ),
        "samples": (
            cells.run_sample_cell,
            [cells.SampleSpec(k, d, 500, s) for k in cells.KINDS for d in dims[::2] for s in seeds],
        ),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: grids(args.quick, args.seed),
    claims=evaluate_claims,
    quick="fewer dimensions and seeds: under a minute",
    seed="first seed",
    out="folder for results, tables and the figure",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
