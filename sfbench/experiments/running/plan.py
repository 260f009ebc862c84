"""Batches of cells: large enough that handing one out costs nothing, small enough that little is lost with one."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, final

from ..cells import Study

TARGET_S = 0.2  # batches aim at this: the commit and the hand-over of one cost 2 to 4 ms
LARGEST = 4096
Batch = tuple[tuple[int, ...], ...]  # computed by one worker in one go: whole groups of positions in the grid
LONG_S = 1.0  # while batches take longer, none is handed out before a worker is free


def group_cells(study: Study[Any, Any], positions: Sequence[int]) -> list[tuple[int, ...]]:
    """Positions by the study's groups, in order of first appearance."""
    if study.function.group is None:
        return [(i,) for i in positions]
    groups: dict[Any, list[int]] = {}
    for i in positions:
        groups.setdefault(study.function.group(study.specs[i]), []).append(i)
    return [tuple(members) for members in groups.values()]


@final
class BatchPlan:
    """Hands out batches on demand, sized by the cost of those that came back, until told to stop or out of time.

    ``is_done`` says which of some cells need no computation any more; ``size`` is in groups, and follows the cost if it
    is None; ``deadline`` is a ``time.monotonic``; ``one_at_a_time`` never hands out a second batch before the first is
    back, so that it is known which one a worker died of.
    """

    def __init__(
        self,
        groups: Sequence[tuple[int, ...]],
        n_jobs: int,
        is_done: Callable[[Sequence[int]], set[int]],
        size: int | None = None,
        deadline: float | None = None,
        *,
        one_at_a_time: bool = False,
    ) -> None:
        self.groups, self.n_jobs, self.is_done = groups, n_jobs, is_done
        self.size, self.deadline, self.one_at_a_time = size, deadline, one_at_a_time
        self.expired = self.stopped = False
        self._next = self._batches = self._measured = 0
        self._seconds = 0.0

    def observe(self, batch: Batch, seconds: float) -> None:
        """Learn the cost of a batch."""
        self._seconds += seconds
        self._measured += len(batch)
        self._batches += 1

    @property
    def at_once(self) -> int:
        """How many batches to have handed out."""
        if self.one_at_a_time or self.n_jobs == 1:
            return 1
        short = self._batches and self._seconds < LONG_S * self._batches
        return 2 * self.n_jobs if short else self.n_jobs

    def _next_size(self) -> int:
        if self.size is not None:
            return self.size
        if not self._measured:
            return 1
        by_cost = math.ceil(TARGET_S / max(self._seconds / self._measured, 1e-9))
        # several waves a worker while cells are cheap, so that no worker waits long for the last
        by_balance = math.ceil((len(self.groups) - self._next) / (4 * self.n_jobs))
        return max(1, min(by_cost, by_balance if self.n_jobs > 1 else by_cost, LARGEST))

    def take(self) -> Batch | None:
        """The next batch; None if there is none, no time is left, or ``stopped`` was set."""
        while not self.stopped:
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.expired = self.stopped = True
                break
            chosen = self.groups[self._next : self._next + self._next_size()]
            if not chosen:
                break
            self._next += len(chosen)
            known = self.is_done([i for group in chosen for i in group])
            if left := tuple(rest for group in chosen if (rest := tuple(i for i in group if i not in known))):
                return left
        return None
