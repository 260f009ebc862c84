"""From rows to what a report shows: one point for each combination of factors, never over fewer repetitions unseen.

What a column is follows from its name and its study: the declared factors say which experiment a row belongs to,
``NAME_bound`` and the declared bounds are drawn with what they bound, ``NAME_holds`` is the check of a bound, and
``NAME_s`` a time in seconds; other numbers are results.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .tables import VERSION_COLUMN, Row, StudyTable, flat, require_one_version
from .words import factor_text, is_number

_MOST_VALUES = 64  # of a factor that was not declared


@final
@dataclass(frozen=True)
class Summary:
    """What a report shows of one study, of the ``version`` of its ``table``; plain data.

    ``factors`` have sorted values; ``axes`` are those that are numbers with several, most first; ``bounds`` are columns
    that bound a result of ``metrics``, by result. A point has its ``factors``, ``seeds`` (repetitions with a result),
    ``missing`` cells, and ``metrics``: median, 10 % and 90 % quantiles and number of values of each result and bound.
    ``checks`` are of bounds, by the factors that are words; ``costs`` are seconds that cells measured, and those of
    whole cells, for each value of each factor that is one within every cell.
    """

    table: StudyTable
    version: str
    factors: dict[str, list[Any]]
    axes: list[str]
    metrics: list[str]
    bounds: dict[str, list[str]]
    points: list[Row]
    checks: list[Row]
    costs: list[Row]


def summarise(table: StudyTable) -> Summary:
    """Summarise the rows of one study; raises MixedVersionsError if rows of several algorithm versions meet."""
    require_one_version(table.rows, f"the rows of study {table.study.name!r}")
    replicate, columns = table.study.replicate, list(dict.fromkeys(key for row in table.rows for key in row))
    shown = [c for c in columns if c not in {"cell", "study", VERSION_COLUMN, replicate, "root_seed"}]
    factors = [f for f in table.study.factors if f in columns] or [c for c in shown if _could_be_factor(table.rows, c)]
    rows = [row | {f: flat(row[f]) for f in (*factors, replicate) if f in row} for row in table.rows]
    rest = {c: _values(rows, c) for c in shown if c not in factors}
    checks = [c for c, values in rest.items() if c.endswith("_holds") and all(isinstance(v, bool) for v in values)]
    numbers = [c for c, values in rest.items() if c not in checks and all(map(is_number, values))]
    times = [c for c in numbers if c.endswith("_s")]
    numbers = [c for c in numbers if c not in (*times, *table.spec_fields)]
    bounds: dict[str, list[str]] = {}
    for column in numbers:
        bounded = table.bounds.get(column, column.removesuffix("_bound"))
        if bounded != column and bounded in numbers:
            bounds.setdefault(bounded, []).append(column)
    metrics = [c for c in numbers if not any(c in known for known in bounds.values())]
    combinations = sorted(_grouped(rows, factors).items(), key=lambda item: tuple(map(_sortable, item[0])))
    points = [_point(table, dict(zip(factors, key, strict=True)), found, numbers) for key, found in combinations]
    values = {f: sorted({p["factors"][f] for p in points}, key=_sortable) for f in factors}
    numeric = [f for f in factors if all(map(is_number, values[f]))]
    return Summary(
        table,
        version=rows[0][VERSION_COLUMN] if rows else table.study.version,
        factors=values,
        axes=sorted((f for f in numeric if len(values[f]) > 1), key=lambda f: -len(values[f])),
        metrics=sorted(metrics, key=lambda m: (m not in bounds, m.endswith(("_stderr", "_error")))),
        bounds=bounds,
        points=points,
        checks=_checks(rows, [f for f in factors if f not in numeric], checks),
        costs=_costs(table, rows, factors, times),
    )


def _could_be_factor(rows: Sequence[Row], column: str) -> bool:
    """Whether a column of a study without declared factors says which experiment a row belongs to."""
    plain = all(type(row.get(column)) in (str, int) for row in rows)
    return plain and len({row[column] for row in rows}) <= _MOST_VALUES and not column.endswith(("_holds", "_s"))


def _grouped(rows: Iterable[Row], names: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return groups


def _values(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row.get(name) is not None]


def _point(table: StudyTable, factors: Row, rows: list[Row], numbers: Sequence[str]) -> Row:
    found = {name: np.asarray(values, dtype=np.float64) for name in numbers if (values := _values(rows, name))}
    return {
        "factors": factors,
        "seeds": len({row.get(table.study.replicate, i) for i, row in enumerate(rows)}),
        "missing": sum(_could_be(spec, factors) for spec in table.missing),
        "metrics": {name: [*map(float, np.quantile(v, [0.5, 0.1, 0.9])), len(v)] for name, v in found.items()},
    }


def _could_be(spec: Row, factors: Row) -> bool:
    """Whether a missing cell would have added to a point: no scalar field of its spec says otherwise."""
    wanted = ((spec.get(name), value) for name, value in factors.items())
    return all(known is None or isinstance(known, list) or known == value for known, value in wanted)


def _checks(rows: list[Row], words: Sequence[str], names: Sequence[str]) -> list[Row]:
    return [
        {"of": ", ".join(map(str, key)) or "all", "check": name, "checked": len(found), "violated": found.count(False)}
        for name in names
        for key, members in _grouped(rows, words).items()
        if (found := _values(members, name))
    ]


def _costs(table: StudyTable, rows: list[Row], factors: Sequence[str], times: Sequence[str]) -> list[Row]:
    cells, made = _grouped(rows, ["cell"]).values(), []
    whole = [f for f in factors if all(len({row.get(f) for row in found}) == 1 for found in cells)]
    for f in ("", *whole):
        for (value,), members in _grouped(rows, [f]).items():
            taken = {"whole cells": [table.seconds[cell] for (cell,) in _grouped(members, ["cell"])]}
            for name, found in (taken | {name: _values(members, name) for name in times}).items():
                if found:
                    total, of = math.fsum(found), factor_text({f: value}, [f]) if f else "all"
                    sums = {"mean": total / len(found), "largest": max(found), "sum": total}
                    made.append({"of": of, "time": name, "measured": len(found)} | sums)
    return made


def _sortable(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if is_number(value) else (1, 0.0, str(value))
