"""What every study shares: independent cells run in parallel, rows written as CSV and JSON lines.

A study is a pure function ``run_cell(spec) -> record`` over frozen specs. A cell's randomness comes from the spec alone
(:func:`cell_rng`), so results depend neither on order, nor on the number of workers, nor on which other cells exist.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from sfbench.files import write_atomically

Row = dict[str, Any]
Spec = TypeVar("Spec")
Record = TypeVar("Record")


class OneLineParser(argparse.ArgumentParser):
    """A command line whose every complaint is one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Report bad arguments."""
        self.exit(2, f"{self.prog}: {message}\n")


def cell_rng(spec: Any, purpose: str = "") -> np.random.Generator:
    """Generator that depends on the content of a frozen spec and nothing else."""
    text = json.dumps([dataclasses.asdict(spec), purpose], sort_keys=True)
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint32))


def run_cells(run_cell: Callable[[Spec], Record], specs: Sequence[Spec], *, n_jobs: int, title: str) -> list[Record]:
    """Run all cells, in parallel if asked, under a progress bar; records come back in the order of the specs."""
    from joblib import Parallel, delayed, parallel_config
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    records: list[Record] = []
    with (
        Progress(*columns, TimeRemainingColumn()) as progress,
        parallel_config(backend="loky", inner_max_num_threads=1) if n_jobs > 1 else parallel_config(),
    ):
        task = progress.add_task(title, total=len(specs))
        runner = Parallel(n_jobs=n_jobs, return_as="generator", batch_size=1)
        for record in runner(delayed(run_cell)(spec) for spec in specs):
            records.append(record)
            progress.advance(task)
    return records


def write_rows(folder: Path, name: str, rows: Iterable[Row]) -> None:
    """Write rows as ``name.csv`` and ``name.jsonl``."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def as_csv(f: Any) -> None:
        writer = csv.DictWriter(f, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()})

    write_atomically(folder / f"{name}.csv", as_csv)
    write_atomically(folder / f"{name}.jsonl", lambda f: f.writelines(json.dumps(row) + "\n" for row in rows))


def read_rows(folder: Path, name: str) -> list[Row]:
    """Read rows written by :func:`write_rows`."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"no {name}.jsonl in {str(folder)!r}; run the study first")
    with path.open(encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def loglog_slope(
    x: Sequence[float], table: np.ndarray, *, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Slope of the log of column medians of ``table`` (seeds, points) against log x, with a 95 % interval.

    Points of one seed share samples, so the interval resamples whole seeds. Points whose median is 0 have no logarithm
    and are left out; the slope is NaN if fewer than two remain.
    """
    positive = np.median(table, axis=0) > 0
    if positive.sum() < 2:
        return np.nan, np.nan, np.nan
    table, logs = table[:, positive], np.log(np.asarray(x, dtype=np.float64)[positive])
    centred = logs - logs.mean()

    def slope(rows: np.ndarray) -> float:
        medians = np.log(np.maximum(np.median(rows, axis=0), np.finfo(np.float64).tiny))
        return float(centred @ medians / (centred @ centred))

    rng = np.random.default_rng(seed)
    draws = [slope(table[rng.integers(0, len(table), len(table))]) for _ in range(n_resamples)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return slope(table), float(low), float(high)
