"""Slopes on doubly logarithmic axes: the rates that studies claim."""

from collections.abc import Sequence

import numpy as np


def loglog_slope(
    x: Sequence[float], table: np.ndarray, *, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Slope of the log of column medians of ``table`` (seeds, points) against log x, with a 95 % interval.

    Points of one seed share samples, so the interval resamples whole seeds. Points whose median is 0 have no logarithm
    and are left out; the slope is NaN if fewer than two remain, and its interval if more than one in twenty resamples
    has such a median (rounding errors have no power law).
    """
    positive = np.median(table, axis=0) > 0
    if positive.sum() < 2:
        return np.nan, np.nan, np.nan
    table, logs = table[:, positive], np.log(np.asarray(x, dtype=np.float64)[positive])
    centred = logs - logs.mean()

    def slope(medians: np.ndarray) -> np.ndarray:
        known = (medians > 0).all(axis=-1)
        found = np.log(np.where(medians > 0, medians, 1.0)) @ centred / (centred @ centred)
        return np.where(known, found, np.nan)

    rng = np.random.default_rng(seed)
    picks = np.stack([rng.integers(0, len(table), len(table)) for _ in range(n_resamples)])
    draws = np.concatenate([slope(np.median(table[block], axis=1)) for block in np.array_split(picks, 10)])
    usual = float(slope(np.median(table, axis=0)))
    if np.isnan(draws).mean() > 0.05:
        return usual, np.nan, np.nan
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return usual, float(low), float(high)
