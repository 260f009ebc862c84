"""What every study shares: cells on the engine of :mod:`sfbench.experiments`, rows written as CSV and JSON lines.

A study is a pure function ``run_cell(spec) -> record`` over frozen specs, decorated with ``study_cells`` in a module of
its own. :func:`run_cells` keeps every result in ``journal.sqlite`` of the output folder and computes what is missing:
running a stopped command again goes on where it was.
"""

import argparse
import functools
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar, final

from sfbench.errors import SfbenchError
from sfbench.experiments import (
    IncompleteStudyError,
    RunSettings,
    cell_rng,
    complete_records,
    make_study,
    run_study,
    study_cells,
)
from sfbench.experiments.canonical import encode_spec
from sfbench.experiments.report.tables import VERSION_COLUMN, require_one_version
from sfbench.experiments.report.tables import write_rows as write_table
from sfbench.progress import progress
from synthetic import EffectiveSampleSizeError, SyntheticError

from .slopes import loglog_slope

__all__ = [
    "IncompleteStudyError",
    "OneLineParser",
    "Phases",
    "Row",
    "RunSettings",
    "add_engine_arguments",
    "cell_rng",
    "loglog_slope",
    "one_line_errors",
    "read_rows",
    "run_cells",
    "run_settings",
    "study_cells",
    "write_rows",
]

Row = dict[str, Any]
Spec = TypeVar("Spec")
Record = TypeVar("Record")
Arguments = ParamSpec("Arguments")


class OneLineParser(argparse.ArgumentParser):
    """A command line whose every complaint is one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Report bad arguments."""
        self.exit(2, f"{self.prog}: {message}\n")


def one_line_errors(main: Callable[Arguments, int], package: str = "") -> Callable[Arguments, int]:
    """Decorate a study's ``main``: what stops it is one line on standard error, and an exit status.

    Incomplete studies have a status of their own, Ctrl-C has 130, bad input and unwritable folders 2; anything else is
    a bug and keeps its traceback. The line begins with ``package``, by default that of ``main``'s folder.
    """
    name = package or f"benchmarks.{Path(inspect.getfile(main)).parent.name}"

    @functools.wraps(main)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except IncompleteStudyError as error:
            reason, status = str(error), error.exit_code
        except (SfbenchError, SyntheticError, EffectiveSampleSizeError, OSError, ImportError) as error:
            reason, status = str(error), 2
        except KeyboardInterrupt:
            reason, status = "interrupted; results so far are kept and no file is half-written", 130
        print(f"{name}: {reason}", file=sys.stderr)
        return status

    return guarded


def add_engine_arguments(parser: argparse.ArgumentParser, *, jobs: int = 2) -> None:
    """How cells are run; no result depends on it."""
    group = parser.add_argument_group("running (no result depends on it)")
    group.add_argument("--jobs", type=int, default=jobs, help="worker processes")
    group.add_argument("--scheduler", help="run on Dask: tcp://host:port of a scheduler, or local")
    group.add_argument("--time-limit", type=float, help="seconds after which no cell is started")
    group.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="use the results that --out holds"
    )
    group.add_argument("--retry-failed", action="store_true", help="try cells again that failed every attempt")
    group.add_argument(
        "--grid",
        choices=["refuse", "extend", "replace"],
        default="refuse",
        help="what to do if --out holds another grid of this study",
    )


def run_settings(args: argparse.Namespace) -> RunSettings:
    """Settings from the arguments of :func:`add_engine_arguments`."""
    return RunSettings(
        n_jobs=args.jobs,
        scheduler=args.scheduler,
        time_limit=args.time_limit,
        resume=args.resume,
        retry_failed=args.retry_failed,
        on_conflict=args.grid,
    )


@final
@dataclass(frozen=True)
class Phases:
    """Studies of one command, one after the other in the store of a folder, under one time limit."""

    folder: Path
    settings: RunSettings
    started: float = field(default_factory=time.monotonic)

    def left(self) -> RunSettings:
        """Settings of the next one."""
        limit = self.settings.time_limit
        seconds = 0.0 if limit is None else max(limit - (time.monotonic() - self.started), 1e-3)
        return self.settings if limit is None else replace(self.settings, time_limit=seconds)

    def __call__(self, run_cell: Callable[[Spec], Record], specs: Sequence[Spec], title: str) -> list[Record]:
        """Records of the next one; see :func:`run_cells`."""
        return run_cells(run_cell, specs, title=title, folder=self.folder, settings=self.left())


def run_cells(
    run_cell: Callable[[Spec], Record],
    specs: Sequence[Spec],
    *,
    title: str,
    n_jobs: int = 1,
    folder: Path | None = None,
    settings: RunSettings | None = None,
) -> list[Record]:
    """Run all cells under a progress bar; records come back in the order of the specs, as they are stored.

    Parameters
    ----------
    run_cell : callable
        Decorated with ``study_cells``, or a plain function of a module.
    specs : sequence
        Frozen dataclasses.
    title : str
        Name of the study in the store, title of the progress bar.
    n_jobs : int
        Worker processes, unless ``settings`` say.
    folder : path or None
        Where results are kept; None keeps none and changes none.
    settings : RunSettings or None

    Raises
    ------
    IncompleteStudyError
        If cells failed or the run was stopped; what was computed is kept.
    """
    chosen = settings or RunSettings(n_jobs=n_jobs)
    if folder is None:
        return _run_unkept(run_cell, specs, chosen.n_jobs, title)
    study = make_study(title, run_cell, specs)
    found, outcome = run_study(study, folder, chosen)
    by_text = dict(zip(study.texts, complete_records(found, outcome), strict=True))
    return [_with_version(by_text[encode_spec(spec)], study.function.version) for spec in specs]


def _run_unkept(run_cell: Callable[[Spec], Record], specs: Sequence[Spec], n_jobs: int, title: str) -> list[Record]:
    """Calls whose results are kept elsewhere (trained networks, files of their own)."""
    from joblib import Parallel, delayed, parallel_config

    records: list[Record] = []
    with (
        progress(len(specs), title) as bar,
        parallel_config(backend="loky", inner_max_num_threads=1) if n_jobs > 1 else parallel_config(),
    ):
        for record in Parallel(n_jobs=n_jobs, return_as="generator", batch_size=1)(
            delayed(run_cell)(spec) for spec in specs
        ):
            records.append(record)
            bar.advance()
    return records


def _with_version(record: Any, version: str) -> Any:
    """Rows of a record that say which algorithm version computed them."""
    if isinstance(record, dict):
        return record | {VERSION_COLUMN: version}
    if isinstance(record, list):
        return [_with_version(row, version) for row in record]
    return record


def write_rows(folder: Path, name: str, rows: Iterable[Row]) -> None:
    """Write rows as ``name.csv`` and ``name.jsonl``."""
    rows = list(rows)
    for kind in ("csv", "jsonl"):
        write_table(rows, folder / f"{name}.{kind}")


def read_rows(folder: Path, name: str) -> list[Row]:
    """Read rows written by :func:`write_rows`.

    Raises
    ------
    MixedVersionsError
        If they come from several versions of an algorithm: whatever is drawn from rows is drawn from one.
    """
    path = folder / f"{name}.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"no {name}.jsonl in {str(folder)!r}; run the study first")
    with path.open(encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    require_one_version(rows, f"the rows of {str(path)!r}")
    return rows
