"""Comparing stores: one number for all results, and cell by cell differences within tolerances."""

import hashlib
import json
import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
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


def compare(
    a: Journal, b: Journal, *, rtol: float = 0.0, atol: float = 0.0, ignore: Collection[str] = ()
) -> list[Difference]:
    """Compare two stores study by study; cells are matched by spec, whatever their algorithm version.

    Numbers x and y agree if ``|x - y| <= atol + rtol max(|x|, |y|)``; tolerances of 0 ask for equal bits. Columns to
    ``ignore`` are left out, as are those that the study declares volatile.
    """
    found = []
    for name in dict.fromkeys([study.name for journal in (a, b) for study in journal.studies()]):
        difference, hidden, sides = Difference(name), set(ignore), list[dict[str, str]]()
        for journal in (a, b):
            known = journal.find_study(name)
            difference.versions.append(known.version if known else "absent")
            hidden |= set(known.volatile) if known else set()
            sides.append({cell.spec: cell.record for cell in journal.cells(journal.grid(name).values()).values()})
        x, y = sides
        difference.only_a, difference.only_b = len(x.keys() - y.keys()), len(y.keys() - x.keys())
        for spec in (text for text in x if text in y):
            one, other = (dict(_leaves(decode_record(s[spec]), hidden)) if x[spec] != y[spec] else {} for s in sides)
            apart = {p: _apart(one.get(p, ...), other.get(p, ...), rtol, atol) for p in one.keys() | other.keys()}
            gaps = {place: gap for place, gap in apart.items() if gap}
            difference.equal += not gaps
            difference.differing += bool(gaps)
            difference.example = difference.example or (spec if gaps else "")
            for place, gap in gaps.items():
                column = next((name for name in reversed(place) if isinstance(name, str)), "(the record)")
                difference.worst[column] = max(gap, difference.worst.get(column, 0.0))
        found.append(difference)
    return found


def _leaves(value: Any, hidden: Collection[str], place: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """What a record holds, by place; an empty list or dictionary is a leaf."""
    if not isinstance(value, dict | list) or not value:
        yield place, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if key not in hidden:
            yield from _leaves(item, hidden, (*place, key))


def _apart(x: Any, y: Any, rtol: float, atol: float) -> float:
    """Relative difference of two leaves: 0 within the tolerance, infinite where they are not two numbers."""
    if x == y:
        return 0.0
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (x, y)):
        size, gap = max(abs(x), abs(y)), abs(x - y)
        with suppress(OverflowError):  # whole numbers beyond float64
            return 0.0 if gap <= atol + rtol * size else gap / size
    return math.inf
