"""Running a study: only what is missing is computed, every batch is committed at once, and nothing stops the rest.

A cell that raises is recorded with its traceback and tried again, at most ``max_retries`` times over all runs. Ctrl-C,
SIGTERM and the time limit let the cells at work finish and commit them; a second signal ends the run at once, which
loses those alone.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ..errors import OutputError
from .batches import BatchPlan, group_cells
from .canonical import decode_record
from .cells import Study
from .errors import DamagedStoreError
from .executors import Died, Executor, Finished, open_executor
from .journal import Journal, peek
from .manifest import is_alive, new_run, now, write_manifest
from .outcome import Outcome, RunSettings, store_path
from .progress import ProgressBar
from .repair import repair
from .rows import StoredCell
from .worker import one_thread


def open_for_writing(path: Path, bar_say: Any = print) -> Journal:
    """Open a store, setting a damaged one aside first, with a warning."""
    try:
        return Journal(path, "write")
    except DamagedStoreError as error:
        saved = repair(path)
        if saved is not None:  # else another process has mended it by now
            bar_say(
                f"warning: {str(error).split('; run:')[0]}; kept it as {saved.aside.name}, saved {saved.kept} intact "
                "rows; what was lost is computed again"
            )
        return Journal(path, "write")


def run_study(
    study: Study[Any, Any], folder: str | os.PathLike[str], settings: RunSettings | None = None
) -> tuple[list[Any], Outcome]:
    """Compute the missing cells of a study.

    Parameters
    ----------
    study : Study
    folder : path
        Folder of the store (or the ``.sqlite`` file itself).
    settings : RunSettings

    Returns
    -------
    records : list
        In the order of ``study.specs``; None where a cell has no result.
    outcome : Outcome

    Raises
    ------
    StudyError, StoreError, SchedulerError, OutputError
    """
    path = store_path(folder)
    run = _Run(study, path, settings or RunSettings(), keep=True)
    outcome = run.execute()
    others = [key for i, key in enumerate(study.keys) if i not in run.computed]
    if others:
        with Journal(path) as journal:
            run.computed |= {run.position[key]: cell.record for key, cell in journal.cells(others).items()}
    records = (run.computed.get(i) for i in range(len(study.keys)))
    return [None if text is None else decode_record(text) for text in records], outcome


def finish_study(study: Study[Any, Any], path: Path, settings: RunSettings | None = None) -> Outcome:
    """Compute the missing cells of a study without reading the others; see :func:`run_study`."""
    return _Run(study, path, settings or RunSettings()).execute()


class _Run:
    """State of one run."""

    def __init__(self, study: Study[Any, Any], path: Path, settings: RunSettings, *, keep: bool = False) -> None:
        self.study, self.path, self.settings, self.keep = study, path, settings, keep
        self.computed: dict[int, str] = {}
        self.started = time.monotonic()
        self.stopped = ""
        self.plan: BatchPlan | None = None
        self.seen_done: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.failed_now: set[int] = set()
        self.first_error = ""
        self.position = {key: i for i, key in enumerate(study.keys)}

    # -------------------------------------------------------------- the whole
    def execute(self) -> Outcome:
        settings, study = self.settings, self.study
        where = (1, None) if study.function.alone else (settings.n_jobs, settings.scheduler)
        with (
            one_thread(),
            open_executor(*where, str(self.path.resolve().parent)) as executor,
            open_for_writing(self.path) as journal,
            self._signals(),
        ):
            self.journal = journal
            note = journal.register(study, settings.on_conflict)
            if not settings.resume:
                journal.drop_results(study.keys)
            if settings.retry_failed:
                journal.forget_failures(study.keys)
            done = journal.done(study.keys)
            self.seen_done = {self.position[key] for key in done}
            self.cached = len(done)
            failures = journal.failures()
            self.attempts = {self.position[key]: len(failures[key]) for key in failures if key in self.position}
            self.first_error = next((_last_line(failures[key][-1]) for key in study.keys if key in failures), "")
            described = {key: value for key, value in asdict(settings).items() if key != "progress"}
            run = new_run(described | {"study": study.name, "note": note})
            beside = any(is_alive(other) for other in journal.runs())
            journal.write_run(run["id"], _text(run))
            try:
                with ProgressBar(study.name, len(study.keys), len(done), wanted=settings.progress) as self.bar:
                    if note:
                        self.bar.say(f"{study.name}: {note}: {len(study.keys) - len(done)} cells are computed anew")
                    self._compute(executor, run["id"], beside)
            except BaseException as error:
                run |= {"finished": now(), "outcome": f"error: {type(error).__name__}: {error}"}
                with suppress(OutputError):
                    journal.write_run(run["id"], _text(run))
                raise
            outcome = self._outcome()
            run |= {"finished": now(), "outcome": outcome.stopped or ("complete" if outcome.complete else "failures")}
            journal.write_run(run["id"], _text(run))
            write_manifest(journal, self.path.parent)
        return outcome

    def _outcome(self) -> Outcome:
        exhausted = [i for i in self._todo(exhausted=True) if self.attempts.get(i, 0) > self.settings.max_retries]
        return Outcome(
            self.study.name, self.path, len(self.study.keys), len(self.seen_done), self.cached, len(exhausted),
            time.monotonic() - self.started, self.stopped, self.first_error if exhausted else "",
        )  # fmt: skip

    def _todo(self, *, exhausted: bool = False) -> list[int]:
        limit = self.settings.max_retries
        return [
            i
            for i in range(len(self.study.keys))
            if i not in self.seen_done and (exhausted or self.attempts.get(i, 0) <= limit)
        ]

    # -------------------------------------------------------------- passes
    def _compute(self, executor: Executor, run: str, beside: bool) -> None:
        """Passes over what is missing, until nothing is or nothing may be tried again."""
        suspects: set[int] = set()
        first = True
        while not self.stopped and (todo := self._todo()):
            alone = [i for i in todo if i in suspects]
            groups = [(i,) for i in alone] if alone else group_cells(self.study, todo)
            if beside or self.settings.shuffle is not None:  # two runs on one store should not compute the same cells
                seed = os.getpid() if self.settings.shuffle is None else self.settings.shuffle
                order = np.random.default_rng(seed).permutation(len(groups))
                groups = [groups[i] for i in order]
            size = 1 if alone or not first else self.settings.batch_size
            limit = self.settings.time_limit
            deadline = None if limit is None else self.started + limit
            self.plan = BatchPlan(groups, executor.n_jobs, self._known_to_others, size, deadline)
            blamed = self._one_pass(executor, run, one_at_a_time=bool(alone))
            suspects = (suspects - set(alone)) | blamed
            first = False

    def _one_pass(self, executor: Executor, run: str, *, one_at_a_time: bool) -> set[int]:
        """Run one plan; returns cells that may have killed a worker."""
        assert self.plan is not None
        blamed: set[int] = set()
        for event in executor.run(self.study, self.plan, one_at_a_time=one_at_a_time):
            if isinstance(event, Finished):
                self._commit(event, run)
            elif not self.stopped:
                blamed |= self._bury(event, run, sure=one_at_a_time)
        if self.plan.expired:
            self._stop("time limit")
        return blamed

    def _known_to_others(self, positions: Sequence[int]) -> set[int]:
        """Those of some cells that have a result by now, from whichever run; called from executors' threads."""
        found = peek(self.path, [self.study.keys[i] for i in positions])
        self.seen_done |= {self.position[key] for key in found}
        return self.seen_done & set(positions)

    def _commit(self, event: Finished, run: str) -> None:
        assert self.plan is not None
        study, outcome, finished = self.study, event.outcome, now()
        results = [
            StoredCell(
                study.keys[c.position],
                study.function.name,
                study.function.version,
                study.texts[c.position],
                c.record,
                c.seconds,
                outcome.environment[0],
                run,
                finished,
            )
            for c in outcome.cells
            if c.record is not None
        ]
        failed = [(c.position, c.error) for c in outcome.cells if c.error is not None]
        self.journal.add_results(
            results,
            [(study.keys[i], text) for i, text in failed],
            run=run,
            finished=finished,
            environment=outcome.environment,
        )
        good = {c.position for c in outcome.cells if c.record is not None}
        if self.keep:
            self.computed |= {c.position: c.record for c in outcome.cells if c.record is not None}
        new = len(good - self.seen_done)
        self.seen_done |= good
        self.failed_now -= good
        for i, text in failed:
            self._count_failure(i, text)
        self.plan.observe(len(event.batch.groups), outcome.seconds)
        self.bar.advance(new, seconds=time.monotonic() - self.started, failures=len(self.failed_now))

    def _count_failure(self, position: int, text: str) -> None:
        self.attempts[position] = self.attempts.get(position, 0) + 1
        self.failed_now.add(position)
        self.first_error = self.first_error or _last_line(text)

    def _bury(self, event: Died, run: str, *, sure: bool) -> set[int]:
        """A worker died: those that ran alone are at fault, others become suspects."""
        cells = {i for batch in event.suspects for i in batch.cells} - self.seen_done
        if sure:
            self.journal.add_results(
                [], [(self.study.keys[i], event.reason) for i in cells], run=run, finished=now(), environment=None
            )
            for i in cells:
                self._count_failure(i, event.reason)
        else:
            self.bar.say(f"{event.reason}; {len(cells)} cells are tried again one by one")
        return cells

    # -------------------------------------------------------------- stopping
    def _stop(self, why: str) -> None:
        self.stopped = self.stopped or why
        if self.plan is not None:
            self.plan.stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM stops cleanly, the second at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.stopped in ("interrupted", "terminated"):
                raise KeyboardInterrupt
            self._stop("interrupted" if number == signal.SIGINT else "terminated")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def _text(run: dict[str, Any]) -> str:
    return json.dumps(run, sort_keys=True, default=str)
