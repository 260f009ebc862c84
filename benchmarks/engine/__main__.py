r"""What the study engine costs: ``python -m benchmarks.engine``.

1. ``overhead``: the 8,000-cell sweep on the engine over the bare loop, CPU and wall, interleaved;
2. ``speedup``: two processes over one on cells of 60 ms;
3. ``journal``: a store of 1e5 cells: time to resume, status, verify and export, as whole commands;
4. ``stream``: score-matching statistics of 1e7 samples on disk: peak memory, and agreement with memory.

Ratios are taken in one process where they can be; the exit status is 1 if a limit is missed.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench.errors import SfbenchError
from sfbench.experiments import RunSettings, Study, make_study, run_study
from sfbench.experiments.running.plan import group_cells
from sfbench.files import prepare_folder, provenance

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.study import OneLineParser, one_line_errors
from .cells import INSIDE, BusySpec, TinySpec, run_busy, run_sweep, run_sweep_timed, run_tiny, sweep_specs

QUIET = RunSettings(progress=False)


@final
@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    seeds: int
    repeats: int
    busy_cells: int
    tiny_cells: int
    rows: int


FULL, QUICK = Scale(50, 3, 200, 100_000, 10_000_000), Scale(4, 2, 40, 10_000, 500_000)


def overhead(scale: Scale) -> list[Claim]:
    """CPU time of a whole run over the bare loop, interleaved in turns; and what of a run lies outside its cells.

    The second is taken within one run, so that other work on the machine slows both parts alike.
    """
    from threadpoolctl import threadpool_limits

    study: Study = make_study("sweep", run_sweep_timed, sweep_specs(scale.seeds))
    specs = dict(zip(study.keys, study.specs, strict=True))
    groups = [[specs[key] for key in group] for group in group_cells(study, study.keys)]

    def bare() -> None:
        for group in groups:
            run_sweep.records(group)

    def engine() -> None:
        with tempfile.TemporaryDirectory() as place:
            run_study(study, place, QUIET)

    shares, pairs, inside = [], [], 0.0
    with threadpool_limits(1):
        run_sweep.records(groups[0])
        for repeat in range(3 * scale.repeats):
            INSIDE[0] = 0.0
            taken = {run: _timed(run)[0] for run in ((bare, engine) if repeat % 2 else (engine, bare))}
            inside = INSIDE[0]
            shares.append(taken[engine] / inside - 1)
            pairs.append(taken[engine] / taken[bare] - 1)
    share, pair = float(np.median(shares)), float(np.median(pairs))
    note = f"{len(study.keys)} cells in {len(groups)} passes, {inside:.1f} CPU s in cells; {_range(pairs)}"
    return [
        within("CPU of a whole run over the bare loop - 1", pair, high=0.1, note=note),
        within("CPU outside cells over inside, one run", share, high=0.1, note=_range(shares)),
    ]


def speedup(scale: Scale) -> list[Claim]:
    """One process over two on cells of 60 ms of CPU time, workers started before; joblib alone is the ceiling."""
    from joblib import Parallel, delayed

    ratios, ceilings = [], []
    two = RunSettings(2, progress=False)
    with tempfile.TemporaryDirectory() as place:
        run_study(make_study("warm", run_busy, [BusySpec(seed, 0.2) for seed in range(10)]), place, two)
    for repeat in range(scale.repeats):
        specs = [BusySpec(seed + 1000 * repeat, 0.06) for seed in range(scale.busy_cells)]
        study = make_study("busy", run_busy, specs)
        times = []
        for settings in (QUIET, two):
            with tempfile.TemporaryDirectory() as place:
                times.append(_timed(partial(run_study, study, place, settings))[1])
        bare = _timed(partial(Parallel(n_jobs=2, batch_size=1), [delayed(run_busy)(spec) for spec in specs]))[1]
        ratios.append(times[0] / times[1])
        ceilings.append(times[0] / bare)
    note = f"{scale.busy_cells} cells; {_range(ratios)}"
    return [
        within("speed-up of 2 processes", float(np.median(ratios)), low=1.6, note=note),
        Claim("speed-up of bare joblib, 2 processes", float(np.median(ceilings)), note=_range(ceilings)),
    ]


def journal(scale: Scale) -> list[Claim]:
    """Whole commands on a large store."""
    study = make_study(
        "tiny", run_tiny, [TinySpec(n, seed) for seed in range(scale.tiny_cells // 10) for n in range(10)]
    )
    limits = {"resume": 5.0, "status": None, "verify": None, "export": 10.0}
    with tempfile.TemporaryDirectory() as place:
        filled = _timed(partial(run_study, study, place, QUIET))[1]
        size = (Path(place) / "journal.sqlite").stat().st_size / 1e6
        claims = [Claim(f"fill a store of {len(study.keys)} cells, s", filled, note=f"{size:.0f} MB")]
        for verb, limit in limits.items():
            options = ["--format", "csv", "--format", "parquet"] if verb == "export" else []
            command = [sys.executable, "-m", "sfbench", "study", verb, place, *options]
            run = partial(subprocess.run, command, check=True, capture_output=True)
            times = [_timed(run)[1] for _ in range(3)]
            claims.append(within(f"sfbench study {verb}, s", float(np.median(times)), high=limit, note=_range(times)))
    return claims


def stream(scale: Scale) -> list[Claim]:
    """Statistics from disk in processes of their own, whose peak memory is read off; and the same in memory."""
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _child("write", folder, scale.rows)
        for how in ("memory", "npy", "parquet", "shards"):
            answers[how] = _child(how, folder, scale.rows)
    reference = answers["memory"]
    claims = []
    for how, name in (("npy", "memory-mapped npy"), ("parquet", "Parquet"), ("shards", "shards of npy, 2 processes")):
        answer = answers[how]
        exact = how != "shards"
        gaps = [
            float(
                np.abs(np.array(answer[x]) - reference[x if exact else f"{x}_shards"]).max()
                / np.abs(reference[x]).max()
            )
            for x in ("G", "b")
        ]
        note = f"{scale.rows} samples, {answer['seconds']:.1f} s, in memory {reference['peak_mb']:.0f} MB"
        what = f"{name}: largest relative difference to {'one pass' if exact else 'the same shards'} in memory"
        claims += [
            within(f"{name}: peak memory, MB", answer["peak_mb"], high=500.0, note=note),
            within(what, max(gaps), high=1e-12),
        ]
    return claims


def _child(how: str, folder: Path, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.engine.stream", how, str(folder), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SfbenchError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def _range(values: list[float]) -> str:
    return f"{len(values)} repeats, {min(values):.3g} to {max(values):.3g}"


PARTS: dict[str, Callable[[Scale], list[Claim]]] = {
    "overhead": overhead,
    "speedup": speedup,
    "journal": journal,
    "stream": stream,
}


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Measure and print the table; exit code 1 if a limit is missed."""
    parser = OneLineParser(prog="python -m benchmarks.engine", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller grids: about a minute")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--out", default="results/engine", help="folder for the claims")
    args = parser.parse_args(argv)
    folder = prepare_folder(args.out)
    claims = [claim for name in args.part for claim in PARTS[name](QUICK if args.quick else FULL)]
    write_claims(folder, claims, quick=args.quick, **provenance())
    print_claims(claims, "The study engine")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:.0f} MB; claims in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    raise SystemExit(main())
