"""From rows to what a report shows: one point for each combination of factors, never over fewer repetitions unseen.

What a column is follows from its name and its study: the declared factors say which experiment a row belongs to, a
column ``NAME_holds`` is the check of a bound, ``NAME_s`` a time in seconds; other numbers are results.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .slopes import loglog_slope
from .tables import VERSION_COLUMN, Row, StudyTable, require_one_version

_MOST_VALUES = 64  # of a factor that was not declared
_LEAST_POINTS = 3  # for a slope
_LEAST_SPAN = 8.0  # of the axis: a power law says nothing about a probability between .2 and .8
_RESAMPLES = 400


@final
@dataclass(frozen=True)
class Summary:
    """What a report shows of one study; plain data.

    Attributes
    ----------
    factors : dict
        Values of each factor, sorted.
    axes : list of str
        Factors that are numbers with several values.
    points : list of dict
        ``factors``, ``seeds`` (repetitions with a result), ``missing`` cells, and for each metric its median and 10 %
        and 90 % quantiles; checks and violations of each bound; mean, largest and summed cost.
    slopes : list of dict
        For each axis over a factor of 8 or more, metric and combination of the other factors.
    cells : list of dict
        What the engine measured: for each combination of those factors that are one within every cell, ``factors``,
        ``cells``, and their summed and largest seconds.
    """

    name: str
    version: str
    caption: str
    total: int
    missing: list[Row]
    factors: dict[str, list[Any]]
    axes: list[str]
    metrics: list[str]
    bounds: list[str]
    costs: list[str]
    points: list[dict[str, Any]]
    slopes: list[dict[str, Any]]
    left_out: dict[str, int]
    cells: list[dict[str, Any]]


def summarise(table: StudyTable) -> Summary:
    """Summarise the rows of one study.

    Raises
    ------
    MixedVersionsError
        If rows of several algorithm versions meet.
    """
    require_one_version(table.rows, f"the rows of study {table.study.name!r}")
    rows = table.rows
    columns = list(dict.fromkeys(key for row in rows for key in row))
    replicate = table.study.replicate
    hidden = {"cell", VERSION_COLUMN, replicate, "root_seed"}
    factors = _factors(table, columns, hidden)
    rest = [c for c in columns if c not in factors and c not in hidden and c != "study"]
    bounds = [c for c in rest if c.endswith("_holds") and _all(rows, c, lambda v: isinstance(v, bool))]
    costs = [c for c in rest if c.endswith("_s") and _all(rows, c, _is_number)]
    metrics = [c for c in rest if c not in (*bounds, *costs, *table.spec_fields) and _all(rows, c, _is_number)]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(f) for f in factors), []).append(row)
    points = [
        _point(dict(zip(factors, key, strict=True)), members, table.missing, replicate, (metrics, bounds, costs))
        for key, members in sorted(groups.items(), key=lambda item: tuple(_sortable(v) for v in item[0]))
    ]
    values = {f: sorted({p["factors"][f] for p in points}, key=_sortable) for f in factors}
    axes = [f for f in factors if len(values[f]) > 1 and all(_is_number(v) for v in values[f])]
    slopes = [slope for axis in axes for metric in metrics for slope in _slopes(rows, factors, axis, metric, replicate)]
    left_out = {m: n for m in metrics if (n := sum(row.get(m) is None for row in rows))}
    return Summary(
        table.study.name, rows[0][VERSION_COLUMN] if rows else table.study.version, table.caption(), table.total,
        table.missing, values, axes, metrics, bounds, costs, points, slopes, left_out, _cells(table, factors),
    )  # fmt: skip


def _factors(table: StudyTable, columns: Sequence[str], hidden: set[str]) -> list[str]:
    declared = [f for f in table.study.factors if f in columns]
    if declared:
        return declared
    found = []
    for column in columns:
        values = {row.get(column) for row in table.rows if not isinstance(row.get(column), list | dict)}
        few = 0 < len(values) <= _MOST_VALUES and not column.endswith(("_holds", "_s"))
        plain = all(isinstance(v, str | int) and not isinstance(v, bool) for v in values)
        if column not in hidden and column != "study" and few and plain and all(column in row for row in table.rows):
            found.append(column)
    return found


def _point(
    factors: dict[str, Any], rows: list[Row], missing: list[Row], replicate: str, columns: tuple[list[str], ...]
) -> dict[str, Any]:
    metrics, bounds, costs = columns
    point: dict[str, Any] = {
        "factors": factors,
        "seeds": len({row.get(replicate, i) for i, row in enumerate(rows)}),
        "missing": sum(_could_be(spec, factors) for spec in missing),
        "metrics": {},
        "bounds": {},
        "costs": {},
    }
    for name in metrics:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            low, middle, high = np.quantile(np.asarray(values, dtype=np.float64), [0.1, 0.5, 0.9])
            point["metrics"][name] = [float(middle), float(low), float(high), len(values)]
    for name in bounds:
        checks = [row[name] for row in rows if row.get(name) is not None]
        if checks:
            point["bounds"][name] = [len(checks), checks.count(False)]
    for name in costs:
        times = [float(row[name]) for row in rows if row.get(name) is not None]
        if times:
            point["costs"][name] = [len(times), math.fsum(times), max(times)]
    return point


def _cells(table: StudyTable, factors: Sequence[str]) -> list[dict[str, Any]]:
    """Seconds of whole cells by the factors that have one value in each of them."""
    members: dict[str, list[Row]] = {}
    for row in table.rows:
        members.setdefault(row["cell"], []).append(row)
    whole = [f for f in factors if all(len({row.get(f) for row in rows}) == 1 for rows in members.values())]
    groups: dict[tuple[Any, ...], list[float]] = {}
    for cell, rows in members.items():
        groups.setdefault(tuple(rows[0].get(f) for f in whole), []).append(table.seconds[cell])
    return [
        {"factors": dict(zip(whole, key, strict=True)), "cells": len(times), "sum": math.fsum(times),
         "largest": max(times)}
        for key, times in sorted(groups.items(), key=lambda item: tuple(_sortable(v) for v in item[0]))
    ]  # fmt: skip


def _could_be(spec: Row, factors: dict[str, Any]) -> bool:
    """Whether a missing cell would have added to a point: no scalar field of its spec says otherwise."""
    for name, value in factors.items():
        wanted = spec.get(name)
        if isinstance(wanted, list) or wanted is None:
            continue
        if wanted != value:
            return False
    return True


def _slopes(rows: list[Row], factors: Sequence[str], axis: str, metric: str, replicate: str) -> list[dict[str, Any]]:
    """Slopes of a metric along an axis; repetitions that miss a point are left out and counted."""
    others = [f for f in factors if f != axis]
    groups: dict[tuple[Any, ...], dict[Any, dict[Any, float]]] = {}
    for row in rows:
        if row.get(metric) is not None and replicate in row:
            by_seed = groups.setdefault(tuple(row.get(f) for f in others), {}).setdefault(row[replicate], {})
            by_seed[row[axis]] = float(row[metric])
    found = []
    for key, seeds in groups.items():
        xs = sorted({x for values in seeds.values() for x in values if x > 0})
        whole = [[values[x] for x in xs] for values in seeds.values() if values.keys() >= set(xs)]
        if len(xs) < _LEAST_POINTS or xs[-1] < _LEAST_SPAN * xs[0] or len(whole) < 2:
            continue
        slope, low, high = loglog_slope(xs, np.array(whole), n_resamples=_RESAMPLES)
        if math.isfinite(slope):
            found.append(
                {"axis": axis, "metric": metric, "factors": dict(zip(others, key, strict=True)), "slope": slope,
                 "low": low, "high": high, "seeds": len(whole), "left_out": len(seeds) - len(whole)}
            )  # fmt: skip
    return found


def _all(rows: Iterable[Row], column: str, test: Callable[[Any], bool]) -> bool:
    return all(test(row[column]) for row in rows if row.get(column) is not None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sortable(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if _is_number(value) else (1, 0.0, str(value))
