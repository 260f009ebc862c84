"""Peak memory of a fit of k networks to images on disk, beside one forward pass of one of them and a batch.

Every figure comes from a fresh process: the most that it ever held (``VmHWM``) less what it held once the networks were
built and asked for one point. In it the C library maps every block of 128 KiB or more by itself and gives it back when
it is freed (``MALLOC_MMAP_THRESHOLD_``), so that what is counted is what is in use: the usual heap keeps holes between
blocks, twice as much after some passes of one network alone, and more or less from process to process. For the network
of the largest activations that is measured, too: medians of several processes, each beside as many that pass one batch
through one network again and again. The fit may hold what a forward pass of a batch holds, and the batch, however many
images there are. They are a file of bytes that nothing was written to, which takes no disk: what they show does not
matter. Perceptrons see every image in one pass; a U-Net, which would take hours, as many as a budget of evaluations
allows, in random order.
"""

import contextlib
import ctypes
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

import sfbench
from sfbench.statistics import GramSettings, score_statistics
from sfbench.statistics.files import open_source

from ..common.fits import quietly
from ..common.study import Row
from .networks import NETWORKS, OU, networks

_WINDOW = {"t_min": 0.1, "t_max": 1.0, "n_nodes": 2}
_MAPPED = ("MALLOC_MMAP_THRESHOLD_", str(1 << 17))
PASSES, PROCESSES = 40, 5


@final
@dataclass(frozen=True)
class Case:
    """A network (its name, those of its options that differ), the images' dimension, and a budget of evaluations."""

    label: str
    options: tuple[tuple[str, Any], ...]
    dim: int
    budget: int | None = None


CASES = (
    Case("U-Net 1 M at 28x28", (), 784, 600),
    Case("MLP 31 k", (("dim", 784),), 784),
    Case("MLP 31 k", (("dim", 64),), 64),
)


def write_images(path: Path, n: int, dim: int) -> Path:
    """A file of n images in bytes, all zero."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, dim)).flush()
    return path


def _status(what: str) -> float:
    """A line of this process's memory, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def peak(case: Case, images: Path | None, passes: int = 1) -> tuple[float, float]:
    """MiB beyond the networks themselves of a fit to images, or of forward passes without them; MiB of a batch."""
    torch.set_num_threads(1)
    name, options, _, _ = NETWORKS[case.label]
    models = networks(name, options | dict(case.options), case.dim, torch.device("cpu"))
    rows = models[0].preferred_rows
    settings = GramSettings(OU, sfbench.time_grid(0.1, 1.0, 1))
    score_statistics(models, np.zeros((2, case.dim), np.float32), settings, rng=0)
    if case.budget is not None:  # what is imported on first use
        quietly(sfbench.fuse, models, np.zeros((2, case.dim), np.uint8), process=OU, **_WINDOW, check_models=False)
    with contextlib.suppress(OSError, AttributeError):  # what was freed goes back, the most that was held is forgotten
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    if images is None:
        batch = torch.randn(rows, case.dim)
        for _ in range(passes):
            with torch.no_grad():
                models[0].module(batch, torch.full((1,), 0.3, dtype=torch.float64))
    elif case.budget is None:
        score_statistics(models, open_source(images), settings, rng=0)
    else:
        options = {"evaluations": case.budget, "check_models": False, "rng": 0}
        quietly(sfbench.fuse, models, open_source(images), process=OU, **_WINDOW, **options)
    return _status("VmHWM") - before, rows * case.dim * 4 / 2**20


def in_process(case: Case, images: Path | None, passes: int = 1, *, mapped: bool = True) -> tuple[float, float]:
    """:func:`peak` in a process of its own, whose blocks are mapped one by one or lie in the usual heap."""
    name, value = _MAPPED
    usual = os.environ.pop(name, None)
    os.environ |= {name: value} if mapped else {}
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(peak, case, images, passes).result()
    finally:
        os.environ.pop(name, None)
        os.environ |= {} if usual is None else {name: usual}


def measure(n: int) -> list[Row]:
    """Rows of every network: one forward pass, a fit to a tenth of the images, a fit to all; the latter in the usual
    heap beside repeated passes of one network, where a budget bounds the fit.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            about: Row = {"network": case.label, "dim": case.dim}
            floor, files = 0.0, {c: write_images(Path(folder) / f"{c}.npy", c, case.dim) for c in (n // 10, n)}
            for count in (0, n // 10, n):
                held, batch = in_process(case, files.get(count))
                floor = floor or held + batch
                row = about | {"images": count, "heap": "mapped", "peak_mib": held, "batch_mib": batch}
                rows.append(row | {"ratio": held / floor, "low": held, "high": held})
            if case.budget is None:
                continue
            for count in (0, n):
                found = [in_process(case, files.get(count), PASSES, mapped=False)[0] for _ in range(PROCESSES)]
                held = float(np.median(found))
                floor = held + batch if count == 0 else floor
                row = about | {"images": count, "heap": "usual", "peak_mib": held, "batch_mib": batch}
                rows.append(row | {"ratio": held / floor, "low": min(found), "high": max(found)})
    return rows
