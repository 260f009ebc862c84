"""Claims and the figure of the study of switched sampling."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import FAMILIES

LEVEL = 0.04  # of total variation, some three times the floor
SHARE = 0.7  # of the k-fold gain
SCHEMES = ("exponential", "exponential_2m")
FLOWS = ("ddim", "dpm_solver_2m", "heun")
SPENT = (16, 32, 64, 128, 256)  # evaluations a point by one model


def evaluations_at(rows: Sequence[Row], level: float = LEVEL) -> float:
    """Evaluations at which total variation (rows by increasing evaluations) falls to a level, interpolated in
    logarithms; the first if it is below from the start, infinite if it never is.
    """
    ordered = sorted((row["evaluations"], row["tv"]) for row in rows)
    if ordered[0][1] <= level:
        return float(ordered[0][0])
    for (few, high), (many, low) in pairwise(ordered):
        if low <= level < high:
            share = np.log(high / level) / np.log(high / low)
            return float(few * (many / few) ** share)
    return float("inf")


def gain(rows: Sequence[Row], scheme: str | None) -> float:
    """Evaluations of all models over those of one a step, of a scheme, or of each side's best for None."""
    spent = {}
    for method in ("all", "balanced"):
        schemes = SCHEMES if scheme is None else (scheme,)
        chosen = [[r for r in rows if r["method"] == method and r["scheme"] == s] for s in schemes]
        spent[method] = min(evaluations_at(c) for c in chosen)
    return spent["all"] / spent["balanced"]


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """The gain by family and number of models: required of ancestral steps up to k = 16, reported of the rest."""
    claims = []
    for family in FAMILIES:
        for k in sorted({row["k"] for row in rows}):
            chosen = [row for row in rows if row["family"] == family and row["k"] == k]
            by_number = [[r for r in chosen if r["number"] == number] for number in {r["number"] for r in chosen}]
            for scheme in (SCHEMES[0], None):
                gains = sorted(gain(group, scheme) for group in by_number)
                middle = float(np.median(gains))
                name = f"{family}, k = {k}: times fewer evaluations at TV {LEVEL}, " + (
                    "ancestral steps both" if scheme else "best of two schemes both"
                )
                required = SHARE * k if scheme and k <= 16 else None
                note = f"{len(gains)} problems, gains {', '.join(f'{g:.3g}' for g in gains)}; k = {k}"
                claims.append(within(name, middle, required, note=note))
    last = [row for row in rows if row["steps"] == SPENT[-1] and row["scheme"] == SCHEMES[0]]
    worst = {m: max(r["tv"] - r["floor"] for r in last if r["method"] == m) for m in ("balanced", "one for all")}
    name = f"worst TV above the floor at {SPENT[-1]} evaluations, ancestral steps"
    claims.append(within(name, worst["balanced"], high=0.02, control=(worst["one for all"], "one model for all")))
    others = ("independent", "shared")
    worst |= {method: max(r["tv"] - r["floor"] for r in last if r["method"] == method) for method in others}
    return [*claims, *(within(f"{name}, {method} order", worst[method]) for method in others)]


def order_claims(rows: Sequence[Row]) -> list[Claim]:
    """Weak orders of the flow's schemes: two for balanced choices and schemes of order 2, one for independent ones."""
    claims = []
    for scheme in FLOWS:
        for k in sorted({row["k"] for row in rows}):
            found = {
                method: sorted(r["order"] for r in rows if (r["k"], r["scheme"], r["method"]) == (k, scheme, method))
                for method in ("balanced", "independent", "shared")
            }
            middle = {method: float(np.median(values)) for method, values in found.items()}
            required = 1.6 if scheme != "ddim" and k <= 16 else None
            note = (
                f"shared {middle['shared']:.3g}; {len(found['balanced'])} problems, {found['balanced'][0]:.3g} at least"
            )
            name = f"weak order of {scheme}, balanced choices, k = {k}"
            control = middle["independent"]
            claims.append(within(name, middle["balanced"], required, control=(control, "independent"), note=note))
    return claims


def figure(rows: Sequence[Row]) -> Any:
    """Total variation against evaluations, a panel per number of models (family "line", mean over problems)."""
    import matplotlib.pyplot as plt

    models = sorted({row["k"] for row in rows})
    fig, axes = plt.subplots(1, len(models), figsize=(2.6 * len(models), 2.8), sharey=True, squeeze=False)
    for axis, k in zip(axes[0], models, strict=True):
        for method, colour in (("all", "C0"), ("balanced", "C1")):
            for scheme, style in zip(SCHEMES, ("--", "-"), strict=True):
                chosen = [
                    r for r in rows if (r["family"], r["k"], r["method"], r["scheme"]) == ("line", k, method, scheme)
                ]
                spent = sorted({r["evaluations"] for r in chosen})
                tv = [np.mean([r["tv"] for r in chosen if r["evaluations"] == e]) for e in spent]
                label = f"{'all models' if method == 'all' else 'one a step'}, {scheme.replace('_', ' ')}"
                axis.loglog(spent, tv, style, color=colour, marker="o", markersize=3, label=label)
        axis.axhline(np.mean([r["floor"] for r in rows if r["k"] == k]), color="grey", linewidth=0.8)
        axis.set(title=f"k = {k}", xlabel="evaluations a point", xlim=(10.0, 1.3e4))
    axes[0][0].set_ylabel("total variation to $P_w$")
    axes[0][0].legend(fontsize=6, loc="upper right")
    return fig
