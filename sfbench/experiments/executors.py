"""Where batches run: in this process, in worker processes (joblib), or on a Dask cluster.

Each executor pulls batches when it can use them and yields what came of them in any order; a worker that dies is
reported with the batches that may have been its own, and never ends the run.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final

from .batches import Batch, BatchPlan
from .cells import Study
from .errors import SchedulerError
from .worker import BatchOutcome, run_batch

_POLL_S, _LOOK_S = 0.005, 1.0  # between looks for arrivals, and for workers


@final
@dataclass(frozen=True)
class Finished:
    """A batch that came back."""

    batch: Batch
    outcome: BatchOutcome


@final
@dataclass(frozen=True)
class Died:
    """A worker died; one of these batches was on it."""

    suspects: tuple[Batch, ...]
    reason: str


class Executor(Protocol):
    """Runs the batches of a plan."""

    @property
    def n_jobs(self) -> int:
        """Cells computed at the same time."""
        raise NotImplementedError

    def run(self, study: Study[Any, Any], plan: BatchPlan, *, one_at_a_time: bool = False) -> Iterator[Finished | Died]:
        """Yield what comes of each batch; ``one_at_a_time`` puts the blame for a death on one batch."""
        ...  # pragma: no cover


def _groups(study: Study[Any, Any], batch: Batch) -> list[list[tuple[int, Any]]]:
    return [[(i, study.specs[i]) for i in group] for group in batch.groups]


@final
@dataclass(frozen=True)
class InProcess:
    """One batch after the other, here."""

    folder: str
    n_jobs: int = 1

    def run(self, study: Study[Any, Any], plan: BatchPlan, *, one_at_a_time: bool = False) -> Iterator[Finished | Died]:
        """Run in this process, which the runner keeps to one thread, as every worker is."""
        for batch in plan:
            yield Finished(
                batch,
                run_batch(study.function, batch.index, _groups(study, batch), place="here", folder=self.folder),
            )


@final
@dataclass(frozen=True)
class Processes:
    """Worker processes of this machine, through joblib."""

    folder: str
    n_jobs: int

    def run(self, study: Study[Any, Any], plan: BatchPlan, *, one_at_a_time: bool = False) -> Iterator[Finished | Died]:
        """Run in ``n_jobs`` processes; new ones are started when one dies."""
        from joblib import Parallel, delayed, parallel_config

        while not plan.stopped():
            out: dict[int, Batch] = {}

            def feed(out: dict[int, Batch] = out) -> Iterator[Any]:
                for batch in plan:
                    out[batch.index] = batch
                    groups = _groups(study, batch)
                    yield delayed(run_batch)(study.function, batch.index, groups, place="process", folder=self.folder)

            ahead = 1 if one_at_a_time else 2 * self.n_jobs
            with parallel_config(backend="loky", inner_max_num_threads=1):
                parallel = Parallel(
                    n_jobs=max(self.n_jobs, 2), return_as="generator_unordered", batch_size=1, pre_dispatch=ahead
                )
                try:
                    for outcome in parallel(feed()):
                        yield Finished(out.pop(outcome.index), outcome)
                except KeyboardInterrupt:
                    # of a second Ctrl-C; or of the first, caught by a worker that was only just starting
                    if plan.stopped():
                        return
                    yield Died(tuple(out.values()), "a worker process was interrupted")
                except BrokenProcessPool as error:
                    # joblib drops results that came back but were not collected yet: alone, the last was at work
                    suspects = tuple(out.values())[-1:] if one_at_a_time else tuple(out.values())
                    yield Died(suspects, f"a worker process died: {str(error).split('.')[0]}")
                else:
                    return


@final
@dataclass(frozen=True, eq=False)
class DaskCluster:
    """The workers of a Dask cluster. Dask itself moves the batches of a lost worker to another."""

    client: Any
    folder: str
    n_jobs: int

    def run(self, study: Study[Any, Any], plan: BatchPlan, *, one_at_a_time: bool = False) -> Iterator[Finished | Died]:
        """Keep two batches a worker thread in flight."""
        from distributed import as_completed

        batches, out = iter(plan), dict[Any, Batch]()
        arrivals = as_completed(loop=self.client.loop, with_results=True, raise_errors=False)
        ahead = 1 if one_at_a_time else 2 * self.n_jobs

        def top_up() -> None:
            while len(out) < ahead and (batch := next(batches, None)) is not None:
                future = self.client.submit(
                    run_batch, study.function, batch.index, _groups(study, batch), place="cluster",
                    folder=self.folder, pure=False,
                )  # fmt: skip
                out[future] = batch
                arrivals.add(future)

        top_up()
        try:
            while out:
                if not self._wait(arrivals, plan):
                    return
                future, result = next(arrivals)
                batch = out.pop(future)
                if isinstance(result, BatchOutcome):
                    yield Finished(batch, result)
                else:
                    error = result[1] if isinstance(result, tuple) else result
                    yield Died((batch,), f"the cluster could not finish the batch: {type(error).__name__}: {error}")
                top_up()
        finally:
            self.client.cancel(list(out))

    def _wait(self, arrivals: Any, plan: BatchPlan) -> bool:
        """Wait for a batch; False if the run was stopped and the workers are gone, by the same signal or another.

        Dask itself waits for ever for workers that do not come back.
        """
        seen = looked = time.monotonic()
        while not arrivals.has_ready():
            time.sleep(_POLL_S)
            now = time.monotonic()
            if now - looked < _LOOK_S:
                continue
            looked = now
            if self._has_workers():
                seen = now
            elif plan.stopped():
                return False
            elif now - seen > _worker_timeout():
                raise SchedulerError(
                    f"the cluster lost all its workers {now - seen:.0f} s ago; results so far are kept: start workers "
                    "again, then run the same command"
                )
        return True

    def _has_workers(self) -> bool:
        try:
            return bool(self.client.nthreads())
        except (OSError, TimeoutError):
            return False


@contextmanager
def open_executor(n_jobs: int, scheduler: str | None, folder: str) -> Iterator[Executor]:
    """The executor for a number of jobs and a scheduler.

    Parameters
    ----------
    n_jobs : int
        Worker processes; with a remote scheduler, what it has is used.
    scheduler : str or None
        None for this machine without Dask, ``"local"`` for a Dask cluster started here, else the address of a running
        scheduler, ``tcp://host:port``.
    folder : str
        Of the study, for cells that read files there.

    Raises
    ------
    SchedulerError
        If the scheduler cannot be reached or has no workers.
    ImportError
        If Dask is missing; says what to install.
    """
    if scheduler is None:
        yield InProcess(folder) if n_jobs == 1 else Processes(folder, n_jobs)
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ImportError("--scheduler needs Dask: pip install 'sfbench[dask]'") from None
    with ExitStack() as stack:
        if scheduler == "local":
            address: Any = stack.enter_context(
                LocalCluster(n_workers=n_jobs, threads_per_worker=1, processes=True, dashboard_address=None)
            )
        else:
            address = scheduler
        client = stack.enter_context(_connected(Client, address, scheduler))
        yield DaskCluster(client, folder, _count_workers(client, scheduler))


def _connected(client: Callable[..., Any], address: Any, scheduler: str) -> Any:
    try:
        return client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SchedulerError(
            f"cannot reach the scheduler {scheduler!r}: {reason}; start one with `dask scheduler`, or pass "
            "--scheduler local"
        ) from None


def _worker_timeout() -> float:
    return float(os.environ.get("SFBENCH_WORKER_TIMEOUT_S", "60"))


def _count_workers(client: Any, scheduler: str) -> int:
    timeout = _worker_timeout()
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError:
        raise SchedulerError(
            f"the scheduler {scheduler!r} has had no workers for {timeout:g} s; start some with "
            f"`dask worker {scheduler}`"
        ) from None
    return max(1, int(sum(client.nthreads().values())))
