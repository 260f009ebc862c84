"""Comparing stores: one number for all results, and cell by cell differences within a tolerance."""

import hashlib
import json
import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, final

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


@final
@dataclass
class Difference:
    """Two stores' results of one study: numbers of cells, algorithm versions, the ``worst`` relative differences of
    columns that differ by more than the tolerance, and the spec of the first such cell as an ``example``.
    """

    study: str
    equal: int = 0
    differing: int = 0
    only_a: int = 0
    only_b: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    example: str = ""
    versions: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether both hold the same cells with the same results."""
        return not (self.differing or self.only_a or self.only_b)


def compare(a: Journal, b: Journal, *, rtol: float = 0.0) -> list[Difference]:
    """Compare two stores study by study; cells are matched by spec, whatever their algorithm version.

    Numbers x and y agree if ``|x - y| <= rtol max(|x|, |y|)``; 0 asks for equal bits. Columns that the study declares
    volatile are left out.
    """
    return [_difference(name, a, b, rtol) for name in dict.fromkeys(s.name for j in (a, b) for s in j.studies())]


def _difference(name: str, a: Journal, b: Journal, rtol: float) -> Difference:
    difference, hidden, sides = Difference(name), set[str](), list[dict[str, str]]()
    for journal in (a, b):
        known = journal.find_study(name)
        difference.versions.append(known.version if known else "absent")
        hidden |= set(known.volatile) if known else set()
        sides.append({cell.spec: cell.record for cell in journal.cells(journal.grid(name).values()).values()})
    x, y = sides
    difference.only_a, difference.only_b = len(x.keys() - y.keys()), len(y.keys() - x.keys())
    for spec in (text for text in x if text in y):
        pair = [decode_record(side[spec]) for side in sides] if x[spec] != y[spec] else [None, None]
        apart = [(column, gap) for column, gap in _gaps(pair[0], pair[1], hidden) if gap > rtol]
        difference.equal += not apart
        difference.differing += bool(apart)
        difference.example = difference.example or (spec if apart else "")
        for column, gap in apart:
            difference.worst[column] = max(gap, difference.worst.get(column, 0.0))
    return difference


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
