"""Batches of cells: large enough that handing one out costs nothing, small enough that little is lost with one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

from ..cells import Study

TARGET_S = 0.2  # batches aim at this: the commit and the hand-over of one cost 2 to 4 ms
LONG_S = 1.0  # while batches take longer, none is handed out before a worker is free
LARGEST = 4096
Batch = tuple[tuple[str, ...], ...]  # keys of cells that one worker computes in one go: whole groups


def group_cells(study: Study, keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Keys by the study's groups, in order of first appearance."""
    group_of, groups = study.function.group, dict[Any, list[str]]()
    specs = {} if group_of is None else dict(zip(study.keys, study.specs, strict=True))
    for key in keys:
        groups.setdefault(key if group_of is None else group_of(specs[key]), []).append(key)
    return [tuple(members) for members in groups.values()]


@final
@dataclass
class Plan:
    """Groups to hand out, so many at a time as the cost of those that came back suggests.

    ``singly`` hands out one group a batch; ``suspects`` moreover no second one before the first is back, so that it is
    known which one a worker died of.
    """

    groups: list[tuple[str, ...]]
    n_jobs: int
    singly: bool = False
    suspects: bool = False
    seconds: float = 0.0
    measured: int = 0
    batches: int = 0

    def observe(self, batch: Batch, seconds: float) -> None:
        """Learn the cost of a batch."""
        self.seconds, self.measured, self.batches = self.seconds + seconds, self.measured + len(batch), self.batches + 1

    @property
    def at_once(self) -> int:
        """How many batches to have handed out."""
        if self.suspects or self.n_jobs == 1:
            return 1
        return self.n_jobs * (2 if self.batches and self.seconds < LONG_S * self.batches else 1)

    def take(self) -> list[tuple[str, ...]]:
        """The next groups; none if all were taken."""
        size = 1
        if self.measured and not self.singly:
            size = min(math.ceil(TARGET_S / max(self.seconds / self.measured, 1e-9)), LARGEST)
            if self.n_jobs > 1:  # several waves a worker, so that none waits long for the last
                size = min(size, math.ceil(len(self.groups) / (4 * self.n_jobs)))
        chosen, self.groups = self.groups[:size], self.groups[size:]
        return chosen
