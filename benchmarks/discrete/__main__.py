"""Fusing discrete diffusion models where the truth is enumerated: ``python -m benchmarks.discrete [--quick]``.

1. ``laws``: exact laws of the fused, switched and corrected chains, samples of each, log Z;
2. ``fits``: cover of the intervals, and the rate of TV in the number of samples;
3. ``lengths``: the correction on chains of growing length, where it dies;
4. ``peers``: a Feynman-Kac scheme with clamps at an equal number of evaluations;
5. ``bounds``: the certificate, cell by cell.

Every experiment is a study of ``journal.sqlite`` in the output folder; claims with controls are ``claims.json``.
"""

from ..common.frame import Cells, Study
from . import cells
from .claims import evaluate_claims

_KINDS = (("uniform", "score_entropy"), ("masked", "score_entropy"), ("masked", "cross_entropy"))


def grids(quick: bool, seed: int) -> Cells:
    """Cell function and specs of every experiment."""
    seeds = range(seed, seed + (1 if quick else 3))
    draws = range(seed, seed + (6 if quick else 30))
    sizes = (250, 1000, 4000) if quick else (250, 1000, 4000, 16_000)
    lengths = (4, 16) if quick else (4, 16, 32, 48)
    problems = ("chains, 4 states", "Ising 2 x 2") if quick else tuple(cells.PROBLEMS)
    corners = ((0.2, 0.5, 0.3),) if quick else ((0.2, 0.5, 0.3), (0.0, 0.5, 0.5))
    noises, small = ("uniform", "masked"), [p for p in problems if p != "Ising 2 x 2"]
    return {
        "laws": (
            cells.run_law_cell,
            [cells.LawSpec(p, z, 20_000, s) for p in problems for z in noises for s in seeds],
        ),
        "fits": (cells.run_fit_cell, [cells.FitSpec(z, o, n, s) for z, o in _KINDS for n in sizes for s in draws]),
        "lengths": (
            cells.run_length_cell,
            [cells.LengthSpec(m, 2000, s) for m in lengths for s in seeds],
        ),
        "peers": (
            cells.run_peer_cell,
            [cells.PeerSpec(p, 20_000, m, s) for p in small for m in (32, 128) for s in seeds],
        ),
        "bounds": (
            cells.run_bound_cell,
            [cells.BoundSpec(p, z, w, i) for p in small for z in noises for w in corners for i in range(-1, 3)],
        ),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: grids(args.quick, args.seed),
    claims=evaluate_claims,
    quick="fewer seeds, sizes and problems: under a minute",
    seed="first seed",
)


if __name__ == "__main__":
    raise SystemExit(main())
