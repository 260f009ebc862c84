"""Weights and diversity of digits: ``python -m benchmarks.digits.diversity [--quick]``, two networks of MNIST.

The two networks kept in ``benchmarks/results/digits_mnist``: the fused law along the segment of weights, the corrected
sampler, merged parameters, and the arithmetic mixture (a network drawn for each image) beside real digits.
"""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.frame import Study
from ..common.study import Row
from .diversity_cells import DiversitySpec, run_cell

LAWS = ("P_w", "merged", "mixture", "p_w")


def specs(quick: bool, seed: int) -> list[DiversitySpec]:
    """The draws."""
    draws, images, steps = (2, 60, 12) if quick else (3, 200, 24)
    return [DiversitySpec((0.5,) if quick else (0.25, 0.5, 0.75), images, steps, draw, seed) for draw in range(draws)]


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """What the middle of the segment holds, and how diverse it is; intervals over draws."""

    def values(law: str, what: str, weight: float = 0.5) -> np.ndarray:
        return np.array([r[what] for r in rows if (r["law"], r["weight"]) == (law, weight)])

    def interval(v: np.ndarray) -> tuple[float, float]:
        half = 1.96 * float(v.std(ddof=1) / np.sqrt(len(v)))
        return float(v.mean()) - half, float(v.mean()) + half

    mixture, fused = values("mixture", "log_vendi"), values("P_w", "log_vendi")
    lost, between = mixture - fused, mixture - np.roll(mixture, 1)
    claims = [
        within(
            "log Vendi score of the mixture above that of the fused law at w = 1/2, lower end of the interval",
            interval(lost)[0],
            low=0.0,
            control=(interval(between)[0], "mixture above another draw of itself"),
            interval=interval(lost),
        )
    ]
    for what in ("middle", "share", "log_vendi", "density", "coverage"):
        parts = [f"{law} {number(values(law, what))}" for law in LAWS]
        ends = [f"{number(values('P_w', what, w))} at w = {w:g}" for w in (0.0, 1.0)]
        note = f"the networks {', '.join(ends)}; real digits {number(values('real digits', what))}"
        claims.append(Claim(f"{what.replace('_', ' ')} at w = 1/2, means over draws", ", ".join(parts), note=note))
    weights = sorted({r["weight"] for r in rows})
    for what in ("log_vendi", "middle", "share"):
        text = ", ".join(f"w = {w:g}: {number(values('P_w', what, w))}" for w in weights)
        claims.append(Claim(f"{what.replace('_', ' ')} of the fused law along the segment", text))
    founders = values("p_w", "founders")
    note = "all weight descends from so many of the images' first particles; 500 are asked for"
    return [*claims, Claim("corrected at w = 1/2: founders, mean over draws", float(founders.mean()), note=note)]


def number(values: np.ndarray) -> str:
    """Mean and standard error over draws."""
    return f"{values.mean():.3f} +- {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


main = Study(
    package="benchmarks.digits.diversity",
    doc=__doc__,
    cells=lambda args: {"diversity": (run_cell, specs(args.quick, args.seed))},
    claims=lambda tables: evaluate_claims(tables["diversity"]),
    title="digits, {table}, seed {seed}{quick}",
    quick="fewer images, steps and weights",
    where="results/digits_diversity",
)


if __name__ == "__main__":
    raise SystemExit(main())
