"""Sample metrics against closed forms, their floors, their standard errors and independent solvers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from sfbench.errors import NotFiniteError, SfbenchError
from sfbench.metrics import sliced_wasserstein1, wasserstein, wasserstein1_1d
from sfbench.metrics.from_samples import mode_mass_error, total_variation_floor, total_variation_from_samples
from sfbench.metrics.kernel_distances import energy_distance, squared_mmd
from synthetic import GaussianMixture

LAW = GaussianMixture([0.3, 0.7], [[-2.0], [2.0]], [0.5, 1.0])


@pytest.mark.parametrize("method", ["histogram", "kde"])
def test_floor_is_what_the_truth_scores(method):
    values = [total_variation_from_samples(LAW.sample(4000, rng=s), LAW, method=method).value for s in range(20)]
    floor = total_variation_floor(LAW.sample(4000, rng=0), LAW, method=method)
    assert np.mean(values) == pytest.approx(floor, rel=0.25)


@pytest.mark.parametrize("method", ["histogram", "kde"])
def test_known_total_variation(method):
    other = GaussianMixture([0.6, 0.4], [[-2.0], [2.0]], [0.5, 1.0])
    found = total_variation_from_samples(other.sample(20_000, rng=0), LAW, method=method)
    assert found.value == pytest.approx(0.3, abs=0.03)  # 0.3 less the overlap of the modes
    assert 0 < found.stderr < 0.01


def test_weights_and_thinning_agree():
    x = LAW.sample(8000, rng=0)
    log_weights = 0.5 * x[:, 0]
    tilted = total_variation_from_samples(x, LAW, log_weights=log_weights)
    kept = np.random.default_rng(77).random(8000) < np.exp(log_weights - log_weights.max())
    assert total_variation_from_samples(x[kept], LAW, n_bins=20).value == pytest.approx(tilted.value, abs=0.06)


def test_mode_masses_have_no_assignment_bias():
    """Overlapping modes: counting nearest means would be off, responsibilities are not."""
    close = GaussianMixture([0.3, 0.7], [[-0.7], [0.7]], 1.0)
    found = mode_mass_error(close.sample(40_000, rng=0), close)
    assert found.value < 5 * found.stderr
    moved = GaussianMixture([0.6, 0.4], [[-5.0], [5.0]], 1.0)
    exact = GaussianMixture([0.3, 0.7], [[-5.0], [5.0]], 1.0)
    found = mode_mass_error(moved.sample(10_000, rng=0), exact)
    assert found.value == pytest.approx(0.3, abs=5 * found.stderr)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_w1_on_the_line_is_scipys(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n), rng.standard_normal(m)
    v, w = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    found = wasserstein1_1d(x, y, x_log_weights=np.log(v), y_log_weights=np.log(w))
    assert found.value == pytest.approx(wasserstein_distance(x, y, v, w), abs=1e-12)


def test_w1_error_covers_repetitions():
    truth = 0.5
    draws = [
        wasserstein1_1d(
            np.random.default_rng(s).standard_normal(2000), truth + np.random.default_rng(s + 99).normal(size=2000)
        )
        for s in range(30)
    ]
    values = np.array([d.value for d in draws])
    assert values.std(ddof=1) == pytest.approx(np.mean([d.stderr for d in draws]), rel=0.5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_exact_transport_agrees_with_the_line_and_the_program(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((12, 1)), rng.standard_normal((12, 1))
    assert wasserstein(x, y).value == pytest.approx(wasserstein1_1d(x, y).value, abs=1e-12)
    weighted = wasserstein(x, y, x_log_weights=np.zeros(12) + 1e-3 * np.arange(12))  # a linear program, or POT
    by_line = wasserstein1_1d(x, y, x_log_weights=1e-3 * np.arange(12))
    assert weighted.value == pytest.approx(by_line.value, abs=1e-7)


def test_w2_of_a_shift_and_clipping():
    x = np.random.default_rng(0).standard_normal((200, 3))
    shift = np.array([3.0, 4.0, 0.0])
    assert wasserstein(x, x + shift, order=2).value == pytest.approx(5.0)
    assert wasserstein(x, x + shift).value == pytest.approx(5.0)
    outlier = x.copy()
    outlier[0] += 1e6
    assert wasserstein(x, outlier).value > 1000
    assert wasserstein(x, outlier, clip=1.0).value == pytest.approx(1 / 200, abs=1e-9)


def test_sliced_w1_of_a_shift():
    """Mean of |<u, shift>| over directions: 1/2 |shift| in three dimensions."""
    x = np.random.default_rng(0).standard_normal((500, 3))
    found = sliced_wasserstein1(x, x + np.array([0.0, 0.0, 2.0]), n_directions=400, rng=1)
    assert found.value == pytest.approx(1.0, abs=5 * found.stderr)
    same = sliced_wasserstein1(x, x, rng=1)
    assert same.value == 0.0


@pytest.mark.parametrize("metric", [squared_mmd, energy_distance])
def test_kernel_distances_are_unbiased_and_see_differences(metric):
    draws = []
    for s in range(25):
        rng = np.random.default_rng(s)
        draws.append(metric(rng.standard_normal((100, 2)), rng.standard_normal((120, 2))))
    values = np.array([d.value for d in draws])
    assert abs(values.mean()) < 4 * values.std(ddof=1) / 5
    assert values.min() < 0
    rng = np.random.default_rng(0)
    far = metric(rng.standard_normal((200, 2)), 1.0 + rng.standard_normal((200, 2)))
    assert far.value > 5 * far.stderr > 0


def test_energy_distance_closed_form():
    """Two point-like clouds at distance a: 2a."""
    rng = np.random.default_rng(0)
    x, y = 1e-9 * rng.standard_normal((40, 1)), 3.0 + 1e-9 * rng.standard_normal((40, 1))
    assert energy_distance(x, y).value == pytest.approx(6.0, abs=1e-6)


def test_bad_input():
    good = np.zeros((30, 1))
    with pytest.raises(NotFiniteError, match=r"x\[2\]"):
        total_variation_from_samples([0.0, 1.0, np.nan], LAW)
    with pytest.raises(NotFiniteError):
        wasserstein(good, np.full((30, 1), np.inf))
    with pytest.raises(SfbenchError, match="line"):
        total_variation_from_samples(np.zeros((5, 2)), LAW)
    with pytest.raises(SfbenchError, match="method"):
        total_variation_from_samples(good, LAW, method="box")  # type: ignore[arg-type]
    with pytest.raises(SfbenchError, match="n_bins"):
        total_variation_from_samples(good, LAW, n_bins=1)
    with pytest.raises(SfbenchError, match="log_weights"):
        total_variation_from_samples(good, LAW, log_weights=np.zeros(3))
    with pytest.raises(SfbenchError, match="one dimension"):
        wasserstein(good, np.zeros((30, 2)))
    with pytest.raises(SfbenchError, match="order"):
        wasserstein(good, good, order=3)
    with pytest.raises(SfbenchError, match="at least 20"):
        squared_mmd(good[:5], good)
    with pytest.raises(SfbenchError, match="bandwidth"):
        squared_mmd(good, good)
    with pytest.raises(SfbenchError, match="n_directions"):
        sliced_wasserstein1(good, good, n_directions=0)
