r"""Injecting faults into studies: ``python -m benchmarks.faults``.

1. ``kills``, ``kills_two``: SIGKILL at 100 random moments in all, with one worker and with two; half of them from the
   start of the process on, half after new results;
2. ``writers``: 2, 3 and 4 processes on one store;
3. ``signals``: Ctrl-C and SIGTERM with 1 and 2 workers;
4. ``bits``: a bit flipped in each of 200 random places, which is found or changes nothing;
5. ``disks``: a file-size limit, a full disk;
6. ``orders``: shuffled orders on 1, 2 and 4 workers; a bumped version;
7. ``dask``: a scheduler and workers over TCP on loopback, workers killed in mid-run.

Right is: the same digest of all results as an undisturbed run, to the last bit. Exit status 1 if anything is not. What
could not be tested here is said to be so, and is neither right nor wrong.
"""

import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from sfbench.experiments import CellFunction, RunSettings, make_study, run_study, store_path, verify
from sfbench.files import prepare_folder, provenance, write_json

from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from .cells import fault_study, run_fault_cell
from .injection import (
    count_cells,
    dask_cluster,
    finish,
    flip_bits,
    kill_at_random,
    kill_group,
    kill_workers,
    limit_file_size,
    run_together,
    small_disk,
    start,
    store_digest,
    uninterrupted,
    wait_for_cells,
)

QUIET = RunSettings(progress=False)
VERDICTS = {True: "right", False: "WRONG", None: "not tested"}


@final
@dataclass(frozen=True)
class Scale:
    """How many faults."""

    kills: int
    flips: int
    cells: int
    least_ms: float


FULL, QUICK = Scale(100, 200, 1500, 10.0), Scale(6, 40, 200, 5.0)


@final
@dataclass(frozen=True)
class Bench:
    """What every part needs."""

    scale: Scale
    folder: Path
    reference: str
    rng: np.random.Generator

    def options(self) -> tuple[str, ...]:
        """Command line of the study."""
        return ("--cells", str(self.scale.cells), "--least-ms", str(self.scale.least_ms))


def row(fault: str, seen: str, right: bool | None) -> Row:
    """One line of the table; None where the fault could not be injected."""
    return {"fault": fault, "seen": seen, "right": right}


def kills(bench: Bench, jobs: int = 1) -> list[Row]:
    """SIGKILL at random moments."""
    n = bench.scale.kills // 2
    found = kill_at_random(
        bench.folder / f"kills{jobs}",
        kills=n,
        cells=bench.scale.cells,
        least_ms=bench.scale.least_ms,
        jobs=jobs,
        rng=bench.rng,
    )
    moved = sum(kept > 0 for kept in found.progress)
    same = found.digest == bench.reference
    seen = f"{found.in_mid_run} in mid-run, {moved} after new results, fewest kept {min(found.progress)}, same: {same}"
    right = same and min(found.progress) >= 0
    return [row(f"{n} kills at random moments, {jobs} worker(s)", seen, right)]


def writers(bench: Bench) -> list[Row]:
    """Several processes on one store and the same cells."""
    rows = []
    for n in (2, 3, 4):
        folder = bench.folder / f"writers{n}"
        codes = [code for code, _, _ in run_together(folder, n, cells=200, least_ms=bench.scale.least_ms)]
        same = store_digest(folder) == uninterrupted(bench.folder / "writers", 200, bench.scale.least_ms, n_jobs=2)
        right = same and codes == [0] * n and count_cells(folder) == 200
        rows.append(row(f"{n} writers on one store", f"exit codes {codes}, {count_cells(folder)} cells of 200", right))
    return rows


def signals(bench: Bench) -> list[Row]:
    """Ctrl-C and SIGTERM to the whole process group."""
    rows = []
    for jobs in ("1", "2"):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            folder = bench.folder / f"signal{number}{jobs}"
            process = start(folder, *bench.options(), "--jobs", jobs)
            wait_for_cells(folder, 0, process)
            kill_group(process, number)
            status, out, err = finish(process)
            right = status == code and "sfbench study resume" in out and "Traceback" not in err
            right &= verify(store_path(folder)) > 0
            seen = f"exit code {status}, {count_cells(folder)} cells kept, store intact"
            rows.append(row(f"{number.name}, {jobs} worker(s)", seen, right))
    return rows


def bits(bench: Bench) -> list[Row]:
    """One flipped bit in each of many copies of a store."""
    folder = bench.folder / "bits"
    uninterrupted(folder, 200, 0.0)
    found = flip_bits(folder, bench.scale.flips, rng=bench.rng)
    seen = f"{found.found} found, {found.harmless} in unused bytes, {found.silent} silent"
    return [row(f"{bench.scale.flips} flipped bits", seen, found.silent == 0)]


def disks(bench: Bench) -> list[Row]:
    """A limit of the file size, and a disk that is full."""
    reference = uninterrupted(bench.folder / "disks", 400, 0.0)
    options = ("--cells", "400", "--least-ms", "0")
    folder = bench.folder / "limit"
    status, _, err = finish(start(folder, *options, limit=limit_file_size(150_000)))
    kept = count_cells(folder)
    right = status == 2 and err.count("\n") == 1 and uninterrupted(folder, 400, 0.0) == reference
    rows = [row("file-size limit of 150 kB", f"exit code {status}, {kept} cells kept", right)]
    with small_disk("200k") as disk:
        if disk is None:
            return [*rows, row("full disk", "this process may not mount a file system", None)]
        status, _, err = finish(start(disk, *options))
        kept = count_cells(disk)
        right = status == 2 and err.count("\n") == 1 and verify(store_path(disk)) > 400
    return [*rows, row("full disk of 200 kB", f"exit code {status}, {kept} cells kept, store intact", right)]


def orders(bench: Bench) -> list[Row]:
    """Shuffled orders, several workers; and a version that forces everything to be computed again."""
    study = fault_study(200, 0.0)
    digests = set()
    for jobs in (1, 2, 4):
        folder, order = bench.folder / f"order{jobs}", np.random.default_rng(jobs).permutation(len(study.specs))
        shuffled = make_study(study.name, study.function, [study.specs[i] for i in order])
        run_study(shuffled, folder, replace(QUIET, n_jobs=jobs))
        digests.add(store_digest(folder))
    bumped = make_study(study.name, CellFunction(run_fault_cell.function, version="2"), study.specs)
    _, outcome = run_study(bumped, folder, QUIET)
    return [
        row("orders shuffled over 1, 2, 4 workers", f"{len(digests)} digest(s)", len(digests) == 1),
        row("algorithm version bumped", f"{outcome.cached} of 200 cells taken from the store", outcome.cached == 0),
    ]


def dask(bench: Bench) -> list[Row]:
    """Workers killed under a run over TCP, each while cells were missing and the run was at work."""
    folder, cells = bench.folder / "dask", 400
    at_kills: list[int] = []
    at_work: list[bool] = []
    with dask_cluster(3) as (address, workers):
        process = start(folder, "--cells", str(cells), "--least-ms", "25", "--scheduler", address)
        for i, more_than in enumerate((0, 20)):
            wait_for_cells(folder, more_than + (at_kills[-1] if at_kills else 0), process)
            kill_workers(workers[i : i + 1])
            at_kills.append(count_cells(folder))
            at_work.append(process.poll() is None and at_kills[-1] < cells)
        status, _, _ = finish(process)
    same = store_digest(folder) == uninterrupted(bench.folder / "no dask", cells, 25.0, n_jobs=2)
    seen = f"exit code {status}, kills after {at_kills} of {cells} cells, {sum(at_work)} in mid-run, same: {same}"
    right = same and status == 0
    verdict = None if right and not all(at_work) else right  # a kill after the end shows nothing
    return [row(f"2 of 3 Dask workers killed, {address.split(':')[0]} on loopback", seen, verdict)]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "orders": orders,
    "bits": bits,
    "disks": disks,
    "writers": writers,
    "signals": signals,
    "dask": dask,
    "kills": kills,
    "kills_two": partial(kills, jobs=2),
}


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Inject every fault; exit code 1 if one did harm."""
    parser = OneLineParser(prog="python -m benchmarks.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer kills and flips: minutes")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--out", default="results/faults", help="folder for the table")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error("--seed must be at least 0")
    scale, started, rows = QUICK if args.quick else FULL, time.perf_counter(), list[Row]()
    folder = prepare_folder(args.out)
    with tempfile.TemporaryDirectory() as place:
        wanted = {"kills", "kills_two"} & set(args.part)
        cells = scale.cells if wanted else 2
        reference = uninterrupted(Path(place) / "reference", cells, scale.least_ms, n_jobs=2)
        bench = Bench(scale, Path(place), reference, np.random.default_rng(args.seed))
        for name in args.part:
            found = PARTS[name](bench)
            for r in found:
                print(f"{VERDICTS[r['right']]}  {r['fault']}: {r['seen']}", flush=True)
            rows += found
    write_rows(folder, "faults", rows)
    write_json(folder / "manifest.json", provenance(args.seed))
    right, untested = (sum(r["right"] is verdict for r in rows) for verdict in (True, None))
    print(f"{right} of {len(rows)} right, {untested} not tested")
    print(f"{time.perf_counter() - started:.0f} s; table in {folder}")
    return 0 if right + untested == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
