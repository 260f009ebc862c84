"""What ``python -m benchmarks.tokens`` reports, and the few claims that no data should refute."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """All claims on the rows."""
    claims: list[Claim] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        sizes = sorted({row["n"] for row in own})
        gaps = [row["gap"] for row in own if row["method"] == "fused"]
        claims.append(within(f"{kind}: largest certified gap of the weights", max(gaps), high=1e-6))
        uniform = _mean(own, "uniform", sizes[-1])
        claims.append(
            within(
                f"{kind}: fitted weights, bits above uniform ones at n = {sizes[-1]:,}",
                -uniform[0],
                high=2.0 * uniform[1],
                control=(_mean(own, "from scratch", sizes[0])[0], f"from scratch, n = {sizes[0]}"),
                note="a fit must not lose by more than two standard errors",
            )
        )
        for method in dict.fromkeys(row["method"] for row in own):
            if method == "fused":
                continue
            found = {n: _mean(own, method, n) for n in sizes}
            text = "; ".join(f"n = {n:,}: {value:+.3f} +- {error:.3f}" for n, (value, error) in found.items())
            claims.append(Claim(f"{kind}: {method}, bits for each site above fused", text))
    return claims


def _mean(rows: Sequence[Row], method: str, n: int) -> tuple[float, float]:
    """Mean over draws of the bits above fused, with a standard error over held-out rows and draws."""
    own = [row for row in rows if row["method"] == method and row["n"] == n]
    values = np.array([row["above_fused"] for row in own])
    between = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
    within_rows = float(np.mean([row["above_fused_error"] ** 2 for row in own]))  # the rows are the same for all draws
    return float(values.mean()), float(np.sqrt(between + within_rows))
