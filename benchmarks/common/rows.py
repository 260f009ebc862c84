"""What claims ask of rows: those with some values, the mean of a column, an interval over repetitions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from .study import Row


def pick(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Rows with the given values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def mean(rows: Sequence[Row], key: str, less: str = "") -> float:
    """Mean of a column, or of its difference from another."""
    return float(np.mean([row[key] - (row[less] if less else 0.0) for row in rows]))


def mean_interval(
    values: Sequence[float], *, level: float = 0.95, extra: float = 0.0
) -> tuple[float, tuple[float, float] | None]:
    """Mean and its interval by Student's t, None for one value; ``extra`` is a standard error of a subtrahend."""
    array = np.asarray(values, np.float64)
    middle = float(array.mean())
    if len(array) < 2:
        return middle, None
    error = float(np.hypot(array.std(ddof=1) / np.sqrt(len(array)), extra))
    half = float(stdtrit(len(array) - 1, 0.5 + level / 2)) * error
    return middle, (middle - half, middle + half)
