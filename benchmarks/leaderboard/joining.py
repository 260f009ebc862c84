"""Stored tables and the runs that made them: new methods join a table under the table's own settings.

``summary.json`` holds ``settings`` (problems, budgets, points, rows of data, seeds, root seed) and ``runs``: of each
the command, the revision of the source, and the methods whose rows it measured.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfbench.errors import OutputError
from sfbench.experiments.report.tables import require_one_version
from sfbench.files import prepare_folder, read_regular, write_json

from ..common.study import Row, read_rows

SETTINGS = ("problems", "budgets", "n", "data", "seeds", "seed")
_TEXT = frozenset(("problem", "method", "status", "reason", "law"))
_LARGEST = 1 << 24


def read_about(folder: Path) -> dict[str, Any]:
    """What a stored table says of itself.

    Raises
    ------
    OutputError
        If there is none, or one that does not say how it was made.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise OutputError(f"{str(folder)!r} holds no leaderboard; make one without --join and --merge first")
    try:
        about: dict[str, Any] = json.loads(read_regular(path, _LARGEST, OutputError))
        complete = set(about["settings"]) == set(SETTINGS) and all(len(run["methods"]) for run in about["runs"])
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise OutputError(f"{str(path)!r} lacks `settings` or `runs` of a leaderboard; make the table anew")
    return about


def read_table(folder: Path) -> list[Row]:
    """Rows of a stored table, of ``leaderboard.jsonl`` or, where that is not kept, of ``leaderboard.csv``."""
    path = folder / "leaderboard.csv"
    if (folder / "leaderboard.jsonl").is_file() or not path.is_file():
        return read_rows(folder, "leaderboard")
    with path.open(encoding="utf-8", newline="") as f:
        return [{key: _value(key, text) for key, text in row.items()} for row in csv.DictReader(f)]


def run_record(about: dict[str, Any], methods: Sequence[str]) -> dict[str, Any]:
    """Provenance of the rows of some methods."""
    return {"methods": list(methods), "command": about["command"], "revision": about["revision"]}


def join(
    rows: Sequence[Row], runs: Sequence[dict[str, Any]], new: Sequence[Row], run: dict[str, Any]
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Rows and runs of a table with those of one more run; methods that were there already are replaced.

    Raises
    ------
    MixedVersionsError
        If the study has another version now than the table's.
    """
    names = set(run["methods"])
    joined = [row for row in rows if row["method"] not in names] + list(new)
    require_one_version(joined, "the stored table and the new rows")
    kept = [old | {"methods": [name for name in old["methods"] if name not in names]} for old in runs]
    return joined, [*(old for old in kept if old["methods"]), run]


def copy_submissions(source: Path, folder: Path) -> None:
    """Submissions to one table are submissions to the table made of it; those that are there already stay."""
    for path in sorted((source / "submissions").glob("*.json")):
        target = prepare_folder(folder / "submissions") / path.name
        if not target.exists():
            write_json(target, json.loads(path.read_text(encoding="utf-8")))


def _value(key: str, text: str) -> Any:
    if key in _TEXT:
        return text
    for kind in (int, float, json.loads):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
