"""What ``python -m benchmarks.natural_images`` reports, and what it requires, beside controls that must fail."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .data import PHOTOS

METHODS = ("uniform", "merged", "mixture", "nearest", "fine-tuned", "base")


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """All claims on the rows."""
    fits = [row for row in rows if row["method"] == "fused"]
    claims = [within("largest certified gap of the weights", max(row["gap"] for row in fits), high=1e-6)]
    sides = sorted({row["px"] for row in rows})
    for px in sides:
        own = [row for row in rows if row["px"] == px]
        for name, other in (PHOTOS, PHOTOS[::-1]):
            seen = {target: _pick(own, "fused", target)[0] for target in PHOTOS}
            claims.append(
                within(
                    f"{px} px: weight of the network of {name} for patches of {name}",
                    seen[name][f"w_{name}"],
                    low=0.5,
                    control=seen[other][f"w_{name}"],
                    control_name=f"for patches of {other}",
                )
            )
            row, exchanged = (_pick(own, method, name)[0] for method in ("fused", "exchanged"))
            claims.append(
                within(
                    f"{px} px, {name}: loss of uniform weights above fitted ones, in standard errors",
                    row["below_uniform"] / max(row["gain_error"], 1e-12),
                    low=2.0,
                    control=exchanged["below_uniform"] / max(exchanged["gain_error"], 1e-12),
                    control_name="weights fitted to the other photo",
                    note=f"n = {row['n']}: {row['below_uniform']:.4f} of {row['loss']:.4f}; paired over patches",
                )
            )
        claims += [_above(own, px, method) for method in METHODS]
    costs = {row["d"]: row["microseconds"] for row in rows}
    text = "; ".join(f"d = {d:,}: {value:.0f}" for d, value in sorted(costs.items()))
    claims.append(Claim("CPU microseconds of an evaluation of one network", text, note="the blocks grow, not the grid"))
    most = max(row["n"] for row in fits)
    for what, key in (("fitting the weights", "fit_s"), ("fine-tuning", "tune_s")):
        spent = {d: float(np.mean([r[key] for r in fits if r["d"] == d and r["n"] == most])) for d in sorted(costs)}
        text = "; ".join(f"d = {d:,}: {value:.1f}" for d, value in spent.items())
        claims.append(Claim(f"CPU seconds of {what}, n = {most}", text))
    return claims


def _above(rows: Sequence[Row], px: int, method: str) -> Claim:
    """Loss of a method above fused on the mixture, by n: mean, with an error over patches (paired) and draws."""
    found = _pick(rows, method, "mixture")
    parts = []
    for n in sorted({row["n"] for row in found}):
        own = [row for row in found if row["n"] == n]
        values = np.array([row["above_fused"] for row in own])
        between = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
        value, error = float(values.mean()), float(np.sqrt(between + np.mean([row["error"] ** 2 for row in own])))
        parts.append(f"n = {n}: {value:+.4f} +- {error:.4f}")
    fused = float(np.mean([row["loss"] for row in _pick(rows, "fused", "mixture")]))
    return Claim(f"{px} px, mixture: {method}, loss above fused", "; ".join(parts), note=f"fused {fused:.4f}")


def _pick(rows: Sequence[Row], method: str, target: str) -> list[Row]:
    return [row for row in rows if row["method"] == method and row["target"] == target]
