"""Kills, signals, several writers, lost Dask workers: the same digest as an undisturbed run, to the last bit."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.faults import __main__ as faults
from benchmarks.faults import cells
from benchmarks.faults.cells import fault_study, run_fault_cell
from benchmarks.faults.injection import (
    count_cells,
    dask_cluster,
    finish,
    kill_at_random,
    kill_group,
    kill_workers,
    run_together,
    start,
    store_digest,
    uninterrupted,
    wait_for_cells,
)
from sfbench.experiments import Journal, RunSettings, SchedulerError, run_study, store_path

CELLS, LEAST_MS = 160, 10.0


def undisturbed(folder: Path) -> str:
    """Digest of the study, run or finished in this process, whose cells take no longer than they need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "time", SimpleNamespace(perf_counter=time.perf_counter, sleep=lambda seconds: None))
        return uninterrupted(folder, CELLS, LEAST_MS)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return undisturbed(tmp_path_factory.mktemp("reference"))


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, reference: str) -> None:
    """Six of the hundred moments of ``python -m benchmarks.faults``."""
    rng = np.random.default_rng(0)
    kills = kill_at_random(tmp_path, kills=6, cells=CELLS, least_ms=LEAST_MS, jobs=1, rng=rng, latest_s=1.2)
    assert kills.digest == reference
    assert all(kept >= 0 for kept in kills.progress)
    assert sum(kept > 0 for kept in kills.progress) >= 2  # all cells may be done before the last kills


@pytest.mark.slow
def test_three_writers_on_one_store_lose_and_double_nothing(tmp_path: Path, reference: str) -> None:
    ended = run_together(tmp_path, 3, cells=CELLS, least_ms=LEAST_MS)
    assert [code for code, _, _ in ended] == [0, 0, 0], ended
    assert store_digest(tmp_path) == reference
    assert count_cells(tmp_path) == CELLS
    with Journal(store_path(tmp_path)) as journal:
        runs = {cell.run for cell in journal.cells_of(run_fault_cell.name)}
        assert {run["outcome"] for run in journal.runs()} == {"complete"}
    assert len(runs) >= 2  # they shared the work


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_ends_cleanly_and_says_how_to_go_on(
    tmp_path: Path, reference: str, number: signal.Signals, code: int, jobs: str
) -> None:
    options = ("--cells", str(CELLS), "--least-ms", str(LEAST_MS))
    process = start(tmp_path, *options, "--jobs", jobs)
    wait_for_cells(tmp_path, 0, process)
    kill_group(process, number)  # workers get it too, as from a terminal
    status, out, err = finish(process)
    assert status == code, (out, err)
    assert "sfbench study resume" in out
    assert "Traceback" not in err
    kept = count_cells(tmp_path)
    assert 0 < kept < CELLS
    with Journal(store_path(tmp_path)) as journal:
        assert not journal.failures()
        assert journal.runs()[-1]["outcome"] in ("interrupted", "terminated")
    assert undisturbed(tmp_path) == reference


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    process = start(tmp_path, "--cells", "400", "--least-ms", "20", "--jobs", "2")
    wait_for_cells(tmp_path, 0, process)
    workers = _children(process.pid)
    assert workers
    process.kill()  # the parent alone
    process.communicate()
    deadline = time.monotonic() + 120
    while any(_is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_is_running(pid) for pid in workers)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split() if "popen_loky" in _command(int(child))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _is_running(pid: int) -> bool:
    return "popen_loky" in _command(pid)


@pytest.mark.slow
def test_dask_over_tcp_with_workers_killed_in_mid_run(tmp_path: Path, reference: str) -> None:
    """One is replaced by the others; without any, a signal ends the run at once."""
    options = ("--cells", str(CELLS), "--least-ms", str(LEAST_MS))
    with dask_cluster(2) as (address, workers):
        assert address.startswith("tcp://127.0.0.1:")
        process = start(tmp_path / "one", *options, "--scheduler", address)
        wait_for_cells(tmp_path / "one", 0, process)
        kill_workers(workers[:1])
        at_kill = count_cells(tmp_path / "one")
        status, out, err = finish(process)
        assert status == 0, (out, err)
        assert at_kill < CELLS
        assert store_digest(tmp_path / "one") == reference
        process = start(tmp_path / "all", *options, "--scheduler", address)
        wait_for_cells(tmp_path / "all", 0, process)
        kill_workers(workers[1:])
        process.send_signal(signal.SIGTERM)  # as where one signal goes to everything that belongs together
        status, out, err = finish(process, timeout=300)
    assert status == 143, (out, err)
    assert "stopped: terminated" in out
    assert 0 < count_cells(tmp_path / "all") < CELLS
    _finish_without_blame(tmp_path / "all", reference)


@pytest.mark.slow
def test_a_cluster_without_workers_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    """In this process, where the time to wait can be cut once the workers were there."""
    with dask_cluster(1) as (address, workers):

        def kill() -> None:
            while not count_cells(tmp_path):
                time.sleep(0.01)
            monkeypatch.setenv("SFBENCH_WORKER_TIMEOUT_S", "1")
            kill_workers(workers)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(SchedulerError, match="the cluster lost all its workers"):
            run_study(fault_study(CELLS, LEAST_MS), tmp_path, RunSettings(scheduler=address, progress=False))
        killer.join()
    assert 0 < count_cells(tmp_path) < CELLS
    _finish_without_blame(tmp_path, reference)


def _finish_without_blame(folder: Path, reference: str) -> None:
    with Journal(store_path(folder)) as journal:
        assert not journal.failures()  # no cell is to blame
    assert undisturbed(folder) == reference


def test_a_fault_that_could_not_be_injected_is_not_called_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No disk could be mounted; the run on Dask had ended before the workers were killed."""

    @contextmanager
    def no_disk(size: str) -> Iterator[None]:
        yield None

    @contextmanager
    def no_cluster(workers: int) -> Iterator[tuple[str, list[Any]]]:
        yield "tcp://127.0.0.1:9", []

    def start_nothing(folder: Path, *options: str, limit: Any = None) -> Any:
        return SimpleNamespace(returncode=2 if limit else 0, poll=lambda: 0)

    fakes = {
        "small_disk": no_disk,
        "dask_cluster": no_cluster,
        "start": start_nothing,
        "finish": lambda process: (process.returncode, "", "one line\n"),
        "wait_for_cells": lambda folder, more_than, process: None,
        "count_cells": lambda folder: 399,
        "store_digest": lambda folder: "the same",
        "uninterrupted": lambda folder, cells, least_ms, **settings: "the same",
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(faults, name, fake)
    assert faults.main(["--quick", "--part", "disks", "dask", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("right  file-size limit")
    assert [line.partition("  ")[0] for line in lines[1:3]] == ["not tested", "not tested"]
    assert "full disk" in lines[1]
    assert "0 in mid-run" in lines[2]
    assert lines[3] == "1 of 3 right, 2 not tested"
