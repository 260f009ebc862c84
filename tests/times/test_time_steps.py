from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfbench
from sfbench import FusedScore, check_process
from sfbench.errors import GridError
from sfbench.processes import ForwardProcess, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.processes.times import TimeSteps, time_steps
from synthetic import GaussianMixture

PROCESSES = [OrnsteinUhlenbeck(), VariancePreserving(), VarianceExploding(25.0)]
SPACINGS = ["log_snr", "uniform"]


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
    times = time_steps(process, 40, "uniform", t_min=1e-3).times
    np.testing.assert_allclose(np.diff(times), np.diff(times)[0], rtol=1e-6)


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
    ],
)
def test_bad_windows_are_refused(kwargs, named):
    with pytest.raises(GridError, match=named):
        time_steps(OrnsteinUhlenbeck(), **kwargs)


@pytest.mark.parametrize("times", [[1.0], [1.0, 2.0], [1.0, 0.0], [np.inf, 1.0], [1.0, 1.0], [[1.0, 0.5]]])
def test_bad_times_are_refused(times):
    with pytest.raises(GridError):
        TimeSteps(np.array(times))


@dataclass(frozen=True)
class Ending(ForwardProcess):
    """A process of one's own that ends without signal: flow matching, or the cosine schedule, whose alpha is 6e-17."""

    cosine: bool
    horizon: float = 1.0

    def alpha(self, t):
        return np.cos(np.pi / 2 * np.asarray(t)) if self.cosine else 1.0 - np.asarray(t)

    def sigma(self, t):
        return np.sin(np.pi / 2 * np.asarray(t)) if self.cosine else np.asarray(t, float)

    def f(self, t):
        return -np.pi / 2 * np.tan(np.pi / 2 * np.asarray(t)) if self.cosine else -1.0 / (1.0 - np.asarray(t))

    def g(self, t):
        return np.sqrt(-2.0 * self.f(t)) if self.cosine else np.sqrt(2.0 * np.asarray(t) / (1.0 - np.asarray(t)))

    def prior_std(self, t):
        return float(self.sigma(t))


@pytest.mark.parametrize("cosine", [False, True])
def test_steps_start_where_a_process_that_ends_without_signal_still_has_some(cosine):
    process = check_process(Ending(cosine))
    for spacing in SPACINGS:
        steps = time_steps(process, 30, spacing)
        assert process.log_snr(steps.times[0]) == pytest.approx(-16.0, abs=1e-3)
        assert np.isfinite(process.g(steps.times)).all()
    laws = [GaussianMixture([1.0], [[m]], 1.0) for m in (-1.0, 1.0)]
    for sampler in ("fused", "ode", "corrected"):
        drawn = sfbench.sample(
            FusedScore(laws, [0.3, 0.7], process=process), 2000, sampler, steps=60, check_steps=False, rng=0
        )
        assert np.average(drawn.x[:, 0], weights=drawn.weights) == pytest.approx(0.4, abs=0.1)
    with pytest.raises(GridError, match=r"must be finite: move t_max"), np.errstate(all="ignore"):
        time_steps(process, 4, t_max=1.5)


def test_ends_with_little_signal_stay():
    assert time_steps(VarianceExploding(1e6), 4).times[0] == VarianceExploding(1e6).horizon
