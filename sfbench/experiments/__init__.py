"""Studies that scale and never lose a result: cells, a journal, runs that resume, exports, a report.

>>> # in a module of its own, so that worker processes can import it
>>> # @study_cells(version=1, factors=("n",), volatile=("solve_s",))
>>> # def run_cell(spec: Spec) -> dict: ...
>>> # records, outcome = run_study(make_study("rates", run_cell, specs), "results/rates", RunSettings(n_jobs=2))
"""

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
