"""What ``python -m benchmarks.natural_images`` reports, and what it requires, beside controls that must fail."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.rows import mean, pick
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
            weights = {
                target: [row[f"w_{name}"] for row in pick(own, method="fused", target=target)] for target in PHOTOS
            }
            claims.append(
                within(
                    f"{px} px: weight of the network of {name} for patches of {name}",
                    min(weights[name]),
                    low=0.5,
                    control=(max(weights[other]), f"for patches of {other}"),
                )
            )
            rows_of = {method: pick(own, method=method, target=name) for method in ("fused", "exchanged")}
            (gain, error), (lost, control_error) = (
                _pooled(found, "below_uniform", "gain_error") for found in rows_of.values()
            )
            seen = rows_of["fused"]
            claims.append(
                within(
                    f"{px} px, {name}: loss of uniform weights above fitted ones, in standard errors",
                    gain / max(error, 1e-12),
                    low=2.0,
                    control=(lost / max(control_error, 1e-12), "weights fitted to the other photo"),
                    note=f"n = {seen[0]['n']}: {gain:.4f} of {mean(seen, 'loss'):.4f}; paired over patches",
                )
            )
        claims += [_above(own, px, method) for method in METHODS]
    most = max(row["n"] for row in fits)
    largest = [row for row in fits if row["n"] == most]
    trainings = {px: len({row["seed"] for row in rows if row["px"] == px}) for px in sides}
    text = "; ".join(f"{px} px: {count}" for px, count in trainings.items())
    claims.append(Claim("trainings of all networks", text, note=f"weights of one: {_by_d(rows, 'parameters', ',.0f')}"))
    for what, found, key, form in (
        ("loss of fused, mixture of both photos", largest, "loss", ".4f"),
        ("CPU seconds of training three networks", rows, "train_s", ".0f"),
        ("CPU microseconds of an evaluation of one network (blocks grow, not the grid)", rows, "microseconds", ".0f"),
        (f"CPU seconds of fitting the weights, n = {most}", largest, "fit_s", ".1f"),
        (f"CPU seconds of fine-tuning, n = {most}", largest, "tune_s", ".1f"),
    ):
        claims.append(Claim(f"against d: {what}", _by_d(found, key, form)))
    return claims


def _by_d(rows: Sequence[Row], key: str, form: str) -> str:
    """A mean for every dimension."""
    means = {d: mean([row for row in rows if row["d"] == d], key) for d in sorted({row["d"] for row in rows})}
    return "; ".join(f"d = {d:,}: {value:{form}}" for d, value in means.items())


def _pooled(rows: Sequence[Row], key: str, error: str) -> tuple[float, float]:
    """Mean over trainings and draws, and its standard error: over patches (paired, those of all rows) and over rows."""
    values = np.array([row[key] for row in rows])
    between = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    return float(values.mean()), float(np.sqrt(between + np.mean([row[error] ** 2 for row in rows])))


def _above(rows: Sequence[Row], px: int, method: str) -> Claim:
    """Loss of a method above fused on the mixture, by n."""
    found = pick(rows, method=method, target="mixture")
    parts = []
    for n in sorted({row["n"] for row in found}):
        value, error = _pooled([row for row in found if row["n"] == n], "above_fused", "error")
        parts.append(f"n = {n}: {value:+.4f} +- {error:.4f}")
    fused = mean(pick(rows, method="fused", target="mixture"), "loss")
    return Claim(f"{px} px, mixture: {method}, loss above fused", "; ".join(parts), note=f"fused {fused:.4f}")
