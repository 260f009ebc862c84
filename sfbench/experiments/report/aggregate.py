"""From rows to what a report shows: one point for each combination of factors, never over fewer repetitions unseen.

What a column is follows from its name and its study: the declared factors say which experiment a row belongs to,
``NAME_bound`` and the declared bounds are drawn with what they bound, ``NAME_holds`` is the check of a bound, and
``NAME_s`` a time in seconds; other numbers are results.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .tables import VERSION_COLUMN, Row, StudyTable, flat, require_one_version
from .words import factor_text

_MOST_VALUES = 64  # of a factor that was not declared
_LEAST_POINTS = 3  # for a slope
_LEAST_SPAN = 8.0  # of the axis: a power law says nothing about a probability between 0.2 and 0.8
_RESAMPLES = 400
Points = list[dict[str, Any]]


@final
@dataclass(frozen=True)
class Summary:
    """What a report shows of one study; plain data.

    Attributes
    ----------
    factors, axes : dict, list of str
        Sorted values of each factor; factors that are numbers with several values, those with most values first.
    metrics, bounds : list of str, dict
        Results; columns that bound a result, by result.
    points : list of dict
        ``factors``, ``seeds`` (repetitions with a result), ``missing`` cells, and ``metrics``: of each result and bound
        its median, 10 % and 90 % quantiles, and number of values.
    slopes : list of dict
        For each axis over a factor of 8 or more, metric and combination of the other factors.
    checks, costs : list of dict
        Checks of bounds by the factors that are words; seconds that cells measured, and those of whole cells, of each
        value of each factor that is one within every cell.
    """

    name: str
    version: str
    caption: str
    missing: list[Row]
    factors: dict[str, list[Any]]
    axes: list[str]
    metrics: list[str]
    bounds: dict[str, list[str]]
    points: Points
    slopes: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    costs: list[dict[str, Any]]
    labels: Mapping[str, str]


@final
@dataclass(frozen=True)
class Line:
    """Points along an axis that share all other factors."""

    name: str
    factors: dict[str, Any]
    points: Points


@final
@dataclass(frozen=True)
class Slice:
    """The lines of a figure: they share the factors that are numbers; ``dots`` lines of one point are left out."""

    name: str
    lines: list[Line]
    dots: int


def summarise(table: StudyTable) -> Summary:
    """Summarise the rows of one study; raises MixedVersionsError if rows of several algorithm versions meet."""
    require_one_version(table.rows, f"the rows of study {table.study.name!r}")
    columns = list(dict.fromkeys(key for row in table.rows for key in row))
    replicate = table.study.replicate
    hidden = {"cell", "study", VERSION_COLUMN, replicate, "root_seed"}
    factors = _factors(table, columns, hidden)
    rows = [row | {f: flat(row[f]) for f in (*factors, replicate) if f in row} for row in table.rows]
    rest = {c: _values(rows, c) for c in columns if c not in factors and c not in hidden}
    checks = [c for c, values in rest.items() if c.endswith("_holds") and all(isinstance(v, bool) for v in values)]
    numbers = [c for c, values in rest.items() if c not in checks and all(map(_is_number, values))]
    times = [c for c in numbers if c.endswith("_s")]
    numbers = [c for c in numbers if c not in (*times, *table.spec_fields)]
    bounds: dict[str, list[str]] = {}
    for column in numbers:
        bounded = table.bounds.get(column, column.removesuffix("_bound"))
        if bounded != column and bounded in numbers:
            bounds.setdefault(bounded, []).append(column)
    metrics = [c for c in numbers if not any(c in known for known in bounds.values())]
    points = [
        _point(dict(zip(factors, key, strict=True)), members, table.missing, replicate, numbers)
        for key, members in sorted(_grouped(rows, factors).items(), key=lambda item: tuple(map(_sortable, item[0])))
    ]
    values = {f: sorted({p["factors"][f] for p in points}, key=_sortable) for f in factors}
    numeric = [f for f in factors if all(map(_is_number, values[f]))]
    return Summary(
        name=table.study.name,
        version=rows[0][VERSION_COLUMN] if rows else table.study.version,
        caption=table.caption(),
        missing=table.missing,
        factors=values,
        axes=sorted((f for f in numeric if len(values[f]) > 1), key=lambda f: -len(values[f])),
        metrics=sorted(metrics, key=lambda m: (m not in bounds, m.endswith(("_stderr", "_error")))),
        bounds=bounds,
        points=points,
        slopes=[s for axis in numeric for metric in metrics for s in _slopes(rows, factors, axis, metric, replicate)],
        checks=_checks(rows, [f for f in factors if f not in numeric], checks),
        costs=_costs(rows, factors, times, table.seconds),
        labels=table.labels,
    )


def slices(summary: Summary, axis: str) -> list[Slice]:
    """The lines along an axis, by the values of the other numbers; those with most repetitions first."""
    others = [f for f in summary.factors if f != axis and len(summary.factors[f]) > 1]
    numeric = [f for f in others if all(map(_is_number, summary.factors[f]))]
    words = [f for f in others if f not in numeric]
    found: dict[str, dict[str, Points]] = {}
    for point in summary.points:
        name, line = (factor_text(point["factors"], names) for names in (numeric, words))
        found.setdefault(name, {}).setdefault(line, []).append(point)
    made = []
    for name, members in found.items():
        longest = max(map(len, members.values()))
        kept = [points for points in members.values() if len(points) > 1 or longest == 1]
        told = [f for f in words if len({points[0]["factors"][f] for points in kept}) > 1]
        lines = [Line(factor_text(points[0]["factors"], told), points[0]["factors"], points) for points in kept]
        made.append(Slice(name, lines, len(members) - len(lines)))
    return sorted(made, key=lambda s: -sum(p["seeds"] for line in s.lines for p in line.points if len(line.points) > 1))


def _factors(table: StudyTable, columns: Sequence[str], hidden: set[str]) -> list[str]:
    if declared := [f for f in table.study.factors if f in columns]:
        return declared
    found = []
    for column in columns:
        values = {row.get(column) for row in table.rows if not isinstance(row.get(column), list | dict)}
        few = 0 < len(values) <= _MOST_VALUES and not column.endswith(("_holds", "_s"))
        plain = all(isinstance(v, str | int) and not isinstance(v, bool) for v in values)
        if column not in hidden and few and plain and all(column in row for row in table.rows):
            found.append(column)
    return found


def _grouped(rows: Iterable[Row], names: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return groups


def _values(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row.get(name) is not None]


def _point(
    factors: dict[str, Any], rows: list[Row], missing: list[Row], replicate: str, numbers: Sequence[str]
) -> dict[str, Any]:
    found = {name: np.asarray(values, dtype=np.float64) for name in numbers if (values := _values(rows, name))}
    return {
        "factors": factors,
        "seeds": len({row.get(replicate, i) for i, row in enumerate(rows)}),
        "missing": sum(_could_be(spec, factors) for spec in missing),
        "metrics": {name: [*map(float, np.quantile(v, [0.5, 0.1, 0.9])), len(v)] for name, v in found.items()},
    }


def _could_be(spec: Row, factors: dict[str, Any]) -> bool:
    """Whether a missing cell would have added to a point: no scalar field of its spec says otherwise."""
    wanted = ((spec.get(name), value) for name, value in factors.items())
    return all(known is None or isinstance(known, list) or known == value for known, value in wanted)


def _checks(rows: list[Row], words: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "of": ", ".join(map(str, key)) or "all", "n": len(found), "violated": found.count(False)}
        for name in names
        for key, members in _grouped(rows, words).items()
        if (found := _values(members, name))
    ]


def _costs(
    rows: list[Row], factors: Sequence[str], times: Sequence[str], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    cells = _grouped(rows, ["cell"])
    whole = [f for f in factors if all(len({row.get(f) for row in found}) == 1 for found in cells.values())]
    made = []
    for f in ("", *whole):
        for (value,), members in _grouped(rows, [f]).items():
            taken = {"whole cells": [seconds[cell] for (cell,) in _grouped(members, ["cell"])]}
            for name, found in (taken | {name: _values(members, name) for name in times}).items():
                if found:
                    of = factor_text({f: value}, [f]) if f else "all"
                    sums = {"n": len(found), "sum": math.fsum(found), "largest": max(found)}
                    made.append({"name": name, "of": of} | sums)
    return made


def _slopes(rows: list[Row], factors: Sequence[str], axis: str, metric: str, replicate: str) -> list[dict[str, Any]]:
    """Slopes of a metric along an axis; repetitions that miss a point are left out and counted."""
    others, found = [f for f in factors if f != axis], []
    with_value = (row for row in rows if row.get(metric) is not None and replicate in row)
    for key, members in _grouped(with_value, others).items():
        seeds = {seed: {r[axis]: r[metric] for r in of} for (seed,), of in _grouped(members, [replicate]).items()}
        xs = sorted({x for values in seeds.values() for x in values if x > 0})
        whole = [[values[x] for x in xs] for values in seeds.values() if values.keys() >= set(xs)]
        if len(xs) < _LEAST_POINTS or xs[-1] < _LEAST_SPAN * xs[0] or len(whole) < 2:
            continue
        slope, low, high = loglog_slope(xs, np.array(whole, dtype=np.float64), n_resamples=_RESAMPLES)
        if math.isfinite(slope + low + high):
            measured = {"slope": slope, "low": low, "high": high, "seeds": len(whole)}
            named = {"axis": axis, "metric": metric, "factors": dict(zip(others, key, strict=True))}
            found.append(named | measured | {"left_out": len(seeds) - len(whole)})
    return found


def _is_number(value: Any) -> bool:
    """Whether float64 can hold it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1.7e308


def _sortable(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if _is_number(value) else (1, 0.0, str(value))


def loglog_slope(
    x: Sequence[float], table: np.ndarray, *, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Slope of the log of column medians of ``table`` (seeds, points) against log x, with a 95 % interval.

    Points of one seed share samples, so the interval resamples whole seeds. Points whose median is 0 have no logarithm
    and are left out; the slope is NaN if fewer than two remain, and its interval if more than one in twenty resamples
    has such a median (rounding errors have no power law).
    """
    positive = np.median(table, axis=0) > 0
    if positive.sum() < 2:
        return np.nan, np.nan, np.nan
    table, logs = table[:, positive], np.log(np.asarray(x, dtype=np.float64)[positive])
    centred = logs - logs.mean()

    def slope(medians: np.ndarray) -> np.ndarray:
        known = (medians > 0).all(axis=-1)
        found = np.log(np.where(medians > 0, medians, 1.0)) @ centred / (centred @ centred)
        return np.where(known, found, np.nan)

    rng = np.random.default_rng(seed)
    picks = np.stack([rng.integers(0, len(table), len(table)) for _ in range(n_resamples)])
    draws = np.concatenate([slope(np.median(table[block], axis=1)) for block in np.array_split(picks, 10)])
    usual = float(slope(np.median(table, axis=0)))
    if np.isnan(draws).mean() > 0.05:
        return usual, np.nan, np.nan
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return usual, float(low), float(high)
