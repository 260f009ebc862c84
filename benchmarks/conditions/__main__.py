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
    dims, seeds = ((4, 32), (seed,)) if quick else ((4, 16, 64), (seed, seed + 1))
    return [
        ConditionsSpec(rank, distance, spread, d, tails, 512, 6, own)
        for rank in ("fixed", "growing")
        for distance in (0.0, 0.5, 2.0)
        for spread in (0.03, 0.3, 3.0)
        for d in dims
        for tails in ("gaussian", "heavy")
        for own in seeds
    ]


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: {"conditions": (run_cell, grid(args.quick, args.seed))},
    claims=lambda tables: evaluate_claims(tables["conditions"]),
    title="conditions, seed {seed}{quick}",
    quick="fewer problems: under a minute",
    seed="first seed of the problems",
    out="folder for results, tables and the figure",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
