"""One sample of a known law, judged: was the verdict right, and did the intervals hold the exact distances?"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.truths import get_truth, score_samples
from sfbench.truths.reference import get_reference
from sfbench.truths.scoring import CONFIDENCE

from ..common.study import Row, cell_rng, study_cells

OTHERS = ("scaled", "blended")
LARGEST_KL = 2.0  # above, the tails of the ratio are too heavy for intervals of 5,000 points


@final
@dataclass(frozen=True)
class JudgeSpec:
    """A problem, the law that is drawn from (or one of ``OTHERS``), the number of points, and which draw."""

    problem: str
    law: str
    n: int
    draw: int
    root_seed: int


@study_cells(version=1, factors=("problem", "law"), replicate="draw", name="judging/sample")
def run_judge_cell(spec: JudgeSpec) -> Row:
    """Verdict, and for TV, KL and mode masses how many of the 90 % intervals hold the truth, of how many.

    ``half`` counts intervals half as wide.
    """
    found = score_samples(spec.problem, _points(spec), rng=spec.draw)
    row: Row = {
        "problem": spec.problem,
        "law": spec.law,
        "draw": spec.draw,
        "verdict": found.law,
        "power": None,
        "compatible": ", ".join(found.compatible),
    }
    if spec.law in OTHERS:
        return row
    row["power"] = found.power[spec.law]
    reference = get_reference(spec.problem)
    there = reference.log_p[spec.law]
    counts = dict.fromkeys(("tv", "tv_half", "tv_of", "kl", "kl_half", "kl_of", "mass", "mass_half", "mass_of"), 0)
    for other in reference.names:
        if other == spec.law:
            continue
        ratios = there[reference.names.index(spec.law)] - there[reference.names.index(other)]
        exact = {"tv": reference.total_variation(spec.law, other).value, "kl": float(ratios.mean())}
        for kind, estimates in (("tv", found.total_variation), ("kl", found.kl)):
            if exact[kind] > 0.01 and (kind == "tv" or exact[kind] < LARGEST_KL):
                _count(counts, kind, estimates[other].interval(CONFIDENCE), exact[kind])
    for mass, exact_mass in zip(found.mode_masses, found.mode_masses_of[spec.law], strict=True):
        if 0.01 < exact_mass < 0.99:
            _count(counts, "mass", mass.interval(CONFIDENCE), exact_mass)
    return row | counts


def _count(counts: dict[str, int], kind: str, ends: tuple[float, float], exact: float) -> None:
    middle, reach = 0.5 * (ends[0] + ends[1]), 0.5 * (ends[1] - ends[0])
    counts[kind] += abs(exact - middle) <= reach
    counts[f"{kind}_half"] += abs(exact - middle) <= 0.5 * reach
    counts[f"{kind}_of"] += 1


def _points(spec: JudgeSpec) -> Any:
    """Draws of a law; of the fused law 15 % wider; or of fused law and barycenter, half of each."""
    truth, rng = get_truth(spec.problem), cell_rng(spec)
    if spec.law not in OTHERS:
        return truth.sample(spec.law, spec.n, rng=rng)
    x = truth.sample("fused", spec.n, rng=rng)
    if spec.law == "scaled":
        centre = x.mean(axis=0)
        return centre + 1.15 * (x - centre)
    half = spec.n // 2
    return np.concatenate([x[:half], truth.sample("barycenter", spec.n - half, rng=rng)])
