"""The store of results: one SQLite file, written one batch a transaction, checked whenever it is opened.

The rollback journal (``journal_mode=DELETE``) is safe for any number of processes in every SQLite; the write-ahead log
is not before 3.51.3. Writers take turns by SQLite's own lock, and two that compute the same cell store it once.

A flipped bit that could change a result is found: SQLite checks its structure whenever a store is opened, every row is
checked against its sha256 when it is read, and a writer reads them all before it adds the first. Bytes that no row uses
are not covered.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, final

from ...files import prepare_folder
from ..cells import Study, cell_key
from ..errors import GridConflictError, StoreError, StudyError
from .opening import check_identity, connect, create, damaged, translated
from .rows import TABLES, StoredCell, StoredStudy, describe

_MOST_KEYS = 500  # of one query; more are looked for in the whole table
_OPEN: Counter[Path] = Counter()  # stores that this process has open


@final
class Journal(AbstractContextManager["Journal"]):
    """An open store: the SQLite file ``path``.

    ``mode="write"`` makes the file if it is missing; ``"read"`` changes nothing, but for a transaction that a dead
    writer left half done, which SQLite undoes. Raises StoreError for a file that is not one of ours, DamagedStoreError
    for bytes that are not those that were written, OutputError for a file that cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], mode: str = "read") -> None:
        self.path = Path(path)
        if mode == "write":
            prepare_folder(self.path.parent)
            if not os.path.lexists(self.path):
                create(self.path)
        self._real = self.path.resolve()
        self._connection = connect(self.path, mode, is_open_here=_OPEN[self._real] > 0)
        _OPEN[self._real] += 1
        try:
            self._tables = check_identity(self.path, self._connection)
            if mode == "write":
                self.check_rows()
        except BaseException:
            self.close()
            raise
        self._inode = os.stat(self.path).st_ino

    def check_rows(self) -> int:
        """Check the hash of every row; returns their number."""
        return sum(1 for name in TABLES for _ in self._rows(name))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        _OPEN[self._real] -= 1

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ writing
    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # which commits, or rolls back
                if not self.path.exists() or os.stat(self.path).st_ino != self._inode:
                    raise StoreError(f"store {str(self.path)!r} was replaced while in use; resume to use the new one")
                yield self._connection

    def register(self, study: Study, on_conflict: str = "refuse") -> str:
        """Record a study and its grid, or add to what is recorded; returns a note of what changed.

        Where the store's grid and this one each hold cells that the other does not, ``"refuse"`` raises
        GridConflictError, which says what differs, and changes nothing; ``"extend"`` and ``"replace"`` do just that.
        """
        with self._transaction() as connection:
            known = self.find_study(study.name)
            stored = self.grid(study.name) if known is not None else {}
            texts, note = _merged_grid(study, known, stored, on_conflict, self.path)
            recorded, (described, about) = self.about(), describe(study, len(texts))
            if changed := [(*k, value) for k, value in about.items() if recorded.get(k, k[1]) != value]:
                connection.execute(TABLES["about"].create())
                self._tables.add("about")
                self._put("about", changed)
            if known != described or list(texts.items()) != list(stored.items()):
                connection.execute("DELETE FROM grid WHERE study = ?", (study.name,))
                self._put("grid", [(study.name, i, key, text) for i, (text, key) in enumerate(texts.items())])
                self._put("study", [[json.dumps(v) if isinstance(v, tuple) else v for v in described]])
        return note

    def _put(self, table: str, rows: Iterable[Sequence[Any]], verb: str = "REPLACE") -> None:
        kind = TABLES[table]
        self._connection.executemany(kind.insert(f"INSERT OR {verb}"), map(kind.signed, rows))

    def add_results(
        self, results: Sequence[StoredCell], failures: Sequence[Sequence[str]], environment: tuple[str, str]
    ) -> None:
        """Commit one batch; results that another process stored first are kept. A failure is (key, run, time, text)."""
        with self._transaction() as connection:
            self._put("environment", [environment], "IGNORE")
            self._put("cell", results, "IGNORE")
            for key, *rest in failures:
                [before] = connection.execute("SELECT COUNT(*) FROM failure WHERE key = ?", (key,)).fetchone()
                self._put("failure", [(key, before + 1, *rest)])

    def write_run(self, run: dict[str, Any]) -> None:
        """Record or update a run, plain data with an ``id``."""
        with self._transaction():
            self._put("run", [(run["id"], json.dumps(run, sort_keys=True, default=str))])

    def drop(self, keys: Iterable[str], *tables: str) -> None:
        """Remove results (``"cell"``) or failed attempts (``"failure"``) of cells; by default both."""
        with self._transaction() as connection:
            for table in tables or ("cell", "failure"):
                connection.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])

    def insert_signed(self, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Copy rows that carry their checksum (repair); returns how many."""
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(TABLES[table].insert("INSERT OR IGNORE"), rows)
            return connection.total_changes - before

    # ------------------------------------------------------------------ reading
    def _rows(self, table: str, where: str = "", values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Checked rows without their checksums."""
        with translated(self.path):
            if table not in self._tables:  # of a store that is older than the table
                return
            for row in self._connection.execute(TABLES[table].select(where), values):
                if not TABLES[table].is_intact(row):
                    raise damaged(self.path, f"a row of table {table} does not match its hash ({str(row[0])[:16]!r})")
                yield row[:-1]

    def _parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (TypeError, ValueError):
            raise damaged(self.path, f"a row that matches its hash holds no JSON ({str(text)[:40]!r})") from None

    def about(self) -> dict[tuple[str, str], str]:
        """What is known of names that is not part of a key; see :func:`~.rows.describe`."""
        return {(kind, name): value for kind, name, value in self._rows("about")}

    def studies(self, names: Sequence[str] | None = None) -> list[StoredStudy]:
        """The studies of these names, by default all, by name; StudyError for a name that the store does not hold."""
        found = {}
        for *row, volatile, factors, replicate, grid in self._rows("study", "ORDER BY name"):
            words = (tuple(self._parsed(text)) for text in (volatile, factors))
            found[row[0]] = StoredStudy._make([*row, *words, replicate, grid])
        for name in (name for name in names or () if name not in found):
            raise StudyError(
                f"no study {name!r} in {str(self.path)!r}; it holds {', '.join(map(repr, found)) or 'none'}"
            )
        return [found[name] for name in names or found]

    def find_study(self, name: str) -> StoredStudy | None:
        """One study, or None."""
        return next((study for study in self.studies() if study.name == name), None)

    def grid(self, study: str) -> dict[str, str]:
        """Keys of a study's cells by their encoded specs, in order."""
        return {row[3]: row[2] for row in self._rows("grid", "WHERE study = ? ORDER BY position", (study,))}

    def done(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have a result."""
        where, values = _among(wanted := set(keys))
        with translated(self.path):
            return wanted & {key for (key,) in self._connection.execute(f"SELECT key FROM cell {where}", values)}

    def cells(self, keys: Iterable[str]) -> dict[str, StoredCell]:
        """Results by key."""
        rows = self._rows("cell", *_among(wanted := set(keys)))
        return {row[0]: StoredCell(*row) for row in rows if row[0] in wanted}

    def cells_of(self, function: str) -> list[StoredCell]:
        """All results of a cell function, of every version."""
        return [StoredCell(*row) for row in self._rows("cell", "WHERE function = ? ORDER BY key", (function,))]

    def stale(self, function: str) -> dict[str, str]:
        """Versions by key of results that no study asks for: of another version, schema or dtype than any study's."""
        kinds = {(s.version, s.schema, s.dtype) for s in self.studies() if s.function == function}
        cells = [(cell, [cell_key(function, *kind, cell.spec) for kind in kinds]) for cell in self.cells_of(function)]
        return {cell.key: cell.version for cell, wanted in cells if cell.key not in wanted}

    def versions(self, function: str) -> dict[str, int]:
        """Number of results by algorithm version."""
        with translated(self.path):
            query = "SELECT version, COUNT(*) FROM cell WHERE function = ? GROUP BY version ORDER BY version"
            return dict(self._connection.execute(query, (function,)).fetchall())

    def failures(self) -> dict[str, list[str]]:
        """Tracebacks of failed attempts by key, oldest first."""
        found: dict[str, list[str]] = {}
        for key, *_, text in self._rows("failure", "ORDER BY key, attempt"):
            found.setdefault(key, []).append(text)
        return found

    def runs(self) -> list[dict[str, Any]]:
        """Runs, oldest first."""
        return sorted((self._parsed(row[1]) for row in self._rows("run")), key=lambda run: str(run.get("started")))

    def environments(self) -> dict[str, Any]:
        """Machines and versions that computed the results."""
        return {row[0]: self._parsed(row[1]) for row in self._rows("environment")}


def _among(keys: set[str]) -> tuple[str, tuple[str, ...]]:
    """SQL that asks for some keys, unless they are many: then all are looked through."""
    few = len(keys) <= _MOST_KEYS
    return (f"WHERE key IN ({','.join('?' * len(keys))})", tuple(keys)) if few else ("", ())


def _merged_grid(
    study: Study, known: StoredStudy | None, stored: dict[str, str], on_conflict: str, path: Path
) -> tuple[dict[str, str], str]:
    """Keys by encoded spec of the grid to keep, and a note of what changed; refuses what no result could survive.

    A grid inside the other, either way, is not a conflict: adding seeds or sizes changes no other cell.
    """
    function = study.function
    texts = dict(zip(study.texts, study.keys, strict=True))
    if known is None:
        return texts, ""
    if known.function != function.name:
        raise GridConflictError(
            f"store {str(path)!r} holds a study {study.name!r} of {known.function}, not of {function.name}; "
            "choose another study name or folder"
        )
    there, here = ([text for text in one if text not in other] for one, other in ((stored, texts), (texts, stored)))
    if on_conflict == "refuse" and there and here:
        raise GridConflictError(
            f"study {study.name!r} in {str(path)!r} has another grid: {len(there)} cells that are not asked for, such "
            f"as {there[0]}, and not {len(here)} that are, such as {here[0]}; "
            "choose another --out, or pass --grid extend or --grid replace (no result is lost either way)"
        )
    if on_conflict != "replace":
        texts = {text: texts.get(text) or function.key(text) for text in dict.fromkeys([*stored, *texts])}
    changed = known.version != function.version
    return texts, f"algorithm version {known.version} -> {function.version}" if changed else ""
