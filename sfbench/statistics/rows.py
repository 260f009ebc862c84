"""Data that come piece by piece: files and torch loaders as arrays of rows, read ahead of their use."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, final

import numpy as np

from .._internal.aliases import Array, FloatArray
from .._internal.arrays import on_device, to_host
from ..errors import GramError, NotFiniteError
from .files import DataSource


@final
class Rows:
    """Rows of a file as an array (n, d): slices, taken in order, are read ahead in a thread and checked."""

    def __init__(self, source: DataSource, check: Callable[[Any], Array]) -> None:
        self.source, self.shape, self.pinned, self.check = source, (source.n, source.d), False, check
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sfbench-read")
        self._ahead: tuple[int, int, Future[Any]] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def first(self, n: int) -> Array:
        """The first rows, to look at."""
        return self._read(0, min(n, len(self)))

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(len(self))
        if self._ahead is not None and self._ahead[:2] == (start, stop):
            found = self._ahead[2].result()
        else:
            found = self._read(start, stop)
        after = min(2 * stop - start, len(self))
        self._ahead = (stop, after, self._pool.submit(self._read, stop, after)) if stop < after else None
        return found

    @property
    def in_any_order(self) -> bool:
        """Whether :meth:`take` can be asked."""
        return hasattr(self.source, "take")

    def take(self, places: np.ndarray) -> Array:
        """The rows at some places, in any order."""
        return self._checked(self.source.take(places), "in the order in which they are drawn")  # type: ignore[attr-defined]

    def _read(self, start: int, stop: int) -> Array:
        return self._checked(self.source.rows(start, stop), f"counted from row {start}")

    def _checked(self, rows: Array, where: str) -> Array:
        try:
            rows = self.check(rows)
        except NotFiniteError as reason:
            raise NotFiniteError(f"{reason} ({where})") from None
        return on_device(rows, "cpu").pin_memory() if self.pinned else rows


@final
class LoaderSource:
    """The rows of a torch ``DataLoader`` in the order in which it gives them; of a pair, the first entry."""

    def __init__(self, loader: Any) -> None:
        try:
            self.n = len(loader) * loader.batch_size if loader.drop_last else len(loader.dataset)
        except TypeError:
            raise GramError(
                "the loader's data set has no length; give it one, or use sfbench.statistics.sharded.stream_gram"
            ) from None
        self._batches = iter(loader)
        self._first, self._held = 0, self._next()
        self.d = int(self._held.shape[1])

    def _next(self) -> FloatArray:
        batch = next(self._batches, None)
        if batch is None:
            raise GramError(f"the loader ended before the {self.n} rows that it promised")
        batch = to_host(batch[0] if isinstance(batch, tuple | list) else batch)
        return batch.reshape(len(batch), -1)

    def rows(self, start: int, stop: int) -> FloatArray:
        """Rows ``start`` to ``stop``; to be called in order."""
        while self._first + len(self._held) < stop:
            kept = self._held[max(0, start - self._first) :]
            self._first = max(start, self._first)
            self._held = np.concatenate([kept, self._next()])
        return self._held[start - self._first : stop - self._first]


def as_rows(x: Any, check: Callable[[Any], Array]) -> Rows | None:
    """Rows of a file opened with :func:`.files.open_source` or of a torch loader; None for anything else."""
    if is_file(x):
        return Rows(x, check)
    if is_loader(x):
        return Rows(LoaderSource(x), check)
    return None


def is_frame(x: Any) -> bool:
    """Whether x is an array of another library, such as a data frame, whose columns may be named like anything."""
    return hasattr(x, "to_numpy") or hasattr(x, "__array__")


def is_file(x: Any) -> bool:
    """Whether rows are read from x by number; data frames may have a method ``rows``, too."""
    return not is_frame(x) and all(hasattr(x, name) for name in ("n", "d", "rows"))


def is_loader(x: Any) -> bool:
    """Whether x gives batches of rows in an order of its own."""
    return not is_frame(x) and all(hasattr(x, name) for name in ("dataset", "batch_size", "__iter__"))
