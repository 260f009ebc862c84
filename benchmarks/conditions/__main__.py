"""When can the rates be trusted? ``python -m benchmarks.conditions [--quick]``: four knobs, exact truth.

Distance of the target from the family, spread of the auxiliaries, dimension (at fixed and at growing rank), tails. For
each problem: the tightness of the certificate and of every bound of the excess, which assumption fails, how errors grow
with the dimension, and what the diagnostics of ``fuse`` tell from data alone.
"""

from ..common.frame import Study
from .cells import ConditionsSpec, run_cell
from .claims import evaluate_claims
from .plots import draw_figures


def grid(quick: bool, seed: int) -> list[ConditionsSpec]:
    """All problems."""
    distances = (0.0, 0.5, 2.0) if quick else (0.0, 0.25, 0.5, 1.0, 2.0)
    spreads = (0.03, 0.3, 3.0) if quick else (0.01, 0.1, 1.0, 3.0)
    dims, fits = ((4, 64), 6) if quick else ((4, 32, 128), 12)
    return [
        ConditionsSpec(rank, distance, spread, d, tails, 512, fits, seed)
        for rank in ("fixed", "growing")
        for distance in distances
        for spread in spreads
        for d in dims
        for tails in ("gaussian", "heavy")
    ]


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: {"conditions": (run_cell, grid(args.quick, args.seed))},
    claims=lambda tables: evaluate_claims(tables["conditions"]),
    title="conditions, seed {seed}{quick}",
    quick="fewer problems and fits: under a minute",
    seed="seed of the problems",
    out="folder for results, tables and the figure",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
