"""Claims of the study of window bias."""

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import CASES


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Share of fits with a warning: at least 99 % of the biased ones, at most 1 % of the others."""
    claims = []
    for name, n in dict.fromkeys((row["case"], row["n"]) for row in rows):
        chosen = [row for row in rows if (row["case"], row["n"]) == (name, n)]
        p_values = np.array([row["p_value"] for row in chosen if row["p_value"] is not None])
        small = f"{np.mean(p_values < 0.01):.3f}" if len(p_values) else "-"
        share = sum(row["warned"] for row in chosen) / len(chosen)
        note = f"{len(chosen)} fits; p < 0.01 in {small} of {len(p_values)} tests"
        low, high = (0.99, None) if CASES[name].biased else (None, 0.01)
        claims.append(within(f"{name}, n = {n}: share of fits with a warning", share, low, high, note=note))
    return claims
