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
    """A table whose last column, ``sha256``, covers the others."""

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]

    def create(self, comment: str = "") -> str:
        """SQL that makes the table if there is none; the comment stays in the first page of the file."""
        columns, keys = ", ".join(self.columns), ", ".join(self.keys)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({comment}{columns}, sha256, PRIMARY KEY ({keys}))"

    def insert(self, verb: str = "INSERT") -> str:
        """SQL that adds a row."""
        marks = ", ".join("?" * (len(self.columns) + 1))
        return f"{verb} INTO {self.name} ({', '.join(self.columns)}, sha256) VALUES ({marks})"

    def select(self, where: str = "") -> str:
        """SQL that reads rows with their checksums."""
        return f"SELECT {', '.join(self.columns)}, sha256 FROM {self.name} {where}"

    def signed(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A row with its checksum."""
        return (*values, checksum(self.name, (*values,)))

    def is_intact(self, row: tuple[Any, ...]) -> bool:
        """Whether a row read back matches its checksum."""
        return bool(row[-1] == checksum(self.name, row[:-1]))


def checksum(table: str, values: tuple[Any, ...]) -> str:
    """Hash of a row's values and of their types."""
    return hashlib.sha256(f"{table}{values!r}".encode("utf-8", errors="surrogatepass")).hexdigest()


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


STUDY = Table("study", StoredStudy._fields, ("name",))
GRID = Table("grid", ("study", "position", "key", "spec"), ("study", "position"))
CELL = Table("cell", StoredCell._fields, ("key",))
FAILURE = Table("failure", ("key", "attempt", "run", "finished", "traceback"), ("key", "attempt"))
ENVIRONMENT = Table("environment", ("id", "text"), ("id",))
RUN = Table("run", ("id", "text"), ("id",))
ABOUT = Table("about", ("kind", "name", "value"), ("kind", "name"))  # stores made before there were names have none
TABLES = {table.name: table for table in (STUDY, GRID, CELL, FAILURE, ENVIRONMENT, RUN, ABOUT)}


def describe(study: Study, cells: int) -> StoredStudy:
    """A study with a grid of so many cells, as a store holds it."""
    f = study.function
    words = (tuple(f.volatile), tuple(f.factors), f.replicate)
    return StoredStudy(study.name, f.name, f.version, f.schema, f.dtype, study.spec_class, *words, cells)


def about_study(study: Study) -> dict[tuple[str, str], str]:
    """Places of its function (``"cells"``) and classes (``"spec"``) by name; what its report says (``"report"``)."""
    function = study.function
    found = {("spec", name): place for name, place in study.class_places.items()}
    words = {"bounds": dict(function.bounds), "labels": dict(function.labels)}
    found["report", study.name] = json.dumps(words, sort_keys=True) if any(words.values()) else study.name
    return found | {("cells", function.name): function.place}
