"""Running a study: only what is missing is computed, every batch is committed at once, and nothing stops the rest.

A cell that raises is recorded with its traceback and tried again, at most ``max_retries`` times over all runs. A worker
that dies leaves suspects, which are tried again one by one, so that the blame falls on the right cell. Ctrl-C, SIGTERM
and the time limit let the cells at work finish and commit them; a second signal ends the run at once, which loses those
alone.
"""

import os
import random
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from ...errors import OutputError
from ...progress import Progress, progress
from ..canonical import decode_record, last_line, printable
from ..cells import Study
from ..errors import DamagedStoreError, SchedulerError
from ..store.journal import Journal
from ..store.opening import store_path
from ..store.repair import repair
from ..store.rows import StoredCell
from .plan import Batch, Plan, group_cells
from .pools import Pool, lost_scheduler, open_pool
from .settings import Outcome, RunSettings
from .worker import BatchOutcome, environment, one_thread, process_provenance

_LOOK_S = 1.0  # between looks for workers while nothing comes back


def open_for_writing(path: Path) -> Journal:
    """Open a store, setting a damaged one aside first, with a warning."""
    try:
        return Journal(path, "write")
    except DamagedStoreError as error:
        saved = repair(path)
        if saved is not None:  # else another process has repaired it by now
            print(
                f"warning: {str(error).split('; run:')[0]}; kept it as {saved.aside.name}, saved {saved.kept} intact "
                "rows; what was lost is computed again",
                file=sys.stderr,
            )
        return Journal(path, "write")


def run_study(
    study: Study, folder: str | os.PathLike[str], settings: RunSettings | None = None
) -> tuple[list[Any], Outcome]:
    """Compute the missing cells of a study, whose store is in ``folder`` (or is this ``.sqlite`` file itself).

    Returns records in the order of ``study.specs``, None where a cell has no result, and the outcome. Raises
    StudyError, StoreError, SchedulerError, OutputError.
    """
    run = _Run(study, store_path(folder), settings or RunSettings())
    with run.finished() as journal:
        others = [key for key in study.keys if key not in run.computed]
        records = run.computed | {key: decode_record(cell.record) for key, cell in journal.cells(others).items()}
    return [records.get(key) for key in study.keys], run.outcome


def finish_study(study: Study, path: Path, settings: RunSettings) -> Outcome:
    """Compute the missing cells of a study without reading the others; see :func:`run_study`."""
    run = _Run(study, path, settings)
    with run.finished():
        return run.outcome


class _Run:
    """State of one run; cells are known by their keys."""

    outcome: Outcome
    journal: Journal
    bar: Progress

    def __init__(self, study: Study, path: Path, settings: RunSettings) -> None:
        self.study, self.path, self.settings, self.started = study, path, settings, time.monotonic()
        self.specs, self.texts = (dict(zip(study.keys, x, strict=True)) for x in (study.specs, study.texts))
        self.computed: dict[str, Any] = {}
        self.done: set[str] = set()
        self.attempts: dict[str, int] = {}
        self.stopped = self.first_error = ""
        self.id = uuid.uuid4().hex

    # -------------------------------------------------------------- the whole
    @contextmanager
    def finished(self) -> Iterator[Journal]:
        """Run; the store is still open inside."""
        settings, study = self.settings, self.study
        where = (1, None) if study.function.alone else (settings.n_jobs, settings.scheduler)
        with (
            one_thread(),
            open_pool(*where, str(self.path.resolve().parent)) as pool,
            open_for_writing(self.path) as self.journal,
        ):
            with self._signals():
                self._execute(pool)
            yield self.journal

    def _execute(self, pool: Pool) -> None:
        settings, study, journal = self.settings, self.study, self.journal
        note = journal.register(study, settings.on_conflict)
        if not settings.resume:
            journal.drop(study.keys)
        if settings.retry_failed:
            journal.drop(study.keys, "failure")
        self.done = journal.done(study.keys)
        failures, cached = journal.failures(), len(self.done)
        self.attempts = {key: len(failures[key]) for key in study.keys if key in failures}
        self.first_error = next((last_line(failures[key][-1]) for key in self.attempts), "")
        beside = any(not other.get("finished") for other in journal.runs())
        run = {"id": self.id, "started": _now(), "finished": None, "outcome": "running"} | process_provenance()
        run |= {"host": socket.gethostname(), "pid": os.getpid()}
        run["settings"] = asdict(settings) | {"study": study.name, "note": note}
        journal.write_run(run)
        try:
            with progress(len(study.keys), study.name, settings.progress, done=cached) as self.bar:
                if note:
                    self.bar.say(f"{study.name}: {note}: {len(study.keys) - cached} cells are computed anew")
                self._compute(pool, shuffled=beside)
        except BaseException as error:
            with suppress(OutputError):
                journal.write_run(run | {"finished": _now(), "outcome": f"error: {type(error).__name__}: {error}"})
            raise
        exhausted = sum(key not in self.done and n > settings.max_retries for key, n in self.attempts.items())
        counts = len(study.keys), len(self.done), cached, exhausted
        seconds, first = time.monotonic() - self.started, self.first_error if exhausted else ""
        self.outcome = Outcome(study.name, self.path, *counts, seconds, self.stopped, first)
        ended = self.stopped or ("complete" if self.outcome.complete else "failures")
        journal.write_run(run | {"finished": _now(), "outcome": ended})

    # -------------------------------------------------------------- passes
    def _compute(self, pool: Pool, *, shuffled: bool) -> None:
        """Passes over what is missing, until nothing is or nothing may be tried again."""
        suspects, first, most = set[str](), True, self.settings.max_retries
        while not self.stopped:
            todo = [key for key in self.specs if key not in self.done and self.attempts.get(key, 0) <= most]
            if not todo:
                return
            alone = [key for key in todo if key in suspects]
            groups: list[tuple[str, ...]] = [(key,) for key in alone] or group_cells(self.study, todo)
            if shuffled:  # runs beside each other should not compute the same cells
                random.Random(self.id).shuffle(groups)
            plan = Plan(groups, pool.n_jobs, singly=bool(alone) or not first, suspects=bool(alone))
            suspects = (suspects - set(alone)) | self._one_pass(pool, plan)
            first = False

    def _one_pass(self, pool: Pool, plan: Plan) -> set[str]:
        """Compute a plan's batches; returns the cells whose worker died."""
        out: dict[Future[BatchOutcome], Batch] = {}
        blamed: set[str] = set()
        while True:
            while len(out) < plan.at_once and (batch := self._next_batch(plan)):
                groups = [[(key, self.specs[key]) for key in group] for group in batch]
                out[pool.submit(self.study.function, groups)] = batch
            if not out:
                return blamed
            ready, _ = wait(out, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            if not ready and not pool.look() and self.stopped:
                return blamed  # the workers are gone, by the same signal or another
            for future in ready:
                batch = out.pop(future)
                if future.cancelled():
                    raise lost_scheduler("it cancelled a batch")
                if (error := future.exception()) is None:
                    self._commit(batch, future.result(), plan)
                elif not self.stopped:
                    blamed |= self._blame(batch, error, plan)

    def _next_batch(self, plan: Plan) -> Batch:
        """The next groups of a plan, without what other runs have done by now; none if it is time to stop."""
        limit = self.settings.time_limit
        while not self.stopped and (groups := plan.take()):
            if limit is not None and time.monotonic() > self.started + limit:
                self.stopped = "time limit"
                break
            self.done |= self.journal.done(key for group in groups for key in group)
            left = (tuple(key for key in group if key not in self.done) for group in groups)
            if batch := tuple(filter(None, left)):
                return batch
        return ()

    def _commit(self, batch: Batch, outcome: BatchOutcome, plan: Plan) -> None:
        if outcome.unusable:
            raise SchedulerError(
                f"a worker cannot load the cells: {outcome.unusable}; give every worker the modules and packages of "
                "this environment, then run the same command"
            )
        function, records, finished = self.study.function, outcome.records, _now()
        of, where = (function.name, function.version), (outcome.environment[0], self.id, finished)
        results = [StoredCell(key, *of, self.texts[key], text, s, *where) for key, (text, _, s) in records.items()]
        failures = [(key, self.id, finished, text) for key, text in outcome.errors.items()]
        self.journal.add_results(results, failures, outcome.environment)
        new = len(records.keys() - self.done)
        self.computed |= {key: record for key, (_, record, _) in records.items()}
        self.done |= records.keys()
        for key, text in outcome.errors.items():
            self.attempts[key] = self.attempts.get(key, 0) + 1
            self.first_error = self.first_error or last_line(text)
        plan.observe(batch, outcome.seconds)
        failed = len(self.attempts.keys() - self.done)
        self.bar.advance(new, f"{failed} failed" if failed else "")

    def _blame(self, batch: Batch, error: BaseException, plan: Plan) -> set[str]:
        """A worker died: a batch that ran alone is at fault, others are suspects."""
        what = "process died" if isinstance(error, BrokenExecutor) else "could not finish the batch"
        reason = f"a worker {what}: {type(error).__name__}: {printable(str(error)).split('.')[0].strip()}"
        cells = {key for group in batch for key in group} - self.done
        if plan.suspects:
            self._commit(batch, BatchOutcome(environment(), errors=dict.fromkeys(cells, reason)), plan)
        else:
            self.bar.say(f"{reason}; {len(cells)} cells are tried again one by one")
        return cells

    # -------------------------------------------------------------- stopping
    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM stops cleanly, the second at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.stopped in ("interrupted", "terminated"):
                raise KeyboardInterrupt
            self.stopped = "interrupted" if number == signal.SIGINT else "terminated"

        with ExitStack() as before:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    before.callback(signal.signal, number, signal.signal(number, handle))
            yield


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
