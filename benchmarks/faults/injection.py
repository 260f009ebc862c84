"""Injecting faults into running studies: kills, signals, several writers, flipped bits, full disks, lost workers.

Every function runs the study of :mod:`benchmarks.faults.study` in processes of its own and returns what was seen.
"""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench.errors import SfbenchError
from sfbench.experiments import DamagedStoreError, Journal, RunSettings, StoreError, run_study, store_path, verify
from sfbench.experiments.store.compare import digest

from .cells import fault_study

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, *options: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start the study in a process group of its own."""
    command = [sys.executable, "-m", "benchmarks.faults.study", str(folder), *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit,
    )


def finish(process: subprocess.Popen[str], timeout: float = 1800.0) -> tuple[int, str, str]:
    """Exit code and output of a study that is left alone."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def kill_group(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a study and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    if number == signal.SIGKILL:
        process.communicate()


def count_cells(folder: Path) -> int:
    """Committed results, seen from outside; 0 if there is no store yet."""
    if not store_path(folder).exists():
        return 0
    for mode in ("ro", "rw"):  # a writer killed within a commit leaves what only a writer can roll back
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{store_path(folder).as_uri()}?mode={mode}", uri=True, timeout=5)) as connection,
        ):
            return int(connection.execute("SELECT COUNT(*) FROM cell").fetchone()[0])
    return 0


def wait_for_cells(folder: Path, more_than: int, process: subprocess.Popen[str], timeout: float = 1800.0) -> None:
    """Wait until more results are committed than there were, or the study ends."""
    deadline = time.monotonic() + timeout
    while count_cells(folder) <= more_than and process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no progress in {timeout:g} s in {folder}")
        time.sleep(0.005)


def store_digest(folder: Path) -> str:
    """Digest of all results of a folder."""
    with Journal(store_path(folder)) as journal:
        return digest(journal)


def uninterrupted(folder: Path, cells: int, least_ms: float, **settings: Any) -> str:
    """Digest of the study run in this process."""
    run_study(fault_study(cells, least_ms), folder, RunSettings(progress=False, **settings))
    return store_digest(folder)


@final
@dataclass(frozen=True)
class Kills:
    """What a study survived."""

    kills: int
    in_mid_run: int
    progress: list[int]
    digest: str


def kill_at_random(
    folder: Path,
    *,
    kills: int,
    cells: int,
    least_ms: float,
    jobs: int,
    rng: np.random.Generator,
    latest_s: float = 3.0,
) -> Kills:
    """Kill a study with SIGKILL at random moments until it was killed ``kills`` times, then let it finish.

    Every other kill waits for a first new result, so that progress is guaranteed; the rest come at any moment of the
    first ``latest_s`` seconds of the process, opening and creating the store included.
    """
    options = ("--cells", str(cells), "--least-ms", str(least_ms), "--jobs", str(jobs))
    progress, in_mid_run = [], 0
    for i in range(kills):
        before = count_cells(folder)
        process = start(folder, *options)
        if i % 2:
            wait_for_cells(folder, before, process)
            time.sleep(float(rng.exponential(0.1 * latest_s)))
        else:
            time.sleep(float(rng.uniform(0.0, latest_s)))
        in_mid_run += process.poll() is None
        kill_group(process)
        progress.append(count_cells(folder) - before)
    code, out, err = finish(start(folder, *options))
    if code != 0:
        raise SfbenchError(f"the study did not finish after {kills} kills: exit code {code}, {out} {err}")
    return Kills(kills, in_mid_run, progress, store_digest(folder))


def run_together(folder: Path, writers: int, *, cells: int, least_ms: float) -> list[tuple[int, str, str]]:
    """Several processes on one store and the same cells."""
    options = ("--cells", str(cells), "--least-ms", str(least_ms))
    running = [start(folder, *options) for _ in range(writers)]
    return [finish(process) for process in running]


def flip_bit(path: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Flip one random bit of a file; returns its place."""
    place, bit = int(rng.integers(path.stat().st_size)), int(rng.integers(8))
    with path.open("r+b") as f:
        f.seek(place)
        byte = f.read(1)[0]
        f.seek(place)
        f.write(bytes([byte ^ (1 << bit)]))
    return place, bit


@final
@dataclass(frozen=True)
class Flips:
    """Outcomes of flipped bits."""

    found: int
    harmless: int
    silent: int


def flip_bits(folder: Path, n: int, *, rng: np.random.Generator) -> Flips:
    """Flip one bit in a fresh copy of a store, n times; a flip is found, harmless (same digest), or silent.

    Bytes that no row uses are not covered by any hash.
    """
    expected = store_digest(folder)
    found = harmless = silent = 0
    for _ in range(n):
        with tempfile.TemporaryDirectory() as place:
            shutil.copy(store_path(folder), place)
            flip_bit(store_path(place), rng)
            try:
                verify(store_path(place))
                same = store_digest(Path(place)) == expected
            except (DamagedStoreError, StoreError):
                found += 1
            else:
                harmless += same
                silent += not same
    return Flips(found, harmless, silent)


def limit_file_size(size: int) -> Callable[[], None]:
    """What to call in a child so that no file of its grows beyond a size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def small_disk(size: str) -> Iterator[Path | None]:
    """A file system of a few pages in memory; None where this process may not mount one."""
    place = Path(tempfile.mkdtemp())
    mounted = False
    try:
        mount = shutil.which("mount")
        if mount is not None and os.geteuid() == 0:
            command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], capture_output=True, check=False)
        place.rmdir()


@contextmanager
def dask_cluster(workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and worker processes that talk over TCP on the loopback interface."""
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as place:
        address_file = Path(place) / "scheduler.json"
        common = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}

        def launch(module: str, *options: str) -> None:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            processes.append(subprocess.Popen(command, **common))  # type: ignore[call-overload]

        try:
            launch(
                "dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(address_file),
            )
            for _ in range(workers):
                launch(
                    "dask_worker",
                    "--scheduler-file",
                    str(address_file),
                    "--nthreads",
                    "1",
                    "--no-nanny",
                    "--no-dashboard",
                    "--host",
                    "127.0.0.1",
                    "--local-directory",
                    place,
                )
            yield _wait_for_address(address_file), processes[1:]
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


def _wait_for_address(path: Path, timeout: float = 60.0) -> str:
    import json

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            return str(json.loads(path.read_text())["address"])
        except (OSError, ValueError, KeyError):
            time.sleep(0.1)
    raise TimeoutError(f"no scheduler came up in {timeout:g} s")


def kill_workers(victims: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill Dask workers."""
    for victim in victims:
        victim.kill()
        victim.wait()
