"""Going on with a study from its store alone, and what a store holds at a glance."""

import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from .cells import stored_study
from .errors import DamagedStoreError, StoreError
from .journal import Journal
from .manifest import is_alive
from .outcome import Outcome, RunSettings
from .runner import finish_study, open_for_writing


@final
@dataclass(frozen=True)
class StudyStatus:
    """Counts of one study."""

    study: str
    version: str
    total: int
    done: int
    failed: int
    missing: int
    other_versions: dict[str, int]
    cell_seconds: float
    last_error: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def study_status(journal: Journal, names: list[str] | None = None) -> list[StudyStatus]:
    """Counts of the studies of a store."""
    failures = journal.failures()
    found = []
    studies = journal.studies() if not names else [journal.study(name) for name in names]
    for study in studies:
        keys = list(journal.grid(study.name).values())
        cells = journal.cells(keys)
        failed = [key for key in keys if key in failures and key not in cells]
        others = {v: n for v, n in journal.versions(study.function).items() if v != study.version}
        text = failures[failed[0]][-1].strip().splitlines()[-1] if failed else ""
        found.append(
            StudyStatus(
                study.name, study.version, len(keys), len(cells), len(failed), len(keys) - len(cells) - len(failed),
                others, sum(cell.seconds for cell in cells.values()), text,
            )
        )  # fmt: skip
    return found


def running_now(journal: Journal) -> list[dict[str, Any]]:
    """Recorded runs of this machine that still go on."""
    return [run for run in journal.runs() if is_alive(run)]


def resume(path: Path, settings: RunSettings, names: list[str] | None = None) -> list[Outcome]:
    """Compute what is missing of the studies of a store; a time limit spans all of them.

    Raises
    ------
    StoreError
        If there is no store, or it holds no study.
    """
    started = time.monotonic()
    if not path.is_file():
        raise StoreError(f"no store at {str(path)!r}; give the folder of a study, or run one first")
    if os.getcwd() not in sys.path:  # as `python -m` does
        sys.path.insert(0, os.getcwd())
    try:
        journal = Journal(path)
    except DamagedStoreError:
        journal = open_for_writing(path)
    with journal:
        known = [journal.study(name) for name in names] if names else journal.studies()
        places = journal.places()
        classes = {name: place for (kind, name), place in places.items() if kind == "spec"}
        studies = [
            stored_study(
                s.name, s.function, s.spec_class, list(journal.grid(s.name)),
                function_place=places.get(("cells", s.function), s.function), class_places=classes,
            )
            for s in known
        ]  # fmt: skip
    if not studies:
        raise StoreError(f"{str(path)!r} holds no study; run the study's own command")
    outcomes = []
    for study in studies:
        limit = settings.time_limit
        if limit is not None:  # what is left of it; settings refuse 0
            limit = max(limit - (time.monotonic() - started), 1e-3)
        outcome = finish_study(study, path, replace(settings, on_conflict="extend", time_limit=limit))
        outcomes.append(outcome)
        if outcome.stopped:
            break
    return outcomes
