"""Fits and samples of networks as ratios to bare forward passes: ``python -m benchmarks.networks_speed``.

The floor of a task is the same number of evaluations by the same k networks, in the same process, dtype and layout, at
the batch size that :attr:`NetworkScore.preferred_rows` names or at 4 times that, whichever is faster, with one time for
all points where the network takes one. What the samplers ask beyond their steps, to check the answer, counts against
them. Contenders run in rounds of random order; the ratio of minima is reported with the 10-90 % range of the paired
ratios: CPU time of one thread, which others may share, wall time of several and on an accelerator. Weights are random:
speed does not depend on them. Then :mod:`.trained` and, on a CPU, :mod:`.memory` and :mod:`.stacked`. A goal that is
missed makes the exit code 1.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

import sfbench
from sfbench._internal.arrays import as_device
from sfbench.files import prepare_folder, provenance, write_json
from sfbench.nets import NetworkScore
from sfbench.sampling import sample
from sfbench.statistics import GramSettings, score_statistics

from ..common.claims import Claim, exit_code, print_claims, within, write_claims
from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from ..common.timing import clock_of, interleaved, ratio
from . import memory, stacked, trained
from .networks import NETWORKS, ON_DEVICE, OU, K, networks

NODES, STEPS = 4, 16
GOALS = {"fuse": 1.1, "sample": 1.1, "corrected": 1.2}  # of the ratio on a CPU
ON_DEVICE_GOAL, MEMORY_GOAL = 1.15, 1.1


def floor(models: list[NetworkScore], evaluations: int, rows: int) -> Callable[[], None]:
    """So many bare evaluations by each network in batches of at most ``rows``."""
    device = models[0].device
    x = torch.randn(min(rows, evaluations), models[0].dim, device=device)
    once = getattr(models[0].module, "broadcasts_time", False)
    t = torch.full((1 if once else len(x),), 0.3, dtype=torch.float64)

    def run() -> None:
        with torch.no_grad():
            for model in models:
                for start in range(0, evaluations, len(x)):
                    count = min(len(x), evaluations - start)
                    model.module(x[:count], t if once else t[:count])

    return run


def measure(
    label: str, case: tuple[str, dict[str, Any], int, int], device: torch.device, repeats: int, share: int
) -> list[Row]:
    """Rows of one network: fits and samples against their floors."""
    name, options, dim, n = case
    n = max(16, n // share)
    models = networks(name, options, dim, device)
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(0)).to(device)
    settings = GramSettings(OU, sfbench.time_grid(1e-2, 3.0, NODES))
    fused = sfbench.FusedScore(models, np.full(K, 1.0 / K), process=OU)
    quiet: dict[str, Any] = {"steps": STEPS, "check_steps": False, "rng": 0}
    # threads that wait for work count as CPU time, which says nothing then
    clock = time.perf_counter if device.type == "cpu" and torch.get_num_threads() > 1 else clock_of(str(device))
    rows: list[Row] = []
    fits: list[tuple[str, Callable[[], object]]] = [("fuse", lambda: score_statistics(models, x, settings, rng=0))]
    samples: list[tuple[str, Callable[[], object]]] = [
        ("sample", lambda: sample(fused, n, device=device, **quiet)),
        ("corrected", lambda: sample(fused, n, "corrected", device=device, **quiet)),
    ]
    for tasks, evaluations in ((fits, 2 * NODES * n), (samples, STEPS * n)):
        batch = models[0].preferred_rows
        asked: list[list[int]] = [[] for _ in tasks]
        runs = [_counted(run, models[0], points) for (_, run), points in zip(tasks, asked, strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what random networks draw is no law
            floors = [floor(models, evaluations, b) for b in (batch, 4 * batch)]
            seconds = interleaved([*runs, *floors], repeats, clock)
        best = len(runs) + int(seconds[:, -1].min() < seconds[:, -2].min())
        each = 1e6 * seconds.min(axis=0) / (K * evaluations)
        for i, (task, _) in enumerate(tasks):
            value, low, high = ratio(seconds, i, best)
            rows.append(
                {
                    "network": label,
                    "task": task,
                    "points": n,
                    "batch": batch,
                    "ratio": value,
                    "low": low,
                    "high": high,
                    "asked": sum(asked[i]) / (repeats + 1) / evaluations,
                    "microseconds": float(each[i]),
                    "floor_microseconds": float(each[best]),
                }
            )
    return rows


def _counted(run: Callable[[], object], model: NetworkScore, asked: list[int]) -> Callable[[], None]:
    """The run, which adds to ``asked`` the points at which it asks a network."""

    def again() -> None:
        handle = model.module.register_forward_hook(lambda module, given, output: asked.append(len(given[0])))
        run()
        handle.remove()

    return again


def evaluate_claims(
    rows: Sequence[Row],
    weights: Sequence[Row],
    learnt: Sequence[Row],
    held: Sequence[Row],
    small: Sequence[Row],
    on_device: bool,
) -> list[Claim]:
    """Ratios against their goals, and what precision and the published way cost."""
    claims = []
    for row in rows:
        note = (
            f"{row['points']:,} points, batches of {row['batch']:,}; {row['asked']:.3f} times the evaluations asked; "
            f"{row['microseconds']:.3g} us each, bare {row['floor_microseconds']:.3g}"
        )
        goal = ON_DEVICE_GOAL if on_device else GOALS[row["task"]]
        ends = (row["low"], row["high"])
        name = f"time over bare forward passes: {row['network']}, {row['task']}"
        claims.append(within(name, row["ratio"], high=goal, interval=ends, note=note))
    for row in held:
        if not row["images"]:
            continue
        mapped, note = row["heap"] == "mapped", f"{row['peak_mib']:.1f} MiB, batch {row['batch_mib']:.2f}"
        what = "peak memory over a forward pass and its batch"
        if not mapped:
            what = f"peak memory in the usual heap, over {memory.PASSES} forward passes of one network"
            note = f"medians of {memory.PROCESSES} processes; {row['low']:.1f} to {row['high']:.1f} MiB"
        name = f"{what}: {row['network']}, d = {row['dim']}, {row['images']:,} images"
        claims.append(within(name, row["ratio"], high=MEMORY_GOAL if mapped else None, note=note))
    for row in weights:
        if row["dtype"] != "float64":
            name = f"precision: {row['networks']}, {row['dtype']}, largest change of a weight against float64"
            note = f"{row['half_widths']:.2g} half-widths of its 90 % interval, {row['n']:,} points"
            claims.append(within(name, row["change"], note=note))
    for way, time_over, excess in trained.summary(learnt):
        note = f"excess over the minimum {excess[0]:.2g} [{excess[1]:.2g}, {excess[2]:.2g}]"
        name = f"published way: {way}, time over that of one pass"
        claims.append(within(name, time_over[0], interval=time_over[1:], note=note))
    for row in small:
        name = f"stacked by vmap over in turn: {row['networks']} perceptrons, {row['points']:,} points a call"
        claims.append(within(name, row["ratio"], interval=(row["low"], row["high"])))
    return claims


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = OneLineParser(prog="python -m benchmarks.networks_speed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="a torch device")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch, for the times on a CPU")
    parser.add_argument("--quick", action="store_true", help="half of the images, fewer repeats")
    parser.add_argument("--images", type=int, help="images on disk whose fit's memory is measured (a million)")
    parser.add_argument("--out", default="results/networks_speed", help="folder for tables and claims")
    arguments = parser.parse_args(argv)
    if min(arguments.threads) < 1:
        parser.error(f"--threads must be at least 1, got {min(arguments.threads)}")
    device = as_device(arguments.device)
    folder, started = prepare_folder(arguments.out), time.monotonic()
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    cases = NETWORKS if device.type == "cpu" else NETWORKS | ON_DEVICE
    print(f"{card}; k = {K}; ratio to bare forward passes, with the 10-90 % range of paired ratios")
    rows: list[Row] = []
    default = torch.get_num_threads()
    for (label, case), threads in product(cases.items(), arguments.threads if device.type == "cpu" else [default]):
        torch.set_num_threads(threads)
        repeats = 3 if arguments.quick else 25
        if case[0] == "unet" and device.type == "cpu":
            repeats = 1 if arguments.quick else 2
        name = f"{label}, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else label
        found = measure(name, case, device, repeats, 2 if arguments.quick and case[0] == "unet" else 1)
        for row in found:
            print(
                f"{row['network']:30} {row['task']:9} {row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  "
                f"of {row['asked']:.3f} times the evaluations  "
                f"{row['microseconds']:.4g} us an evaluation, bare {row['floor_microseconds']:.4g}",
                flush=True,
            )
        rows += found
    torch.set_num_threads(default)
    contests = trained.cases(256 if arguments.quick else 1024, device)
    learnt = trained.published(contests, 1 if arguments.quick else 3)
    weights = trained.precision([*contests, trained.images(len(contests[0][2]) // 8, device)], not arguments.quick)
    images = arguments.images or (2000 if arguments.quick else 1_000_000)
    held = memory.measure(images) if device.type == "cpu" else []
    small = stacked.measure(networks(*NETWORKS["MLP 31 k"][:3], device), 7) if device.type == "cpu" else []
    tables = (("networks_speed", rows), ("precision", weights), ("published_way", learnt))
    for name, table in (*tables, ("memory", held), ("stacked", small)):
        if table:
            write_rows(folder, name, table)
    claims = evaluate_claims(rows, weights, learnt, held, small, device.type != "cpu")
    about = provenance(0) | {"machine": f"{provenance()['machine']}, {card}"}
    write_claims(folder, claims, quick=arguments.quick, **about)
    write_json(folder / "manifest.json", about | {"arguments": vars(arguments)})
    print_claims(claims)
    print(f"{time.monotonic() - started:.0f} s; tables in {folder}")
    return exit_code(claims)


if __name__ == "__main__":
    sys.exit(main())
