"""The store of results: one SQLite file, written one batch a transaction, checked whenever it is opened.

The rollback journal (``journal_mode=DELETE``) is safe for any number of processes in every SQLite; the write-ahead log
is not before 3.51.3. Writers take turns (:mod:`.seal`), and two that compute the same cell store it once. A store at
rest is sealed by the hash of the whole file, a working one after most commits; one whose writer died before it could
is checked by SQLite and row by row.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from ..errors import OutputError
from ..files import prepare_folder
from .cells import Study
from .errors import DamagedStoreError, StoreError, StudyError
from .grids import merged_grid
from .rows import (
    APPLICATION_ID,
    CELL,
    ENVIRONMENT,
    FAILURE,
    GRID,
    PLACE,
    RUN,
    STORE_SCHEMA,
    STUDY,
    TABLES,
    StoredCell,
    StoredStudy,
    Table,
    describe,
)
from .seal import LOCK_TIMEOUT_S, Seal, SealingPolicy

_DAMAGE = ("malformed", "not a database", "corrupt", "decode")


@final
class Journal:
    """An open store.

    Parameters
    ----------
    path : path
        The SQLite file.
    mode : {"read", "write"}
        ``write`` makes the file if it is missing; ``read`` changes nothing.

    Raises
    ------
    StoreError
        If there is no store, or the file is not one of ours.
    DamagedStoreError
        If its bytes are not those that were written.
    OutputError
        If it cannot be written; names the path.
    """

    def __init__(self, path: str | os.PathLike[str], mode: str = "read") -> None:
        self.path = Path(path)
        self.seal = Seal(self.path)
        self._mode = mode
        if mode == "write":
            prepare_folder(self.path.parent)
        elif not self.path.is_file():
            raise StoreError(f"no store at {str(self.path)!r}; give the folder of a study, or run one first")
        created = mode == "write" and self._create_if_missing()
        self._check_identity()
        verdict = "intact" if created else self.seal.judge()
        if verdict == "broken":
            raise self._damaged("its bytes do not match its seal")
        self._connection = self._connect()
        self._sealing = SealingPolicy(self.seal)
        self._inode = os.stat(self.path).st_ino
        if verdict == "open":
            try:
                self.check_everything()
            except BaseException:
                self._connection.close()
                raise

    # ------------------------------------------------------------------ opening and closing
    def _connect(self) -> sqlite3.Connection:
        read_only = "?mode=ro" if self._mode == "read" and not self._has_hot_journal() else "?mode=rw"
        with self._translated():
            connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}{read_only}", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
            )
            if read_only != "?mode=ro":
                connection.execute("PRAGMA journal_mode=DELETE")
            return connection

    def _has_hot_journal(self) -> bool:
        """Whether a writer died in the middle of a transaction, which SQLite must roll back before reading."""
        return self.path.with_name(self.path.name + "-journal").exists()

    def _create_if_missing(self) -> bool:
        """Make the tables; true if there was no store."""
        if self._has_content():
            return False
        with self.seal.locked():
            if self._has_content():
                return False
            with self._translated():
                connection = sqlite3.connect(self.path, isolation_level=None)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version={STORE_SCHEMA}")
                    for table in TABLES:
                        connection.execute(table.create)
                    connection.execute("COMMIT")
                finally:
                    connection.close()
        return True

    def _has_content(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def _check_identity(self) -> None:
        """Refuse files that are not stores, before SQLite touches them."""
        try:
            with self.path.open("rb") as f:
                header = f.read(100)
        except OSError as error:
            raise StoreError(f"cannot read {str(self.path)!r}: {error.strerror or error}") from None
        ours = (
            len(header) == 100
            and header.startswith(b"SQLite format 3\0")
            and int.from_bytes(header[68:72], "big") == APPLICATION_ID
        )
        if not ours and self.seal.path.exists():
            raise self._damaged("its first bytes are not those of a store, yet a seal lies beside it")
        if not ours:
            raise StoreError(f"{str(self.path)!r} is not a study store; nothing was changed; choose another folder")
        schema = int.from_bytes(header[60:64], "big")
        if schema != STORE_SCHEMA and self.seal.judge() == "broken":
            raise self._damaged("its bytes do not match its seal")
        if schema != STORE_SCHEMA:
            raise StoreError(
                f"{str(self.path)!r} has store schema {schema}, this version reads {STORE_SCHEMA}; export it with the "
                "version that wrote it, or choose another folder"
            )

    def check_everything(self) -> int:
        """Check what can be checked without a seal, SQLite's own structure and every row's hash; number of rows."""
        with self._translated():
            found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(str(found))
        return sum(1 for table in TABLES for _ in self._rows(table))

    def close(self) -> None:
        """Close; a writer seals the store."""
        self._connection.close()
        if self._mode == "write":
            with self.seal.locked() as handle:
                if self.path.exists() and not self._has_hot_journal():
                    self.seal.make(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ errors
    def _damaged(self, reason: str) -> DamagedStoreError:
        return DamagedStoreError(
            f"store {str(self.path)!r} is damaged: {reason}; run: sfbench study verify --repair {self.path.parent} "
            "(keeps the file aside, saves every intact result), then resume"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            if any(word in text for word in _DAMAGE):
                raise self._damaged(text) from None
            if "locked" in text:
                raise StoreError(f"another process holds {str(self.path)!r}; wait for it, then resume") from None
            raise OutputError(
                f"cannot use store {str(self.path)!r}: {text}; results committed earlier are intact; free space or "
                "permissions, then resume"
            ) from None

    # ------------------------------------------------------------------ writing
    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.seal.locked() as handle, self._translated():
            try:
                moved = os.stat(self.path).st_ino != self._inode
            except FileNotFoundError:
                moved = True
            if moved:
                raise StoreError(f"store {str(self.path)!r} was replaced while in use; resume to use the new one")
            self.seal.break_open(handle)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._sealing.after_commit(handle)

    def register(self, study: Study[Any, Any], on_conflict: str = "refuse") -> str:
        """Record a study and its grid, or add to what is recorded; returns a note of what changed.

        Parameters
        ----------
        study : Study
        on_conflict : {"refuse", "extend", "replace"}
            What to do where the store's grid and this one each hold cells that the other does not.

        Raises
        ------
        GridConflictError
            For ``refuse``; says what differs. Nothing is changed.
        """
        with self._transaction() as connection:
            known = self.find_study(study.name)
            stored = self.grid(study.name) if known is not None else {}
            texts, note = merged_grid(study, known, stored, on_conflict, self.path)
            function, described = study.function, describe(study)
            places = {("cells", function.name): function.place}
            places |= {("spec", name): place for name, place in study.class_places.items()}
            recorded = self.places()
            moved = {key: place for key, place in places.items() if recorded.get(key, key[1]) != place}
            if moved:
                connection.execute(PLACE.create.replace("TABLE", "TABLE IF NOT EXISTS", 1))
                rows = (PLACE.signed((*key, place)) for key, place in moved.items())
                connection.executemany(PLACE.insert("INSERT OR REPLACE"), rows)
            if known == described and list(texts.items()) == list(stored.items()):
                return note
            positions = [(study.name, i, key, text) for i, (text, key) in enumerate(texts.items())]
            row = (
                *(study.name, function.name, function.version, function.schema, function.dtype, study.spec_class),
                *(json.dumps(described.volatile), json.dumps(described.factors), function.replicate, len(positions)),
            )
            connection.execute("DELETE FROM grid WHERE study = ?", (study.name,))
            connection.executemany(GRID.insert(), map(GRID.signed, positions))
            connection.execute(STUDY.insert("INSERT OR REPLACE"), STUDY.signed(row))
        return note

    def add_results(
        self,
        results: Sequence[StoredCell],
        failures: Sequence[tuple[str, str]],
        *,
        run: str,
        finished: str,
        environment: tuple[str, str] | None,
    ) -> int:
        """Commit one batch; returns how many results were new. Results that another process stored first are kept."""
        with self._transaction() as connection:
            if environment is not None:
                connection.execute(ENVIRONMENT.insert("INSERT OR IGNORE"), ENVIRONMENT.signed(environment))
            before = connection.total_changes
            rows = (CELL.signed(tuple(getattr(cell, name) for name in CELL.columns)) for cell in results)
            connection.executemany(CELL.insert("INSERT OR IGNORE"), rows)
            added = connection.total_changes - before
            for key, text in failures:
                attempt = connection.execute("SELECT COUNT(*) FROM failure WHERE key = ?", (key,)).fetchone()[0] + 1
                connection.execute(FAILURE.insert(), FAILURE.signed((key, attempt, run, finished, text)))
        return added

    def write_run(self, run: str, text: str) -> None:
        """Record or update a run."""
        with self._transaction() as connection:
            connection.execute(RUN.insert("INSERT OR REPLACE"), RUN.signed((run, text)))

    def forget_failures(self, keys: Iterable[str]) -> None:
        """Let failed cells be tried again."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM failure WHERE key = ?", [(key,) for key in keys])

    def drop_results(self, keys: Iterable[str]) -> None:
        """Remove results and failures of cells."""
        with self._transaction() as connection:
            for table in (CELL, FAILURE):
                connection.executemany(f"DELETE FROM {table.name} WHERE key = ?", [(key,) for key in keys])

    def drop_versions(self, function: str, version: str) -> int:
        """Remove results of one algorithm version that no study's grid asks for; returns how many."""
        with self._transaction() as connection:
            unwanted = "function = ? AND version = ? AND key NOT IN (SELECT key FROM grid)"
            return connection.execute(f"DELETE FROM cell WHERE {unwanted}", (function, version)).rowcount

    def insert_signed(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
        """Copy rows that carry their checksum (repair); returns how many."""
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(table.insert("INSERT OR IGNORE"), rows)
            return connection.total_changes - before

    # ------------------------------------------------------------------ reading
    def _rows(self, table: Table, where: str = "", values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Checked rows without their checksums."""
        with self._translated():
            if table is PLACE and not self._has_places():
                return
            for row in self._connection.execute(table.select(where), values):
                if not table.is_intact(row):
                    raise self._damaged(f"a row of table {table.name} does not match its hash ({str(row[0])[:16]!r})")
                yield row[:-1]

    def _has_places(self) -> bool:
        query = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self._connection.execute(query, (PLACE.name,)).fetchone()[0])

    def places(self) -> dict[tuple[str, str], str]:
        """Where cell functions (``"cells"``) and classes (``"spec"``) lie whose name is not their place."""
        return {(kind, name): place for kind, name, place in self._rows(PLACE)}

    def studies(self) -> list[StoredStudy]:
        """All studies, by name."""
        return [_stored_study(row) for row in self._rows(STUDY, "ORDER BY name")]

    def find_study(self, name: str) -> StoredStudy | None:
        """One study, or None."""
        return next((study for study in self.studies() if study.name == name), None)

    def study(self, name: str) -> StoredStudy:
        """One study.

        Raises
        ------
        StudyError
            If the store holds none of that name; lists those it holds.
        """
        if (found := self.find_study(name)) is None:
            names = ", ".join(repr(study.name) for study in self.studies()) or "none"
            raise StudyError(f"no study {name!r} in {str(self.path)!r}; it holds {names}")
        return found

    def grid(self, study: str) -> dict[str, str]:
        """Keys of a study's cells by their encoded specs, in order."""
        return {row[3]: row[2] for row in self._rows(GRID, "WHERE study = ? ORDER BY position", (study,))}

    def done(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have a result."""
        wanted = list(keys)
        with self._translated():
            if len(wanted) > 500:
                return set(wanted) & {row[0] for row in self._connection.execute("SELECT key FROM cell")}
            marks = ",".join("?" * len(wanted))
            return {row[0] for row in self._connection.execute(f"SELECT key FROM cell WHERE key IN ({marks})", wanted)}

    def cells(self, keys: Iterable[str]) -> dict[str, StoredCell]:
        """Results by key."""
        wanted = set(keys)
        if len(wanted) <= 500:
            rows = self._rows(CELL, f"WHERE key IN ({','.join('?' * len(wanted))})", tuple(wanted))
        else:
            rows = self._rows(CELL)
        return {row[0]: StoredCell(*row) for row in rows if row[0] in wanted}

    def cells_of(self, function: str) -> list[StoredCell]:
        """All results of a cell function, of every version."""
        return [StoredCell(*row) for row in self._rows(CELL, "WHERE function = ? ORDER BY key", (function,))]

    def versions(self, function: str) -> dict[str, int]:
        """Number of results by algorithm version."""
        with self._translated():
            query = "SELECT version, COUNT(*) FROM cell WHERE function = ? GROUP BY version ORDER BY version"
            return dict(self._connection.execute(query, (function,)).fetchall())

    def failures(self) -> dict[str, list[str]]:
        """Tracebacks of failed attempts by key, oldest first."""
        found: dict[str, list[str]] = {}
        for key, *_, text in self._rows(FAILURE, "ORDER BY key, attempt"):
            found.setdefault(key, []).append(text)
        return found

    def runs(self) -> list[dict[str, Any]]:
        """Runs, oldest first."""
        return sorted((json.loads(row[1]) for row in self._rows(RUN)), key=lambda run: str(run.get("started")))

    def environments(self) -> dict[str, Any]:
        """Machines and versions that computed the results."""
        return {row[0]: json.loads(row[1]) for row in self._rows(ENVIRONMENT)}


def _stored_study(row: tuple[Any, ...]) -> StoredStudy:
    volatile, factors = (tuple(json.loads(text)) for text in row[6:8])
    return StoredStudy(row[0], row[1], row[2], row[3], row[4], row[5], volatile, factors, row[8])


def peek(path: Path, keys: Sequence[str]) -> set[str]:
    """Which of some keys have a result just now; a glance on a connection of its own, from any thread."""
    marks = ",".join("?" * len(keys))
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return {row[0] for row in connection.execute(f"SELECT key FROM cell WHERE key IN ({marks})", list(keys))}
    except sqlite3.Error:  # busy: computing a cell twice is harmless
        return set()
