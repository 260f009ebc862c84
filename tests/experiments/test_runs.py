"""Running, resuming, failing, stopping: what a run leaves behind."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfbench.experiments import (
    CellFunction,
    GridConflictError,
    IncompleteStudyError,
    Journal,
    RunSettings,
    SchedulerError,
    StudyError,
    complete_records,
    in_study_folder,
    make_study,
    run_study,
    store_path,
)
from sfbench.experiments.running import pools
from sfbench.experiments.running.resume import resume
from sfbench.experiments.running.runner import finish_study
from sfbench.experiments.store.compare import digest

from .example_cells import Spec, read_input, run_alone, run_cell, run_group, small_study

QUIET = RunSettings(progress=False)


def store_digest(folder: Path) -> str:
    with Journal(store_path(folder)) as journal:
        return digest(journal)


def test_records_come_in_the_order_of_the_specs_and_equal_the_bare_function(tmp_path: Path) -> None:
    study = small_study(4)
    records, outcome = run_study(study, tmp_path, QUIET)
    assert outcome.complete
    assert (outcome.exit_code, outcome.cached) == (0, 0)
    bare = [run_cell(spec) for spec in study.specs]
    assert [r["tv"] for r in records] == [r["tv"] for r in bare]
    again, outcome = run_study(study, tmp_path, QUIET)
    assert again == records
    assert outcome.cached == len(records)


@pytest.mark.slow
def test_order_and_number_of_workers_change_no_bit(tmp_path: Path) -> None:
    found = set()
    study = small_study(6)
    for jobs in (1, 2, 4):
        folder, order = tmp_path / str(jobs), np.random.default_rng(jobs).permutation(len(study.specs))
        shuffled = make_study("rates", run_cell, [study.specs[i] for i in order])
        run_study(shuffled, folder, replace(QUIET, n_jobs=jobs))
        found.add(store_digest(folder))
    run_study(small_study(2), tmp_path / "grown", QUIET)  # cells that exist already change none that come later
    run_study(small_study(6), tmp_path / "grown", QUIET)
    found.add(store_digest(tmp_path / "grown"))
    assert len(found) == 1
    run_study(small_study(7), tmp_path / "other", QUIET)
    assert store_digest(tmp_path / "other") not in found


def test_a_larger_grid_computes_only_what_is_new(tmp_path: Path) -> None:
    run_study(small_study(3), tmp_path, QUIET)
    _, outcome = run_study(small_study(5), tmp_path, QUIET)
    assert (outcome.cached, outcome.done) == (18, 30)
    records, outcome = run_study(small_study(2), tmp_path, QUIET)  # a smaller one is read, and the store keeps its grid
    assert len(records) == outcome.done == 12
    with Journal(store_path(tmp_path)) as journal:
        assert len(journal.grid("rates")) == 30


def test_a_conflicting_grid_is_refused_says_what_differs_and_touches_nothing(tmp_path: Path) -> None:
    run_study(small_study(2), tmp_path, QUIET)
    before = store_path(tmp_path).read_bytes()
    other = make_study("rates", run_cell, [Spec(16, 0, "a"), Spec(16, 0, "c")])
    with pytest.raises(
        GridConflictError,
        match=r'11 cells that are not asked for, such as .*"solver":"a".*and not 1 that are, such as .*"solver":"c"',
    ):
        run_study(other, tmp_path, QUIET)
    with pytest.raises(GridConflictError, match="not of"):
        run_study(make_study("rates", run_group, [Spec(1, 1)]), tmp_path, QUIET)
    assert store_path(tmp_path).read_bytes() == before
    _, outcome = run_study(other, tmp_path, replace(QUIET, on_conflict="extend"))
    assert outcome.cached == 1
    with Journal(store_path(tmp_path)) as journal:
        assert len(journal.grid("rates")) == 13
    run_study(other, tmp_path, replace(QUIET, on_conflict="replace"))
    with Journal(store_path(tmp_path)) as journal:
        assert len(journal.grid("rates")) == 2
        assert len(journal.cells_of(run_cell.name)) == 13  # nothing is lost


def test_a_bumped_version_forces_recomputation(tmp_path: Path) -> None:
    study = small_study(2)
    run_study(study, tmp_path, QUIET)
    bumped = make_study("rates", CellFunction(run_cell.function, version="2"), study.specs)
    _, outcome = run_study(bumped, tmp_path, QUIET)
    assert (outcome.cached, outcome.done) == (0, 12)
    single = make_study("rates", CellFunction(run_cell.function, version="2", dtype="float32"), study.specs)
    assert run_study(single, tmp_path, QUIET)[1].cached == 0


@pytest.mark.slow
def test_joblib_goes_on_in_a_process_that_ran_a_study(tmp_path: Path) -> None:
    """In one of its own: whose workers the first run finds must not depend on other tests."""
    program = (
        "import math, sys; from joblib import Parallel, delayed\n"
        "from sfbench.experiments import RunSettings, run_study\n"
        "from tests.experiments.example_cells import small_study\n"
        "for i in (1, 2):\n"
        "    outcome = run_study(small_study(4), f'{sys.argv[1]}/{i}', RunSettings(n_jobs=2, progress=False))[1]\n"
        "    print(outcome.complete, Parallel(n_jobs=2)(delayed(math.sqrt)(x) for x in (4, 9)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == ["True [2.0, 3.0]"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_failing_cells_are_recorded_retried_and_stop_nobody(tmp_path: Path, jobs: int) -> None:
    good, bad = small_study(2).specs, [Spec(16, s, "a", "raise") for s in range(2)]
    study = make_study("rates", run_cell, [*bad, *good, Spec(16, 0, "a", "nan")])
    settings = replace(QUIET, n_jobs=jobs, max_retries=1)
    records, outcome = run_study(study, tmp_path, settings)
    assert (outcome.done, outcome.failed, outcome.missing, outcome.exit_code) == (12, 3, 0, 1)
    assert [record is None for record in records] == [True] * 2 + [False] * 12 + [True]
    with pytest.raises(IncompleteStudyError, match="3 failed every attempt"):
        complete_records(records, outcome)
    with Journal(store_path(tmp_path)) as journal:
        failures = journal.failures()
    assert {len(texts) for texts in failures.values()} == {2}
    assert "example_cells.py" in failures[study.keys[0]][0]
    assert "ValueError: unlucky seed 0" in failures[study.keys[0]][0]
    assert "record['tv'] is nan" in failures[study.keys[-1]][0]
    started = time.monotonic()
    assert run_study(study, tmp_path, settings)[1].failed == 3  # out of retries: not even tried
    assert time.monotonic() - started < 5.0
    with Journal(store_path(tmp_path)) as journal:
        assert journal.failures() == failures
    run_study(study, tmp_path, replace(settings, retry_failed=True))
    with Journal(store_path(tmp_path)) as journal:
        assert {len(texts) for texts in journal.failures().values()} == {2}


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_is_found_and_the_others_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = Spec(16, 99, "a", "die")
    study = make_study("rates", run_cell, [*small_study(3).specs, killer])
    _, outcome = run_study(study, tmp_path, replace(QUIET, n_jobs=2, max_retries=1))
    assert (outcome.done, outcome.failed) == (18, 1)
    with Journal(store_path(tmp_path)) as journal:
        failures = journal.failures()
    assert list(failures) == [study.keys[-1]]
    assert "worker process died" in failures[study.keys[-1]][0]
    monkeypatch.setenv("SFBENCH_TEST_SPARE", "1")
    assert run_study(study, tmp_path, replace(QUIET, retry_failed=True))[1].complete


@pytest.mark.slow
def test_timed_cells_stay_in_this_process(tmp_path: Path) -> None:
    specs = [Spec(n, 0) for n in range(1, 4)]
    records, _ = run_study(make_study("timed", run_alone, specs), tmp_path, replace(QUIET, n_jobs=2))
    assert records == [os.getpid()] * 3
    anywhere = CellFunction(run_alone.function)
    records, _ = run_study(make_study("any", anywhere, specs), tmp_path / "other", replace(QUIET, n_jobs=2))
    assert os.getpid() not in records


def test_cells_of_a_group_share_a_call_and_a_failing_group_is_taken_apart(tmp_path: Path) -> None:
    specs = [Spec(n, seed) for n in (10, 100) for seed in range(5)]
    study = make_study("prefix", run_group, specs)
    records, _ = run_study(study, tmp_path, replace(QUIET, n_jobs=2))
    alone = [run_group.function([spec])[0] for spec in specs]
    assert records == alone
    bad = make_study("bad", run_group, [*specs[:3], Spec(10, 0, "a", "raise")])
    _, outcome = run_study(bad, tmp_path, replace(QUIET, max_retries=0))
    assert (outcome.done, outcome.failed) == (3, 1)


@pytest.mark.slow
def test_a_time_limit_stops_cleanly_and_a_resume_goes_on(tmp_path: Path) -> None:
    study = small_study(4, "slow")
    for _ in range(20):  # a busy machine may take all the time to begin
        _, outcome = run_study(study, tmp_path, replace(QUIET, time_limit=0.3))
        assert outcome.exit_code == 3
        if outcome.done:
            break
    assert 0 < outcome.done < 24  # each takes 50 ms
    assert "sfbench study resume" in outcome.summary()
    assert run_study(study, tmp_path, replace(QUIET, n_jobs=2))[1].complete


@pytest.mark.slow
def test_a_time_limit_spans_all_studies_of_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        specs = [Spec(16, seed, name, "slow") for seed in range(12)]
        run_study(make_study(name, run_cell, specs), tmp_path, replace(QUIET, time_limit=1e-9))
    given = []

    def finish_slowly(study: Any, path: Path, settings: RunSettings) -> Any:
        given.append(settings.time_limit)
        if study.name == "a":
            settings = replace(settings, time_limit=None)  # its 12 cells of 50 ms take all the time there is
        return finish_study(study, path, settings)

    monkeypatch.setattr(import_module("sfbench.experiments.running.resume"), "finish_study", finish_slowly)
    outcomes = resume(store_path(tmp_path), replace(QUIET, time_limit=0.5))
    assert [outcome.stopped for outcome in outcomes] == ["", "time limit"]
    assert outcomes[1].done < 12
    assert given[0] <= 0.5
    assert given[1] < 0.01


@pytest.mark.slow
def test_two_runs_in_one_process_share_a_store(tmp_path: Path) -> None:
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(run_study(small_study(3, "slow"), tmp_path, QUIET)[1]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.complete for outcome in outcomes] == [True, True]
    run_study(small_study(3, "slow"), tmp_path / "alone", QUIET)
    assert store_digest(tmp_path) == store_digest(tmp_path / "alone")


def test_a_run_beside_others_takes_another_order(tmp_path: Path) -> None:
    """Array jobs on many machines share a store: in one order, all would compute the same cells at the same time."""
    study = small_study(10)

    def order(folder: Path) -> list[str]:
        run_study(study, folder, QUIET)
        with Journal(store_path(folder)) as journal:
            return [row[0] for row in journal._connection.execute("SELECT key FROM cell ORDER BY rowid")]

    assert order(tmp_path / "alone") == list(study.keys)
    with Journal(store_path(tmp_path / "beside"), "write") as journal:
        journal.write_run({"id": "x", "host": "elsewhere", "started": "2026-01-01", "finished": None})
    found = order(tmp_path / "beside")
    assert found != list(study.keys)
    assert sorted(found) == sorted(study.keys)


@pytest.mark.slow
def test_an_unreachable_scheduler_is_one_line_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CONNECT_S", 0.5)  # Dask's client asks again until then
    with pytest.raises(SchedulerError, match=r"cannot reach the scheduler 'tcp://127.0.0.1:9'"):
        run_study(small_study(1), tmp_path / "x", replace(QUIET, scheduler="tcp://127.0.0.1:9"))
    with pytest.raises(SchedulerError, match="cannot reach the scheduler 'nonsense'"):
        run_study(small_study(1), tmp_path / "x", replace(QUIET, scheduler="nonsense"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"n_jobs": 0}, "number of jobs"),
        ({"time_limit": 0.0}, "time limit"),
        ({"time_limit": float("nan")}, "time limit"),
        ({"max_retries": -1}, "retries"),
        ({"on_conflict": "maybe"}, "grid conflict"),
    ],
)
def test_bad_settings_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        RunSettings(**bad)


def test_the_store_says_what_ran(tmp_path: Path) -> None:
    run_study(small_study(1), tmp_path, QUIET)
    with Journal(store_path(tmp_path)) as journal:
        (run,), (environment,) = journal.runs(), journal.environments().values()
    assert run["outcome"] == "complete"
    assert run["pid"] == os.getpid()
    assert environment["blas"]
    assert {pool["num_threads"] for pool in environment["blas"]} == {1}


@pytest.mark.parametrize("jobs", [1, 2])
def test_cells_find_the_files_of_their_study_and_a_resume_finds_them_too(tmp_path: Path, jobs: int) -> None:
    study = make_study("inputs", read_input, [Spec(1, seed) for seed in range(2)])
    (tmp_path / "input_0.txt").write_text("zero")
    settings = RunSettings(n_jobs=jobs, progress=False, max_retries=0)
    records, outcome = run_study(study, tmp_path, settings)
    assert records == ["zero", None]
    assert outcome.failed == 1
    (tmp_path / "input_1.txt").write_text("one")
    [resumed] = resume(tmp_path / "journal.sqlite", replace(settings, retry_failed=True))
    assert resumed.complete
    assert run_study(study, tmp_path, settings)[0] == ["zero", "one"]


def test_a_cell_that_reads_files_needs_a_folder_when_it_is_called_directly(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="in_study_folder"):
        read_input(Spec(1, 0))
    (tmp_path / "input_0.txt").write_text("zero")
    with in_study_folder(tmp_path):
        assert read_input(Spec(1, 0)) == "zero"
