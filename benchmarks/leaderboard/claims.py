"""The claims of a leaderboard, on the rows that were measured here.

Fused methods are compared with the mixture over the problems that a table holds; the interval is the range over its
seeds. Where fusion loses is a claim like the others.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.study import Row
from .table import shifted_mean, tv_of

FUSED = ("fused", "corrected", "switched", "controlled")
TRAINED = ("from_scratch", "fine_tuned")


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """Complete, within the budget, fusion against mixing, and where training wins."""
    budget = max(row["budget"] for row in rows)
    own = [row for row in rows if not row.get("submitted")]
    methods = list(dict.fromkeys(row["method"] for row in own))
    cells = math.prod(len({row[name] for row in own}) for name in ("method", "problem", "budget", "seed"))
    status = Counter(row["status"] for row in own)
    done = [row for row in own if row["status"] == "ok"]
    spent = np.array([row["evaluations"] / row["budget"] for row in done])
    lost = Counter(row["method"] for row in own if row["status"] in ("failed", "budget"))
    none = Counter(row["method"] for row in own if row["status"] == "not applicable")
    claims = [
        Claim("rows, each a method, problem, budget and seed", len(own), str(cells), len(own) == cells),
        within("largest share of the budget that a run used", float(spent.max()), high=1.0),
        Claim("runs that failed or did not fit their budget", status["failed"] + status["budget"], note=_by(lost)),
        Claim("runs of methods that are not applicable", status["not applicable"], note=_by(none)),
        Claim("CPU seconds of all runs, without the judge", float(sum(row["cpu_s"] for row in done))),
    ]
    if {"corrected", "mixture", "nearest"} <= set(methods):
        words = f"TV to the target of the corrected sampler over that of the equal mixture, {budget} evaluations"
        value, ends = _ratio(own, budget, "corrected", "mixture")
        control = _ratio(own, budget, "nearest", "mixture")[0]
        claims.append(within(words, value, high=0.5, interval=ends, control=(control, "the nearest auxiliary")))
    if {"corrected", "fused"} <= set(methods):
        shares = {method: _reached(own, method) for method in methods}
        gain = {method: share - shares["fused"] for method, share in shares.items()}
        words = "share of runs that end at the barycenter or near it: corrected less averaged score alone"
        mixed, name = gain.get("mixture"), "mixture" if "mixture" in gain else ""
        note = f"corrected {shares['corrected']:.2f}, averaged score {shares['fused']:.2f}"
        claims.append(within(words, gain["corrected"], low=0.0, note=note, control=(mixed, name)))
    for method in (m for m in TRAINED if m in methods):
        claims += [_against(own, method, n) for n in sorted({row["budget"] for row in own})]
    return claims


def _by(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _means(rows: Sequence[Row], budget: int, method: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if (row["budget"], row["method"]) == (budget, method):
            found.setdefault(row["problem"], []).append(tv_of(row))
    return found


def _ratio(rows: Sequence[Row], budget: int, a: str, b: str) -> tuple[float, tuple[float, float]]:
    """Ratio of shifted geometric means, and its range over single seeds."""
    of_a, of_b = (list(_means(rows, budget, method).values()) for method in (a, b))
    whole = shifted_mean(float(np.mean(v)) for v in of_a) / shifted_mean(float(np.mean(v)) for v in of_b)
    seeds = range(min(map(len, [*of_a, *of_b])))
    single = [shifted_mean(v[i] for v in of_a) / shifted_mean(v[i] for v in of_b) for i in seeds]
    return whole, (min(single), max(single))


def _reached(rows: Sequence[Row], method: str) -> float:
    laws = [row["law"] for row in rows if (row["method"], row["status"]) == (method, "ok")]
    return float(np.mean([law.endswith("barycenter") for law in laws]))


def _against(rows: Sequence[Row], method: str, budget: int) -> Claim:
    """On how many problems a trained method beats the best fused one, and loses to it (every seed agreeing)."""
    trained = _means(rows, budget, method)
    fused = [_means(rows, budget, name) for name in FUSED if any(row["method"] == name for row in rows)]
    better, worse = [], []
    for problem, own in trained.items():
        others = [means[problem] for means in fused]
        if all(max(own) < min(other) for other in others):
            better.append(problem)
        if any(min(own) > max(other) for other in others):
            worse.append(problem)
    text = f"better on {len(better)}, worse on {len(worse)} of {len(trained)} problems"
    note = f"in all seeds; worse on {', '.join(worse)}" if worse else "in all seeds"
    return Claim(f"{method} against the best fused method, {budget} evaluations", text, note=note)
