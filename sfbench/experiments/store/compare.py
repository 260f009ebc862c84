"""Comparing stores: one number for all results, and cell by cell differences within tolerances."""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, final

from ..canonical import decode_record
from .journal import Journal
from .rows import StoredCell


def without_columns(record: Any, names: Collection[str]) -> Any:
    """A record without some columns, at any depth."""
    if isinstance(record, dict):
        return {key: without_columns(value, names) for key, value in record.items() if key not in names}
    if isinstance(record, list):
        return [without_columns(value, names) for value in record]
    return record


def digest(journal: Journal) -> str:
    """sha256 of all current results, sorted by key, without columns that differ from run to run.

    Equal for equal results to the last bit, however they were computed: in whatever order, by whatever number of
    workers, in one run or in many.
    """
    lines = []
    for study in journal.studies():
        cells = journal.cells(journal.grid(study.name).values())
        for key in sorted(cells):
            record = without_columns(decode_record(cells[key].record), study.volatile)
            lines.append(f"{study.name}\0{key}\0{json.dumps(record)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@final
@dataclass
class Difference:
    """Two stores' results of one study, compared.

    Attributes
    ----------
    equal, differing : int
        Cells that both hold.
    only_a, only_b : int
        Cells that one holds.
    worst : dict
        Largest relative difference by column, where it exceeds the tolerance.
    example : str
        Spec of the first differing cell.
    versions : tuple of str
        Algorithm versions in the two stores.
    """

    study: str
    equal: int = 0
    differing: int = 0
    only_a: int = 0
    only_b: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    example: str = ""
    versions: tuple[str, str] = ("", "")

    @property
    def same(self) -> bool:
        """Whether both hold the same cells with the same results."""
        return not (self.differing or self.only_a or self.only_b)


def compare(
    a: Journal, b: Journal, *, rtol: float = 0.0, atol: float = 0.0, ignore: Collection[str] = ()
) -> list[Difference]:
    """Compare two stores study by study; cells are matched by spec, whatever their algorithm version.

    Parameters
    ----------
    a, b : Journal
    rtol, atol : float
        Numbers x and y agree if ``|x - y| <= atol + rtol max(|x|, |y|)``; 0 asks for equal bits.
    ignore : collection of str
        Columns to leave out, besides those that the study declares volatile.
    """
    found = []
    names = dict.fromkeys([study.name for journal in (a, b) for study in journal.studies()])
    for name in names:
        difference = Difference(name)
        sides: list[dict[str, StoredCell]] = []
        hidden, versions = set(ignore), []
        for journal in (a, b):
            known = journal.find_study(name)
            if known is None:
                sides.append({})
                versions.append("absent")
                continue
            hidden |= set(known.volatile)
            versions.append(known.version)
            cells = journal.cells(journal.grid(name).values())
            sides.append({cell.spec: cell for cell in cells.values()})
        difference.versions = (versions[0], versions[1])
        _compare_cells(difference, sides[0], sides[1], hidden, rtol, atol)
        found.append(difference)
    return found


def _compare_cells(
    difference: Difference,
    a: dict[str, StoredCell],
    b: dict[str, StoredCell],
    hidden: Collection[str],
    rtol: float,
    atol: float,
) -> None:
    difference.only_a, difference.only_b = len(a.keys() - b.keys()), len(b.keys() - a.keys())
    for spec in a.keys() & b.keys():
        if a[spec].record == b[spec].record:
            difference.equal += 1
            continue
        gaps: dict[str, float] = {}
        x, y = (without_columns(decode_record(cell.record), hidden) for cell in (a[spec], b[spec]))
        _gaps(x, y, "", rtol, atol, gaps)
        difference.equal += not gaps
        difference.differing += bool(gaps)
        if gaps:
            difference.example = difference.example or spec
        for column, gap in gaps.items():
            difference.worst[column] = max(gap, difference.worst.get(column, 0.0))


def _gaps(x: Any, y: Any, column: str, rtol: float, atol: float, gaps: dict[str, float]) -> None:
    """Relative differences beyond the tolerance, by column; infinite where the kinds differ."""
    if isinstance(x, dict) and isinstance(y, dict) and x.keys() == y.keys():
        for key in x:
            _gaps(x[key], y[key], key, rtol, atol, gaps)
    elif isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
        for i, j in zip(x, y, strict=True):
            _gaps(i, j, column, rtol, atol, gaps)
    elif _is_number(x) and _is_number(y):
        size = max(abs(x), abs(y))
        if abs(x - y) > atol + rtol * size:
            gaps[column] = max(gaps.get(column, 0.0), abs(x - y) / size)
    elif x != y:
        gaps[column or "(the record)"] = math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
