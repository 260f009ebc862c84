"""The tables of a store, the checksum of each of their rows, and what rows mean."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from ..cells import Study

APPLICATION_ID = 0x5FB0E5EC  # marks a SQLite file as a store of this package
STORE_SCHEMA = 1


@final
@dataclass(frozen=True)
class Table:
    """A table whose last column, ``sha256``, covers the others; the first ``keys`` columns are its key."""

    name: str
    columns: tuple[str, ...]
    keys: int = 1

    def create(self, comment: str = "") -> str:
        """SQL that makes the table if there is none; the comment stays in the first page of the file."""
        columns, keys = ", ".join(self.columns), ", ".join(self.columns[: self.keys])
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({comment}{columns}, sha256, PRIMARY KEY ({keys}))"

    def insert(self, verb: str = "INSERT") -> str:
        """SQL that adds a row."""
        return f"{verb} INTO {self.name} VALUES ({', '.join('?' * (len(self.columns) + 1))})"

    def select(self, where: str = "") -> str:
        """SQL that reads rows with their checksums."""
        return f"SELECT {', '.join(self.columns)}, sha256 FROM {self.name} {where}"

    def signed(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A row with its checksum, which covers values and their types."""
        return (*values, self._checksum((*values,)))

    def is_intact(self, row: tuple[Any, ...]) -> bool:
        """Whether a row read back matches its checksum."""
        return bool(row[-1] == self._checksum(row[:-1]))

    def _checksum(self, values: tuple[Any, ...]) -> str:
        return hashlib.sha256(f"{self.name}{values!r}".encode("utf-8", errors="surrogatepass")).hexdigest()


class StoredStudy(NamedTuple):
    """What a store knows of a study, besides its cells."""

    name: str
    function: str
    version: str
    schema: int
    dtype: str
    spec_class: str
    volatile: tuple[str, ...]
    factors: tuple[str, ...]
    replicate: str
    grid: int


class StoredCell(NamedTuple):
    """One result."""

    key: str
    function: str
    version: str
    spec: str
    record: str
    seconds: float
    environment: str
    run: str
    finished: str


CELL, RUN = Table("cell", StoredCell._fields), Table("run", ("id", "text"))
TABLES = {
    table.name: table
    for table in (
        Table("study", StoredStudy._fields),
        Table("grid", ("study", "position", "key", "spec"), 2),
        CELL,
        Table("failure", ("key", "attempt", "run", "finished", "traceback"), 2),
        Table("environment", ("id", "text")),
        RUN,
        Table("about", ("kind", "name", "value"), 2),  # stores made before there were names have none
    )
}


def describe(study: Study, cells: int) -> tuple[StoredStudy, dict[tuple[str, str], str]]:
    """A study with a grid of so many cells as a store holds it, and what is known of names, by kind and name.

    Places of its function (``"cells"``) and of the classes of its specs (``"spec"``); what its report says
    (``"report"``). A value that is the name itself need not be kept.
    """
    f = study.function
    words = (tuple(f.volatile), tuple(f.factors), f.replicate)
    stored = StoredStudy(study.name, f.name, f.version, f.schema, f.dtype, study.spec_class, *words, cells)
    report = {"bounds": dict(f.bounds), "labels": dict(f.labels)}
    about = {("spec", name): place for name, place in study.class_places.items()} | {("cells", f.name): f.place}
    about["report", study.name] = json.dumps(report, sort_keys=True) if any(report.values()) else study.name
    return stored, about
