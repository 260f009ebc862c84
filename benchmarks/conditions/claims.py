"""The claims of ``python -m benchmarks.conditions``, each beside a control that must fail it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from ..common.claims import Claim, within
from ..common.study import Row, loglog_slope

Problem = tuple[Any, ...]  # rank, distance, spread, d, tails, seed
_KEYS = ("rank", "distance", "spread", "d", "tails", "seed")
_LEVEL = 1e-4
LOW, HIGH = 0.5, 2.0  # mean excess over the fast rate where the rate is to be trusted


def by_problem(rows: Sequence[Row]) -> dict[Problem, list[Row]]:
    """Rows of the fits of each problem."""
    found: dict[Problem, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in _KEYS)].append(row)
    return dict(found)


def over_fast(rows: Sequence[Row]) -> float | None:
    """Mean excess over the fast rate; None where the optimum is at the boundary."""
    return None if rows[0]["fast"] is None else float(np.mean([r["excess"] for r in rows]) / rows[0]["fast"])


def roc_area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive is above a negative; ties count half."""
    below, above = np.asarray(negative)[None, :], np.asarray(positive)[:, None]
    return float(np.mean((above > below) + 0.5 * (above == below)))


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """All claims on the rows."""
    problems = by_problem(rows)
    return [*_certificates(rows), *_rates(problems), *_dimension(problems), *_diagnostics(rows, problems)]


def _certificates(rows: Sequence[Row]) -> list[Claim]:
    checked = [r for r in rows if r.get("certificate") is not None]
    ratios = np.array([r["kl"] / r["certificate"] for r in checked])
    without = sum(r["kl"] > r["certificate"] - r["best"] for r in checked if r["distance"] > 0)
    claims = [
        within(
            "violations of the certificate",
            sum(not r["certified"] for r in checked),
            high=0,
            control=(without, "without the distance from the family"),
            note=f"{len(checked)} runs, Gaussian targets",
        )
    ]
    for distance in sorted({r["distance"] for r in checked}):
        own = ratios[[r["distance"] == distance for r in checked]]
        text = f"median {np.median(own):.3f}, {own.min():.3f} to {own.max():.3f}"
        claims.append(Claim(f"KL over its certificate, distance {distance:g}", text))
    return claims


def _rates(problems: dict[Problem, list[Row]]) -> list[Claim]:
    ratios = {key: over_fast(rows) for key, rows in problems.items()}
    inside = {key: ratio for key, ratio in ratios.items() if ratio is not None}
    k = len(next(iter(problems.values()))[0]["weights"])
    single = [(k - 1) * ratio <= HIGH for ratio in inside.values()]
    tight = np.array([np.mean([r["excess"] for r in rows]) / rows[0]["aggregation"] for rows in problems.values()])
    middle, half = float(tight.mean()), 1.96 * float(tight.std(ddof=1)) / np.sqrt(len(tight))
    shares = [np.mean([r["excess"] for r in rows]) / rows[0]["slow"] for rows in problems.values()]
    exceeded = sum(r["excess"] > r["slow"] for rows in problems.values() for r in rows)
    below = [key for key, ratio in inside.items() if ratio < LOW]
    reasons = {
        "Gram error above 1/2": sum(max(r["gram_error"] for r in problems[key]) > 0.5 for key in below),
        "heavy tails": sum(key[4] == "heavy" for key in below),
        "distance": sum(key[1] > 0 for key in below),
    }
    smallest = min(key[2] for key in problems)
    return [
        within(
            "share of interior problems whose mean excess is at most twice the fast rate",
            float(np.mean([ratio <= HIGH for ratio in inside.values()])),
            low=0.95,
            control=(float(np.mean(single)), "of one dimension in place of k - 1"),
            note=f"{len(inside)} of {len(problems)} problems; the others have their optimum at the boundary",
        ),
        within(
            "mean excess over the aggregation bound, mean over problems (Gram matrices are noisy here)",
            middle,
            high=1.1,
            interval=(middle - half, middle + half),
            control=(middle * (k - 1), "with one dimension in place of k - 1"),
            note=f"{sum(_is_above(rows) for rows in problems.values())} of {len(problems)} problems above it",
        ),
        Claim(
            "mean excess over the slow bound",
            f"median {np.median(shares):.2g}, at most {max(shares):.2g}",
            note=f"an upper bound with probability 0.95; exceeded in {exceeded} fits",
        ),
        Claim(
            "interior problems below half the fast rate, by what else holds in them",
            f"{len(below)}: " + ", ".join(f"{name} {count}" for name, count in reasons.items()),
            note=f"{sum(key[2] == smallest for key in below)} of them at the smallest spread, {smallest:g}, where fits "
            "reach the boundary of the simplex",
        ),
    ]


def _is_above(rows: Sequence[Row]) -> bool:
    """Student's test that the mean excess is above the aggregation bound."""
    values = np.array([r["excess"] for r in rows])
    beyond = float(values.mean()) - rows[0]["aggregation"]
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    return beyond > 0 and bool(scipy.special.stdtr(len(values) - 1, -beyond / max(error, 1e-300)) < _LEVEL)


def _dimension(problems: dict[Problem, list[Row]]) -> list[Claim]:
    widest = max(key[2] for key in problems)
    slopes = {}
    for rank in ("fixed", "growing"):
        own = {k: rows for k, rows in problems.items() if k[0] == rank and k[2] == widest and k[4] == "gaussian"}
        ds = sorted({key[3] for key in own})
        for name in ("excess", "slow", "score_moment", "fast"):
            values = []
            for distance, seed in sorted({(key[1], key[5]) for key in own}):
                keys = [(rank, distance, widest, d, "gaussian", seed) for d in ds]
                at = [[r[name] for r in own[key]] for key in keys]
                values.append([float(np.mean([v for v in group if v is not None] or [np.nan])) for group in at])
            kept = np.array([row for row in values if np.all(np.isfinite(row))])
            slopes[rank, name] = loglog_slope([float(d) for d in ds], kept)
    return [
        within(
            f"exponent of the mean excess in d, {rank} rank (spread {widest:g})",
            slopes[rank, "excess"][0],
            -0.25,
            0.25,
            interval=slopes[rank, "excess"][1:],
            control=(slopes["growing", "slow"][0], "of the slow bound, growing rank"),
            note=f"of the second moment of score differences {slopes[rank, 'score_moment'][0]:.2f}, of the fast rate "
            f"{slopes[rank, 'fast'][0]:.2f}",
        )
        for rank in ("fixed", "growing")
    ]


def _diagnostics(rows: Sequence[Row], problems: dict[Problem, list[Row]]) -> list[Claim]:
    negative = [r for r in rows if r["distance"] == 0 and r["tails"] == "gaussian"]
    claims = []
    warned = {
        f"{what} {x:g}": [r["warned_misfit"] for r in rows if (r["tails"], r["distance"]) == (tails, x)]
        for what, tails in (("distance", "gaussian"), ("heavy tails, distance", "heavy"))
        for x in sorted({r["distance"] for r in rows})
    }
    false = float(np.mean(warned.pop("distance 0")))
    text = ", ".join(f"{name}: {np.mean(found):.2f}" for name, found in warned.items() if found)
    claims.append(
        within(
            "fits in the family that get a warning of misfit",
            false,
            high=0.05,
            control=(
                float(np.mean([r["misfit_p"] is not None and r["misfit_p"] < 0.5 for r in negative])),
                "p below 0.5",
            ),
            note=f"elsewhere, by distance from the family: {text}",
        )
    )
    for distance in sorted({r["distance"] for r in rows} - {0.0}):
        positive = [r for r in rows if r["distance"] == distance and r["tails"] == "gaussian"]
        area, window = (roc_area(evidence(positive, p), evidence(negative, p)) for p in ("misfit_p", "window_p"))
        claims.append(
            within(
                f"area under the ROC curve for targets {distance:g} from the family: misfit test of the fit",
                area,
                low=0.75 if distance >= 1 else None,
                control=(window, "window bias"),
            )
        )
    heavy = [r for r in rows if r["distance"] == 0 and r["tails"] == "heavy"]
    claims.append(
        Claim(
            "the same for heavy tails",
            roc_area(evidence(heavy, "misfit_p"), evidence(negative, "misfit_p")),
            note=f"warned of an outlier: {np.mean([r['warned_outlier'] for r in heavy]):.2f} of fits, "
            f"{np.mean([r['warned_outlier'] for r in negative]):.2f} without heavy tails",
        )
    )
    bad = [key for key, own in problems.items() if not _trusted(own)]
    for kind in ("boundary", "unclear", "window", "outlier"):
        rates = [
            float(np.mean([r[f"warned_{kind}"] for key in keys for r in problems[key]])) if keys else float("nan")
            for keys in (bad, [key for key in problems if key not in bad])
        ]
        name = f"fits that warn ({kind}), where the rate is not to be trusted"
        claims.append(Claim(name, rates[0], note=f"{rates[1]:.2f} elsewhere; {len(bad)} of {len(problems)} problems"))
    share = {key: float(np.mean([r["warned_boundary"] for r in own])) for key, own in problems.items()}
    good = [key for key in problems if key not in bad]
    if bad and good:
        area = roc_area([share[key] for key in bad], [share[key] for key in good])
        claims.append(Claim("area under the ROC curve of boundary warnings for problems not to be trusted", area))
    return claims


def evidence(rows: Sequence[Row], name: str) -> list[float]:
    """Minus the p-values; 1 where the test is not possible."""
    return [-1.0 if r[name] is None else -r[name] for r in rows]


def _trusted(rows: Sequence[Row]) -> bool:
    ratio = over_fast(rows)
    return ratio is not None and LOW <= ratio <= HIGH
