"""Fits and samples of networks as ratios to bare forward passes: ``python -m benchmarks.networks_speed``.

The floor of a task is the same number of evaluations by the same k networks, in the same process, dtype and layout, at
the batch size that :attr:`NetworkScore.preferred_rows` names or at 4 times that, whichever is faster, with one time for
all points where the network takes one. What the samplers ask beyond their steps, to check the answer, counts against
them. Contenders run in turn; the ratio of minima is reported with the 10-90 % range of the paired ratios: CPU time on a
CPU, which others may share, wall time on an accelerator. Weights are random: speed does not depend on them. Then
:mod:`.trained` and, on a CPU, :mod:`.memory` and :mod:`.stacked`.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench
from sfbench.files import prepare_folder, provenance, write_json
from sfbench.nets import NetworkScore
from sfbench.sampling import sample
from sfbench.statistics import GramSettings, score_statistics

from ..common.study import OneLineParser, Row, one_line_errors, write_rows
from ..common.timing import ratio
from . import memory, stacked, trained
from .networks import NETWORKS, ON_DEVICE, OU, K, networks

NODES, STEPS = 4, 16


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


def interleaved(functions: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> np.ndarray:
    """Seconds (repeats, functions) of functions called in turn, after one call of each."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def once(function: Callable[[], object]) -> float:
        start = clock()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - start

    for function in functions:
        once(function)
    return np.array([[once(function) for function in functions] for _ in range(repeats)])


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
    rows: list[Row] = []
    for task, run, evaluations in (
        ("fuse", lambda: score_statistics(models, x, settings, rng=0), 2 * NODES * n),
        ("sample", lambda: sample(fused, n, device=device, **quiet), STEPS * n),
        ("corrected", lambda: sample(fused, n, "corrected", device=device, **quiet), STEPS * n),
    ):
        batch = models[0].preferred_rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what random networks draw is no law
            asked: list[int] = []
            contenders = [_counted(run, models[0], asked), *(floor(models, evaluations, b) for b in (batch, 4 * batch))]
            seconds = interleaved(contenders, repeats, device)
        best = 1 + int(seconds[:, 2].min() < seconds[:, 1].min())
        value, low, high = ratio(seconds, 0, best)
        each = 1e6 * seconds.min(axis=0) / (K * evaluations)
        rows.append(
            {
                "network": label, "task": task, "points": n, "batch": batch, "ratio": value, "low": low, "high": high,
                "asked": sum(asked) / (repeats + 1) / evaluations,
                "microseconds": float(each[0]), "floor_microseconds": float(each[best]),
            }
        )  # fmt: skip
    return rows


def _counted(run: Callable[[], object], model: NetworkScore, asked: list[int]) -> Callable[[], None]:
    """The run, which adds to ``asked`` the points at which it asks a network."""

    def again() -> None:
        handle = model.module.register_forward_hook(lambda module, given, output: asked.append(len(given[0])))
        run()
        handle.remove()

    return again


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = OneLineParser(prog="python -m benchmarks.networks_speed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="a torch device")
    parser.add_argument("--quick", action="store_true", help="a quarter of the points, 3 repeats")
    parser.add_argument("--images", type=int, default=100_000, help="images on disk whose fit's memory is measured")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/networks_speed"))
    arguments = parser.parse_args(argv)
    device = sfbench.nets.wiring.as_device(arguments.device)
    folder = prepare_folder(arguments.out)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    cases = NETWORKS if device.type == "cpu" else NETWORKS | ON_DEVICE
    print(f"{card}; k = {K}; ratio to bare forward passes, with the 10-90 % range of paired ratios")
    rows: list[Row] = []
    for label, case in cases.items():
        repeats = 7 if case[0] == "mlp" and not arguments.quick else 3
        found = measure(label, case, device, repeats, 4 if arguments.quick else 1)
        for row in found:
            print(
                f"{row['network']:20} {row['task']:9} {row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  "
                f"of {row['asked']:.3f} times the evaluations  "
                f"{row['microseconds']:.4g} us an evaluation, bare {row['floor_microseconds']:.4g}",
                flush=True,
            )
        rows += found
    write_rows(folder, "networks_speed", rows)
    contests = trained.cases(256 if arguments.quick else 1024, device)
    weights, learnt = trained.precision(contests), trained.published(contests, 1 if arguments.quick else 3)
    held = memory.measure(2000 if arguments.quick else arguments.images) if device.type == "cpu" else []
    small = stacked.measure(networks(*NETWORKS["MLP 31 k"][:3], device), 7) if device.type == "cpu" else []
    for line in (*trained.report(weights, learnt), *memory.report(held), *stacked.report(small)):
        print(line)
    tables = (("precision", weights), ("published_way", learnt), ("memory", held), ("stacked", small))
    for name, table in tables:
        if table:
            write_rows(folder, name, table)
    write_json(folder / "provenance.json", {**provenance(), "device": card})
    return 0


if __name__ == "__main__":
    sys.exit(main())
