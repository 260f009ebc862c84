"""Results as tables: one row a line of a record, with the study, cell key and algorithm version it came from."""

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
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
    """Rows of one study, of one algorithm version, in the order of its grid, which has ``total`` cells.

    Columns are ``study``, ``cell``, ``algorithm_version``, the fields of the spec (``spec_fields``) and those of the
    record; of the last two, ``cell`` and ``algorithm_version`` are shown as ``record_cell``, ``record_...``. Beside
    them stand specs of ``missing`` cells, ``seconds`` of cells by their name in the rows (a shared pass counts in equal
    parts), what the study declares, and ``others``, versions of which the store holds results too.
    """

    study: StoredStudy
    rows: list[Row]
    total: int
    missing: list[Row]
    seconds: dict[str, float]
    spec_fields: tuple[str, ...]
    bounds: Mapping[str, str]
    labels: Mapping[str, str]
    others: str

    def caption(self) -> str:
        """How complete the table is, in words; belongs under every figure drawn from it."""
        text = f"{self.total - len(self.missing)} of {self.total} cells"
        text += f", {len(self.missing)} missing" if self.missing else ""
        return text + (f" (without the results of version {self.others})" if self.others else "")


def require_one_version(rows: Iterable[Mapping[str, Any]], what: str = "these rows") -> None:
    """Refuse rows of different versions of an algorithm: MixedVersionsError names them, with numbers of rows."""
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.get("study")][str(row.get(VERSION_COLUMN))] += 1
    for versions in counts.values():
        if len(versions) > 1:
            listed = ", ".join(f"{version} ({n} rows)" for version, n in sorted(versions.items()))
            raise MixedVersionsError(
                f"{what} mix results of algorithm versions {listed}; compute all of them with one version"
            )


def load_table(journal: Journal, name: str, version: str | None = None) -> StudyTable:
    """The rows of a study of one algorithm version: the study's own, unless another is chosen.

    Rows are found by their keys, so that results of another version, schema or dtype can never be among them. Raises
    StudyError for an unknown study, or a version of which there are no results.
    """
    [study] = journal.studies([name])
    grid, known, chosen = journal.grid(name), journal.versions(study.function), version or study.version
    if chosen != study.version:
        grid = {text: cell_key(study.function, chosen, study.schema, study.dtype, text) for text in grid}
    cells = journal.cells(grid.values())
    if not cells and chosen != study.version:
        listed = ", ".join(known) or "none"
        raise StudyError(f"study {name!r} holds no results of algorithm version {version!r}; it holds {listed}")
    rows, missing = list[Row](), list[Row]()
    for text, key in grid.items():
        spec = _renamed(json.loads(text))
        if key not in cells:
            missing.append(spec)
            continue
        record = decode_record(cells[key].record)
        if not (isinstance(record, list) and all(isinstance(row, dict) for row in record)):
            record = [record if isinstance(record, dict) else {"value": record}]
        origin = {"study": "", "cell": key[:16], VERSION_COLUMN: chosen, **spec} | {"study": name}
        rows += [origin | _renamed(row) for row in record]
    words = journal.about().get(("report", name), name)
    declared = json.loads(words) if words != name else {}
    return StudyTable(
        study,
        rows,
        len(grid),
        missing,
        seconds={key[:16]: cell.seconds for key, cell in cells.items()},
        spec_fields=tuple(_renamed(json.loads(next(iter(grid), "{}")))),
        bounds=declared.get("bounds", {}),
        labels=declared.get("labels", {}),
        others=", ".join(other for other in known if other != chosen),
    )


def _renamed(columns: Row) -> Row:
    """Columns whose names the engine needs under other names."""
    return {f"record_{name}" if name in ("cell", VERSION_COLUMN) else name: value for name, value in columns.items()}


# ---------------------------------------------------------------------- files
def write_tables(
    tables: Sequence[StudyTable], folder: Path, kinds: Sequence[str] = ("csv",)
) -> Iterator[tuple[Path, StudyTable]]:
    """Write tables as files named after their studies; yields each path when it is written.

    Raises StudyError for an unknown format, ImportError if pyarrow is missing, OutputError if a file cannot be written.
    """
    if unknown := [kind for kind in kinds if kind not in FORMATS]:
        raise StudyError(f"unknown format {unknown[0]!r}; use {', '.join(FORMATS)}")
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
        stem = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "study"
        if len(stem) > _LONGEST_STEM or stem.lower() in {known.lower() for known in stems.values()}:
            stem = f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
        stems[name] = stem
    return stems


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows in the format that the suffix of the path names; columns in order of first appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if path.suffix == ".jsonl":
        write_atomically(path, lambda f: f.writelines(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [columns, *([flat(row.get(column)) for column in columns] for row in rows)]
        write_atomically(path, lambda f: csv.writer(f).writerows(lines))
    else:
        _write_parquet({column: [row.get(column) for row in rows] for column in columns}, path)


def flat(value: Any) -> Any:
    """A cell of a table: lists and dictionaries as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'sfbench[parquet]'") from None
    for name, values in columns.items():
        try:
            pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several kinds or beyond int64: text, as in CSV
            columns[name] = [None if value is None else str(flat(value)) for value in values]
    write_atomically(path, lambda f: pq.write_table(pa.table(columns), f, compression="zstd"), binary=True)
