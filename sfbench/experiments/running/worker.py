"""What happens in a worker: a batch of cells becomes texts, errors become tracebacks; one thread computes."""

import functools
import hashlib
import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from ...files import provenance
from ..canonical import encode_record
from ..cells import CellFunction, in_study_folder
from ..errors import StudyError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
Groups = Sequence[Sequence[tuple[str, Any]]]  # keys and specs


@final
@dataclass
class BatchOutcome:
    """What came of a batch, by key: (text, record, seconds) or a traceback; and where it ran.

    ``unusable`` says why a worker could not even begin.
    """

    environment: tuple[str, str]
    records: dict[str, tuple[str, Any, float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    unusable: str = ""


def run_batch(function: CellFunction, groups: Groups, folder: str) -> BatchOutcome:
    """Compute groups of (key, spec) of the study in ``folder``; never raises for what a cell does."""
    started, outcome = time.perf_counter(), BatchOutcome(environment())
    with in_study_folder(folder):
        for group in groups:
            _run_group(function, group, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


def run_elsewhere(task: bytes, folder: str, *, is_child: bool) -> BatchOutcome:
    """Compute a pickled (function, groups) in a worker process."""
    settle_in(is_child)
    try:
        function, groups = pickle.loads(task)
    except Exception as error:  # whatever a module does when it is imported
        return BatchOutcome(("", ""), unusable=f"{type(error).__name__}: {error} (on {socket.gethostname()})")
    return run_batch(function, groups, folder)


def _run_group(function: CellFunction, group: Sequence[tuple[str, Any]], outcome: BatchOutcome) -> None:
    started = time.perf_counter()
    try:
        records = [encode_record(record) for record in function.records([spec for _, spec in group])]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and the like are a cell's failure, not the run's end
        if len(group) > 1:  # which of them is at fault?
            for member in group:
                _run_group(function, [member], outcome)
            return
        text = str(error) if isinstance(error, StudyError) else _traceback(error)
        outcome.errors[group[0][0]] = text.encode(errors="backslashreplace").decode()
        return
    share = (time.perf_counter() - started) / len(group)
    outcome.records.update({key: (*record, share) for (key, _), record in zip(group, records, strict=True)})


def _traceback(error: BaseException) -> str:
    """The traceback from the cell function on; the engine's own frames say nothing."""
    frames, own = error.__traceback__, {__file__, CellFunction.records.__code__.co_filename}
    while frames is not None and frames.tb_frame.f_code.co_filename in own:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


process_provenance = functools.cache(provenance)  # of one process, asked for once


@functools.cache
def environment() -> tuple[str, str]:
    """Identity and description of this process's libraries and BLAS kernel."""
    known = process_provenance()
    text = json.dumps({name: known[name] for name in ("versions", "python", "machine", "blas")}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), text


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of BLAS, OpenMP and torch, so that bits do not depend on the number of workers.

    Libraries that are loaded are told; those that a cell loads later read it from the environment.
    """
    from threadpoolctl import ThreadpoolController

    before = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    usual = before.get("OMP_NUM_THREADS", "")
    loaded = {pool["filepath"] for pool in ThreadpoolController().info()}
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch is not None else 0
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        with ThreadpoolController().limit(limits=1):
            if torch is not None:  # it keeps a number of its own
                torch.set_num_threads(1)
            yield
    finally:
        for name in THREAD_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)
        if torch is not None:
            torch.set_num_threads(torch_threads)
        for library in ThreadpoolController().lib_controllers:  # those that came with a cell
            if library.filepath not in loaded:
                library.set_num_threads(int(usual) if usual.isdigit() else os.cpu_count() or 1)


_FOR_LIFE = ExitStack()


@functools.cache
def settle_in(is_child: bool) -> None:
    """Once a worker process: cap the threads; a child leaves Ctrl-C to its parent, and dies with it."""
    _FOR_LIFE.enter_context(one_thread())
    if is_child:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()


def _follow_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
