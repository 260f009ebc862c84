"""Exceptions of the study engine; each message names what was wrong, where, and the repair."""

from ..errors import SfbenchError


class StudyError(SfbenchError):
    """A study is described wrongly: its cells, specs, records, or a name that the store does not hold."""


class GridConflictError(StudyError):
    """A store holds another grid under the same study name."""


class MixedVersionsError(StudyError):
    """Results of different algorithm versions would meet in one table or figure."""


class StoreError(SfbenchError):
    """A store cannot be used: foreign, of another schema, or held by another process."""


class DamagedStoreError(StoreError):
    """A store's bytes are not those that were written."""


class SchedulerError(SfbenchError):
    """A scheduler cannot be reached or has no workers."""


class IncompleteStudyError(StudyError):
    """Cells are missing: they failed, or the run was stopped before they were computed.

    Attributes
    ----------
    exit_code : int
        For a command line: 1 failed cells, 3 out of time, 130 Ctrl-C, 143 SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
