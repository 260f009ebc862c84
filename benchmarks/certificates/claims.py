"""Claims of the study of certificates."""

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import FAMILIES

FEWEST = 200  # problems of which the control must find one


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Violations by family; the control is asked of the narrow family, where few nodes are short."""
    claims = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        known = [row["kl"] / row["bound"] for row in chosen if row["bound"] > 1e-3]
        middle = sorted(known)[len(known) // 2]
        note = f"{len(chosen)} problems, median KL over bound {middle:.4f}, largest {max(known):.6f}"
        enough = family == "narrow" and len(chosen) >= FEWEST
        control = sum(not row["coarse_holds"] for row in chosen) if enough else None
        violations = sum(not row["holds"] for row in chosen)
        name = f"violations of the Girsanov certificate, {family}"
        claims.append(within(name, violations, 0, 0, control=(control, "J from 16 time nodes"), note=note))
    worst = max(row["integral_error"] / max(row["integral"], 1e-3) for row in rows)
    return [*claims, within("largest error of J's time integral over J (or 0.001)", worst, high=1e-3)]
