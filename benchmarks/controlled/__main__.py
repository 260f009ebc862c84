"""Particles that look ahead, on products of r coordinates: ``python -m benchmarks.controlled``.

The sampler ``"controlled"`` is not told the blocks. Worst total variation of a coordinate to the exact barycenter, log
Z against the truth, and whether ``trustworthy`` is honest, at r = 8, 16 and 64 with 8,000 particles and 96 steps: on
the family that it was made on, on two others, and on one where sums over coordinates cannot say what is to come. That Z
is unbiased is tested where the plain chain of the same steps estimates it well, too.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.frame import Cells, Study
from ..common.study import Row
from .cells import FAMILIES, ControlledSpec, PartitionSpec, run_controlled_cell, run_partition_cell

TRUSTED_ERROR = 0.05  # of the worst coordinate
FACTORISING = FAMILIES[:3]
DEVIATIONS = 4.0
_MANY = 32  # coordinates, beyond which half as many runs are made


def cells(args: argparse.Namespace) -> Cells:
    """Every family at every r; plain particles once each."""
    sizes, runs, n, few = args.coordinates, args.runs, args.particles, 60
    if args.quick:
        sizes, runs, n, few = [16], 1, min(n, 2000), 20
    specs = [
        ControlledSpec(family, r, method, n, run, args.seed)  # type: ignore[arg-type]
        for r in sizes
        for family in FAMILIES
        for method, count in (("controlled", runs if r <= _MANY else -(-runs // 2)), ("corrected", 1))
        for run in range(count)
    ]
    return {
        "products": (run_controlled_cell, specs),
        "partition": (run_partition_cell, [PartitionSpec(family, few, args.seed) for family in FAMILIES]),
    }


def evaluate_claims(products: Sequence[Row], partition: Sequence[Row]) -> list[Claim]:
    """Errors by family and r, honesty over all runs, and unbiasedness."""
    claims, reached, of_plain = [], [], []
    for family in FAMILIES:
        for r in sorted({row["r"] for row in products}):
            chosen = [row for row in products if (row["family"], row["r"]) == (family, r)]
            runs = [row for row in chosen if row["method"] == "controlled"]
            plain = [row for row in chosen if row["method"] == "corrected"]
            worst, floor = [row["tv_worst"] for row in runs], runs[0]["tv_floor"]
            if family in FACTORISING:
                reached += [value - floor for value in worst]
                of_plain += [row["tv_worst"] - floor for row in plain]
            gaps = [row["log_z_gap"] for row in runs]
            few, many = (f"{end(row['founders'] for row in runs):,.0f}" for end in (min, max))
            note = (
                f"{len(runs)} runs, n = {runs[0]['n']:,}; independent points {floor:.3f}; founders {few} to {many}; "
                f"trusted {sum(row['trustworthy'] for row in runs)}; log Z off by {min(gaps):+.2f} to "
                f"{max(gaps):+.2f}, stated {np.mean([row['log_z_error'] for row in runs]):.2f}; plain particles: TV "
                f"{plain[0]['tv_worst']:.3f}, founders {plain[0]['founders']:,.0f}"
            )
            name = f"{family}, r = {r}: worst coordinate's TV, median and range over runs"
            claims.append(within(name, float(np.median(worst)), interval=(min(worst), max(worst)), note=note))
    name = f"worst TV of a coordinate above that of independent points: {', '.join(FACTORISING)}"
    plainly = "plain particles"
    claims.append(
        within(
            name,
            max(reached),
            high=TRUSTED_ERROR,
            control=(max(of_plain), plainly),
        )
    )
    trusted = [row for row in products if row["trustworthy"]]
    excess, all_of_them = ([row["tv_worst"] - row["tv_floor"] for row in rows] for rows in (trusted, products))
    claims.append(
        within(
            "the same of trusted runs, of all families and both samplers",
            max(excess, default=0.0),
            high=TRUSTED_ERROR,
            control=(max(all_of_them), "all runs"),
            note=f"{len(trusted)} of {len(products)} runs trusted",
        )
    )
    covered = [abs(row["log_z_gap"]) <= 3.0 * row["log_z_error"] for row in trusted] or [True]
    claims.append(
        within("share of trusted runs whose log Z is within three stated errors", np.mean(covered).item(), 0.95)
    )
    for row in partition:
        note = f"error of the mean of Z: controlled {row['spread_controlled']:.3f}, plain {row['spread_plain']:.3f}"
        claims.append(
            within(
                f"{row['family']}: mean Z over that of plain particles, in standard errors from 1",
                row["deviations"],
                high=DEVIATIONS,
                note=f"{row['ratio']:.4f}; {note}",
            )
        )
    return claims


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=lambda tables: evaluate_claims(tables["products"], tables["partition"]),
    title="controlled particles, {table}, seed {seed}{quick}",
    options={
        "--coordinates": {"type": int, "nargs": "+", "default": [8, 16, 64], "help": "numbers of coordinates"},
        "--runs": {"type": int, "default": 5, "help": "runs of each problem; half of it beyond 32 coordinates"},
        "--particles": {"type": int, "default": 8000, "help": "particles of a run"},
    },
    least={"coordinates": 1, "runs": 1, "particles": 200},
    quick="r = 16, one run, 2,000 particles",
    label=vars,
)


if __name__ == "__main__":
    raise SystemExit(main())
