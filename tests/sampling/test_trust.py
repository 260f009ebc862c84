"""What the diagnostics see: noise left, a prior that does not fit, long steps, few founders, and the error of log Z.

Each fault stands beside a control that must pass.
"""

import copy
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfbench.errors import GridError
from sfbench.metrics.from_samples import total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.processes.times import time_steps
from sfbench.sampling import (
    CorrectedSampler,
    Diagnostics,
    DivergenceError,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    Integrator,
    SampleResult,
    TrustWarning,
    sample,
    steps_for,
)
from sfbench.sampling.corrected import fewest_founders
from sfbench.sampling.memory import remembered
from sfbench.sampling.trust import law_difference, noise_left, prior_divergence
from sfbench.scores import AlignedScore, AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture, LogLinearPool, make_problem

OU, VE = OrnsteinUhlenbeck(), VarianceExploding(25.0)
HALF = (0.5, 0.5)


class Bare:
    """A score model that says nothing but its score."""

    def __init__(self, model, **attributes):
        self.dim, self.score = model.dim, model.score
        self.__dict__.update(attributes)


def narrow(sd):
    """Two pairs of modes, one standard deviation apart."""
    first = GaussianMixture([0.6, 0.4], [[-1.0], [1.0]], sd**2)
    return [first, GaussianMixture([0.3, 0.7], [[-1.0 + sd], [1.0 + sd]], sd**2)]


def wide(sd):
    """The reference pair in units in which its target's standard deviation is ``sd``."""
    unit = float(np.sqrt(make_problem("paper_mixture_1d", scale=1.0).target.covariance()[0, 0]))
    return make_problem("paper_mixture_1d", scale=unit / sd).auxiliaries


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        return sample(*args, **kwargs)


def distance(result, laws):
    pool = LogLinearPool(laws, HALF)
    return total_variation_from_samples(result.x, pool, log_weights=result.log_weights).value


# ---------------------------------------------------------------------- noise left and prior
CASES = {
    **{f"modes of sd {sd}": (narrow(sd), OU, "noise left") for sd in (0.01, 0.005, 0.002)},
    **{f"sd {sd}, OU": (wide(sd), OU, "from the prior") for sd in (200, 600)},
    "sd 10, VE": (wide(10), VE, "from the prior"),
}
FINE = {
    "modes of sd 0.1": (narrow(0.1), OU),
    "sd 1, OU": (wide(1), OU),
    "sd 6, OU": (wide(6), OU),
    "sd 1, VE": (wide(1), VE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_windows_are_chosen_so_that_the_law_is_right(name):
    laws, process, _ = CASES[name]
    result = sample(FusedScore(laws, HALF, process=process), 6000, "corrected", rng=0)
    assert distance(result, laws) < 0.03
    assert result.diagnostics.trustworthy
    truth = LogLinearPool(laws, HALF).log_partition().value
    assert abs(result.diagnostics.log_partition.value - truth) < 3 * result.diagnostics.log_partition.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_default_window_is_seen_to_be_wrong(name):
    """Steps given by hand, and models that do not say where they are valid: wrong as before, but not trusted."""
    laws, process, named = CASES[name]
    fused = FusedScore(laws, HALF, process=process)
    with pytest.warns(TrustWarning, match=named):
        result = sample(fused, 3000, "corrected", steps=time_steps(process, 256), check_steps=False, rng=0)
    assert distance(result, laws) > 0.05
    assert not result.diagnostics.trustworthy
    bare = FusedScore([Bare(model) for model in fused.models], HALF, process=process)
    with pytest.warns(TrustWarning, match=named):
        again = sample(bare, 3000, "corrected", check_steps=False, rng=0)
    np.testing.assert_array_equal(again.x, result.x)


@pytest.mark.parametrize("name", FINE)
def test_where_nothing_is_wrong_the_steps_are_those_of_the_process(name):
    laws, process = FINE[name]
    fused = FusedScore(laws, HALF, process=process)
    for n_steps in (7, 256):
        chosen = steps_for(fused, n_steps, stretch=True)
        np.testing.assert_array_equal(chosen.times, time_steps(process, n_steps).times)


@settings(max_examples=40, deadline=None)
@given(sd=st.floats(0.05, 3.0), mean=st.floats(-2.0, 2.0), share=st.floats(1e-4, 0.05))
def test_noise_left_is_the_total_variation_of_gaussians(sd, mean, share):
    """N(alpha m, alpha^2 v + sigma^2) against N(m, v): the first-order figure is the exact one to first order."""
    t = 0.5 * np.log1p(share * sd**2)  # sigma^2 / alpha^2 = share v
    score = FusedScore([GaussianMixture([1.0], [[mean]], sd**2)], [1.0], process=OU)
    noised = score.models[0].marginal(t)
    found, missing = noise_left(score, noised.sample(4000, rng=0), t, pooled=True)
    grid = mean + np.linspace(-9 * sd, 9 * sd, 20_001)
    p, q = (np.exp(law.log_prob(grid[:, None])) for law in (noised, score.models[0].law))
    assert found == pytest.approx(0.5 * np.abs(p - q).sum() * (grid[1] - grid[0]), rel=0.12, abs=2e-5 + 0.3 * share**2)
    assert missing == 0.0


@pytest.mark.parametrize("process", [OU, VE])
@pytest.mark.parametrize(("mean", "spread"), [(0.7, 0.0), (0.0, 4.0)])
def test_prior_divergence_of_gaussians(process, mean, spread):
    """A shift gives the Kullback-Leibler divergence, a change of scale half its square in relative variance."""
    t = process.horizon
    alpha, variance = float(process.alpha(t)), process.prior_std(t) ** 2
    law = GaussianMixture([1.0], [[mean / alpha, 0.0]], max(spread, 1e-3) ** 2)
    found = prior_divergence(FusedScore([law], [1.0], process=process), t, 20_000)
    own = (alpha * spread) ** 2 + float(process.sigma(t)) ** 2
    expected = 0.5 * mean**2 / variance + (1.0 - variance / own) ** 2  # two coordinates
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=2e-5)


# ---------------------------------------------------------------------- times of validity
def test_steps_stay_where_the_models_are_valid():
    laws = [AnalyticScore(law, OU) for law in narrow(0.005)]
    trained = [Bare(laws[0], t_range=(1e-3, 5.0)), Bare(laws[1], t_range=(1e-4, 4.0))]
    fused = FusedScore(trained, HALF, process=OU)
    assert fused.t_range == (1e-3, 4.0)
    times = steps_for(fused, 50).times
    assert (times[-1], times[0]) == (1e-3, 4.0)
    assert FusedScore(trained, (0.0, 1.0), process=OU).t_range == (1e-4, 4.0)
    with pytest.warns(TrustWarning, match=r"valid for t in \(0\.001, 4\.0\)"):
        sample(fused, 50, steps=time_steps(OU, 20), rng=0)
    assert sample(fused, 50, steps=20, rng=0).diagnostics.trustworthy  # down to where the models end, by their own word
    apart = FusedScore([Bare(laws[0], t_range=(0.0, 1.0)), Bare(laws[1], t_range=(2.0, 5.0))], HALF, process=OU)
    with pytest.raises(GridError, match="leaves nothing"):
        sample(apart, 50, rng=0)


def test_times_of_validity_pass_through_products_and_alignments():
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    exact, trained = AnalyticScore(law, OU), Bare(AnalyticScore(law, OU), t_range=(1e-3, 1.0))
    assert ProductScore(exact, 3).t_range == exact.t_range == (0.0, np.inf)
    assert ProductScore(trained, 3).t_range == (1e-3, 1.0)
    assert ProductScore(Bare(exact), 3).t_range is None
    aligned = AlignedScore(trained, 2.0, process=OU)
    for common, own in zip(aligned.t_range, trained.t_range, strict=True):
        assert aligned.own_time(common) == pytest.approx(own)
    low, high = AlignedScore(exact, 2.0, process=OU).t_range
    assert (low, high) == (0.0, pytest.approx(20.0, rel=0.1))
    assert AlignedScore(Bare(exact), 2.0, process=OU).t_range is None


# ---------------------------------------------------------------------- steps
LONG = {
    "fused, 1": ("fused", 1),
    "flow, 1": ("ode", 1),
    "fused, 8": ("fused", 8),
    "flow, 8": ("ode", 8),
    "corrected, 4": ("corrected", 4),
    "corrected, 8": ("corrected", 8),
    "corrected, 12": ("corrected", 12),
    "flow, Heun, 8 uniform": (FlowSampler("heun"), time_steps(OU, 8, "uniform")),
    "fused, 2M, 8 uniform": (FusedSampler("exponential_2m"), time_steps(OU, 8, "uniform")),
    "Euler-Maruyama, 128 uniform": (FusedSampler(EulerMaruyama()), time_steps(OU, 128, "uniform")),
}
SHORT = {name: (name, None) for name in ("fused", "ode", "corrected", "ddpm", "ddim", "heun")}


@pytest.mark.parametrize("name", LONG)
def test_long_steps_are_seen(fused, name):
    sampler, steps = LONG[name]
    for seed in range(2):
        result = quietly(fused, 4000, sampler, steps=steps, rng=seed)
        assert any("they are too long" in message for message in result.diagnostics.messages)
        assert "WARNING" in repr(result)
    assert quietly(fused, 4000, sampler, steps=steps, check_steps=False, rng=0).diagnostics.step_difference is None


@pytest.mark.parametrize("name", SHORT)
def test_default_steps_are_not_objected_to(fused, name):
    sampler, steps = SHORT[name]
    for seed in range(2):
        assert sample(fused, 2000, sampler, steps=steps, rng=seed).diagnostics.trustworthy


class Fragile(Integrator):
    """Fails where a step is longer than 0.01."""

    law, evaluations = Exponential(1).law, 1

    def advance(self, reverse, x, times, memory):
        if times[1] - times[2] > 0.01:
            raise DivergenceError("too far")
        return Exponential(1).advance(reverse, x, times, memory)


@pytest.mark.slow
def test_steps_that_fail_when_longer_are_not_trusted(fused):
    with pytest.warns(TrustWarning, match="with 150 steps the run fails"):
        sample(fused, 400, FusedSampler(Fragile()), steps=time_steps(OU, 600, "uniform"), rng=0)


@pytest.mark.slow
def test_checks_leave_the_sample_and_the_generator_alone(fused):
    for sampler in ("fused", "ode", "corrected"):
        states = []
        for check in (True, False):
            rng = np.random.default_rng(5)
            result = sample(fused, 1500, sampler, check_steps=check, rng=rng)
            states.append((result.x, result.log_weights, copy.deepcopy(rng).random(3)))
        for a, b in zip(*states, strict=True):
            np.testing.assert_array_equal(a, b)


def points(x, weights=None, founders=None):
    logs = np.full(len(x), -np.log(len(x))) if weights is None else np.log(weights)
    return SampleResult(x, logs, "law", 1e-4, Diagnostics("", 1, 1, founders=founders))


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(0.0, 3.0), scale=st.floats(0.3, 3.0), d=st.sampled_from([1, 3, 30]), seed=st.integers(0, 999))
def test_the_difference_of_laws_is_below_their_total_variation(shift, scale, d, seed):
    """Gaussians whose first coordinate is shifted and scaled; TV by quadrature."""
    score = FusedScore([GaussianMixture([1.0], np.zeros((1, d)), 1.0)], [1.0], process=OU)
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((4000, d)), rng.standard_normal((500, d))
    y[:, 0] = shift + scale * y[:, 0]
    grid = np.linspace(-20, 20, 40_001)
    truth = 0.5 * np.abs(stats.norm.pdf(grid) - stats.norm.pdf(grid, shift, scale)).sum() * (grid[1] - grid[0])
    found = law_difference(score, points(x), points(y))
    assert found <= truth + 0.01
    if truth > 0.5 and d == 1:
        assert found > 0.1


def test_the_difference_of_weighted_laws_sees_weights_not_points():
    score = FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)], [1.0], process=OU)
    rng = np.random.default_rng(0)
    x = 2.0 * rng.standard_normal((8000, 1))
    weights = np.exp(-0.375 * x[:, 0] ** 2)
    weighted = points(x, weights / weights.sum(), founders=4000.0)
    assert law_difference(score, points(rng.standard_normal((8000, 1))), weighted) == 0.0
    assert law_difference(score, points(rng.standard_normal((8000, 1))), points(x)) > 0.1


# ---------------------------------------------------------------------- founders
@pytest.mark.parametrize(("n", "d"), [(10, 1), (200, 1), (2000, 16)])
def test_few_founders_are_not_trusted(problem, n, d):
    factors = [ProductScore(AnalyticScore(law, OU), d) for law in problem.auxiliaries]
    with pytest.warns(TrustWarning, match="initial particles"):
        result = sample(FusedScore(factors, HALF, process=OU), n, "corrected", steps=64, check_steps=False, rng=0)
    assert result.diagnostics.founders < fewest_founders(d, d == 1)


def test_more_founders_are_asked_for_in_more_dimensions():
    asked = [fewest_founders(d, False) for d in (1, 2, 16, 50, 784)]
    assert asked == sorted(asked)
    assert asked[0] == 500
    assert 774 < asked[3] < 1500
    assert fewest_founders(50, True) < asked[3]


# ---------------------------------------------------------------------- log Z
def test_the_line_of_gaussians_is_true():
    """Sampling alone would state 1e-9 here, where steps and noise leave 5e-4."""
    laws = [GaussianMixture([1.0], [[m, 0.0]], 0.5) for m in (-np.sqrt(0.75), np.sqrt(0.75))]
    d = sample(FusedScore(laws, HALF, process=OU), 2000, "corrected", rng=0).diagnostics
    truth = LogLinearPool(laws, HALF).log_partition().value
    assert truth == pytest.approx(-0.75)
    gap = abs(d.log_partition.value - truth)
    assert d.log_partition_errors["sampling"] < 1e-6 < gap < 3 * d.log_partition.stderr < 0.02
    assert d.log_partition.stderr == pytest.approx(np.hypot.reduce(list(d.log_partition_errors.values())))


@pytest.mark.slow
def test_log_z_is_within_three_stated_errors():
    """18 runs: random pairs and quadruples on the line, in the plane, products with and without blocks."""
    misses = 0
    for i in range(18):
        rng = np.random.default_rng(40_000 + i)
        process = (OU, VariancePreserving(), VE)[i % 3]
        copies, k = (1, 1, 3, 3)[i % 4], (2, 4, 2, 2)[i % 4]
        if i % 5 == 4:
            laws, copies = make_problem("random_mixtures", k=2, d=2, m=3, rng=i).auxiliaries, 1
        else:
            laws = [
                GaussianMixture(rng.dirichlet([2, 2]), rng.standard_normal((2, 1)), rng.uniform(0.1, 0.6, 2) ** 2)
                for _ in range(k)
            ]
        weights = rng.dirichlet(np.full(len(laws), 3.0))
        truth = copies * LogLinearPool(laws, weights).log_partition().value
        models = [ProductScore(AnalyticScore(law, process), copies) for law in laws]
        blocks = models[0].blocks if i % 8 > 3 and copies > 1 else None
        fused = FusedScore(models, weights, process=process)
        d = quietly(fused, 1000, CorrectedSampler(blocks=blocks), steps=(None, 64)[i % 2], rng=i).diagnostics
        misses += abs(d.log_partition.value - truth) > 3 * d.log_partition.stderr
    assert misses <= 1


# ---------------------------------------------------------------------- memory
def test_what_is_remembered_is_what_was_there(fused):
    kept = remembered(fused)
    assert kept.process == fused.process
    assert fused.process == kept.process
    assert repr(kept.process) == repr(fused.process)
    assert kept.t_range == fused.t_range
    x = np.linspace(-2, 2, 9)[:, None]
    for t in (0.3, 0.3, 1e-3):
        np.testing.assert_array_equal(kept.score(x, t), fused.score(x, t))
        np.testing.assert_array_equal(kept.process.log_snr(t), fused.process.log_snr(t))
    np.testing.assert_array_equal(kept.process.alpha(np.array([0.1, 0.2])), fused.process.alpha(np.array([0.1, 0.2])))


def test_the_repr_of_diagnostics_is_short(fused):
    d = sample(fused, 2000, "corrected", rng=0).diagnostics
    assert "\n" not in repr(d)
    assert len(repr(d)) < 160
    assert "trustworthy" in repr(d)
