"""Comparing stores: one number for all results, and cell by cell differences within a tolerance."""

import hashlib
import json
import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from ..canonical import decode_record
from .journal import Journal


def without_columns(record: Any, names: Collection[str]) -> Any:
    """A record without some columns, at any depth."""
    if isinstance(record, dict):
        return {key: without_columns(value, names) for key, value in record.items() if key not in names}
    return [without_columns(value, names) for value in record] if isinstance(record, list) else record


def digest(journal: Journal) -> str:
    """sha256 of all current results, sorted by key, without columns that differ from run to run.

    Equal for equal results to the last bit, however they were computed: in whatever order, by whatever number of
    workers, in one run or in many.
    """
    lines = []
    for study in journal.studies():
        for key, cell in sorted(journal.cells(journal.grid(study.name).values()).items()):
            record = without_columns(decode_record(cell.record), study.volatile)
            lines.append(f"{study.name}\0{key}\0{json.dumps(record)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def compare(a: Journal, b: Journal, *, rtol: float = 0.0) -> list[dict[str, Any]]:
    """Compare two stores study by study; cells are matched by spec, whatever their algorithm version.

    Numbers x and y agree if ``|x - y| <= rtol max(|x|, |y|)``; 0 asks for equal bits. Columns that the study declares
    volatile are left out. A row a study: numbers of cells, the ``worst`` relative differences of columns that differ by
    more than the tolerance, the spec of the first such cell as an ``example``, and whether all is the ``same``.
    """
    return [_difference(name, a, b, rtol) for name in dict.fromkeys(s.name for j in (a, b) for s in j.studies())]


def _difference(name: str, a: Journal, b: Journal, rtol: float) -> dict[str, Any]:
    studies = [journal.find_study(name) for journal in (a, b)]
    x, y = ({cell.spec: cell.record for cell in j.cells(j.grid(name).values()).values()} for j in (a, b))
    hidden, worst, apart = {c for study in studies if study for c in study.volatile}, dict[str, float](), []
    for spec in (text for text in x if x[text] != y.get(text, x[text])):
        gaps = [gap for gap in _gaps(decode_record(x[spec]), decode_record(y[spec]), hidden) if gap[1] > rtol]
        apart += [spec] if gaps else []
        for column, gap in gaps:
            worst[column] = max(gap, worst.get(column, 0.0))
    return {
        "study": name,
        "equal": len(x.keys() & y.keys()) - len(apart),
        "differing": len(apart),
        "only_a": len(x.keys() - y.keys()),
        "only_b": len(y.keys() - x.keys()),
        "worst": worst,
        "example": apart[0] if apart else "",
        "versions": [study.version if study else "absent" for study in studies],
        "same": not apart and x.keys() == y.keys(),
    }


def _gaps(x: Any, y: Any, hidden: set[str], column: str = "(the record)") -> Iterator[tuple[str, float]]:
    """Columns and relative differences of what differs in two records; infinite where they are not two numbers."""
    if isinstance(x, dict) and isinstance(y, dict):
        for key in (x.keys() | y.keys()) - hidden:
            yield from _gaps(x.get(key, ...), y.get(key, ...), hidden, key)
    elif isinstance(x, list) and isinstance(y, list):
        for one, other in zip_longest(x, y, fillvalue=...):
            yield from _gaps(one, other, hidden, column)
    elif x != y:
        gap = math.inf
        with suppress(TypeError, OverflowError):  # not numbers; whole numbers beyond float64
            gap = gap if isinstance(x, bool) or isinstance(y, bool) else abs(x - y) / max(abs(x), abs(y))
        yield column, gap
