"""Times as ratios in one process: contenders run in turn, and minima are compared."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def interleaved(functions: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """CPU seconds, (repeats, functions), of functions called in turn."""
    for function in functions:
        function()
    seconds = np.empty((repeats, len(functions)))
    for r in range(repeats):
        for i, function in enumerate(functions):
            start = time.process_time()
            function()
            seconds[r, i] = time.process_time() - start
    return seconds


def ratio(seconds: np.ndarray, a: int, b: int) -> tuple[float, float, float]:
    """Ratio of minima of columns a over b, with the 10-90 % range of paired ratios."""
    paired = seconds[:, a] / np.maximum(seconds[:, b], 1e-9)
    low, high = np.quantile(paired, [0.1, 0.9])
    return float(seconds[:, a].min() / seconds[:, b].min()), float(low), float(high)
