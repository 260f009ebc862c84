"""Controlled particles: unbiased whatever they look ahead by, and far better on products than particles that do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbench.errors import SfbenchError
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.processes.times import time_steps
from sfbench.sampling import ControlledSampler, CorrectedSampler, SampleRequest, sample
from sfbench.sampling import controlled as module
from sfbench.sampling.controlled import _LEVELS, AdditiveFunction, _ControlledRun, draw_tilted, tilted
from sfbench.scores import AnalyticScore, FusedScore, ProductScore, WeightsOverTime
from synthetic import LogLinearPool

OU = OrnsteinUhlenbeck()
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


def product(problem, r):
    return FusedScore([ProductScore(AnalyticScore(p, OU), r) for p in problem.auxiliaries], [0.5, 0.5], process=OU)


def request(fused, n, steps, seed):
    rng = np.random.default_rng(seed)
    order = iter(range(len(steps)))
    return SampleRequest(fused, n, np.dtype(np.float64), steps, 0.0, None, rng, order)


@quiet
@pytest.mark.slow
def test_products_without_being_told_the_blocks(problem):
    truth = 6 * LogLinearPool(problem.auxiliaries, [0.5, 0.5]).log_partition().value
    options = {"steps": 64, "check_steps": False, "rng": 0}
    plain = sample(product(problem, 6), 800, CorrectedSampler(noise="independent"), **options).diagnostics
    found = sample(product(problem, 6), 800, "controlled", **options)
    assert found.diagnostics.founders > 600 > 10 * plain.founders
    assert found.diagnostics.trustworthy
    assert not plain.trustworthy
    assert found.diagnostics.log_partition.value == pytest.approx(truth, abs=0.2)
    masses = found.weights @ (found.x > 0.0)
    assert np.abs(masses - 0.81).max() < 0.06  # of the fused law: 0.41


def partitions(fused, steps, ahead, runs, n=150):
    found = []
    for seed in range(runs):
        run = _ControlledRun(ControlledSampler(), request(fused, n, steps, seed))
        particles, _ = run.move(n, ahead, range(len(steps)))
        found.append(np.exp(particles.log_partition().value))
    return np.mean(found), np.std(found) / np.sqrt(runs)


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fitted", "wrong"])
def test_log_z_is_unbiased_whatever_particles_look_ahead_by(problem, kind):
    fused, steps = product(problem, 2), time_steps(OU, 12, t_min=1e-3)
    if kind == "fitted":
        run = _ControlledRun(ControlledSampler(), request(fused, 400, steps, 99))
        run.move(400, [None] * 13, range(12), pilot=True)
        ahead = run.looked_back(24)
    else:
        rng = np.random.default_rng(0)
        ends = np.full(2, 2.0)
        ahead = [AdditiveFunction(-ends, ends, 0.4 * rng.standard_normal((2, 5))) for _ in range(12)] + [None]
    want, error = partitions(fused, steps, [None] * 13, 40)
    found, other = partitions(fused, steps, ahead, 40)
    assert abs(found - want) < 4.0 * np.hypot(error, other)
    assert error < 0.06 * want
    if kind == "fitted":
        assert other < 0.7 * error


@quiet
@pytest.mark.slow
def test_the_check_of_log_z_has_teeth(problem, monkeypatch):
    fused, steps = product(problem, 2), time_steps(OU, 12, t_min=1e-3)
    ends = np.full(2, 2.0)
    slope = np.tile(np.linspace(-0.4, 0.4, 5), (2, 1))
    ahead = [AdditiveFunction(-ends, ends, slope) for _ in range(12)] + [None]

    def careless(density, uniform):
        levels, log_density = draw_tilted(density, uniform)
        return levels, 0.0 * log_density

    want, error = partitions(fused, steps, [None] * 13, 40)
    monkeypatch.setattr(module, "draw_tilted", careless)
    found, other = partitions(fused, steps, ahead, 40)
    assert abs(found - want) > 4.0 * np.hypot(error, other)


@given(seed=st.integers(0, 1000), scale=st.floats(0.0, 3.0))
def test_tilted_kernels_have_the_density_that_is_stated(seed, scale):
    rng = np.random.default_rng(seed)
    function = AdditiveFunction(np.full(1, -2.0), np.full(1, 2.0), scale * rng.standard_normal((1, 6)))
    density, log_mean = tilted(function, rng.standard_normal((1, 1)), 0.7)
    assert np.trapezoid(density[:, 0, 0], _LEVELS) == pytest.approx(1.0)
    assert np.isfinite(log_mean).all()
    uniform = (np.arange(2000)[:, None] + 0.5) / 2000
    levels, logs = draw_tilted(np.broadcast_to(density, (len(_LEVELS), 2000, 1)), uniform)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:, 0, 0] + density[:-1, 0, 0]) * np.diff(_LEVELS))])
    shares = np.searchsorted(levels[:, 0], _LEVELS[1:-1]) / 2000
    np.testing.assert_allclose(shares, below[1:-1], atol=1e-3)
    np.testing.assert_allclose(np.exp(logs), np.interp(levels[:, 0], _LEVELS, density[:, 0, 0]), rtol=1e-6)


def test_additive_functions_fit_sums_over_coordinates_and_end_in_constants():
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (2000, 3))
    y = np.sin(x[:, 0]) + x[:, 1] ** 2 - np.abs(x[:, 2])
    found = AdditiveFunction.fitted(x, y, 24)
    assert np.sqrt(np.mean((found(x) - y) ** 2)) < 0.02
    far = found(np.array([[9.0, 9.0, 9.0], [2.0, 2.0, 2.0]]))
    assert far[0] == pytest.approx(far[1], abs=0.02)


@quiet
def test_one_model_needs_no_control_and_callbacks_see_the_weights_of_the_pool(problem):
    alone = FusedScore(problem.auxiliaries, [0.0, 1.0], process=OU)
    result = sample(alone, 200, "controlled", steps=16, check_steps=False, rng=0)
    assert np.ptp(result.log_weights) == 0.0
    seen = []
    fused = product(problem, 2)
    sample(fused, 300, "controlled", steps=16, check_steps=False, rng=0, callback=lambda *call: seen.append(call))
    assert [call[0] for call in seen] == list(range(1, 17))
    assert all(np.isfinite(call[3]).all() for call in seen)


@pytest.mark.slow
@quiet
def test_the_same_seed_gives_the_same_bits(problem):
    one, two = (sample(product(problem, 2), 100, "controlled", steps=12, check_steps=False, rng=3) for _ in range(2))
    assert one.x.tobytes() == two.x.tobytes()
    assert one.log_weights.tobytes() == two.log_weights.tobytes()


def test_what_cannot_be_controlled_is_refused(problem):
    for options, match in (({"sweeps": 0}, "sweeps"), ({"knots": 1}, "knots"), ({"threshold": 2.0}, "threshold")):
        with pytest.raises(SfbenchError, match=match):
            ControlledSampler(**options)
    with pytest.raises(SfbenchError, match="one-evaluation"):
        ControlledSampler(integrator="heun")
    schedule = WeightsOverTime(np.array([1e-3, 0.5, 10.0]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    small = time_steps(OU, 8)
    changing = FusedScore(problem.auxiliaries, schedule, process=OU)
    with pytest.raises(SfbenchError, match="same at all times"):
        sample(changing, 50, "controlled", steps=small)
