"""Slopes of rates: exact powers, shuffled controls, and values that have none."""

import numpy as np
import pytest

from benchmarks.common.slopes import loglog_slope


def test_slopes_find_an_exact_power_and_a_shuffled_one_not() -> None:
    x, rng = [16, 64, 256, 1024], np.random.default_rng(0)
    table = np.exp(rng.standard_normal((30, 1)) * 0.1) * np.array(x) ** -0.5
    slope, low, high = loglog_slope(x, table)
    assert slope == pytest.approx(-0.5, abs=1e-12)
    assert high - low < 1e-9  # all seeds have the same slope
    assert abs(loglog_slope(x, rng.permuted(table, axis=1))[0]) < 0.3
    assert np.isnan(loglog_slope(x, np.zeros((5, 4)))).all()


def test_rounding_errors_have_no_power_law() -> None:
    """Half of the values are 0: resampled medians of 0 once gave intervals such as [-242.8, 0.308]."""
    gaps = np.zeros((20, 4))
    gaps[:11] = 1e-17
    gaps = np.random.default_rng(0).permuted(gaps, axis=0)
    assert np.isnan(loglog_slope([16, 64, 256, 1024], gaps)[1:]).all()
