"""Does the misfit test hold its level, and what does it find? ``python -m benchmarks.adequacy``.

Six directions out of the family of fused laws: on the line, in the plane, in 64 dimensions; at distance 0 the target is
a fused law. Claimed is that targets in the family are refused in at most as many draws as the level says (0.05 and
0.001, tested with a binomial bound of one in a thousand), that the farthest targets are refused in four directions, and
that the size of the misfit is no more than the excess loss over the target's own score. Power by distance is reported,
and nothing is claimed where the test is weak: more width on the line, and two modes along one of 64 axes, which
a few hundred rows do not single out.
"""

import argparse

import numpy as np
import scipy

from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.study import (
    OneLineParser,
    Row,
    add_engine_arguments,
    one_line_errors,
    run_cells,
    run_settings,
    write_rows,
)
from .cells import CASES, AdequacySpec, run_adequacy_cell

DISTANCES = (0.0, 0.1, 0.3, 1.0)
SIZES = (300, 1000)
BLOCK = 20  # draws of a cell
_DOUBT = 1e-3
_STRONG = {"line_mixture", "plane_modes", "space_place", "space_scale"}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line; every bad value ends in one line."""
    parser = OneLineParser(prog="python -m benchmarks.adequacy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--blocks", type=int, default=2, help=f"blocks of {BLOCK} draws")
    parser.add_argument("--n", nargs="+", type=int, default=list(SIZES), help="samples")
    parser.add_argument("--quick", action="store_true", help="300 samples, one block, two distances")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--out", default="results/adequacy", help="folder for results and tables")
    add_engine_arguments(parser)
    args = parser.parse_args(argv)
    if args.blocks < 1 or args.jobs < 1 or args.seed < 0 or min(args.n) < 1:
        parser.error("--blocks, --n and --jobs must be at least 1, --seed at least 0")
    args.distances = list(DISTANCES)
    if args.quick:
        args.blocks, args.n, args.distances = 1, [SIZES[0]], [0.0, 1.0]
    return args


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Test targets at distances from the family; exit code 1 if level, power or size are not as claimed."""
    args = parse_arguments(argv)
    folder = prepare_folder(args.out)
    specs = [
        AdequacySpec(case, distance, n, BLOCK, block, args.seed)
        for case in CASES
        for n in args.n
        for distance in args.distances
        for block in range(args.blocks)
    ]
    title = f"adequacy, seed {args.seed}"
    cells: list[list[Row]] = run_cells(
        run_adequacy_cell, specs, title=title, folder=folder, settings=run_settings(args)
    )
    rows = [row for cell in cells for row in cell]
    write_rows(folder, "adequacy", rows)
    write_json(folder / "manifest.json", provenance(args.seed) | {"arguments": vars(args)})
    claims = evaluate_claims(rows)
    write_claims(folder, claims, seed=args.seed, draws=args.blocks * BLOCK)
    print_claims(claims)
    return exit_code(claims)


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Level at distance 0, power at the others, and the size of the misfit."""
    claims = []
    farthest = max(row["distance"] for row in rows)
    largest = max(row["n"] for row in rows)
    for n in sorted({row["n"] for row in rows}):
        p = _values(rows, "p_value", n=n, distance=0.0)
        far = _values(rows, "p_value", n=n, distance=farthest)
        for level in (0.05, 0.001):
            most = float(scipy.stats.binom.ppf(1 - _DOUBT, len(p), level)) / len(p)
            claims.append(
                within(
                    f"share of targets in the family refused at level {level}, n = {n}",
                    float(np.mean(p < level)),
                    high=most,
                    control=float(np.mean(far < level)),
                    control_name="farthest targets",
                    note=f"{len(p)} draws; {_shares(rows, n, 0.0, level)}",
                )
            )
    for case in CASES:
        chosen = [row for row in rows if row["case"] == case]
        power = ", ".join(
            f"{distance:g}: {np.mean(_values(chosen, 'p_value', n=largest, distance=distance) < 0.001):.2f}"
            for distance in sorted({row["distance"] for row in chosen})
        )
        far = _values(chosen, "p_value", n=largest, distance=farthest)
        near = _values(chosen, "p_value", n=largest, distance=0.0)
        refused, claimed = float(np.mean(far < 0.001)), case in _STRONG
        claims.append(
            within(
                f"power at level 0.001 at distance {farthest:g}, {case}, n = {largest}",
                refused,
                low=0.9 if claimed else None,
                control=float(np.mean(near < 0.001)) if claimed else None,
                control_name="distance 0",
                note=f"by distance: {power}",
            )
        )
    sizes = _values(rows, "misfit", n=largest, distance=farthest)
    excess = _values(rows, "excess", n=largest, distance=farthest)
    share = float(sizes.mean() / excess.mean())
    spread = f"by draw, middle 80 % of {len(sizes)}: {np.round(np.quantile(sizes / excess, [0.1, 0.9]), 2).tolist()}"
    return [
        *claims,
        within(f"misfit over excess loss at distance {farthest:g}, n = {largest}", share, 0.0, 1.1, note=spread),
    ]


def _values(rows: list[Row], name: str, **where: float) -> np.ndarray:
    chosen = [row[name] for row in rows if all(row[key] == value for key, value in where.items())]
    return np.array([value for value in chosen if value is not None and np.isfinite(value)])


def _shares(rows: list[Row], n: int, distance: float, level: float) -> str:
    found = []
    for case in CASES:
        p = _values([row for row in rows if row["case"] == case], "p_value", n=n, distance=distance)
        found.append(f"{case} {np.mean(p < level):.2f}")
    return ", ".join(found)


if __name__ == "__main__":
    raise SystemExit(main())
