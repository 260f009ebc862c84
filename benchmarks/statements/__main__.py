"""Statements of the theory that no other study measures, on random laws: ``python -m benchmarks.statements``.

T1: what the barycenter minimises. T4: J is a convex quadratic form. T8: the likelihood's curvature, and that it has no
window. T10: total variation from KL. T26: targets that are scale mixtures. T29: the uniform prior of the circle. What
is compared with the functions that a statement names is computed from densities.
"""

from ..common.frame import Cells, Study
from .cells import FitSpec, LawsSpec, run_fit_cell, run_laws_cell
from .claims import evaluate_claims


def grids(quick: bool, seed: int) -> Cells:
    """Cell function and specs of every table."""
    return {
        "laws": (run_laws_cell, [LawsSpec(i, seed) for i in range(10 if quick else 100)]),
        "fits": (run_fit_cell, [FitSpec(2000 if quick else 20_000, i, seed) for i in range(3 if quick else 8)]),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: grids(args.quick, args.seed),
    claims=evaluate_claims,
    quick="fewer laws and fits: seconds",
    label=lambda spec: {"number": spec.number},
)


if __name__ == "__main__":
    raise SystemExit(main())
