"""Going on with a study from its store alone, and what a store holds at a glance."""

import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..canonical import decode_spec, last_line, load_class, printable
from ..cells import Study, load_cell_function
from ..errors import DamagedStoreError, StoreError, StudyError
from ..store.journal import Journal
from ..store.rows import StoredStudy
from .runner import finish_study, open_for_writing
from .settings import Outcome, RunSettings

Row = dict[str, Any]


def study_failures(journal: Journal, names: list[str] | None = None) -> list[Row]:
    """Cells that have failed and have no result, in the order of the grids.

    Rows of ``study``, ``spec`` (a dictionary), ``attempts``, ``traceback`` of the last one, ``error`` (its last line).
    """
    failures, found = journal.failures(), []
    for study in journal.studies(names):
        grid = journal.grid(study.name)
        done = journal.done(grid.values())
        for text, key in grid.items():
            if key in failures and key not in done:
                row = {"study": study.name, "spec": json.loads(text), "attempts": len(failures[key])}
                said = failures[key][-1]
                found.append(row | {"traceback": said, "error": printable(last_line(said))})
    return found


def study_status(journal: Journal, names: list[str] | None = None) -> list[Row]:
    """Counts of cells of the studies of a store, a row each: ``total``, ``done``, ``failed``, ``missing``, ..."""
    found = []
    for study in journal.studies(names):
        keys, failed = journal.grid(study.name).values(), study_failures(journal, [study.name])
        cells = journal.cells(keys).values()
        found.append(
            {
                "study": study.name,
                "version": study.version,
                "total": len(keys),
                "done": len(cells),
                "failed": len(failed),
                "missing": len(keys) - len(cells) - len(failed),
                "other_versions": {v: n for v, n in journal.versions(study.function).items() if v != study.version},
                "cell_seconds": sum(cell.seconds for cell in cells),
                "last_error": failed[0]["error"] if failed else "",
            }
        )
    return found


def running_now(journal: Journal) -> list[Row]:
    """Recorded runs that still go on: those of other living processes of this host that have not finished."""
    alive = []
    for run in journal.runs():
        if not run.get("finished") and run.get("host") == socket.gethostname() and run.get("pid") != os.getpid():
            with suppress(OSError, ValueError, KeyError):
                os.kill(int(run["pid"]), 0)
                alive.append(run)
    return alive


def stored_study(journal: Journal, known: StoredStudy) -> Study:
    """A study rebuilt from what a store holds, by importing its cell function and the class of its specs."""
    about = journal.about()
    classes = {name: place for (kind, name), place in about.items() if kind == "spec"}
    function = load_cell_function(about.get(("cells", known.function), known.function))
    if function.name != known.function:
        raise StudyError(
            f"the results of study {known.name!r} are those of the cell function {known.function!r}, but "
            f"{function.place} is named {function.name!r} by now; run the study's own command"
        )
    kind, texts = load_class(known.spec_class), tuple(journal.grid(known.name))
    specs, keys = tuple(decode_spec(text, kind, classes) for text in texts), tuple(map(function.key, texts))
    return Study(known.name, function, specs, texts, keys, known.spec_class, classes)


def resume(path: Path, settings: RunSettings, names: list[str] | None = None) -> list[Outcome]:
    """Compute what is missing of the studies of a store; a time limit spans all of them."""
    started = time.monotonic()
    with suppress(FileNotFoundError):  # a working folder that was removed
        if os.getcwd() not in sys.path:  # as `python -m` does
            sys.path.insert(0, os.getcwd())
    try:
        journal = Journal(path)
    except DamagedStoreError:
        journal = open_for_writing(path)
    with journal:
        studies = [stored_study(journal, known) for known in journal.studies(names)]
    if not studies:
        raise StoreError(f"{str(path)!r} holds no study; run the study's own command")
    outcomes: list[Outcome] = []
    for study in studies:
        limit = settings.time_limit
        if limit is not None:  # what is left of it; settings refuse 0
            limit = max(limit - (time.monotonic() - started), 1e-3)
        outcomes.append(finish_study(study, path, replace(settings, on_conflict="extend", time_limit=limit)))
        if outcomes[-1].stopped:
            break
    return outcomes
