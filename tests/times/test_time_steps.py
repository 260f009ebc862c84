import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbench.errors import GridError
from sfbench.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.times import TimeSteps, time_steps

PROCESSES = [OrnsteinUhlenbeck(), VariancePreserving(), VarianceExploding(25.0)]
SPACINGS = ["log_snr", "edm", "uniform"]


@given(st.sampled_from(PROCESSES), st.sampled_from(SPACINGS), st.integers(1, 60))
def test_times_decrease_between_the_ends(process, spacing, n):
    steps = time_steps(process, n, spacing, t_min=1e-3)
    assert len(steps) == n
    assert steps.times[0] == process.horizon
    assert steps.times[-1] == 1e-3
    assert np.all(np.diff(steps.times) < 0)


@pytest.mark.parametrize("process", PROCESSES)
def test_what_is_said_to_be_even_is_even(process):
    ratios = process.log_snr(time_steps(process, 40, "log_snr", t_min=1e-3).times)
    np.testing.assert_allclose(np.diff(ratios), np.diff(ratios)[0], rtol=1e-6)
    roots = np.exp(-process.log_snr(time_steps(process, 40, "edm", t_min=1e-3, rho=3.0).times) / 6.0)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-6)


@pytest.mark.parametrize("process", PROCESSES)
def test_refined_keeps_times_and_halves_log_snr(process):
    steps = time_steps(process, 10, t_min=1e-3)
    fine = steps.refined(process)
    np.testing.assert_array_equal(fine.times[::2], steps.times)
    gaps = np.diff(process.log_snr(fine.times))
    np.testing.assert_allclose(gaps[::2], gaps[1::2], rtol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": 2.5}, "n_steps"),
        ({"n_steps": True}, "n_steps"),
        ({"n_steps": 4, "t_min": 0.0}, "t_min"),
        ({"n_steps": 4, "t_min": -1.0}, "t_min"),
        ({"n_steps": 4, "t_min": np.nan}, "t_min"),
        ({"n_steps": 4, "t_min": 9.0}, "t_max"),
        ({"n_steps": 4, "spacing": "even"}, "even"),
        ({"n_steps": 4, "spacing": "edm", "rho": 0.0}, "rho"),
    ],
)
def test_bad_windows_are_refused(kwargs, named):
    with pytest.raises(GridError, match=named):
        time_steps(OrnsteinUhlenbeck(), **kwargs)


@pytest.mark.parametrize("times", [[1.0], [1.0, 2.0], [1.0, 0.0], [np.inf, 1.0], [1.0, 1.0], [[1.0, 0.5]]])
def test_bad_times_are_refused(times):
    with pytest.raises(GridError):
        TimeSteps(np.array(times))
