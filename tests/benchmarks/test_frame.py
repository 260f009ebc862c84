"""The frame of the studies: options, tables, claims and exit codes of a small study."""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.claims import within
from benchmarks.common.figures import draw
from benchmarks.common.frame import Cells, Study, rows_of
from benchmarks.common.study import IncompleteStudyError, Phases, RunSettings


@dataclass(frozen=True)
class Square:
    """A number to be squared."""

    number: int


def run_square(spec: Square) -> dict[str, int]:
    """The square."""
    return {"square": spec.number**2}


def study(**changes: Any) -> Study:
    def cells(args: argparse.Namespace) -> Cells:
        return {"squares": (run_square, [Square(args.seed + i) for i in range(1 if args.quick else args.count)])}

    options: dict[str, Any] = {
        "package": "benchmarks.squares",
        "doc": "Squares.\n\nMore.",
        "cells": cells,
        "claims": lambda tables: [within("largest", max(row["square"] for row in tables["squares"]), high=10)],
        "options": {"--count": {"type": int, "default": 3, "help": "numbers"}},
        "least": {"count": 1},
        "quick": "one number",
        "label": vars,
    }
    return Study(**options | changes)


def test_a_study_writes_tables_and_claims_and_ends_with_their_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Path] = []
    options = ["--jobs", "1", "--out", str(tmp_path)]
    assert study(figures=drawn.append)(options) == 0
    assert drawn == [tmp_path]
    rows = [json.loads(line) for line in (tmp_path / "squares.jsonl").read_text().splitlines()]
    assert [(row["number"], row["square"]) for row in rows] == [(0, 0), (1, 1), (2, 4)]
    written = json.loads((tmp_path / "claims.json").read_text())
    assert (written["quick"], written["seed"], written["claims"][0]["verdict"]) == (False, 0, "holds")
    assert json.loads((tmp_path / "manifest.json").read_text())["arguments"]["count"] == 3
    assert "largest" in capsys.readouterr().out
    assert study()(["--seed", "2", *options]) == 1  # 16 is above 10: another seed is another study of the folder
    assert study()(["--quick", "--seed", "2", *options]) == 0
    assert study()([*options, "--out", str(tmp_path / "claims.json" / "x")]) == 2  # no folder in a file
    assert "benchmarks.squares: cannot write" in capsys.readouterr().err


def refuse(args: argparse.Namespace) -> None:
    raise ValueError(f"no squares of {args.count}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--count", "0"], "--count must be at least 1, got 0"),
        (["--count", "5"], "no squares of 5"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        study(check=refuse)(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"python -m benchmarks.squares: {words}\n"


def test_a_figure_is_drawn_as_png_and_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", Figure.savefig.__wrapped__)  # type: ignore[attr-defined]
    open_before = plt.get_fignums()
    assert draw(tmp_path, lambda: {"b": plt.figure(), "a": plt.figure()}) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "b.pdf").read_bytes().endswith(b"%%EOF\n")
    assert plt.get_fignums() == open_before


def test_a_table_has_the_rows_of_cells_that_hold_several() -> None:
    specs = [Square(1), Square(2)]
    assert rows_of(specs, [[{"a": 1}, {"a": 2}], {"a": 3}], vars) == [
        {"number": 1, "a": 1},
        {"number": 1, "a": 2},
        {"number": 2, "a": 3},
    ]


def test_tables_can_be_gathered_from_cells_and_elsewhere(tmp_path: Path) -> None:
    def gather(args: argparse.Namespace, tables: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
        assert about["command"].endswith(f"--jobs 1 --out {tmp_path}")
        assert args.out == tmp_path
        return {"squares": [*tables["squares"], {"square": args.seed}]}

    options = ["--jobs", "1", "--out", str(tmp_path)]
    changes: dict[str, Any] = {"gather": gather, "defaults": {"seed": 4}}
    assert study(**changes)(options) == 1  # 4, 5, 6 are too large when squared
    rows = [json.loads(line) for line in (tmp_path / "squares.jsonl").read_text().splitlines()]
    assert [row["square"] for row in rows] == [16, 25, 36, 4]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["arguments"]["seed"], manifest["arguments"]["out"]) == (4, str(tmp_path))


def test_the_phases_of_a_command_share_a_time_limit(tmp_path: Path) -> None:
    run = Phases(tmp_path, RunSettings(time_limit=100.0), started=time.monotonic() - 99.0)
    assert 0.0 < (run.left().time_limit or 0.0) <= 1.0
    late = Phases(tmp_path, RunSettings(time_limit=1.0, progress=False), started=time.monotonic() - 99.0)
    with pytest.raises(IncompleteStudyError, match="time limit"):
        late(run_square, [Square(i) for i in range(3)], "late")
    assert Phases(tmp_path, RunSettings()).left().time_limit is None
