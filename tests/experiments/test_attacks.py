"""What independent attacks on stores, studies and schedulers found: each once broke something."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfbench.cli import main
from sfbench.experiments import (
    Journal,
    RunSettings,
    StoreError,
    StudyError,
    make_study,
    run_study,
    store_path,
    verify,
)
from sfbench.experiments.canonical import encode_record, imported, printable
from sfbench.experiments.report.tables import file_stems, load_table, write_tables
from sfbench.experiments.store.compare import digest
from sfbench.experiments.store.opening import belongs_to_another, rollback_journal

from .example_cells import Spec, misbehave, run_cell, small_study

QUIET = RunSettings(progress=False, max_retries=0)


def store_digest(folder: Path) -> str:
    with Journal(store_path(folder)) as journal:
        return digest(journal)


# ---------------------------------------------------------------------- cells
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "behaviour", ["surrogate", "surrogate name", "surrogate error", "generator exit", "system exit"]
)
def test_no_cell_can_end_the_run_or_stay_without_a_record(tmp_path: Path, behaviour: str, jobs: int) -> None:
    """Text that UTF-8 cannot hold, in a record or a traceback; exceptions that are no Exception."""
    specs = [Spec(1, 0, "a", behaviour), *(Spec(n, 0) for n in range(2, 6))]
    _, outcome = run_study(make_study("s", misbehave, specs), tmp_path, replace(QUIET, n_jobs=jobs))
    assert (outcome.done, outcome.failed, outcome.exit_code) == (4, 1, 1)
    with Journal(store_path(tmp_path)) as journal:
        [[text]] = journal.failures().values()
    assert {"surrogate": "record['file'] is 'caf\\udce9.txt'", "surrogate name": "has the key"}.get(
        behaviour, ""
    ) in text
    assert "\\udce9" in text or behaviour.endswith("exit")


def test_records_with_broken_text_say_where() -> None:
    with pytest.raises(StudyError, match=r"record\[1\]\['a'\] is .*not whole characters"):
        encode_record([{}, {"a": "x\ud800"}])


@pytest.mark.parametrize("name", ["a\nb", "caf\udce9", "\x1b[2J", " "])
def test_names_of_studies_are_printable(name: str) -> None:
    with pytest.raises(StudyError, match="printable"):
        make_study(name, run_cell, [Spec(1, 1)])


def test_terminals_are_shown_what_cells_say_and_do_not_obey_it(tmp_path: Path, capsys: Any) -> None:
    run_study(make_study("s", misbehave, [Spec(1, 0, "a", "escape")]), tmp_path, QUIET)
    assert main(["study", "resume", str(tmp_path), "--jobs", "1"]) == 1
    assert main(["study", "status", str(tmp_path)]) == 0
    assert main(["study", "failures", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count(r"\x1b[2J") >= 3
    assert printable("a\nä\x07") == "a\nä\\x07"


@pytest.mark.slow
def test_a_module_that_declares_no_cells_is_not_even_imported() -> None:
    """A store may name any module; importing one runs it."""
    places = ["this:s", "antigravity:webbrowser", "sfbench.nowhere:x"]
    code = f"""
import sys
from sfbench.experiments.canonical import imported
for place in {places!r}:
    try:
        imported(place, "a cell function")
    except ValueError as error:
        print(error)
    assert place.split(":")[0] not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(places)
    assert all("declares neither" in line or "cannot import" in line for line in lines)
    assert "Zen" not in done.stdout


def test_what_is_declared_is_imported() -> None:
    assert imported("tests.experiments.example_cells:run_cell", "a cell function") is run_cell


# ---------------------------------------------------------------------- stores
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_study(small_study(4), tmp_path / "study", QUIET)
    return tmp_path / "study"


@contextmanager
def mid_transaction(store: Path) -> Iterator[sqlite3.Connection]:
    """A writer that has written half of its changes: the journal lies beside the store."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE cell SET record = 'x'")
        connection.execute("DELETE FROM grid")
        assert rollback_journal(store).stat().st_size > 4096
        yield connection
        connection.execute("ROLLBACK")


def test_a_transaction_of_a_dead_writer_is_undone(folder: Path, tmp_path: Path) -> None:
    before, copy = store_digest(folder), tmp_path / "copy"
    with mid_transaction(store_path(folder)):
        shutil.copytree(folder, copy)
    assert not belongs_to_another(store_path(copy))
    assert store_path(copy).read_bytes() != store_path(folder).read_bytes()
    assert store_digest(copy) == before  # the control: without its journal this store is damaged
    assert verify(store_path(copy)) > 24


@pytest.mark.parametrize("which", ["older", "other"])
def test_a_journal_of_other_bytes_is_not_rolled_back_into_an_intact_store(
    folder: Path, tmp_path: Path, which: str
) -> None:
    """Left beside a store that was restored from a backup; or one of another store altogether."""
    source = folder
    if which == "other":
        source = tmp_path / "other"
        run_study(small_study(4, name="rates"), source, QUIET)
    with mid_transaction(store_path(source)):
        stale = rollback_journal(store_path(source)).read_bytes()
    if which == "older":  # the store goes on, with other pages
        run_study(small_study(5), folder, QUIET)
    store, journal = store_path(folder), rollback_journal(store_path(folder))
    before, kept = store_digest(folder), store.read_bytes()
    journal.write_bytes(stale)
    assert store_digest(folder) == before
    assert main(["study", "status", str(folder)]) == 0
    assert store.read_bytes() == kept
    assert journal.read_bytes() == stale  # reading changes nothing
    _, outcome = run_study(small_study(5), folder, QUIET)
    assert outcome.complete
    assert not journal.exists()
    [aside] = folder.glob("*-journal.of-another-*")
    assert aside.read_bytes() == stale
    assert verify(store) > 24


def test_an_emptied_store_is_damage_and_not_a_new_store(folder: Path, capsys: Any) -> None:
    store_path(folder).write_bytes(b"")
    assert main(["study", "status", str(folder)]) == 2
    assert "is empty" in capsys.readouterr().err
    _, outcome = run_study(small_study(4), folder, QUIET)
    assert outcome.cached == 0
    assert "warning: store" in capsys.readouterr().err
    assert [path.stat().st_size for path in folder.glob("journal.damaged-*.sqlite")] == [0]


def test_a_store_with_a_trigger_is_refused(folder: Path) -> None:
    """It deleted all rows at the next run."""
    with closing(sqlite3.connect(store_path(folder))) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM cell; END")
    for use in (lambda: Journal(store_path(folder)), lambda: run_study(small_study(4), folder, QUIET)):
        with pytest.raises(StoreError, match="holds a trigger 't'"):
            use()
    with closing(sqlite3.connect(store_path(folder))) as connection:
        assert connection.execute("SELECT COUNT(*) FROM cell").fetchone() == (24,)


def test_a_pipe_or_a_link_in_place_of_a_seal_does_nothing(folder: Path, tmp_path: Path) -> None:
    """Stores had a seal beside them that was locked and written."""
    os.mkfifo(folder / "journal.seal")
    assert main(["study", "verify", str(folder)]) == 0
    (folder / "journal.seal").unlink()
    (tmp_path / "precious").write_text("kept")
    (folder / "journal.seal").symlink_to(tmp_path / "precious")
    run_study(small_study(5), folder, QUIET)
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_pipe_in_place_of_a_store_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(store_path(tmp_path))
    for use in (lambda: Journal(store_path(tmp_path)), lambda: run_study(small_study(1), tmp_path, QUIET)):
        with pytest.raises(StoreError, match="no store at"):
            use()


def test_two_studies_never_write_one_file(tmp_path: Path) -> None:
    names = ["a/b", "a_b", "A_b", "x" * 300, "..", "ä", "ö", "???"]
    stems = file_stems(names)
    assert len({stem.lower() for stem in stems.values()}) == len(names)
    assert max(map(len, stems.values())) < 100
    assert not any(set("/\\:") & set(stem) or stem.startswith(".") for stem in stems.values())
    for name in names[:2]:
        run_study(
            make_study(name, run_cell, [Spec(n, 0) for n in range(1, 1 + names.index(name) + 1)]), tmp_path, QUIET
        )
    with Journal(store_path(tmp_path)) as journal:
        written = list(write_tables([load_table(journal, name) for name in names[:2]], tmp_path / "out"))
    assert len({path for path, _ in written}) == 2
    assert [len(path.read_text().splitlines()) for path, _ in written] == [2, 3]


def test_rows_that_match_their_hash_and_hold_nonsense_are_one_line(folder: Path, capsys: Any) -> None:
    from sfbench.experiments.store.rows import CELL, RUN

    with closing(sqlite3.connect(store_path(folder))) as connection:
        connection.execute(RUN.insert(), RUN.signed(("x", "{")))
        connection.commit()
        assert main(["study", "status", str(folder)]) == 2
        connection.execute("DELETE FROM run WHERE id = 'x'")
        row = connection.execute(CELL.select()).fetchone()[:-1]
        connection.execute(CELL.insert("INSERT OR REPLACE"), CELL.signed((*row[:4], "[", *row[5:])))
        connection.commit()
    for verb in (["study", "export"], ["study", "verify"], ["report"]):
        assert main([*verb, str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 4


@pytest.mark.slow
def test_a_working_folder_that_is_gone_is_no_matter(folder: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    there, store = repr(str(gone)), repr(str(folder))
    code = f"import os; os.chdir({there}); os.rmdir({there}); from sfbench.cli import main; "
    code += f"raise SystemExit(main(['study', 'resume', {store}, '--jobs', '1']))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- what users stumbled over
def test_failures_can_be_listed_with_their_tracebacks(tmp_path: Path, capsys: Any) -> None:
    study = make_study("s", run_cell, [Spec(16, 0, "a", "raise"), Spec(16, 1, "a", "nan"), Spec(16, 2)])
    run_study(study, tmp_path, QUIET)
    assert main(["study", "failures", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert 'n=16, seed=0, solver="a"' in out or 'behaviour="raise", n=16, seed=0' in out
    assert "ValueError: unlucky seed 0" in out
    assert "record['tv'] is nan" in out
    assert "2 failed cells" in out
    assert "--retry-failed" in out
    assert main(["study", "failures", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(f["spec"]["seed"], f["attempts"]) for f in found] == [(0, 1), (1, 1)]
    assert found[0]["error"] == "ValueError: unlucky seed 0"
    assert main(["study", "status", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "--retry-failed" in out
    assert "sfbench study failures" in out
    assert f"go on with: sfbench study resume {tmp_path}\n" not in out  # it would do nothing


def test_a_resume_that_stops_says_what_is_left(tmp_path: Path, capsys: Any) -> None:
    for name in ("first", "second"):
        run_study(
            make_study(name, run_cell, [Spec(16, s) for s in range(3)]), tmp_path, replace(QUIET, time_limit=1e-9)
        )
    assert main(["study", "resume", str(tmp_path), "--jobs", "1", "--time-limit", "1e-6"]) == 3
    out = capsys.readouterr().out
    assert "stopped: time limit" in out
    assert "second" in out  # which was not even begun


def test_progress_with_failures_only_shows_no_rate() -> None:
    """It once said 1000000000.0 s each."""
    code = (
        "from sfbench.progress import progress\n"
        "with progress(8, 'cells [b]', done=0) as bar:\n"
        "    bar.advance(0, '8 failed')\n    bar.say('a [b] line')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "8 failed" in done.stderr
    assert "each" not in done.stderr
    assert "/s" not in done.stderr
    assert "a [b] line" in done.stderr
    assert "cells [b]" in done.stderr
    assert done.stdout == ""
