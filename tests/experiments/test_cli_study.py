"""``sfbench study`` as a user meets it: every verb, every bad input in one line."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sfbench.cli import main
from sfbench.experiments import RunSettings, make_study, run_study, store_path
from sfbench.experiments.running import pools

from .example_cells import Spec, plain_function, run_cell, small_study

QUIET = RunSettings(progress=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_study(small_study(2), tmp_path / "study", QUIET)
    return tmp_path / "study"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on standard error with which a command is refused."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("sfbench: ")
    return error


def test_status_counts_and_says_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_study(small_study(3), folder, replace(QUIET, time_limit=1e-9))
    assert main(["study", "status", str(folder)]) == 0
    assert "sfbench study resume" in capsys.readouterr().out
    assert main(["study", "status", str(folder), "--json"]) == 0
    (status,) = json.loads(capsys.readouterr().out)["studies"]
    assert (status["total"], status["done"], status["missing"], status["failed"]) == (18, 12, 6, 0)


def test_resume_computes_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_study(small_study(3), folder, replace(QUIET, time_limit=1e-9))
    assert main(["study", "resume", str(folder), "--jobs", "1"]) == 0
    assert "18 of 18 cells (12 from the store)" in capsys.readouterr().out
    failing = make_study("failing", run_cell, [Spec(1, 1, "a", "raise")])
    run_study(failing, folder, replace(QUIET, max_retries=0))
    assert main(["study", "resume", str(folder), "--jobs", "1", "--study", "failing"]) == 1
    assert "ValueError: unlucky seed 1" in capsys.readouterr().out


def test_a_study_of_a_plain_function_is_not_resumed_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_study(make_study("plain", plain_function, [Spec(1, 1)]), tmp_path, QUIET)
    assert "not declared a cell function" in refused(capsys, "study", "resume", tmp_path)


def test_export_verify_diff_and_prune(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "export", str(folder), "--format", "csv", "--format", "parquet"]) == 0
    assert {path.name for path in (folder / "export").iterdir()} == {"rates.csv", "rates.parquet"}
    assert main(["study", "verify", str(folder)]) == 0
    assert "rows intact" in capsys.readouterr().out
    run_study(small_study(3), tmp_path / "b", QUIET)
    assert main(["study", "diff", str(folder), str(tmp_path / "b")]) == 1
    assert main(["study", "diff", str(folder), str(folder), "--json"]) == 0
    assert main(["study", "prune", str(folder)]) == 0


@pytest.mark.slow
def test_bad_input_is_one_line_and_touches_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CONNECT_S", 0.5)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for verb in ("status", "resume", "export", "verify"):
        assert "no store at" in refused(capsys, "study", verb, tmp_path / "nowhere")
    assert "no study 'x'" in refused(capsys, "study", "status", folder, "--study", "x")
    assert "no study 'x'" in refused(capsys, "study", "resume", folder, "--study", "x")
    assert "unknown format" in refused(capsys, "study", "export", folder, "--format", "xlsx")
    assert "no results of algorithm version" in refused(capsys, "study", "export", folder, "--algorithm-version", "9")
    assert "number of jobs" in refused(capsys, "study", "resume", folder, "--jobs", "0")
    assert "time limit" in refused(capsys, "study", "resume", folder, "--time-limit", "-1")
    assert "--rtol" in refused(capsys, "study", "diff", folder, folder, "--rtol", "nan")
    assert "no folder" in refused(capsys, "report", folder, "--out", tmp_path / "no" / "page.html")
    assert "cannot reach the scheduler" in refused(
        capsys, "study", "resume", folder, "--scheduler", "tcp://127.0.0.1:9"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_store_is_repaired_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store_path(folder)
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    for verb in (["study", "status"], ["study", "export"], ["study", "verify"], ["report"]):
        assert "verify --repair" in refused(capsys, *verb, folder)
    assert path.read_bytes() == data
    assert main(["study", "verify", "--repair", str(folder)]) == 0
    assert "intact rows" in capsys.readouterr().out
    assert main(["study", "verify", str(folder)]) == 0


@contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """A folder that nobody can write to; False for root where it may not mount."""
    if os.geteuid():
        folder.chmod(0o500)
        yield True
        folder.chmod(0o700)
        return
    for options in (["--bind"], ["-o", "remount,ro,bind"]):
        done = subprocess.run(["mount", *options, str(folder), str(folder)], capture_output=True, check=False)
        if done.returncode:
            yield False
            return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_can_be_read_and_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with read_only(folder) as held:
        assert main(["study", "status", str(folder)]) == 0
        assert main(["study", "verify", str(folder)]) == 0
        for verb in (["study", "resume"], ["study", "export"], ["report"]) if held else ():
            assert str(folder) in refused(capsys, *verb, folder)


def test_every_command_prints_one_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def document(*arguments: str, code: int = 0) -> object:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    run_study(small_study(3), folder, replace(QUIET, time_limit=1e-9))
    [resumed] = document("study", "resume", str(folder), "--jobs", "1")  # type: ignore[misc]
    assert (resumed["done"], resumed["cached"], resumed["missing"]) == (18, 12, 0)
    written = document("study", "export", str(folder), "--format", "csv")
    assert [(Path(entry["path"]).is_file(), entry["rows"]) for entry in written] == [(True, 18)]  # type: ignore[attr-defined]
    assert document("study", "prune", str(folder)) == []
    report = document("report", str(folder))
    assert Path(report["page"]).is_file()  # type: ignore[index]
    assert [entry["study"] for entry in report["studies"]] == ["rates"]  # type: ignore[index]
