"""Studies that scale and never lose a result: cells, a journal, runs that resume, exports, a report."""

from .cells import CellFunction, Study, cell_rng, in_study_folder, make_study, study_cells, study_folder
from .errors import (
    DamagedStoreError,
    GridConflictError,
    IncompleteStudyError,
    MixedVersionsError,
    SchedulerError,
    StoreError,
    StudyError,
)
from .running.runner import run_study
from .running.settings import Outcome, RunSettings, complete_records
from .store.journal import Journal
from .store.opening import store_path
from .store.repair import repair, verify

__all__ = [
    "CellFunction",
    "DamagedStoreError",
    "GridConflictError",
    "IncompleteStudyError",
    "Journal",
    "MixedVersionsError",
    "Outcome",
    "RunSettings",
    "SchedulerError",
    "StoreError",
    "Study",
    "StudyError",
    "cell_rng",
    "complete_records",
    "in_study_folder",
    "make_study",
    "repair",
    "run_study",
    "store_path",
    "study_cells",
    "study_folder",
    "verify",
]
