"""Making and opening the file of a store: what is not ours is refused before SQLite touches it.

A rollback journal beside a store is left by a writer that died in mid-commit, or is something else: beside a file that
was restored from a backup, SQLite would roll pages of another time, or another database, into intact results. A
transaction leaves traces: the first page, which every commit changes, is saved in the journal with the file's change
counter ``c``, and in mid-commit the file itself has ``c`` or ``c + 1``; moreover that page names the store
(https://www.sqlite.org/fileformat.html#the_rollback_journal).
"""

import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ...errors import OutputError
from ..errors import DamagedStoreError, StoreError
from .rows import APPLICATION_ID, STORE_SCHEMA, TABLES

JOURNAL = "journal.sqlite"
LOCK_TIMEOUT_S = 120.0
_DAMAGE = ("malformed", "not a database", "corrupt", "decode", "unsupported", "no such")
_ROLLBACK, _DATABASE = bytes.fromhex("d9d505f920a163d7"), b"SQLite format 3\0"  # first bytes of a journal, of a file
_STORE_ID = re.compile(rb"/\* store [0-9a-f]{32} \*/")


def store_path(folder: str | os.PathLike[str]) -> Path:
    """The store of a study folder; a path to a SQLite file is taken as it is."""
    path = Path(folder)
    return path if path.suffix == ".sqlite" else path / JOURNAL


def damaged(path: Path, reason: str) -> DamagedStoreError:
    """The error of a store whose bytes are not those that were written."""
    return DamagedStoreError(
        f"store {str(path)!r} is damaged: {reason}; run: sfbench study verify --repair {path.parent} "
        "(keeps the file aside, saves every intact result), then resume"
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if any(word in text for word in _DAMAGE):
            raise damaged(path, text) from None
        if "locked" in text:
            raise StoreError(
                f"another process has held {str(path)!r} for {LOCK_TIMEOUT_S:g} s; end it or wait for it, then resume"
            ) from None
        raise OutputError(
            f"cannot use store {str(path)!r}: {text}; results committed earlier are intact; free space or permissions, "
            "then resume"
        ) from None


def create(path: Path) -> None:
    """Make the tables in a file beside, and give it the name: no other process ever sees half a store."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with translated(path), closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={STORE_SCHEMA}")
            for i, table in enumerate(TABLES.values()):
                connection.execute(table.create("" if i else f"/* store {uuid.uuid4().hex} */ "))
            connection.execute("COMMIT")
        try:
            os.link(fresh, path)
        except FileExistsError:  # another process was first
            pass
        except OSError:  # a file system without links
            os.replace(fresh, path)
    finally:
        for name in (fresh, rollback_journal(fresh)):
            name.unlink(missing_ok=True)


def connect(path: Path, mode: str, *, is_open_here: bool) -> sqlite3.Connection:
    """Open the file; a rollback journal beside it is used, or set aside, before anyone reads."""
    if not path.is_file():
        tables = path.name == JOURNAL and path.parent.is_dir() and any(path.parent.glob("*.jsonl"))
        why = "; that folder holds tables of results only" if tables else ""
        raise StoreError(f"no store at {str(path)!r}{why}; give the folder of a study, or run one first")
    if not path.stat().st_size:
        raise damaged(path, "it is empty")
    options = "?mode=rw" if mode == "write" else "?mode=ro"
    if rollback_journal(path).exists() and not is_open_here:
        if mode == "write":
            set_aside_if_of_another(path)
        else:  # what a dead writer left must be undone first; what is not the store's is ignored
            options = "?immutable=1" if belongs_to_another(path) else "?mode=rw"
    with translated(path):
        return sqlite3.connect(
            path.resolve().as_uri() + options, uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
        )


def check_identity(path: Path, connection: sqlite3.Connection) -> set[str]:
    """Names of the tables; refuses foreign files, and stores with something in them that SQLite would run."""
    ours = False
    with suppress(sqlite3.DatabaseError):
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours:
        with path.open("rb") as f:
            if b"CREATE TABLE cell (key, function, version" in f.read(65536):
                raise damaged(path, "its first bytes are not those of a store")
        raise StoreError(f"{str(path)!r} is not a study store; nothing was changed; choose another folder")
    if (schema := connection.execute("PRAGMA user_version").fetchone()[0]) != STORE_SCHEMA:
        raise StoreError(
            f"{str(path)!r} has store schema {schema}, this version reads {STORE_SCHEMA}; export it with the version "
            "that wrote it, or choose another folder"
        )
    with translated(path):
        found = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    for kind, name in found:
        if kind not in ("table", "index"):
            raise StoreError(f"{str(path)!r} holds a {kind} {name!r}, which no study makes; nothing was changed")
    if problem != "ok":
        raise damaged(path, problem)
    return {name for kind, name in found if kind == "table"}


# ---------------------------------------------------------------------- rollback journals
def rollback_journal(store: Path) -> Path:
    """Where SQLite keeps the journal of a store."""
    return store.with_name(store.name + "-journal")


def belongs_to_another(store: Path) -> bool:
    """Whether a journal lies beside the store that no transaction on these bytes can have left; False if in doubt.

    No connection of this process may be in a transaction: closing a file drops its locks.
    """
    try:
        journal = rollback_journal(store).read_bytes()
        with store.open("rb") as f:
            page = f.read(65536)
        if rollback_journal(store).read_bytes() != journal:  # a writer is at work
            return False
    except OSError:
        return False
    at = journal.find(_DATABASE)  # no row holds these bytes: JSON has no zeros
    if at < 0 or not journal.startswith(_ROLLBACK):
        return False
    size = int.from_bytes(journal[at + 16 : at + 18], "big")
    saved = journal[at : at + (65536 if size == 1 else size)]
    old, new = (int.from_bytes(data[24:28], "big") for data in (saved, page))
    return (new - old) % 2**32 > 1 or _STORE_ID.findall(saved) != _STORE_ID.findall(page[: len(saved)])


def set_aside_if_of_another(store: Path) -> None:
    """Give a journal that is not the store's another name."""
    journal = rollback_journal(store)
    if journal.exists() and belongs_to_another(store):
        os.replace(journal, journal.with_name(f"{journal.name}.of-another-{uuid.uuid4().hex[:8]}"))
