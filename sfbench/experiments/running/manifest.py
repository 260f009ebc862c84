"""What was run, where, with what: kept with every run in the store and beside it as ``study.json``."""

import os
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from ...files import write_json
from ..store.journal import Journal
from .worker import process_provenance


def now() -> str:
    """The time as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run(settings: dict[str, Any]) -> dict[str, Any]:
    """Description of a run that starts now."""
    return {
        "id": uuid.uuid4().hex,
        "started": now(),
        "finished": None,
        "outcome": "running",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "settings": settings,
        **process_provenance(),
    }


def is_alive(run: dict[str, Any]) -> bool:
    """Whether a recorded run still goes on: another living process of this host that has not finished."""
    if run.get("finished") or run.get("host") != socket.gethostname() or run.get("pid") == os.getpid():
        return False
    try:
        os.kill(int(run["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def write_manifest(journal: Journal) -> None:
    """Write ``study.json`` beside a store: every study, run and environment that it holds."""
    studies = [
        {"name": s.name, "function": s.function, "version": s.version, "dtype": s.dtype, "schema": s.schema}
        for s in journal.studies()
    ]
    write_json(
        journal.path.with_name("study.json"),
        {
            "written": now(),
            "written_unix": time.time(),
            "studies": studies,
            "runs": journal.runs(),
            "environments": journal.environments(),
        },
    )
