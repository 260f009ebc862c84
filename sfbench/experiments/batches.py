"""Batches of cells: large enough that handing one out costs nothing, small enough that little is lost with one."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from .cells import Study

TARGET_S = 0.1  # batches aim at this; 50 ms is the least that hides the cost of a commit and of a hand-over
LARGEST = 4096


@final
@dataclass(frozen=True)
class Batch:
    """Cells computed by one worker in one go: whole groups, each a list of positions in the study's grid."""

    index: int
    groups: tuple[tuple[int, ...], ...]

    @property
    def cells(self) -> list[int]:
        """Positions of all cells."""
        return [i for group in self.groups for i in group]


def group_cells(study: Study[Any, Any], positions: Sequence[int]) -> list[tuple[int, ...]]:
    """Positions by the study's groups, in order of first appearance."""
    if study.function.group is None:
        return [(i,) for i in positions]
    groups: dict[Any, list[int]] = {}
    for i in positions:
        groups.setdefault(study.function.group(study.specs[i]), []).append(i)
    return [tuple(members) for members in groups.values()]


@final
@dataclass
class BatchPlan:
    """Hands out batches on demand, sized by the cost of those that came back, until told to stop or out of time.

    Executors pull from threads of their own. ``is_done`` says which of some cells need no computation any more.
    """

    groups: Sequence[tuple[int, ...]]
    n_jobs: int
    is_done: Callable[[Sequence[int]], set[int]]
    size: int | None = None
    deadline: float | None = None
    expired: bool = False
    _next: int = 0
    _index: int = 0
    _seconds: float = 0.0
    _measured: int = 0
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, n_groups: int, seconds: float) -> None:
        """Learn the cost of a batch."""
        with self._lock:
            self._seconds += seconds
            self._measured += n_groups

    def stop(self) -> None:
        """Hand out no more; what is out may finish."""
        self._stopped = True

    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped

    def _next_size(self) -> int:
        if self.size is not None:
            return self.size
        if not self._measured:
            return 1
        by_cost = math.ceil(TARGET_S / max(self._seconds / self._measured, 1e-9))
        # several waves a worker while cells are cheap, so that no worker waits long for the last
        by_balance = math.ceil((len(self.groups) - self._next) / (4 * self.n_jobs))
        return max(1, min(by_cost, by_balance, LARGEST))

    def __iter__(self) -> Iterator[Batch]:
        while not self._stopped:
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.expired = self._stopped = True
                return
            with self._lock:
                chosen = self.groups[self._next : self._next + self._next_size()]
                if not chosen:
                    return
                self._next += len(chosen)
                index = self._index
                self._index += 1
            known = self.is_done([i for group in chosen for i in group])
            left = tuple(rest for group in chosen if (rest := tuple(i for i in group if i not in known)))
            if left:
                yield Batch(index, left)
