"""How a study is run, and what a run leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from ..canonical import printable
from ..errors import IncompleteStudyError, StudyError


@final
@dataclass(frozen=True)
class RunSettings:
    """How to run, which no result depends on; StudyError for what cannot be.

    Parameters
    ----------
    n_jobs, scheduler : int, str or None
        Worker processes; or a Dask scheduler, as an address or ``"local"``.
    time_limit : float or None
        Seconds after which no further cell is started.
    max_retries, retry_failed : int, bool
        How often a failed cell is tried again, over all runs; whether earlier failures are forgotten first.
    resume, on_conflict : bool, {"refuse", "extend", "replace"}
        Whether to use the results that the store holds; what to do if it holds another grid under this name.
    progress : bool
        Show a bar on standard error.
    """

    n_jobs: int = 1
    scheduler: str | None = None
    time_limit: float | None = None
    max_retries: int = 3
    retry_failed: bool = False
    resume: bool = True
    on_conflict: Literal["refuse", "extend", "replace"] = "refuse"
    progress: bool = True

    def __post_init__(self) -> None:
        ways = ("refuse", "extend", "replace")
        for right, message in (
            (self.n_jobs >= 1, f"the number of jobs must be at least 1, got {self.n_jobs}"),
            (self.time_limit is None or self.time_limit > 0, f"the time limit must be positive, got {self.time_limit}"),
            (self.max_retries >= 0, f"the number of retries must be at least 0, got {self.max_retries}"),
            (self.on_conflict in ways, f"a grid conflict is met by {', '.join(ways)}, not {self.on_conflict!r}"),
        ):
            if not right:
                raise StudyError(message)


@final
@dataclass(frozen=True)
class Outcome:
    """What a run left behind: cells ``done``, of which ``cached`` were in the store before, ``failed`` (out of retries)
    and ``missing``; ``stopped`` is ``""``, ``"interrupted"``, ``"terminated"`` or ``"time limit"``.
    """

    study: str
    store: Path
    total: int
    done: int
    cached: int
    failed: int
    seconds: float
    stopped: str
    first_error: str = field(default="", repr=False)

    @property
    def missing(self) -> int:
        """Cells without a result that may still get one."""
        return self.total - self.done - self.failed

    @property
    def complete(self) -> bool:
        """Whether every cell has a result."""
        return self.done == self.total

    @property
    def exit_code(self) -> int:
        """0 complete, 1 failed cells, 3 time limit, 130 and 143 for Ctrl-C and SIGTERM."""
        return {"interrupted": 130, "terminated": 143, "time limit": 3}.get(self.stopped, 0 if self.complete else 1)

    def summary(self) -> str:
        """One line, with the way on."""
        text = f"{self.study}: {self.done} of {self.total} cells ({self.cached} from the store), {self.seconds:.1f} s"
        if self.failed:
            text += f"; {self.failed} failed every attempt, the first with: {self.first_error}"
        if self.stopped:
            text += f"; stopped: {self.stopped}"
        if not self.complete:
            text += f"; go on with the same command, or with: sfbench study resume {self.store.parent}"
            text += " --retry-failed" if self.failed else ""
        return printable(text)


def complete_records(records: Sequence[Any], outcome: Outcome) -> list[Any]:
    """The records; raises IncompleteStudyError, which says how many are missing and how to go on, if some are."""
    if not outcome.complete:
        raise IncompleteStudyError(outcome.summary(), outcome.exit_code)
    return list(records)
