"""Forward processes: the coefficients of the SDE are those of its transition law."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbench import ForwardProcess, GridError, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving

PROCESSES = [
    OrnsteinUhlenbeck(),
    VariancePreserving(),
    VariancePreserving(0.5, 0.5),
    VarianceExploding(),
    VarianceExploding(3.0),
]
every_process = pytest.mark.parametrize("process", PROCESSES, ids=repr)


def _drift_and_diffusion(process: ForwardProcess, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f and g^2 from alpha and sigma alone, by central differences."""
    h = 1e-5 * t
    log_alpha = (np.log(process.alpha(t + h)) - np.log(process.alpha(t - h))) / (2 * h)
    variance = (process.sigma(t + h) ** 2 - process.sigma(t - h) ** 2) / (2 * h)
    return log_alpha, variance - 2 * log_alpha * process.sigma(t) ** 2


@every_process
@given(share=st.floats(1e-3, 0.99))
def test_drift_and_diffusion_generate_the_transition_law(process: ForwardProcess, share: float) -> None:
    t = np.array([share * process.horizon])
    f, g2 = _drift_and_diffusion(process, t)
    assert process.f(t) == pytest.approx(f, rel=1e-6, abs=1e-9)
    assert process.g(t) ** 2 == pytest.approx(g2, rel=1e-6)


def test_finite_differences_tell_processes_apart() -> None:
    t = np.array([0.3])
    f, g2 = _drift_and_diffusion(VariancePreserving(), t)
    assert abs(OrnsteinUhlenbeck().f(t) - f) > 0.1
    assert abs(OrnsteinUhlenbeck().g(t) ** 2 - g2) > 0.1


SIGMAS = {
    OrnsteinUhlenbeck(): lambda t: mpmath.sqrt(1 - mpmath.exp(-2 * t)),
    VariancePreserving(0.1, 20.0): lambda t: mpmath.sqrt(
        1 - mpmath.exp(-(mpmath.mpf(0.1) * t + (20 - mpmath.mpf(0.1)) * t**2 / 2))
    ),
    VarianceExploding(25.0): lambda t: mpmath.sqrt((mpmath.mpf(25) ** (2 * t) - 1) / (2 * mpmath.log(25))),
}


@pytest.mark.parametrize("process", SIGMAS, ids=repr)
@given(exponent=st.floats(-14, 0))
def test_sigma_loses_no_digits_at_small_times(process: ForwardProcess, exponent: float) -> None:
    t = 10.0**exponent
    with mpmath.workdps(60):
        exact = float(SIGMAS[process](mpmath.mpf(t)))
    assert float(process.sigma(t)) == pytest.approx(exact, rel=4e-15)


def test_the_textbook_formula_does_lose_them() -> None:
    t = 1e-13
    assert abs(np.sqrt(1 - np.exp(-2 * t)) / OrnsteinUhlenbeck().sigma(t) - 1) > 1e-5


@every_process
def test_noise_to_signal_grows_and_methods_are_elementwise(process: ForwardProcess) -> None:
    t = np.geomspace(1e-6, process.horizon, 50).reshape(5, 10)
    assert np.all(np.diff(process.log_snr(t).ravel()) < 0)
    for method in (process.alpha, process.sigma, process.f, process.g, process.log_snr):
        assert method(t).shape == t.shape
        assert float(method(t)[2, 3]) == pytest.approx(float(method(float(t[2, 3]))), rel=1e-15)


@every_process
def test_prior_is_close_to_the_marginal_at_the_horizon(process: ForwardProcess) -> None:
    prior = process.prior(3)
    assert prior.dim == 3
    assert np.all(prior.mean() == 0)
    assert prior.covariances == pytest.approx(process.prior_std(process.horizon) ** 2)
    if not isinstance(process, VarianceExploding):  # unit data keep unit variance
        total = process.alpha(process.horizon) ** 2 + process.sigma(process.horizon) ** 2
        assert prior.covariances == pytest.approx(float(total))
    assert process.prior(1, 0.5).covariances == pytest.approx(process.prior_std(0.5) ** 2)


@every_process
def test_perturbed_points_have_the_transition_moments(process: ForwardProcess) -> None:
    t, x0 = 0.4, np.full((40_000, 1), 2.0)
    x, z = process.perturb(x0, t, rng=0)
    assert np.array_equal(x, process.alpha(t) * x0 + process.sigma(t) * z)
    sigma = float(process.sigma(t))
    assert abs(x.mean() - 2 * process.alpha(t)) < 5 * sigma / np.sqrt(len(x))
    assert x.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * len(x)))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0), (0.1, np.inf), (np.nan, 1.0)])
def test_bad_schedules_of_beta_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(GridError, match="beta_min <= beta_max"):
        VariancePreserving(*bounds)


@pytest.mark.parametrize("sigma", [1.0, 0.5, -2.0, np.inf, np.nan])
def test_a_bad_base_of_the_geometric_schedule_is_refused(sigma: float) -> None:
    with pytest.raises(GridError, match="greater than 1"):
        VarianceExploding(sigma)
