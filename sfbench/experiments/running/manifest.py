"""What was run, where, with what: kept with every run in the store."""

import os
import socket
import uuid
from datetime import UTC, datetime
from typing import Any

from .worker import process_provenance


def now() -> str:
    """The time as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run(settings: dict[str, Any]) -> dict[str, Any]:
    """Description of a run that starts now."""
    where = {"host": socket.gethostname(), "pid": os.getpid()}
    state = {"id": uuid.uuid4().hex, "started": now(), "finished": None, "outcome": "running", "settings": settings}
    return state | where | process_provenance()


def is_alive(run: dict[str, Any]) -> bool:
    """Whether a recorded run still goes on: another living process of this host that has not finished."""
    if run.get("finished") or run.get("host") != socket.gethostname() or run.get("pid") == os.getpid():
        return False
    try:
        os.kill(int(run["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return False
    return True
