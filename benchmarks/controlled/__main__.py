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


def cells(args: argparse.Namespace) -> Cells:
    """Every family at every r; plain particles once each."""
    sizes, runs, n, few = args.coordinates, args.runs, args.particles, 200
    if args.quick:
        sizes, runs, n, few = [8], 1, min(n, 2000), 40
    specs = [
        ControlledSpec(family, r, method, n, run, args.seed)  # type: ignore[arg-type]
        for r in sizes
        for family in FAMILIES
        for method, count in (("controlled", runs), ("corrected", 1))
        for run in range(count)
    ]
    return {
        "products": (run_controlled_cell, specs),
        "partition": (run_partition_cell, [PartitionSpec(family, few, args.seed) for family in FAMILIES]),
    }


def evaluate_claims(products: Sequence[Row], partition: Sequence[Row]) -> list[Claim]:
    """Errors by family and r, honesty over all runs, and unbiasedness."""
    claims = []
    for family in FAMILIES:
        for r in sorted({row["r"] for row in products}):
            chosen = [row for row in products if (row["family"], row["r"]) == (family, r)]
            runs = [row for row in chosen if row["method"] == "controlled"]
            plain = [row["tv_worst"] for row in chosen if row["method"] == "corrected"]
            worst = [row["tv_worst"] for row in runs]
            gaps = [row["log_z_gap"] for row in runs]
            note = (
                f"{len(runs)} runs, n = {runs[0]['n']:,}; independent points {runs[0]['tv_floor']:.3f}; founders "
                f"{min(row['founders'] for row in runs):,.0f} to {max(row['founders'] for row in runs):,.0f}; trusted "
                f"{sum(row['trustworthy'] for row in runs)}; log Z off by {min(gaps):+.2f} to {max(gaps):+.2f}, stated "
                f"{np.mean([row['log_z_error'] for row in runs]):.2f}"
            )
            high = TRUSTED_ERROR + runs[0]["tv_floor"] if family in FACTORISING else None
            ends = (min(worst), max(worst))
            claims.append(
                within(
                    f"{family}, r = {r}: worst coordinate's TV, median over runs",
                    float(np.median(worst)),
                    high=high,
                    interval=ends,
                    control=max(plain),
                    control_name="plain particles",
                    note=note,
                )
            )
    excess = [row["tv_worst"] - row["tv_floor"] for row in products if row["trustworthy"]]
    all_of_them = max(row["tv_worst"] - row["tv_floor"] for row in products)
    title = "worst coordinate's TV above that of independent points, of trusted runs"
    note = f"{len(excess)} of {len(products)} runs trusted"
    claims.append(
        within(
            title,
            max(excess, default=0.0),
            high=TRUSTED_ERROR,
            control=all_of_them,
            control_name="all runs",
            note=note,
        )
    )
    trusted = [row for row in products if row["trustworthy"]]
    covered = [abs(row["log_z_gap"]) <= 3.0 * row["log_z_error"] for row in trusted]
    claims.append(
        within("trusted runs whose log Z is within three stated errors", float(np.mean(covered or [1.0])), 0.95)
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
        "--runs": {"type": int, "default": 5, "help": "runs of each problem"},
        "--particles": {"type": int, "default": 8000, "help": "particles of a run"},
    },
    least={"coordinates": 1, "runs": 1, "particles": 200},
    quick="r = 8, one run, 2,000 particles",
    label=vars,
)


if __name__ == "__main__":
    raise SystemExit(main())
