"""Data on disk that is read piece by piece: ``.npy`` arrays, Parquet tables and zarr stores."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np

from .._internal.aliases import FloatArray
from ..errors import GramError

_EDGE = 1 << 20
_CHUNK_EDGE = 1 << 12
_MAPPED_ROWS = 16


class DataSource(Protocol):
    """Rows of numbers."""

    @property
    def n(self) -> int:
        """Number of rows."""

    @property
    def d(self) -> int:
        """Number of columns."""

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``, shape (stop - start, d), copied into memory."""


class AbstractArraySource(ABC):
    """Rows of an array that is opened whenever it is asked."""

    @abstractmethod
    def _open(self) -> Any:
        """The array, (n, d)."""

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self._open().shape[0])

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self._open().shape[1])


@final
@dataclass(frozen=True)
class NpySource(AbstractArraySource):
    """A two-dimensional array in a ``.npy`` file; pickled objects are refused."""

    path: Path

    def _open(self) -> FloatArray:
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise GramError(f"cannot read {str(self.path)!r} as an array of numbers: {error}") from None
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise GramError(f"{str(self.path)!r} must hold a real (n, d) array, got {array.dtype} {array.shape}")
        return np.asarray(array) if array.size == 0 else array  # a memory map

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``; the file is mapped only while they are copied."""
        return np.array(self._open()[start:stop])

    def take(self, places: np.ndarray) -> FloatArray:
        """The rows at some places, in any order; mapped anew for every few, since neighbours are mapped with a row."""
        parts = (places[first : first + _MAPPED_ROWS] for first in range(0, max(1, len(places)), _MAPPED_ROWS))
        return np.concatenate([np.array(self._open()[part]) for part in parts])


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
            raise GramError(f"cannot read {str(self.path)!r} as Parquet: {error}") from None
        odd = [f.name for f in table.schema_arrow if not (pa.types.is_floating(f.type) or pa.types.is_integer(f.type))]
        if odd:
            raise GramError(f"columns {', '.join(odd)} of {str(self.path)!r} do not hold numbers; leave them out")
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


@final
@dataclass(frozen=True)
class ZarrSource(AbstractArraySource):
    """A two-dimensional array in a zarr store that is a folder; chunks of whole rows are read fastest."""

    path: Path

    def _open(self) -> Any:
        try:
            import zarr
        except ImportError:
            raise ImportError("zarr stores need zarr: pip install 'sfbench[zarr]'") from None
        try:
            array: Any = zarr.open_array(str(self.path), mode="r")
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = str(error).strip() or type(error).__name__
            raise GramError(f"cannot read {str(self.path)!r} as a zarr array: {reason}") from None
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise GramError(f"{str(self.path)!r} must hold a real (n, d) array, got {array.dtype} {array.shape}")
        return array

    @property
    def n(self) -> int:
        """Number of rows; refuses a store that lacks chunks, which zarr would read as if they had been written."""
        array = self._open()
        if (missing := array.nchunks - array.nchunks_initialized) > 0:
            raise GramError(
                f"{missing} of {array.nchunks} chunks of {str(self.path)!r} are missing and would be read as "
                f"{array.fill_value}; copy the store again, or write it with write_empty_chunks if that is its data"
            )
        return int(array.shape[0])

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``; only the chunks that hold them are read."""
        array = self._open()
        try:
            return np.array(array[start:stop])
        except (OSError, ValueError, RuntimeError) as error:  # of the file system, the codecs, the buffers' sizes
            raise GramError(f"cannot read rows {start} to {stop} of {str(self.path)!r}: {error}") from None


_KINDS: dict[str, type[NpySource] | type[ParquetSource] | type[ZarrSource]] = {
    ".npy": NpySource,
    ".parquet": ParquetSource,
    ".zarr": ZarrSource,
}


def open_source(path: str | os.PathLike[str]) -> DataSource:
    """The source for a file or a zarr folder, by its suffix.

    Raises
    ------
    GramError
        For missing data or an unknown suffix.
    """
    path = Path(path)
    if path.suffix not in _KINDS:
        raise GramError(f"cannot read {str(path)!r}: the suffix must be one of {', '.join(_KINDS)}")
    is_store = path.suffix == ".zarr"
    if not (path.is_dir() if is_store else path.is_file()):
        raise GramError(f"no data at {str(path)!r}{', which must be a folder' if is_store and path.exists() else ''}")
    return _KINDS[path.suffix](path)


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Identity of data without reading all of it: sizes, times of change, first and last bytes.

    Of a file, the first and last MiB; of a folder, the first and last 4 KiB of every file in it, with the files' names.
    """
    path = Path(path)
    hashed = hashlib.sha256()
    if not path.is_dir():
        _add_file(hashed, path, _EDGE)
        return hashed.hexdigest()
    for member in sorted(found for found in path.rglob("*") if found.is_file()):
        hashed.update(f"{member.relative_to(path).as_posix()}\0".encode())
        _add_file(hashed, member, _CHUNK_EDGE)
    return hashed.hexdigest()


def _add_file(hashed: Any, path: Path, edge: int) -> None:
    stat = path.stat()
    hashed.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as f:
        hashed.update(f.read(edge))
        f.seek(max(0, stat.st_size - edge))
        hashed.update(f.read(edge))


def pieces(source: DataSource, rows: int) -> Iterator[FloatArray]:
    """A source piece by piece."""
    for start in range(0, source.n, rows):
        yield source.rows(start, min(start + rows, source.n))
