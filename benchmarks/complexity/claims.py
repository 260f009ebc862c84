"""The claims of the complexity study, each beside a negative control that must fail it.

Everything is computed from the rows, so a claim can be re-examined long after the run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..common.claims import Claim, wide_console, within
from ..common.study import Row, loglog_slope

CHECKED_WINDOWS = {(1e-4, 2e-4): 0.5000, (1e-3, 0.1): 0.4895, (1e-3, 1.0): 0.5603, (1e-3, 5.0): 0.5903}


def table(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], np.ndarray]:
    """Values of ``y`` as (seeds, points) over the sorted values of ``x``; refuses missing cells."""
    points = sorted({row[x] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    values = np.full((len(seeds), len(points)), np.nan)
    for row in rows:
        values[seeds.index(row["seed"]), points.index(row[x])] = row[y]
    missing = int(np.isnan(values).sum())
    if missing:
        raise ValueError(f"{missing} of {values.size} cells of {y} against {x} are missing; run the study again")
    return points, values


def first_solver(rows: Sequence[Row], study: str) -> list[Row]:
    """Rows of one study that carry distances: those of the first backend."""
    return [row for row in rows if row["study"] == study and "tv" in row]


def evaluate_claims(tables: dict[str, list[Row]]) -> list[Claim]:
    """All claims that the rows allow, below tables of medians on the terminal."""
    rows = tables["cells"]
    strict = rows[0]["problem"] == "shifted_gaussians" and "setting" not in rows[0]
    claims = _rates(first_solver(rows, "n"), strict)
    claims += _dimension(first_solver(rows, "d"), first_solver(rows, "k"), strict)
    claims += _bounds(rows) + _solvers(rows) + _windows(tables["windows"]) + _estimators(tables["estimators"])
    _print_medians(rows)
    return claims


def _rates(rows: list[Row], strict: bool) -> list[Claim]:
    claims = []
    for y, low, high in (("tv", -0.6, -0.4), ("excess", -1.2, -0.8)):
        sizes, values = table(rows, "n", y)
        if len(sizes) < 3:
            continue
        slope, lower, upper = loglog_slope(sizes, values)
        shuffled = np.random.default_rng(0).permuted(values, axis=1)
        control = loglog_slope(sizes, shuffled)[0]
        name = f"slope of median {'TV' if y == 'tv' else 'excess objective'} against n"
        limits = _limits(strict, low, high, control, "sizes permuted within seeds")
        if strict or np.isfinite(slope):
            claims.append(within(name, slope, **limits, interval=(lower, upper), note=f"{len(values)} seeds"))
    if rows and "fast_rate" in rows[0]:
        sizes, values = table(rows, "n", "excess")
        predicted = table(rows, "n", "fast_rate")[1][0]
        ratio = float((values.mean(axis=0) / predicted).mean())
        control = float((values.mean(axis=0) / table(rows, "n", "slow_bound")[1][0]).mean())
        name = "mean excess over its asymptotic fast rate, averaged over n"
        limits = _limits(strict, 0.7, 1.4, control, "the slow bound in its place")
        claims.append(within(name, ratio, **limits, note=f"{len(values)} seeds"))
    return claims


def _limits(strict: bool, low: float, high: float, control: float | None, name: str) -> dict[str, Any]:
    """The requirement and its control, for the family that the claims are about."""
    return {"low": low, "high": high, "control": (control, name)} if strict else {}


def _dimension(by_d: list[Row], by_k: list[Row], strict: bool) -> list[Claim]:
    dims, tv_d = table(by_d, "d", "tv") if by_d else ([], np.empty((0, 0)))
    counts, tv_k = table(by_k, "k", "tv") if by_k else ([], np.empty((0, 0)))
    claims = []
    if len(dims) > 1:
        control = _median_ratio(tv_k) if len(counts) > 1 else None
        name = f"median TV at d = {dims[-1]:g} over d = {dims[0]:g}"
        other = f"the same ratio, k = {counts[-1]:g} over k = {counts[0]:g}"
        claims.append(within(name, _median_ratio(tv_d), **_limits(strict, 0.8, 1.25, control, other)))
    if len(counts) > 2:
        slope, lower, upper = loglog_slope(counts, tv_k)
        if np.isfinite(slope):
            claims.append(within("exponent of median TV in k", slope, interval=(lower, upper)))
    return claims


def _median_ratio(values: np.ndarray) -> float:
    """Median of the last column of (seeds, points) over that of the first; infinite if the latter is 0."""
    first, last = np.median(values[:, [0, -1]], axis=0)
    return float(last / first) if first > 0 else np.inf


def _bounds(rows: list[Row]) -> list[Claim]:
    claims = []
    checked = [row for row in rows if "certificate_holds" in row]
    if checked:
        violations = sum(not row["certificate_holds"] for row in checked)
        halved = sum(row["kl"] > row["certificate_kl"] / 2 for row in checked)
        tightness = float(np.median([row["kl"] / row["certificate_kl"] for row in checked]))
        note = f"{len(checked)} runs, median KL over bound {tightness:.4f}"
        name = "violations of the Girsanov certificate"
        claims.append(within(name, violations, 0, 0, control=(halved, "half the bound"), note=note))
    checked = [row for row in rows if "slow_holds" in row]
    violations = sum(not row["slow_holds"] for row in checked)
    control: float | None = None
    if all("fast_rate" in row for row in checked):
        control = sum(row["excess"] > row["fast_rate"] for row in checked)
    name = "violations of the slow bound on the excess"
    other, note = "the mean fast rate as a bound", f"{len(checked)} runs"
    claims.append(within(name, violations, 0, 0, control=(control, other), note=note))
    return claims


def _solvers(rows: list[Row]) -> list[Claim]:
    studied = [row for row in rows if row["study"] == "n"]
    worst = max(row["gap"] / row["scale"] for row in studied)
    rounded = max(row["rounded_gap"] / row["scale"] for row in studied)
    names = sorted({row["solver"] for row in studied})
    name, note = "worst certified gap over scale", ", ".join(names)
    return [within(name, worst, high=1e-8, control=(rounded, "weights to 2 decimals"), note=note)]


def _windows(rows: list[Row]) -> list[Claim]:
    claims = []
    for row in rows:
        expected = CHECKED_WINDOWS[row["t_min"], row["t_max"]]
        low, high = expected - 5e-4, expected + 5e-4
        other = CHECKED_WINDOWS[(1e-3, 0.1) if expected == 0.5 else (1e-4, 2e-4)]
        name = f"population weight on t in [{row['t_min']:g}, {row['t_max']:g}]"
        claims.append(
            within(name, row["weight"], low, high, control=(other, "another window's value"), note="reference problem")
        )
    return claims


def spread(rows: Sequence[Row], t: float, estimator: str) -> float:
    """Standard deviation of the fitted weight over seeds."""
    return float(np.std([r["weight"] for r in rows if r["t"] == t and r["estimator"] == estimator], ddof=1))


def _estimators(rows: list[Row]) -> list[Claim]:
    times = sorted({row["t"] for row in rows})
    repeats = len({row["seed"] for row in rows})
    ratio: Callable[[float, str], float] = lambda t, name: spread(rows, t, "dsm") / spread(rows, t, name)  # noqa: E731
    late = f"the same at t = {times[-1]:g}"
    return [
        within(
            f"std of the fitted weight, dsm over {name}, t = {times[0]:g}",
            ratio(times[0], name),
            low=5.0,
            control=(ratio(times[-1], name), late),
            note=f"{repeats} seeds",
        )
        for name in ("antithetic", "stein")
    ]


def _print_medians(rows: list[Row]) -> None:
    from rich.table import Table

    console = wide_console()
    for x in ("n", "d", "k"):
        chosen = first_solver(rows, x)
        if not chosen:
            continue
        points, tv = table(chosen, x, "tv")
        excess = table(chosen, x, "excess")[1]
        title = f"{chosen[0].get('setting', chosen[0]['problem'])}: medians over {len(tv)} seeds against {x}"
        summary = Table(x, "TV(p_what, p_w*)", "10 % - 90 %", "excess J(w_hat) - J(w*)", "10 % - 90 %", title=title)
        for i, point in enumerate(points):
            cells = [f"{point:g}"]
            for values in (tv[:, i], excess[:, i]):
                low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
                cells += [f"{middle:.4g}", f"{low:.3g} - {high:.3g}"]
            summary.add_row(*cells)
        console.print(summary)
