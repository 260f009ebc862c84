"""Claims of the study of fits on a budget."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import FAMILIES, TOLERANCE

LEVEL = 0.9


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """Shorter intervals, coverage (four standard errors below the level at most), and what a tolerance costs."""
    claims = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        k = chosen[0]["k"]
        ratios = np.array([row["full_length"] / row["budget_length"] for row in chosen])
        ends = (float(np.quantile(ratios, 0.05)), float(np.quantile(ratios, 0.95)))
        name = f"{family}, k = {k}: interval length, full pass over budget"
        note = f"{len(chosen)} data sets; 5 to 95 % of them"
        claims.append(within(name, float(np.median(ratios)), 1.5, interval=ends, note=note))
        slack = 4.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / len(chosen))
        for kind in ("full", "budget", "tolerance"):
            covered = float(np.mean([row[f"{kind}_covered"] for row in chosen]))
            halved = float(np.mean([row[f"{kind}_covered_by_half"] for row in chosen]))
            name = f"{family}: coverage of {LEVEL:.0%} intervals, {kind}"
            claims.append(within(name, covered, LEVEL - slack, control=(halved, "intervals of half the length")))
        longest = max(row["tolerance_length"] for row in chosen)
        spent = float(np.median([row["tolerance_evaluations"] for row in chosen]))
        note = f"median evaluations {spent:,.0f}"
        claims.append(within(f"{family}: longest interval, weight_tol={TOLERANCE}", longest, high=TOLERANCE, note=note))
    return claims
