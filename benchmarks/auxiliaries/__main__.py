"""How many auxiliaries? ``python -m benchmarks.auxiliaries [--quick]``: k = 4 to 256, exact excess of every fit.

Five geometries: ``random`` means in 64 dimensions, ``nested`` ones of which each further one differs less,
``near-duplicate`` (four groups), ``disjoint``, and ``covariances``, where the bound's assumption of a fixed Gram matrix
fails; with ``drawn`` after the name each seed has a geometry of its own. The target needs one auxiliary, four, or all.
Compared are the exact program, equal weights, the best one, two and four, a cross-validated number of them, and
cross-validated entropy and ridge regularisation.
"""

from ..common.frame import Study
from .cells import DRAWN, AuxiliariesSpec, run_cell
from .claims import evaluate_claims
from .plots import draw_figures

# Nested and disjoint means have nothing to draw.
_LOCATION = ("random", "nested", "near-duplicate", "disjoint")


def grid(quick: bool, seed: int) -> list[AuxiliariesSpec]:
    """All cells."""
    numbers = (4, 64) if quick else (4, 16, 64, 256)
    sizes = (64, 16384) if quick else (64, 2048, 65536)
    seeds = range(seed, seed + 6)
    cells = [(k, s, i) for k in numbers for s in (1, 4, 0) for i in seeds[: 4 if k > 64 else 6]]  # large k cost most
    specs = [AuxiliariesSpec(geometry, k, s, sizes, i) for geometry in _LOCATION for k, s, i in cells]
    more = range(seed, seed + 12)  # these are cheap: variances are free in eight coordinates
    specs += [AuxiliariesSpec("covariances", k, s, sizes, i) for k in (4, 16) for s in (4, 0) for i in more]
    drawn = [f"{name}{DRAWN}" for name in ("random", "near-duplicate", "covariances")]
    return specs + [AuxiliariesSpec(g, 16, s, sizes, i) for g in drawn for s in (4, 0) for i in seeds]


main = Study(
    package=__package__,
    doc=__doc__,
    cells=lambda args: {"fits": (run_cell, grid(args.quick, args.seed))},
    claims=lambda tables: evaluate_claims(tables["fits"]),
    title="auxiliaries, seed {seed}{quick}",
    quick="fewer k and n: under a minute",
    seed="first seed",
    out="folder for results, tables and the figure",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
