"""Claims of the study of the judge."""

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import OTHERS

QUICK = [
    "line_k2_m2",
    "line_k3_m2",
    "product_mixture_3",
    "discrete_chain",
    "gaussian_shifted_k4_d16",
    "duplicates_1e-2",
]
SEEN = {
    "line_paper",
    "line_published",
    "line_k3_m4",
    "product_paper_4",
    "discrete_potts_6",
    "gaussian_scaled_d16_ratio4",
    "duplicates_1e-1",
    "embedded_r1_d64",
}
SEEN |= set(QUICK)  # the intervals were redesigned after a quick run had failed
POWER = 0.99


def evaluate_claims(rows: list[Row]) -> list[Claim]:
    """Verdicts on separable problems, seen and held out; on the others; intervals; points of no law."""
    own = [row for row in rows if row["law"] not in OTHERS]
    weakest = {name: min(row["power"] for row in own if row["problem"] == name) for name in {r["problem"] for r in own}}
    clear = [row for row in own if weakest[row["problem"]] >= POWER]
    claims = []
    for group, chosen in (
        ("held-out", [row for row in clear if row["problem"] not in SEEN]),
        ("seen", [row for row in clear if row["problem"] in SEEN]),
    ):
        if chosen:
            right = float(np.mean([row["verdict"] == row["law"] for row in chosen]))
            note = f"{len(chosen)} runs, {len({row['problem'] for row in chosen})} problems"
            claims.append(within(f"verdict right, separable {group} problems", right, low=0.95, note=note))
    unclear = [row for row in own if weakest[row["problem"]] < POWER]
    if unclear:
        wrong = float(np.mean([row["law"] not in row["compatible"].split(", ") for row in unclear]))
        open_ = float(np.mean([row["verdict"] == "cannot tell" for row in unclear]))
        note = f"{len(unclear)} runs, {len({row['problem'] for row in unclear})} problems; cannot tell in {open_:.1%}"
        claims.append(within("true law refused, other problems", wrong, high=0.03, note=note))
        hopeless = [row for row in unclear if row["power"] < 0.05]
        if hopeless:
            told = float(np.mean([row["verdict"] == "cannot tell" for row in hopeless]))
            name = 'says "cannot tell" where power is below 5 %'
            claims.append(within(name, told, low=0.95, note=f"{len(hopeless)} runs"))
    for group, seen in (("held-out", False), ("seen", True)):
        chosen = [row for row in own if (row["problem"] in SEEN) == seen]
        for kind, words in (("tv", "total variation"), ("kl", "KL up to 2 nats"), ("mass", "mode masses")):
            cases = sum(row[f"{kind}_of"] for row in chosen)
            if cases < 30:
                continue
            share, half = (sum(row[key] for row in chosen) / cases for key in (kind, f"{kind}_half"))
            claim = f"90 % intervals of {words} hold the truth, {group} problems"
            note = f"{cases} intervals"
            claims.append(within(claim, share, 0.85, 0.95, control=(half, "half as wide"), note=note))
    for law, words in (("scaled", "15 % wider than the fused law"), ("blended", "half fused, half barycenter")):
        chosen = [row for row in rows if row["law"] == law and weakest[row["problem"]] >= POWER]
        if chosen:
            none = float(np.mean([row["verdict"] == "neither" for row in chosen]))
            claims.append(within(f'points {words} are "neither"', none, low=0.9, note=f"{len(chosen)} runs"))
    return claims
