"""What survives of fusion under other noises? ``python -m benchmarks.noises [--quick]``: the torus and Student noise.

Brownian motion on the torus with wrapped mixtures, and Student noise on Student targets: samples against exact laws,
fits against exact optima, certificates cell by cell, what heavy tails cost, and a counterexample.
"""

import argparse

from ..common.frame import Cells, Study
from . import student_cells as student
from . import torus_cells as torus
from .claims import evaluate_claims
from .plots import draw_figures


def cells(args: argparse.Namespace) -> Cells:
    """The cells of all tables."""
    quick, first = args.quick, args.seed
    problems = range(first, first + (2 if quick else 4))
    fits = range(first, first + (16 if quick else 24))
    n, steps = (4_000, 64) if quick else (10_000, 96)
    noises = (student.GAUSSIAN, 3.0 if quick else 2.0)
    sizes, large = ((250, 1000, 4000), 1000) if quick else ((250, 1000, 4000, 16_000), 1000)
    wide = 16 if quick else 64
    corners = [(1.0, 0.0, 0.0), (0.2, 0.5, 0.3), (0.6, 0.0, 0.4)]
    bounds = [
        torus.TorusBoundSpec(w, i, s) for w in corners[1 if quick else 0 :] for i in range(-1, 3) for s in problems
    ]
    torus_fits = [torus.TorusFitSpec(1, False, m, s) for m in sizes for s in fits]
    torus_fits += [torus.TorusFitSpec(wide, False, large, s) for s in fits]
    torus_fits += [torus.TorusFitSpec(wide, True, large, s) for s in problems]
    few = fits[:12]
    student_fits = [
        student.StudentFitSpec(df, 1, m, s) for df in (student.GAUSSIAN, 3.0) for m in sizes[:3] for s in few
    ]
    student_fits += [student.StudentFitSpec(3.0, wide, large, s) for s in few]
    return {
        "torus_laws": (torus.run_law_cell, [torus.TorusLawSpec(d, n, steps, s) for d in (1, 2) for s in problems]),
        "torus_fits": (torus.run_fit_cell, torus_fits),
        "torus_bounds": (torus.run_bound_cell, bounds),
        # On data of fewer than 2 degrees, and under noise of 2 for seed 2, mass reaches the ends of every grid on which
        # the exact fused law was asked for.
        "student_laws": (
            student.run_law_cell,
            [student.StudentLawSpec(df, 3.0, n, steps, s) for df in noises for s in problems[:2]],
        ),
        "student_fits": (student.run_fit_cell, student_fits),
        "student_bounds": (
            student.run_bound_cell,
            [student.StudentBoundSpec(3.0, share, s) for share in (0.5, 0.8) for s in problems[:1]],
        ),
        "tails": (
            student.run_tail_cell,
            [student.TailSpec(data, 10.0**e) for data in (1.5, 3.0) for e in (2, 3, 4, 5, 6)],
        ),
        "shared": (
            student.run_shared_cell,
            [student.SharedSpec(df, gap) for df in (1.5, 3.0, 10.0) for gap in (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)],
        ),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=evaluate_claims,
    quick="fewer problems, fits and particles: about a minute",
    seed="first seed of the problems and draws",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
