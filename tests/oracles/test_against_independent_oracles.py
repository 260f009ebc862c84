"""The core chain, law to statistics to bounds, against oracles that share no code with it."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import sfbench
from sfbench import bounds
from sfbench.statistics.estimators import ESTIMATORS
from sfbench.statistics.population import noised_pool
from sfbench.statistics.settings import GramSettings
from solvers import solve
from synthetic import GaussianMixture, LogLinearPool, make_problem
from synthetic.quadrature import cover

from ..common import ambient_gram, streamed

PROCESS = sfbench.OrnsteinUhlenbeck()
LAYOUTS = ("shared", "isotropic", "diagonal", "full")


def random_mixture(layout: str, d: int, m: int = 3, seed: int = 0) -> GaussianMixture:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(m, d, d))
    covariances = {
        "shared": 0.7,
        "isotropic": rng.uniform(0.5, 2, m),
        "diagonal": rng.uniform(0.5, 2, (m, d)),
        "full": factor @ factor.transpose(0, 2, 1) + 0.3 * np.eye(d),
    }
    return GaussianMixture([0.2, 0.5, 0.3], 2 * rng.normal(size=(m, d)), covariances[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_mixture_density_score_and_divergence(layout: str, d: int) -> None:
    mixture = random_mixture(layout, d)
    x = 3 * np.random.default_rng(1).normal(size=(40, d))
    dense = mixture.spectrum.dense()
    parts = [
        np.log(w) + multivariate_normal(mu, S).logpdf(x).reshape(-1)
        for w, mu, S in zip(mixture.weights, mixture.means, dense, strict=True)
    ]
    assert mixture.log_prob(x) == pytest.approx(logsumexp(parts, axis=0), abs=1e-11)
    score, divergence = mixture.score_and_divergence(x)
    step = 1e-5 * np.eye(d)
    slope = np.stack([(mixture.log_prob(x + h) - mixture.log_prob(x - h)) / 2e-5 for h in step], axis=1)
    bend = sum((mixture.score(x + h) - mixture.score(x - h))[:, i] / 2e-5 for i, h in enumerate(step))
    assert score == pytest.approx(slope, abs=1e-6)
    assert divergence == pytest.approx(bend, abs=1e-5)


@functools.cache
def exact_statistics(name: str, **params: object) -> sfbench.ScoreGram:
    """Population statistics of a problem, computed once for all estimators."""
    return sfbench.population_gram(make_problem(name, **params), process=PROCESS, grid=sfbench.time_grid(1e-2, 2.0, 6))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("shifted_gaussians", {"d": 6}),
        ("shifted_gaussians", {"d": 5, "condition": 10.0}),
        ("scaled_gaussians", {"d": 20}),
        ("embedded_mixture", {"d": 15}),
        ("embedded_mixture", {"rank": 2, "d": 15}),
        ("bimodal_from_unimodal", {"d": 5}),
        ("random_mixtures", {"d": 2, "covariance": "full"}),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_statistics_agree_with_streaming_and_with_the_population(name: str, params: dict, estimator: str) -> None:
    problem = make_problem(name, **params)
    settings = GramSettings(PROCESS, sfbench.time_grid(1e-2, 2.0, 6), estimator)
    x = problem.target.sample(6000, rng=3)
    reduced = ambient_gram(problem.auxiliaries, x, settings, rng=5)
    whole = sfbench.score_gram(streamed(problem.auxiliaries, settings), x, settings, keep=1, rng=5)
    scale = np.abs(whole.G).max()
    assert np.abs(reduced.G - whole.G).max() < 1e-12 * scale
    assert np.abs(reduced.b - whole.b).max() < 1e-11 * scale
    population = exact_statistics(name, **params)
    kept = sfbench.score_gram(problem.auxiliaries, x, settings, keep=6000, rng=6)
    assert kept.contributions is not None
    variance_g, variance_b = kept.contributions.variances()
    assert np.all(np.abs(kept.G - population.G) <= 6 * np.sqrt(variance_g / 6000) + 1e-9)
    assert np.all(np.abs(kept.b - population.b) <= 6 * np.sqrt(variance_b / 6000) + 1e-9)
    assert not np.all(np.abs(kept.b - 1.5 * population.b - 0.1) <= 6 * np.sqrt(variance_b / 6000))  # has teeth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "weight"),
    [((1e-4, 2e-4), 0.5000), ((1e-3, 0.1), 0.4895), ((1e-3, 1.0), 0.5603), ((1e-3, 5.0), 0.5903)],
)
def test_population_weights_show_the_bias_of_long_windows(window: tuple[float, float], weight: float) -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    fitted = sfbench.population_weights(problem, process=PROCESS, grid=sfbench.time_grid(*window, 16))
    assert fitted[0] == pytest.approx(weight, abs=5e-4)


@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.5, 0.99])
def test_noised_pool_against_nested_quadrature(sigma: float) -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    pool, alpha = problem.target, float(np.sqrt(1 - sigma**2))
    grid = cover([law.diffuse(alpha, sigma) for law in problem.auxiliaries])
    density, gradient = noised_pool(pool, grid, alpha, sigma)
    assert density.sum() * grid.cell == pytest.approx(1.0, abs=1e-8)
    z = np.linspace(-9, 9, 4001)
    for i in np.flatnonzero(density > 1e-3)[::97]:
        points = (grid.nodes[i] - sigma * z[:, None]) / alpha
        brute = np.trapezoid(np.exp(pool.log_prob(points) - 0.5 * z**2), z) / alpha / np.sqrt(2 * np.pi)
        assert density[i] == pytest.approx(brute, rel=1e-6)
    middle = slice(1, -1)
    slope = (density[2:] - density[:-2]) / (2 * grid.cell)
    assert gradient[middle, 0] == pytest.approx(slope, abs=1e-3 * np.abs(gradient).max())


@pytest.mark.slow
def test_partition_function_methods_agree() -> None:
    problem = make_problem("random_mixtures", d=2, covariance="full")
    pool = LogLinearPool(problem.auxiliaries, problem.true_weights)
    quadrature, envelope = pool.log_partition("quadrature"), pool.log_partition("envelope", rng=0)
    assert abs(quadrature.value - envelope.value) < 5 * envelope.stderr
    low, high = pool.partition_bounds()
    assert low <= quadrature.value <= high


def test_many_auxiliaries_are_pooled_and_sampled_exactly() -> None:
    problem = make_problem("embedded_mixture", k=16, d=8)
    x = problem.target.sample(20_000, rng=0) @ problem.auxiliaries[0].frame
    core = LogLinearPool([law.core for law in problem.auxiliaries], problem.true_weights)
    y = np.linspace(-12, 12, 40_001)
    mass = np.exp(core.log_prob(y[:, None]))
    cdf = np.cumsum(mass) / mass.sum()
    empirical = np.searchsorted(np.sort(x[:, 0]), y) / len(x)
    assert np.abs(empirical - cdf).max() < 2.2 / np.sqrt(len(x))


def test_girsanov_certificate_holds_is_tight_and_half_of_it_fails() -> None:
    problem = make_problem("shifted_gaussians", k=3, d=7)
    grid = sfbench.time_grid(1e-3, 5.0, 32)
    population = sfbench.population_gram(problem, process=PROCESS, grid=grid)
    mismatch = bounds.prior_mismatch(problem.target, PROCESS, 5.0)
    means = np.stack([law.means[0] for law in problem.auxiliaries])
    noised = problem.target.diffuse(float(PROCESS.alpha(1e-3)), float(PROCESS.sigma(1e-3)))
    for weights in np.random.default_rng(0).dirichlet(np.ones(3), size=30):
        mean, variance = bounds.gaussian_fused_law(means, weights, PROCESS, 1e-3, 5.0)
        observed = sfbench.metrics.kl_divergence(noised, GaussianMixture([1.0], mean[None], variance))
        bound = bounds.instance_certificate(population.value(weights), mismatch)
        assert bounds.check(observed, bound).holds
        assert observed.value > 0.99 * bound.value
        assert not bounds.check(observed, replace(bound, value=bound.value / 2)).holds


@pytest.mark.slow
def test_slow_rate_holds_and_fast_rate_is_the_mean() -> None:
    problem, settings = make_problem("shifted_gaussians", k=3, d=4), GramSettings(PROCESS, sfbench.time_grid(1e-3, 5.0))
    population = sfbench.population_gram(problem, process=PROCESS, grid=sfbench.time_grid(1e-3, 5.0, 32))
    stream = sfbench.simulated_grams(problem.auxiliaries, problem.target, settings, [8000], keep=8000, rng=0)[0]
    n, moments = 512, stream.contributions
    assert moments is not None
    excess = []
    for seed in range(200):
        gram = sfbench.simulated_grams(problem.auxiliaries, problem.target, settings, [n], rng=seed + 1)[0]
        excess.append(population.excess(solve(gram.to_qp()).weights, problem.true_weights))
    assert max(excess) <= bounds.slow_rate(moments, n).value
    predicted = bounds.fast_rate(population, moments, n, problem.true_weights).value
    assert np.mean(excess) == pytest.approx(predicted, rel=0.25)
    assert max(excess) > predicted  # the mean is not an upper bound


@pytest.mark.slow
@pytest.mark.parametrize(("t", "ratio"), [(1e-4, 5.0)])
def test_dsm_spreads_at_small_times_and_the_others_do_not(t: float, ratio: float) -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")

    def spread(estimator: str, time: float) -> float:
        settings = GramSettings(PROCESS, sfbench.time_grid(time, time, 1), estimator)
        weights = [
            solve(
                sfbench.score_gram(problem.auxiliaries, problem.target.sample(64, rng=seed), settings, rng=seed).to_qp()
            ).weights[0]
            for seed in range(100)
        ]
        return float(np.std(weights))

    assert spread("dsm", t) >= ratio * spread("antithetic", t)
    assert spread("dsm", t) >= ratio * spread("stein", t)
    assert spread("dsm", 0.1) < ratio * spread("antithetic", 0.1)


@pytest.mark.slow
def test_samplers_reach_the_laws_they_name() -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    score = sfbench.FusedScore(problem.auxiliaries, [0.5, 0.5], process=PROCESS)
    share = {}
    for sampler in ("fused", "corrected"):
        result = sfbench.sample(score, n=20_000, sampler=sampler, rng=1)
        mass = np.exp(result.log_weights - result.log_weights.max())
        share[sampler] = float(mass @ (result.x[:, 0] > 0) / mass.sum())
    assert share["fused"] == pytest.approx(0.41, abs=0.02)
    assert share["corrected"] == pytest.approx(0.81, abs=0.02)


def test_metrics_agree_across_methods() -> None:
    problem = make_problem("embedded_mixture", rank=1, d=40)
    other = problem.barycenter(np.full(3, 1 / 3))
    for metric in (sfbench.metrics.total_variation, sfbench.metrics.kl_divergence):
        exact, sampled = metric(problem.target, other), metric(problem.target, other, method="monte carlo", rng=0)
        assert abs(exact.value - sampled.value) < 5 * sampled.stderr
    a, b = make_problem("paper_mixture_1d", scale=6.0).auxiliaries
    crossings = sfbench.metrics.total_variation(a, b)
    panels = sfbench.metrics.total_variation(a, b, method="quadrature")
    assert crossings.value == pytest.approx(panels.value, abs=1e-13)
    assert crossings.method == "cdf crossings"
