"""A network that is an exact score must behave as that score, everywhere and in every parameterisation."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench import FusedScore, GramSettings, ModelError, score_gram, time_grid
from sfbench.laws import ode_log_density
from sfbench.nets import NetworkDivergence, NetworkScore, build_network, from_score, to_score
from synthetic import GaussianMixture

from ..common import streamed
from .exact_networks import ExactNetwork

PROCESSES = [sfbench.OrnsteinUhlenbeck(), sfbench.VariancePreserving(), sfbench.VarianceExploding(25.0)]
KINDS = ["epsilon", "v", "x0", "score"]
LAWS = [
    GaussianMixture([0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], [0.1, 0.3]),
    GaussianMixture([1.0], [[0.3, -0.7]], 0.5),
    GaussianMixture([0.5, 0.5], [[0.0, 1.0], [0.0, -1.0]], 0.2),
]


def exact(process, kind="v", laws=LAWS):
    return [NetworkScore(ExactNetwork(law, process, kind), 2, process, kind) for law in laws]


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_conversion_inverts(process, kind):
    rng = np.random.default_rng(0)
    x, score = rng.standard_normal((2, 50, 3))
    for t in (1e-3, 0.1, 0.9):
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        output = from_score(score, x, alpha, sigma, kind)
        np.testing.assert_allclose(to_score(output, x, alpha, sigma, kind), score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_the_conditional_mean(kind):
    """For N(0, s^2) data every conditional mean is known by the regression formula, not through the score."""
    process, t, s = sfbench.VarianceExploding(5.0), 0.5, 0.7
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    x = np.linspace(-2, 2, 9)[:, None]
    variance = alpha**2 * s**2 + sigma**2
    data, noise = alpha * s**2 / variance * x, sigma / variance * x
    r = np.hypot(alpha, sigma)
    expected = {"epsilon": noise, "x0": data, "v": (alpha * noise - sigma * data) / r, "score": -x / variance}[kind]
    np.testing.assert_allclose(from_score(-x / variance, x, alpha, sigma, kind), expected, rtol=1e-12)
    np.testing.assert_allclose(to_score(expected, x, alpha, sigma, kind), -x / variance, rtol=1e-9)


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_gram_of_exact_networks_is_the_analytic_gram(process, kind):
    x = LAWS[0].sample(300, rng=1)
    settings = GramSettings(process, time_grid(1e-2, process.horizon, 6))
    analytic = score_gram(streamed(LAWS, settings), x, settings, rng=2)
    found = score_gram(exact(process, kind), x, settings, rng=2)
    np.testing.assert_allclose(found.G, analytic.G, rtol=1e-8, atol=1e-8 * np.abs(analytic.G).max())
    np.testing.assert_allclose(found.b, analytic.b, rtol=1e-8, atol=1e-8 * np.abs(analytic.b).max())


def test_batches_do_not_change_scores():
    process = PROCESSES[0]
    x = LAWS[0].sample(101, rng=0)
    whole = exact(process)[0]
    parts = NetworkScore(whole.module, 2, process, "v", batch=7)
    np.testing.assert_array_equal(whole.score(x, 0.3), parts.score(x, 0.3))
    read_only = x.copy()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(whole.score(read_only, 0.3), whole.score(x, 0.3))


@pytest.mark.slow
def test_stein_with_exact_and_hutchinson_divergence():
    process = PROCESSES[0]
    x = LAWS[1].sample(4000, rng=3)
    settings = GramSettings(process, time_grid(1e-2, 1.0, 4), estimator="stein")
    analytic = score_gram(streamed(LAWS, settings), x, settings, rng=2)
    models = [NetworkDivergence(m, None) for m in exact(process)]
    np.testing.assert_allclose(score_gram(models, x, settings, rng=2).b, analytic.b, rtol=1e-8)
    probed = [NetworkDivergence(m, 2, rng=i) for i, m in enumerate(exact(process))]
    noisy = score_gram(probed, x, settings, keep=4000, rng=2)
    error = np.sqrt(noisy.contributions.variances()[1] / 4000)
    assert np.all(np.abs(noisy.b - analytic.b) <= 4 * error + 1e-12)
    assert np.any(noisy.b != analytic.b)


@pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")
def test_vertex_weights_return_that_models_samples_bit_for_bit():
    process = sfbench.OrnsteinUhlenbeck()
    networks = [build_network("mlp", {"dim": 2, "width": 16}, process=process, seed=s) for s in range(3)]
    for network in networks:  # the last layer starts at zero
        torch.nn.init.normal_(network.outward.weight, generator=torch.Generator().manual_seed(1))
    models = [NetworkScore(network, 2, process) for network in networks]
    for sampler in ("fused", "ode", "corrected"):
        alone = sfbench.sample(models[1], 300, sampler, process=process, steps=20, rng=5)
        fused = sfbench.sample(FusedScore(models, [0, 1, 0], process=process), 300, sampler, steps=20, rng=5)
        np.testing.assert_array_equal(alone.x, fused.x)
    other = sfbench.sample(models[0], 300, "fused", process=process, steps=20, rng=5)
    assert np.any(other.x != sfbench.sample(models[1], 300, "fused", process=process, steps=20, rng=5).x)


@pytest.mark.parametrize("kind", ["epsilon", "v", "x0"])
def test_fusing_scores_is_fusing_predictions(kind):
    process, t = PROCESSES[0], 0.4
    models, weights = exact(process, kind), [0.2, 0.5, 0.3]
    x = LAWS[0].sample(50, rng=0)
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    times = torch.full((50,), t, dtype=torch.float64)
    predictions = sum(w * m.module(torch.tensor(x), times).numpy() for w, m in zip(weights, models, strict=True))
    expected = to_score(predictions, x, alpha, sigma, kind)
    np.testing.assert_allclose(FusedScore(models, weights, process=process).score(x, t), expected, rtol=1e-10)


@pytest.mark.slow
def test_likelihood_of_an_exact_network_by_the_flow():
    """Bits come from the same code as for analytic scores; the network needs only its score, in float64."""
    process = sfbench.OrnsteinUhlenbeck()
    model = exact(process)[1]
    x = LAWS[1].sample(20, rng=0)
    densities = ode_log_density(model, x, process=process, steps=64, n_probes=4, rng=0)
    same = ode_log_density(sfbench.AnalyticScore(LAWS[1], process), x, steps=64, process=process)
    np.testing.assert_allclose(densities.values, same.values, atol=1e-5)
    truth = LAWS[1].diffuse(float(process.alpha(5e-5)), float(process.sigma(5e-5))).log_prob(x)
    np.testing.assert_allclose(densities.values, truth, atol=2e-2)  # the prior at T = 5 is not quite the marginal


def test_mismatches_are_refused():
    process = sfbench.OrnsteinUhlenbeck()
    network = build_network("mlp", {"dim": 2, "width": 8}, process=process)
    with pytest.raises(ModelError, match="dimension 2, not 3"):
        NetworkScore(network, 3, process)
    with pytest.raises(ModelError, match="built for OrnsteinUhlenbeck"):
        NetworkScore(network, 2, sfbench.VariancePreserving())
    with pytest.raises(ModelError, match="unknown parameterisation 'noise'"):
        NetworkScore(network, 2, process, "noise")
    with pytest.raises(ModelError, match=r"x must have shape \(n, 2\)"):
        NetworkScore(network, 2, process).score(np.zeros((4, 3)), 0.1)
    with pytest.raises(ModelError, match="unknown architecture"):
        build_network("os.system", {}, process=process)
    with pytest.raises(ModelError, match="do not fit architecture"):
        build_network("mlp", {"dim": 2, "wide": 8}, process=process)
    model = NetworkScore(network, 2, process)
    with pytest.raises(ModelError, match="OrnsteinUhlenbeck"):
        sfbench.fuse([model, LAWS[0]], np.zeros((3, 2)), process=sfbench.VariancePreserving(), rng=0)


def test_nan_from_a_network_is_named():
    process = sfbench.OrnsteinUhlenbeck()
    broken = build_network("mlp", {"dim": 2, "width": 8}, process=process)
    torch.nn.init.constant_(broken.outward.bias, float("nan"))
    with pytest.raises(sfbench.NotFiniteError, match=r"ScoreMLP returned nan at a finite point .row 0. and t ="):
        sfbench.fuse([LAWS[0], NetworkScore(broken, 2, process)], np.zeros((3, 2)), process=process, rng=0)
