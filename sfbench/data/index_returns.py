r"""Windows of daily log returns of two share indices, split by date.

The return of a day is ``100 log(p_t / p_{t-1})`` of adjusted closing prices, in per cent, rounded to 1e-6 so that it is
the same number on every machine. A window holds 32 consecutive days; windows start every 4 days, so that neighbours
share 28. Train ends with 2016; test holds the windows that lie in 2017 and 2018 altogether, so the splits share no day.

A window is *turbulent* if its sum of squares exceeds the median over that index's training windows, else *calm*; the
median is that of the past also in test.
"""

import csv
import io

import numpy as np

from .catalogue import CATALOGUE
from .entry import Arrays, Files
from .errors import DataError
from .idx import gunzip

_DAYS, _STEP, _TEST_FROM = 32, 4, 2017


def return_windows(prices: np.ndarray, days: int, step: int) -> np.ndarray:
    """Windows ((n - 1 - days) // step + 1, days) of log returns, in per cent, of prices (n,)."""
    if prices.ndim != 1 or len(prices) <= days or not np.isfinite(prices).all() or prices.min() <= 0:
        raise DataError(f"windows of {days} returns need more than {days} positive prices, got shape {prices.shape}")
    returns = np.round(100 * np.diff(np.log(prices)), 6) + 0.0  # no -0.0
    return np.lib.stride_tricks.sliding_window_view(returns, days)[::step]


def decode(files: Files, split: str) -> Arrays:
    """Windows of both indices."""
    parts = []
    for label, name in enumerate(CATALOGUE["series"].classes):
        years, prices = _prices(gunzip(files[f"{name}.csv.gz"], name).decode(), name)
        first = int(np.searchsorted(years, _TEST_FROM))
        past = return_windows(prices[:first], _DAYS, _STEP)
        windows = past if split == "train" else return_windows(prices[first - 1 :], _DAYS, _STEP)
        turbulent = _power(windows) > np.median(_power(past))
        parts.append((windows, np.full(len(windows), label), turbulent))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _power(windows: np.ndarray) -> np.ndarray:
    """Sums of squares in whole units of 1e-12, which no machine rounds."""
    whole = np.rint(windows * 1e6).astype(np.int64)
    return np.asarray((whole**2).sum(axis=1))


def _prices(text: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        years = np.array([int(row["Date"].split("/")[2]) for row in rows])
        prices = np.array([float(row["Adj Close"]) for row in rows])
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DataError(f"{name} is not a table of dates and adjusted closing prices: {error}") from None
    if not len(rows) or np.any(np.diff(years) < 0):
        raise DataError(f"{name} is empty or not in the order of its dates")
    return years, prices
