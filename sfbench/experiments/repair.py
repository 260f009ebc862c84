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
    """Set a damaged store aside and make a new one of its intact rows; None if nothing is wrong (any more).

    The damaged file is kept beside the store, for a person to look at. All of it happens under the writers' lock, and
    the new store takes the place of the old one when it is whole: others that found the same damage find it mended.
    """
    if _is_intact(path):
        return None
    seal = Seal(path)
    with seal.locked() as handle:
        if _is_intact(path):  # another process has mended it while this one waited
            return None
        fresh = path.with_name(f"{path.stem}.mended{path.suffix}")
        _remove(fresh)  # of a repair that was killed
        kept, seen = _copy_intact_rows(path, fresh)
        os.ftruncate(handle, 0)
        aside = _free_name(path)
        _name_also(path, aside)
        hot = path.with_name(path.name + "-journal")
        if hot.exists():
            os.replace(hot, aside.with_name(aside.name + "-journal"))
        os.replace(fresh, path)
        _remove(fresh)
        seal.make(handle)
    return Repaired(aside, kept, seen - kept if seen else None)


def _is_intact(path: Path) -> bool:
    try:
        verify(path)
    except DamagedStoreError:
        return False
    return True


def _copy_intact_rows(damaged: Path, fresh: Path) -> tuple[int, int]:
    """Make a store of the intact rows of another; numbers of rows kept and seen."""
    kept, seen = 0, 0
    with Journal(fresh, "write") as journal:
        for table in TABLES:
            intact = []
            for row in _readable_rows(damaged, table):
                seen += 1
                if table.is_intact(row):
                    intact.append(row)
            kept += journal.insert_signed(table, intact)
    return kept, seen


def _remove(store: Path) -> None:
    """Remove a store with what lies beside it."""
    for path in (store, Seal(store).path, store.with_name(store.name + "-journal")):
        path.unlink(missing_ok=True)


def _name_also(path: Path, aside: Path) -> None:
    """Keep a file under another name, with no moment in which its first name is free where links exist."""
    try:
        os.link(path, aside)
    except OSError:
        os.replace(path, aside)


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
