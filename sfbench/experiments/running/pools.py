"""Where batches run: in this process, in worker processes (loky), or on a Dask cluster; one future a batch."""

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, final

from ..cells import CellFunction
from ..errors import SchedulerError
from .worker import THREAD_VARIABLES, BatchOutcome, Groups, run_batch, run_elsewhere, settle_in

CONNECT_S = 10.0  # for a scheduler to answer
_IDLE_S = 300  # after which worker processes end by themselves
_ADDRESS = re.compile(r"[a-z]+://[^\s/:]+:\d{1,5}/?")


@final
@dataclass(frozen=True)
class Pool:
    """How many batches run at the same time, what takes one, and whether workers are there when nothing came back."""

    n_jobs: int
    submit: Callable[[CellFunction, Groups], Future[BatchOutcome]]
    look: Callable[[], bool] = lambda: True


def open_pool(n_jobs: int, scheduler: str | None, folder: str) -> AbstractContextManager[Pool]:
    """The pool for a number of jobs and a scheduler; cells find the files of their study in ``folder``."""
    return _here(n_jobs, folder) if scheduler is None else _cluster(n_jobs, scheduler, folder)


def _pickled(function: CellFunction, groups: Groups) -> bytes:
    """By us, and read by :func:`run_elsewhere`: a worker that lacks a module can then say so."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps((function, groups)))


@contextmanager
def _here(n_jobs: int, folder: str) -> Iterator[Pool]:
    """This process for one job, else worker processes, which the next run of this process finds again."""

    def executor() -> Any:  # the running one, or another if a worker died
        from joblib.executor import get_memmapping_executor  # joblib's own, which its Parallel may find after us

        threads = dict.fromkeys(THREAD_VARIABLES, "1")
        return get_memmapping_executor(n_jobs, timeout=_IDLE_S, initializer=settle_in, initargs=(True,), env=threads)

    def submit(function: CellFunction, groups: Groups) -> Future[BatchOutcome]:
        future: Future[BatchOutcome] = Future()
        try:
            if n_jobs > 1:
                return executor().submit(run_elsewhere, _pickled(function, groups), folder, is_child=True)  # type: ignore[no-any-return]
            future.set_result(run_batch(function, groups, folder))
        except BrokenExecutor as error:  # a worker died just now
            future.set_exception(error)
        return future

    try:
        yield Pool(n_jobs, submit)
    except KeyboardInterrupt:
        if n_jobs > 1:
            executor().shutdown(wait=False, kill_workers=True)
        raise


# ---------------------------------------------------------------------- a cluster
@final
class DaskCluster:
    """The workers of a Dask cluster. Dask itself moves the batches of a lost worker to another."""

    def __init__(self, client: Any, folder: str) -> None:
        self._client, self._folder = client, folder
        self._executor = client.get_executor(pure=False)
        self._alone_since = math.inf

    def submit(self, function: CellFunction, groups: Groups) -> Future[BatchOutcome]:
        """Hand the batch to the scheduler."""
        task = _pickled(function, groups)
        try:
            return self._executor.submit(run_elsewhere, task, self._folder, is_child=False)  # type: ignore[no-any-return]
        except Exception as error:  # Dask's own, of many kinds
            raise lost_scheduler(error) from None

    def look(self) -> bool:
        """Dask itself waits for ever for workers that do not come back; raises SchedulerError when it is too long."""
        if self._client.status != "running":
            raise lost_scheduler(f"the connection is {self._client.status}")
        workers, now = None, time.monotonic()
        with suppress(OSError, TimeoutError):
            workers = self._client.nthreads()
        self._alone_since = math.inf if workers else min(self._alone_since, now)
        if now - self._alone_since > _worker_timeout():
            ago = f"the cluster lost all its workers {now - self._alone_since:.0f} s ago"
            raise SchedulerError(f"{ago}; results so far are kept: start workers again, then run the same command")
        return bool(workers)


def lost_scheduler(reason: object) -> SchedulerError:
    """The error of a scheduler that went away."""
    kept = "results so far are kept: start it again, then run the same command"
    return SchedulerError(f"lost the scheduler ({reason}); {kept}")


@contextmanager
def _cluster(n_jobs: int, scheduler: str, folder: str) -> Iterator[Pool]:
    timeout, address = _worker_timeout(), scheduler
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(f"--scheduler needs Dask: pip install 'sfbench[dask]' ({error})") from None
    with ExitStack() as stack:
        logger = logging.getLogger("distributed.client")  # a lost scheduler is one line, and ours
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        if scheduler == "local":  # with keys: without, any user of this machine could run code here
            kind = {"processes": True, "dashboard_address": None, "security": True, "protocol": "tls://"}
            address = stack.enter_context(LocalCluster(n_workers=n_jobs, threads_per_worker=1, **kind))
        else:
            _ask(scheduler)
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_S, set_as_default=False))
            client.wait_for_workers(1, timeout=timeout)
            n_jobs = max(1, int(sum(client.nthreads().values())))
        except TimeoutError:
            none = f"the scheduler {scheduler!r} has had no workers for {timeout:g} s"
            raise SchedulerError(f"{none}; start some with `dask worker {scheduler}`") from None
        except (OSError, ValueError) as error:
            raise _unreachable(scheduler, error) from None
        cluster = DaskCluster(client, folder)
        yield Pool(n_jobs, cluster.submit, cluster.look)


def _ask(address: str) -> None:
    """Ask a scheduler for its identity; Dask's client waits for ever for something that listens and never answers."""
    from distributed.core import rpc

    async def identity() -> Any:
        async with asyncio.timeout(CONNECT_S), rpc(address) as scheduler:
            return await scheduler.identity()

    if not _ADDRESS.fullmatch(address):
        raise _unreachable(address, "it is not an address such as tcp://host:8786")
    try:
        with ThreadPoolExecutor(1) as thread:  # this one may run a loop of its own, as notebooks do
            answer = thread.submit(lambda: asyncio.run(identity())).result()
    except Exception as error:  # of many kinds: whatever listens there may say anything
        raise _unreachable(address, error) from None
    if not isinstance(answer, dict) or answer.get("type") != "Scheduler":
        raise _unreachable(address, "what listens there is not a Dask scheduler")


def _unreachable(scheduler: str, reason: object) -> SchedulerError:
    why = (str(reason).splitlines() or [f"it did not answer in {CONNECT_S:g} s"])[0]
    way = "start one with `dask scheduler`, or pass --scheduler local"
    return SchedulerError(f"cannot reach the scheduler {scheduler!r}: {why}; {way}")


def _worker_timeout() -> float:
    """Seconds without any worker after which a run gives up; raises SchedulerError if that is not a number."""
    text = os.environ.get("SFBENCH_WORKER_TIMEOUT_S", "60")
    with suppress(ValueError):
        if 0.0 < float(text) < float("inf"):
            return float(text)
    raise SchedulerError(f"SFBENCH_WORKER_TIMEOUT_S must be a positive number of seconds, got {text!r}")
