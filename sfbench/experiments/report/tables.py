"""Results as tables: one row a line of a record, with the study, cell key and algorithm version it came from."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ...files import prepare_folder, write_atomically
from ..canonical import decode_record
from ..cells import cell_key
from ..errors import MixedVersionsError, StudyError
from ..store.journal import Journal
from ..store.rows import StoredStudy

Row = dict[str, Any]
VERSION_COLUMN = "algorithm_version"
FORMATS = ("csv", "jsonl", "parquet")
_LONGEST_STEM = 80


@final
@dataclass(frozen=True)
class StudyTable:
    """Rows of one study in the order of its grid.

    Attributes
    ----------
    rows : list of dict
        Columns ``study``, ``cell``, ``algorithm_version``, the spec's fields, the record's columns. Of the last two,
        those called ``cell`` or ``algorithm_version`` are shown as ``record_cell`` and ``record_algorithm_version``.
    total : int
        Cells of the grid.
    missing : list of dict
        Specs of cells without a result.
    seconds : dict
        What each cell took, by the value of its column ``cell``; a shared pass counts in equal parts.
    spec_fields : tuple of str
        Columns that repeat the specs.
    """

    study: StoredStudy
    rows: list[Row]
    total: int
    missing: list[Row]
    seconds: dict[str, float]
    spec_fields: tuple[str, ...]

    def caption(self) -> str:
        """How complete the table is, in words; belongs under every figure drawn from it."""
        done = self.total - len(self.missing)
        return f"{done} of {self.total} cells" + (f", {len(self.missing)} missing" if self.missing else "")


def require_one_version(rows: Iterable[Mapping[str, Any]], what: str = "these rows") -> None:
    """Refuse rows that different versions of an algorithm computed.

    Raises
    ------
    MixedVersionsError
        Names the versions, with the number of rows of each.
    """
    counts: dict[Any, dict[Any, int]] = {}
    for row in rows:
        versions = counts.setdefault(row.get("study"), {})
        version = row.get(VERSION_COLUMN)
        versions[version] = versions.get(version, 0) + 1
    for versions in counts.values():
        if len(versions) > 1:
            listed = ", ".join(f"{version} ({n} rows)" for version, n in sorted(versions.items(), key=str))
            raise MixedVersionsError(
                f"{what} mix results of algorithm versions {listed}; compute all of them with one version"
            )


def load_table(journal: Journal, name: str, version: str | None = None) -> StudyTable:
    """The rows of a study of one algorithm version.

    Parameters
    ----------
    journal : Journal
    name : str
        The study.
    version : str or None
        The algorithm version; None takes the only one.

    Raises
    ------
    MixedVersionsError
        If the store holds several and none is chosen.
    StudyError
        For an unknown study or version.
    """
    study = journal.study(name)
    grid = journal.grid(name)
    # of the study's own version, results of another schema or dtype are not the study's, as their keys tell
    current = set(grid.values())
    cells = [
        cell
        for cell in journal.cells_of(study.function)
        if cell.spec in grid and (cell.version != study.version or cell.key in current)
    ]
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell.version] = counts.get(cell.version, 0) + 1
    if version is None and len(counts) > 1:
        listed = ", ".join(f"{known} ({n} cells)" for known, n in sorted(counts.items()))
        raise MixedVersionsError(
            f"study {name!r} in {str(journal.path)!r} holds results of algorithm versions {listed}, which must not "
            f"meet in one table or figure; choose with --algorithm-version {study.version}, or remove the others with: "
            f"sfbench study prune {journal.path.parent}"
        )
    if version is not None and version not in counts and version != study.version:
        known = ", ".join(sorted(counts)) or "none"
        raise StudyError(f"study {name!r} holds no results of algorithm version {version!r}; it holds {known}")
    chosen = version or next(iter(counts), study.version)
    found = {cell.spec: cell for cell in cells if cell.version == chosen}
    if len(found) != counts.get(chosen, 0):
        raise MixedVersionsError(
            f"study {name!r} in {str(journal.path)!r} holds {counts[chosen]} results of algorithm version {chosen} for "
            f"{len(found)} cells, of several schemas or dtypes; choose with --algorithm-version {study.version}, "
            f"or remove the others with: sfbench study prune {journal.path.parent}"
        )
    rows: list[Row] = []
    for text in grid:
        if text in found:
            cell = found[text]
            origin = {"study": name, "cell": cell.key[:16], VERSION_COLUMN: cell.version, **_renamed(json.loads(text))}
            rows += [{**origin, "study": name, **_renamed(record)} for record in _as_rows(decode_record(cell.record))]
    missing = [_renamed(json.loads(text)) for text in grid if text not in found]
    seconds = {cell.key[:16]: cell.seconds for cell in found.values()}
    return StudyTable(study, rows, len(grid), missing, seconds, tuple(_renamed(json.loads(next(iter(grid), "{}")))))


def _renamed(columns: Row) -> Row:
    """Columns whose names the engine needs under other names."""
    return {f"record_{name}" if name in ("cell", VERSION_COLUMN) else name: value for name, value in columns.items()}


def stale_keys(journal: Journal, function: str) -> list[str]:
    """Results of the versions in use whose schema or dtype no study has any more.

    They can never be asked for again. Results outside a grid that was replaced can, and are not stale.
    """
    studies = [study for study in journal.studies() if study.function == function]
    used = {(study.version, study.schema, study.dtype) for study in studies}
    versions = {study.version for study in studies}
    wanted = {key for study in studies for key in journal.grid(study.name).values()}
    return [
        cell.key
        for cell in journal.cells_of(function)
        if cell.version in versions
        and cell.key not in wanted
        and all(cell.key != cell_key(function, *kind, cell.spec) for kind in used)
    ]


def _as_rows(record: Any) -> list[Row]:
    if isinstance(record, dict):
        return [record]
    if isinstance(record, list) and all(isinstance(row, dict) for row in record):
        return record
    return [{"value": record}]


def write_tables(
    tables: Sequence[StudyTable], folder: Path, kinds: Sequence[str] = ("csv",)
) -> Iterator[tuple[Path, StudyTable]]:
    """Write tables as files named after their studies; yields each path when it is written.

    Raises
    ------
    StudyError
        For an unknown format.
    ImportError
        If Parquet is wanted and pyarrow is missing; says what to install.
    OutputError
        If a file cannot be written; nothing half-written is left.
    """
    if unknown := [kind for kind in kinds if kind not in FORMATS]:
        raise StudyError(f"unknown format {unknown[0]!r}; use {', '.join(FORMATS)}")
    for table in tables:
        require_one_version(table.rows, f"study {table.study.name!r}")
    prepare_folder(folder)
    stems = file_stems([table.study.name for table in tables])
    for table in tables:
        for kind in kinds:
            path = folder / f"{stems[table.study.name]}.{kind}"
            write_rows(table.rows, path)
            yield path, table


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """A name of a file for each name, short and plain; no two are one, on any file system."""
    stems: dict[str, str] = {}
    for name in names:
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
        if len(stem) > _LONGEST_STEM or stem.lower() in {known.lower() for known in stems.values()}:
            stem = f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
        stems[name] = stem
    return stems


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows in the format that the suffix of the path names; columns in order of first appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    _WRITERS[path.suffix[1:]](rows, columns, path)


def _write_csv(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    import csv

    def save(f: Any) -> None:
        writer = csv.writer(f)
        writer.writerow(columns)
        writer.writerows([_flat(row.get(column)) for column in columns] for row in rows)

    write_atomically(path, save)


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _write_jsonl(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    write_atomically(path, lambda f: f.writelines(json.dumps(row) + "\n" for row in rows))


def _write_parquet(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'sfbench[parquet]'") from None
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        try:
            arrays[column] = pa.array(values)
        except (
            pa.ArrowInvalid,
            pa.ArrowTypeError,
            OverflowError,
        ):  # of several kinds, or beyond int64: text, as in the CSV
            arrays[column] = pa.array([None if value is None else str(_flat(value)) for value in values])
    table = pa.table(arrays)
    write_atomically(path, lambda f: pq.write_table(table, f, compression="zstd"), binary=True)


_WRITERS: dict[str, Any] = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}
