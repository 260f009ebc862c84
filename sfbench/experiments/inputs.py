"""Inputs that are too large for a spec: files in the folder of the study, named in specs by a hash of their content.

A cell stays pure: what it reads is fixed by its spec, and only the place where it lies depends on the machine. Workers
of a cluster need the folder on a file system that they share with the process that runs the study.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .errors import StudyError

_FOLDER: ContextVar[Path | None] = ContextVar("study_folder", default=None)


def study_folder() -> Path:
    """Folder of the study whose cell is being computed.

    Raises
    ------
    StudyError
        Outside a study; ``in_study_folder`` gives a cell that is called directly its folder.
    """
    folder = _FOLDER.get()
    if folder is None:
        raise StudyError("no study is running here; call the cell inside `with in_study_folder(path):`")
    return folder


@contextmanager
def in_study_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Let cells called inside find their files in ``folder``."""
    token = _FOLDER.set(Path(folder))
    try:
        yield
    finally:
        _FOLDER.reset(token)
