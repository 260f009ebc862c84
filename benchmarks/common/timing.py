"""Times as ratios in one process: contenders run in turn, and minima are compared."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def clock_of(device: str) -> Callable[[], float]:
    """CPU seconds of this process; for a GPU, seconds on the wall when its queue is empty."""
    if not device.startswith("cuda"):
        return time.process_time
    import torch

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def interleaved(
    functions: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> np.ndarray:
    """Seconds (repeats, functions) of functions called in rounds of random order, by the CPU or another clock.

    What a call leaves in the caches is the next one's advantage or loss: in one order, always the same one's.
    """
    for function in functions:
        function()
    seconds, rng = np.empty((repeats, len(functions))), np.random.default_rng(0)
    for r in range(repeats):
        for i in rng.permutation(len(functions)):
            function = functions[i]
            start = clock()
            function()
            seconds[r, i] = clock() - start
    return seconds


def ratio(seconds: np.ndarray, a: int, b: int) -> tuple[float, float, float]:
    """Ratio of minima of columns a over b, with the 10-90 % range of paired ratios."""
    paired = seconds[:, a] / np.maximum(seconds[:, b], 1e-9)
    low, high = np.quantile(paired, [0.1, 0.9])
    return float(seconds[:, a].min() / seconds[:, b].min()), float(low), float(high)
