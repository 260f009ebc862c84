"""Comparing stores: one number for all results, and cell by cell differences within tolerances."""

import hashlib
import json
import math
from collections.abc import Collection
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
    versions : list of str
        Algorithm versions in the two stores.
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

    Parameters
    ----------
    a, b : Journal
    rtol, atol : float
        Numbers x and y agree if ``|x - y| <= atol + rtol max(|x|, |y|)``; 0 asks for equal bits.
    ignore : collection of str
        Columns to leave out, besides those that the study declares volatile.
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
        for spec in x.keys() & y.keys():
            gaps: dict[str, float] = {}
            if x[spec] != y[spec]:
                one, other = (without_columns(decode_record(side[spec]), hidden) for side in sides)
                _gaps(one, other, "", rtol, atol, gaps)
            difference.equal += not gaps
            difference.differing += bool(gaps)
            difference.example = difference.example or (spec if gaps else "")
            for column, gap in gaps.items():
                difference.worst[column] = max(gap, difference.worst.get(column, 0.0))
        found.append(difference)
    return found


def _gaps(x: Any, y: Any, column: str, rtol: float, atol: float, gaps: dict[str, float]) -> None:
    """Relative differences beyond the tolerance, by column; infinite where the kinds differ."""
    if isinstance(x, dict) and isinstance(y, dict) and x.keys() == y.keys():
        for key in x:
            _gaps(x[key], y[key], key, rtol, atol, gaps)
    elif isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
        for i, j in zip(x, y, strict=True):
            _gaps(i, j, column, rtol, atol, gaps)
    elif x != y:
        gap, agree = math.inf, False
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (x, y)):
            size, apart = max(abs(x), abs(y)), abs(x - y)
            try:
                gap, agree = apart / size, apart <= atol + rtol * size
            except OverflowError:  # whole numbers beyond float64
                gap, agree = math.inf, False
        if not agree:
            gaps[column or "(the record)"] = max(gap, gaps.get(column, 0.0))
