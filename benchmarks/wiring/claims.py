"""Claims of the study of wiring."""

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import ROWS


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Mistakes that were named, and right wirings that were, by kind of network and number of rows."""
    claims = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for count in ROWS:
            chosen = [row for row in rows if row["kind"] == kind and row["rows"] == count]
            right = [row for row in chosen if not row["expected"]]
            wrong = [row for row in chosen if row["expected"] and not row["wiring"].startswith("pair")]
            pairs = [row for row in chosen if row["wiring"].startswith("pair")]
            alarms = sum(bool(row["said"]) for row in right)
            detected = sum(bool(row["said"]) for row in wrong)
            named = sum(row["named"] for row in wrong)
            required = count == ROWS[0]
            missed = ", ".join(f"{row['wiring']} of network {row['group']}" for row in wrong if not row["named"])
            losses = f"median loss of right wirings {sorted(row['loss'] for row in right)[len(right) // 2]:.3f}"
            claims += [
                within(
                    f"mistakes named with their cause, {kind}, {count} rows",
                    named,
                    len(wrong) if required else None,
                    control=(alarms if required else None, "right wirings named"),
                    note=f"of {len(wrong)}; {detected} detected" + (f"; not named: {missed}" if missed else ""),
                ),
                within(
                    f"alarms over right wirings, {kind}, {count} rows",
                    alarms,
                    high=0 if required else None,
                    control=(detected if required else None, "mistakes detected"),
                    note=f"of {len(right)}; {losses} of the linear predictor's",
                ),
                within(
                    f"pairs of mistakes named with both causes, {kind}, {count} rows",
                    sum(row["named"] for row in pairs),
                    note=f"of {len(pairs)}; {sum(bool(row['said']) for row in pairs)} detected",
                ),
            ]
    return claims
