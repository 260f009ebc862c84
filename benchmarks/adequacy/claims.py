"""Claims of the study of the misfit test."""

import numpy as np
import scipy

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import CASES

_DOUBT = 1e-3
_STRONG = {"line_mixture", "plane_modes", "space_place", "space_scale"}


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
                    control=(float(np.mean(far < level)), "farthest targets"),
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
                control=(float(np.mean(near < 0.001)) if claimed else None, "distance 0"),
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
