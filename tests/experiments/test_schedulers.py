"""Schedulers that are not there, say nothing, die, or lack what cells need; the keys of a cluster on this machine."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.injection import dask_cluster, finish, start, wait_for_cells
from sfbench.experiments import RunSettings, SchedulerError, run_study, store_path, verify
from sfbench.experiments.running import pools

from .example_cells import small_study

QUIET = RunSettings(progress=False, max_retries=0)


@contextmanager
def listener(answer: bytes) -> Iterator[str]:
    """Something that accepts connections and says one thing, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer:
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"\xff" * 64])
def test_what_listens_and_is_no_scheduler_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(pools, "CONNECT_S", 0.5)
    started = time.monotonic()
    with listener(answer) as address, pytest.raises(SchedulerError, match="cannot reach the scheduler"):
        run_study(small_study(1), tmp_path / "x", replace(QUIET, scheduler=address))
    assert time.monotonic() - started < 20.0
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_malformed_and_refused_addresses_are_one_line(tmp_path: Path) -> None:
    """In a process of its own, whose standard error shows what Dask says when it is torn down."""
    addresses = ["nonsense", "127.0.0.1", "tcp://", "", "tls://127.0.0.1:9", "tcp://a b:1", "\0:\1"]
    code = (
        "import sys; from sfbench.experiments import *; from tests.experiments.example_cells import small_study\n"
        "from sfbench.experiments.running import pools; pools.CONNECT_S = 0.5\n"
        f"for address in {addresses!r}:\n"
        f"  try: run_study(small_study(1), {str(tmp_path / 'x')!r}, RunSettings(scheduler=address, progress=False))\n"
        "  except SchedulerError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(addresses)
    assert all(line.startswith("cannot reach the scheduler") for line in lines)
    assert done.stderr == ""


@pytest.mark.parametrize("text", ["abc", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SFBENCH_WORKER_TIMEOUT_S", text)
    with pytest.raises(SchedulerError, match=f"SFBENCH_WORKER_TIMEOUT_S .* got '{text}'"):
        run_study(small_study(1), tmp_path, replace(QUIET, scheduler="tcp://127.0.0.1:9"))


@pytest.mark.slow
def test_a_scheduler_that_dies_is_one_line_and_results_are_kept(tmp_path: Path) -> None:
    with dask_cluster(1) as (address, processes):
        process = start(tmp_path, "--cells", "160", "--least-ms", "20", "--scheduler", address)
        wait_for_cells(tmp_path, 0, process)
        scheduler = _scheduler_of(processes[0].pid)
        os.kill(scheduler, 9)
        status, out, err = finish(process, timeout=120)
    assert status == 2, (out, err)
    assert "lost the scheduler" in err.splitlines()[-1]
    assert "results so far are kept" in err
    assert "Traceback" not in err
    assert verify(store_path(tmp_path)) > 160


def _scheduler_of(worker: int) -> int:
    """The scheduler that was started beside a worker."""
    parent = Path(f"/proc/{worker}/stat").read_text().split()[3]
    for entry in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"dask_scheduler" in Path(f"/proc/{entry}/cmdline").read_bytes():
            return int(entry)
    raise LookupError("no scheduler")


@pytest.mark.slow
def test_a_worker_without_the_cells_module_says_what_is_missing(tmp_path: Path) -> None:
    """It once died, and the run waited for workers that were there."""
    (tmp_path / "lonely_cells.py").write_text(
        "from dataclasses import dataclass\nfrom sfbench.experiments import study_cells\n\n"
        "@dataclass(frozen=True)\nclass Spec:\n    n: int\n\n"
        "@study_cells(version=1)\ndef run(spec):\n    return {'n': spec.n}\n"
    )
    code = (
        "import sys; from lonely_cells import *; from sfbench.experiments import *\n"
        "study = make_study('s', run, [Spec(n) for n in range(3)])\n"
        "try: run_study(study, sys.argv[1], RunSettings(scheduler=sys.argv[2], progress=False))\n"
        "except SchedulerError as error: print(error)\n"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}"}
    with dask_cluster(1) as (address, _):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "store"), address],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert "a worker cannot load the cells" in done.stdout
    assert "No module named 'lonely_cells'" in done.stdout


@pytest.mark.slow
def test_a_cluster_on_this_machine_has_keys(tmp_path: Path) -> None:
    """Without them, any user of the machine could run code in the study's own process."""
    from distributed import Client

    seen: list[Any] = []
    original = pools.DaskCluster

    def look(client: Any, folder: str) -> Any:
        address = client.scheduler.address
        seen.append(address)
        with pytest.raises(Exception, match=r"(?i)tls|ssl|comm|connect|security"):
            Client(address.replace("tls://", "tcp://"), timeout=2, set_as_default=False)
        return original(client, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "DaskCluster", look)
        _, outcome = run_study(small_study(1), tmp_path, replace(QUIET, scheduler="local", n_jobs=1))
    assert outcome.complete
    assert seen[0].startswith("tls://127.0.0.1:")
