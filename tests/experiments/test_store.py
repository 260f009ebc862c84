"""The store: flipped bits, truncation, foreign files, repair, versions, full disks."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults.cells import run_fault_cell
from benchmarks.faults.injection import flip_bits, limit_file_size, small_disk, start, uninterrupted
from sfbench.cli import main
from sfbench.errors import OutputError
from sfbench.experiments import (
    CellFunction,
    DamagedStoreError,
    Journal,
    MixedVersionsError,
    RunSettings,
    StoreError,
    StudyError,
    make_study,
    repair,
    run_study,
    store_path,
    verify,
)
from sfbench.experiments.canonical import encode_spec
from sfbench.experiments.report.tables import load_table, require_one_version, write_tables
from sfbench.experiments.running.runner import open_for_writing
from sfbench.experiments.store.compare import compare, digest
from sfbench.experiments.store.rows import CELL

from .example_cells import Spec, run_cell, small_study

QUIET = RunSettings(progress=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run_study(small_study(4), folder, QUIET)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "study")
    return tmp_path / "study"


@pytest.mark.slow
def test_a_flipped_bit_is_found_or_changes_nothing(finished: Path) -> None:
    flips = flip_bits(finished, 200, rng=np.random.default_rng(0))
    assert flips.silent == 0
    assert flips.found + flips.harmless == 200
    data = np.frombuffer(store_path(finished).read_bytes(), dtype=np.uint8)
    assert flips.found >= 0.8 * 200 * np.count_nonzero(data) / data.size  # the rest hit bytes that no row uses


def test_a_changed_result_whose_row_looks_well_is_found(folder: Path) -> None:
    """What SQLite's own check cannot see: the control for the row hashes."""
    with closing(sqlite3.connect(store_path(folder))) as connection:
        changed = connection.execute("UPDATE cell SET record = replace(record, '0.', '1.')").rowcount
        connection.commit()
        assert changed
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with pytest.raises(DamagedStoreError, match="row of table cell does not match its hash"):
        verify(store_path(folder))


@pytest.mark.parametrize("damage", ["truncated", "page", "header", "empty", "row"])
def test_a_damaged_store_is_set_aside_and_what_is_lost_is_computed_again(folder: Path, damage: str) -> None:
    path = store_path(folder)
    with Journal(path) as journal:
        before = digest(journal)
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "page":
        data[3 * 4096 : 4 * 4096] = bytes(4096)
        path.write_bytes(data)
    elif damage == "header":
        data[:16] = b"X" * 16
        path.write_bytes(data)
    elif damage == "row":
        place = data.index(b'"tv":0.') if b'"tv":0.' in data else data.index(b'"tv":')
        data[place + 7] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(b"")
    with pytest.raises(DamagedStoreError, match="verify --repair"):
        verify(path)
    damaged = path.read_bytes()
    _, outcome = run_study(small_study(4), folder, QUIET)
    assert outcome.complete
    (aside,) = folder.glob("journal.damaged-*.sqlite")
    assert aside.read_bytes() == damaged
    if damage == "row":
        assert outcome.cached == 23
    with Journal(path) as journal:
        assert digest(journal) == before
    assert repair(path) is None


def test_of_two_processes_that_find_one_damage_one_mends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other finds the store repaired by the time that it holds the lock, and leaves it alone."""
    path, others, found = store_path(folder), [], []

    def verify_before_another_mends(place: Path) -> Any:
        try:
            return verify(place)
        except DamagedStoreError:
            found.append(place)
            if len(found) == 1:
                others.append(repair(place))
            raise

    def damage() -> None:
        data = bytearray(path.read_bytes())
        data[data.index(b'"tv":') + 7] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(import_module("sfbench.experiments.store.repair"), "verify", verify_before_another_mends)
    damage()
    assert repair(path) is None
    damage()
    found.clear()
    with open_for_writing(path) as journal:
        assert len(journal.cells_of(run_cell.name)) == 22
    assert [other is not None and other.lost for other in others] == [1, 1]
    assert len(list(folder.glob("journal.damaged-*.sqlite"))) == 2
    assert not [*folder.glob("*repaired*"), *folder.glob(".journal*")]
    assert verify(path) > 24


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0" + bytes(100), b"x" * 5000])
def test_foreign_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = store_path(tmp_path)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a study store"):
        Journal(path)
    with pytest.raises(StoreError, match="not a study store"):
        run_study(small_study(1), tmp_path, QUIET)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = store_path(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cell (x)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a study store"):
        run_study(small_study(1), tmp_path, QUIET)
    assert path.read_bytes() == before


def test_a_store_of_another_schema_is_refused(folder: Path) -> None:
    path = store_path(folder)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="store schema 99"):
        Journal(path)


def test_a_missing_store_and_an_unknown_study_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        Journal(tmp_path / "nowhere" / "journal.sqlite")
    with Journal(store_path(folder)) as journal, pytest.raises(StudyError, match=r"no study 'rate'.*holds 'rates'"):
        journal.studies(["rate"])


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to output folder"):
        run_study(small_study(1), tmp_path / "file" / "inside", QUIET)


def test_reading_changes_no_byte(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with Journal(store_path(folder)) as journal:
        digest(journal)
        load_table(journal, "rates")
    verify(store_path(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# ---------------------------------------------------------------------- versions
def _of_version(version: str, seeds: int) -> Any:
    return make_study("rates", CellFunction(run_cell.function, version=version), small_study(seeds).specs)


def test_results_of_several_versions_never_meet_in_one_table(folder: Path) -> None:
    run_study(_of_version("2", 2), folder, QUIET)
    with Journal(store_path(folder)) as journal:
        for chosen in (None, "2"):
            table = load_table(journal, "rates", chosen)
            assert {row["algorithm_version"] for row in table.rows} == {"2"}
            assert table.caption() == "12 of 24 cells, 12 missing (without the results of version 1)"
        old = load_table(journal, "rates", "1")
        assert len(old.rows) == 24
        assert {row["algorithm_version"] for row in old.rows} == {"1"}
        with pytest.raises(StudyError, match="no results of algorithm version '7'; it holds 1, 2"):
            load_table(journal, "rates", "7")


@pytest.mark.parametrize("bumped", [{"schema": 2}, {"dtype": "float32"}])
def test_results_of_another_schema_or_dtype_never_meet_in_one_table(
    folder: Path, bumped: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Although their algorithm version is the same."""
    specs = small_study(4).specs
    function = CellFunction(run_cell.function, **bumped)
    run_study(make_study("rates", function, specs[:10]), folder, QUIET)
    run_study(make_study("rates", function, specs[:8]), folder, replace(QUIET, on_conflict="replace"))
    run_study(make_study("rates", function, specs), folder, replace(QUIET, time_limit=1e-9, on_conflict="replace"))
    with Journal(store_path(folder)) as journal:
        table = load_table(journal, "rates", "1")
        assert {row["cell"] for row in table.rows} == {key[:16] for key in map(function.key, _texts(specs[:10]))}
        assert table.caption() == "10 of 24 cells, 14 missing"
        before = digest(journal)
    run_study(make_study("rates", function, specs[:8]), folder, replace(QUIET, on_conflict="replace"))
    assert main(["study", "prune", str(folder)]) == 0
    assert "removed 24 results of version 1 with another schema or dtype" in capsys.readouterr().out
    _, outcome = run_study(make_study("rates", function, specs), folder, replace(QUIET, time_limit=1e-9))
    assert outcome.cached == 10  # those outside the smaller grid were kept
    with Journal(store_path(folder)) as journal:
        assert digest(journal) == before
        assert len(journal.cells_of(run_cell.name)) == 10


def _texts(specs: Any) -> list[str]:
    return [encode_spec(spec) for spec in specs]


def test_rows_of_several_versions_are_refused_wherever_they_come_from() -> None:
    rows = [{"study": "a", "algorithm_version": v} for v in ("1", "1", "2")]
    with pytest.raises(MixedVersionsError, match=r"1 \(2 rows\), 2 \(1 rows\)"):
        require_one_version(rows)
    require_one_version([{"study": s, "algorithm_version": s} for s in "ab"])  # two studies may differ
    require_one_version([{"tv": 1.0}])


# ---------------------------------------------------------------------- tables and comparisons
def test_tables_count_what_is_missing(folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with closing(sqlite3.connect(store_path(folder))) as connection:
        connection.execute("DELETE FROM cell WHERE rowid % 8 = 0")
        connection.commit()
    with Journal(store_path(folder)) as journal:
        table = load_table(journal, "rates")
    assert table.caption() == "21 of 24 cells, 3 missing"
    assert len(table.rows) == 21
    written = [path for path, _ in write_tables([table], tmp_path / "out", ["csv", "jsonl", "parquet"])]
    assert [path.name for path in written] == ["rates.csv", "rates.jsonl", "rates.parquet"]
    back = pq.read_table(written[2]).to_pylist()
    assert [row["tv"] for row in back] == [row["tv"] for row in table.rows]
    with pytest.raises(StudyError, match="unknown format 'xlsx'"):
        list(write_tables([table], tmp_path / "out", ["xlsx"]))


def test_runs_are_compared_within_tolerances(folder: Path, tmp_path: Path) -> None:
    study = small_study(4)
    run_study(study, tmp_path / "b", replace(QUIET, n_jobs=2))
    with Journal(store_path(folder)) as a, Journal(store_path(tmp_path / "b")) as b:
        (difference,) = compare(a, b)
        assert difference["same"]
        assert difference["equal"] == 24

    def nudged(spec: Spec) -> dict[str, Any]:
        record = run_cell.function(spec)
        return record | {"tv": record["tv"] * (1 + 1e-9)}

    nudged.__module__, nudged.__qualname__ = run_cell.function.__module__, run_cell.function.__qualname__
    function = CellFunction(nudged, version="2", volatile=run_cell.volatile)
    run_study(make_study("rates", function, study.specs), tmp_path / "c", QUIET)
    with Journal(store_path(folder)) as a, Journal(store_path(tmp_path / "c")) as c:
        (difference,) = compare(a, c)
        assert difference["differing"] == 24
        assert difference["worst"]["tv"] == pytest.approx(1e-9, rel=1e-3)
        assert set(difference["worst"]) == {"tv"}
        assert compare(a, c, rtol=1e-8)[0]["same"]
        assert not compare(a, c, rtol=1e-10)[0]["same"]
        assert digest(a) != digest(c)


# ---------------------------------------------------------------------- full disks
CELLS = 160


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return uninterrupted(tmp_path_factory.mktemp("reference"), CELLS, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_size_limit_is_one_line_keeps_what_is_there_and_resumes(
    tmp_path: Path, reference: str, jobs: str
) -> None:
    options = ("--cells", str(CELLS), "--least-ms", "0", "--jobs", jobs)
    process = start(tmp_path, *options, limit=limit_file_size(130_000))
    _, error = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert str(tmp_path) in error
    _check_and_resume(tmp_path, reference)


@pytest.mark.slow
def test_a_full_disk_is_one_line_keeps_what_is_there_and_resumes(tmp_path: Path, reference: str) -> None:
    """Where this process may not mount one, a limit on the size of files stands in for it."""
    with small_disk("180k") as disk:
        place, limit = (disk, None) if disk is not None else (tmp_path / "limited", limit_file_size(100_000))
        process = start(place, "--cells", str(CELLS), "--least-ms", "0", limit=limit)
        _, error = process.communicate(timeout=240)
        assert process.returncode == 2
        assert "Traceback" not in error
        assert error.count("\n") == 1
        shutil.copytree(place, tmp_path / "saved")
    _check_and_resume(tmp_path / "saved", reference)


def _check_and_resume(folder: Path, reference: str) -> None:
    assert verify(store_path(folder)) > CELLS  # the grid and some cells
    assert {path.name for path in folder.iterdir()} == {"journal.sqlite"}
    with Journal(store_path(folder)) as journal:
        before = len(journal.cells_of(run_fault_cell.name))
    assert 0 < before < CELLS
    assert uninterrupted(folder, CELLS, 0.0) == reference


def test_the_checksum_covers_every_column() -> None:
    row = ("k", "f", "1", "s", "r", 0.5, "e", "run", "t")
    assert CELL.is_intact(CELL.signed(row))
    for i in range(len(row)):
        changed = (*row[:i], "x" if i != 5 else 0.25, *row[i + 1 :])
        assert not CELL.is_intact((*changed, CELL.signed(row)[-1]))
    assert not CELL.is_intact((*row[:5], "0.5", *row[6:], CELL.signed(row)[-1]))
