"""Peak memory of a fit of k networks to images on disk, beside one forward pass of one of them.

Every figure comes from a fresh process: the most that it ever held (``VmHWM``) less what it held once the networks were
built and asked for one point. The fit may hold what a forward pass of a batch holds, and the batch, however many images
there are; they are written once, by blocks, and read back by the fit.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench
from sfbench.statistics import GramSettings, score_statistics
from sfbench.statistics.files import open_source

from ..common.study import Row
from .networks import NETWORKS, OU, K, networks

_BLOCK = 4096


def write_images(path: Path, n: int, dim: int) -> Path:
    """A file of n standard normal images in single precision."""
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, dim))
    rng = np.random.default_rng(0)
    for start in range(0, n, _BLOCK):
        images[start : start + _BLOCK] = rng.standard_normal((min(_BLOCK, n - start), dim), dtype=np.float32)
    return path


def _status(what: str) -> float:
    """A line of this process's memory, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def peak(label: str, case: tuple[str, dict[str, Any], int, int], images: Path | None) -> tuple[float, int]:
    """MiB beyond the networks themselves, and the batch: of a fit to images, or of one forward pass without them."""
    torch.set_num_threads(1)
    name, options, dim, _ = case
    models = networks(name, options, dim, torch.device("cpu"))
    rows = models[0].preferred_rows
    settings = GramSettings(OU, sfbench.time_grid(0.1, 1.0, 1), dtype=np.float32)
    score_statistics(models, np.zeros((2, dim), np.float32), settings, rng=0)
    before = _status("VmRSS")
    if images is None:
        batch = torch.randn(rows, dim)
        with torch.no_grad():
            models[0].module(batch, torch.full((1,), 0.3, dtype=torch.float64))
    else:
        score_statistics(models, open_source(images), settings, rng=0)
    return _status("VmHWM") - before, rows


def measure(n: int) -> list[Row]:
    """Rows of every network: one forward pass, a fit to a tenth of the images, a fit to all."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for label, case in NETWORKS.items():
            # as many images as take the same time
            count = n if case[0] == "mlp" else max(64, n // 200)
            wide = (case[0], case[1] | ({"dim": 784} if case[0] == "mlp" else {}), 784, case[3])
            files = [None, *(write_images(Path(folder) / f"{m}.npy", m, 784) for m in (count // 10, count))]
            for images, m in zip(files, (0, count // 10, count), strict=True):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    held, batch = pool.submit(peak, label, wide, images).result()
                rows.append({"network": f"{label}, d = 784", "images": m, "batch": batch, "peak_mib": held})
    return rows


def report(rows: list[Row]) -> list[str]:
    """The peaks as lines of text, those of fits as ratios to the forward pass."""
    if not rows:
        return []
    lines = [f"peak memory beyond the networks, k = {K}; a forward pass of one batch by one network is 1"]
    floor = 1.0
    for row in rows:
        floor = row["peak_mib"] if not row["images"] else floor
        what = f"fit to {row['images']:,} images" if row["images"] else f"forward pass of {row['batch']} points"
        lines.append(f"{row['network']:36} {what:28} {row['peak_mib']:8.1f} MiB  {row['peak_mib'] / floor:.2f}")
    return lines
