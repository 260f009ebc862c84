"""Verifying a store completely, and saving what is intact of a damaged one."""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...files import file_lock
from ..canonical import decode_record
from ..errors import DamagedStoreError, StoreError
from .journal import Journal
from .opening import LOCK_TIMEOUT_S, rollback_journal, set_aside_if_of_another
from .rows import TABLES, Table


class Repaired(NamedTuple):
    """What was saved of a damaged store; ``lost`` is None where nobody can tell."""

    aside: Path
    kept: int
    lost: int | None


def verify(path: Path) -> int:
    """Check SQLite's structure, the hash of every row, and that records read back; returns the number of rows."""
    with Journal(path) as journal:
        rows = journal.check_rows()
        for study in journal.studies():
            for cell in journal.cells_of(study.function):
                decode_record(cell.record)
        return rows


def repair(path: Path) -> Repaired | None:
    """Set a damaged store aside and make a new one of its intact rows; None if nothing is wrong (any more).

    The damaged file is kept beside the store, for a person to look at. Writers wait meanwhile, and the new store takes
    the place of the old one when it is whole: others that found the same damage find it repaired.
    """
    with suppress(DamagedStoreError):
        verify(path)
        return None
    try:
        with file_lock(path.with_name(f".{path.stem}.repair"), LOCK_TIMEOUT_S, lambda: None):
            with suppress(DamagedStoreError):  # another process may have repaired it meanwhile
                verify(path)
                return None
            return _replace(path)
    except TimeoutError as error:
        raise StoreError(f"{error}, repairing; end it or wait for it, then resume") from None


def _replace(path: Path) -> Repaired:
    fresh, hot = path.with_name(f"{path.stem}.repaired{path.suffix}"), rollback_journal(path)
    fresh.unlink(missing_ok=True)  # of a repair that was killed
    set_aside_if_of_another(path)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=LOCK_TIMEOUT_S)) as connection:
        with suppress(sqlite3.DatabaseError):  # bytes that are not a database have no writers to wait for
            connection.execute("BEGIN IMMEDIATE")
        kept = seen = 0
        with Journal(fresh, "write") as journal:
            for table in TABLES.values():
                rows = list(_readable_rows(path, table))
                seen += len(rows)
                kept += journal.insert_signed(table.name, filter(table.is_intact, rows))
        stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:8]}"
        aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
        try:
            os.link(path, aside)  # with no moment in which the first name is free
        except OSError:
            os.replace(path, aside)
        if hot.exists() and not connection.in_transaction:
            os.replace(hot, rollback_journal(aside))
        os.replace(fresh, path)
    return Repaired(aside, kept, seen - kept if seen else None)


def _readable_rows(path: Path, table: Table) -> Iterator[tuple[Any, ...]]:
    """Rows of a damaged file, skipping what SQLite cannot read: pages in order, then in reverse order."""
    seen = set()
    for direction in ("ASC", "DESC"):
        with (
            suppress(sqlite3.DatabaseError),
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection,
        ):
            connection.text_factory = lambda data: data.decode("utf-8", errors="surrogateescape")
            for row in connection.execute(table.select(f"NOT INDEXED ORDER BY rowid {direction}")):
                if row[-1] not in seen:
                    seen.add(row[-1])
                    yield row
