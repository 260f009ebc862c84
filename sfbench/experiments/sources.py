"""Data on disk that is read piece by piece: ``.npy`` arrays and Parquet tables."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np

from .._typing import FloatArray
from .errors import StudyError

_EDGE = 1 << 20


class DataSource(Protocol):
    """Rows of numbers."""

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    @property
    def d(self) -> int:
        """Number of columns."""
        ...

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``, shape (stop - start, d), copied into memory."""
        ...


@final
@dataclass(frozen=True)
class NpySource:
    """A two-dimensional array in a ``.npy`` file; pickled objects are refused."""

    path: Path

    def _open(self) -> FloatArray:
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StudyError(f"cannot read {str(self.path)!r} as an array of numbers: {error}") from None
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise StudyError(f"{str(self.path)!r} must hold a real (n, d) array, got {array.dtype} {array.shape}")
        return np.asarray(array) if array.size == 0 else array  # a memory map

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self._open().shape[0])

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self._open().shape[1])

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``; the file is mapped only while they are copied."""
        return np.array(self._open()[start:stop])


@final
@dataclass(frozen=True)
class ParquetSource:
    """The numeric columns of a Parquet file, in their order."""

    path: Path

    def _open(self) -> Any:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise ImportError("Parquet needs pyarrow: pip install 'sfbench[parquet]'") from None
        try:
            table = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise StudyError(f"cannot read {str(self.path)!r} as Parquet: {error}") from None
        odd = [f.name for f in table.schema_arrow if not (pa.types.is_floating(f.type) or pa.types.is_integer(f.type))]
        if odd:
            raise StudyError(f"columns {', '.join(odd)} of {str(self.path)!r} do not hold numbers; leave them out")
        return table

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self._open().metadata.num_rows)

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self._open().metadata.num_columns)

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``; only the row groups that hold them are read, one at a time."""
        table, parts, first = self._open(), [], 0
        for i in range(table.num_row_groups):
            count = table.metadata.row_group(i).num_rows
            if first < stop and first + count > start:
                group = table.read_row_group(i, use_threads=False)
                low, high = max(start - first, 0), min(stop - first, count)
                columns = [group.column(j).slice(low, high - low).to_numpy() for j in range(group.num_columns)]
                parts.append(np.stack(columns, axis=1))
            first += count
        return np.concatenate(parts) if parts else np.empty((0, self.d))


_KINDS: dict[str, type[NpySource] | type[ParquetSource]] = {".npy": NpySource, ".parquet": ParquetSource}


def open_source(path: str | os.PathLike[str]) -> DataSource:
    """The source for a file, by its suffix.

    Raises
    ------
    StudyError
        For a missing file or an unknown suffix.
    """
    path = Path(path)
    if path.suffix not in _KINDS:
        raise StudyError(f"cannot read {str(path)!r}: the suffix must be one of {', '.join(_KINDS)}")
    if not path.is_file():
        raise StudyError(f"no data at {str(path)!r}")
    return _KINDS[path.suffix](path)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Identity of a file's content without reading all of it: size, time of change, first and last MiB."""
    path = Path(path)
    stat = path.stat()
    hashed = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as f:
        hashed.update(f.read(_EDGE))
        f.seek(max(0, stat.st_size - _EDGE))
        hashed.update(f.read(_EDGE))
    return hashed.hexdigest()


def pieces(source: DataSource, rows: int) -> Iterator[FloatArray]:
    """A source piece by piece."""
    for start in range(0, source.n, rows):
        yield source.rows(start, min(start + rows, source.n))
