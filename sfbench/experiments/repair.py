"""Verifying a store completely, and saving what is intact of a damaged one."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from .canonical import decode_record
from .errors import DamagedStoreError
from .journal import Journal
from .rows import TABLES, Table
from .seal import Seal


@final
@dataclass(frozen=True)
class Verified:
    """What was checked."""

    sealed: bool
    rows: int


@final
@dataclass(frozen=True)
class Repaired:
    """What was saved of a damaged store."""

    aside: Path
    kept: int
    lost: int | None


def verify(path: Path) -> Verified:
    """Check the seal, SQLite's structure, the hash of every row, and that keys and records read back.

    Raises
    ------
    DamagedStoreError, StoreError
    """
    with Journal(path) as journal:
        sealed = bool(journal.seal.text())
        rows = journal.check_everything()
        for study in journal.studies():
            for cell in journal.cells_of(study.function):
                decode_record(cell.record)
        return Verified(sealed, rows)


def repair(path: Path) -> Repaired | None:
    """Set a damaged store aside and make a new one of its intact rows; None if nothing is wrong.

    The damaged file is kept beside the store, for a person to look at.
    """
    try:
        verify(path)
    except DamagedStoreError:
        pass
    else:
        return None
    seal = Seal(path)
    with seal.locked() as handle:
        os.ftruncate(handle, 0)
        aside = _free_name(path)
        os.replace(path, aside)
        hot = path.with_name(path.name + "-journal")
        if hot.exists():
            os.replace(hot, aside.with_name(aside.name + "-journal"))
    kept, seen = 0, 0
    with Journal(path, "write") as fresh:
        for table in TABLES:
            intact = []
            for row in _readable_rows(aside, table):
                seen += 1
                if table.is_intact(row):
                    intact.append(row)
            kept += fresh.insert_signed(table, intact)
    return Repaired(aside, kept, seen - kept if seen else None)


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for i in range(10_000):
        name = path.with_name(f"{path.stem}.damaged-{stamp}{f'-{i}' if i else ''}{path.suffix}")
        if not name.exists():
            return name
    raise FileExistsError(f"10,000 damaged copies of {str(path)!r} exist; move them away")


def _readable_rows(path: Path, table: Table) -> Iterator[tuple[Any, ...]]:
    """Rows of a damaged file, skipping what SQLite cannot read: pages in order, then in reverse order."""
    seen = set()
    for direction in ("ASC", "DESC"):
        with (
            suppress(sqlite3.DatabaseError),
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection,
        ):
            connection.text_factory = lambda data: data.decode("utf-8", errors="surrogateescape")
            for row in connection.execute(table.select(f"NOT INDEXED ORDER BY rowid {direction}")):
                if row[-1] not in seen:
                    seen.add(row[-1])
                    yield row
