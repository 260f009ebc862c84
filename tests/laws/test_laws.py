"""Exact laws against closed forms: Fokker-Planck with refinement, flow densities, likelihoods."""

import numpy as np
import pytest

from sfbench.errors import GridError, ModelError, NotFiniteError, SfbenchError
from sfbench.laws import DataScaling, GridDensity, fokker_planck_1d, log_likelihood, ode_log_density
from sfbench.laws.fokker_planck_line import bernoulli
from sfbench.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.processes.times import time_steps
from sfbench.scores import AnalyticScore, FusedScore
from synthetic import GaussianMixture, LogLinearPool, make_problem

OU = OrnsteinUhlenbeck()


def test_bernoulli_function():
    z = np.array([-800.0, -30.0, -1.0, -1e-12, 0.0, 1e-9, 1.0, 30.0, 800.0])
    expected = [800.0, 30.0, 1.0 / (1 - np.exp(-1.0)), 1.0, 1.0, 1.0, 1.0 / np.expm1(1.0), 30.0 / np.expm1(30.0), 0.0]
    np.testing.assert_allclose(bernoulli(z), expected, rtol=1e-8, atol=1e-300)


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "gap"), [((0.5, 0.5), 0.40), ((0.2, 0.8), 0.28)])
def test_published_gaps_between_the_two_laws(problem, weights, gap):
    fused = FusedScore(problem.auxiliaries, weights, process=OU)
    found = fokker_planck_1d(fused, n_cells=1000, steps=150).total_variation(
        LogLinearPool(problem.auxiliaries, weights)
    )
    assert found.value == pytest.approx(gap, abs=0.005)
    assert found.stderr < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("process", [OU, VariancePreserving()])
def test_vertex_is_the_auxiliary_and_refinement_converges(problem, process):
    fused = FusedScore(problem.auxiliaries, (0.0, 1.0), process=process)
    marginal = AnalyticScore(problem.auxiliaries[1], process).marginal(1e-5 * process.horizon)
    errors = [
        fokker_planck_1d(fused, n_cells=n, steps=s).total_variation(marginal).value
        for n, s in ((250, 40), (500, 80), (1000, 160))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


@pytest.mark.slow
def test_stated_error_is_about_right(fused):
    fine = fokker_planck_1d(fused, n_cells=2400, steps=240)
    for n, s in ((300, 60), (600, 120)):
        coarse = fokker_planck_1d(fused, n_cells=n, steps=s)
        actual = coarse.total_variation(fine).value
        assert actual < 5 * coarse.error + 2e-4


@pytest.mark.slow
def test_certificate_is_a_bound_and_tight_at_a_vertex(problem):
    """KL(q || P_w) at a vertex equals the Girsanov bound up to the prior mismatch."""
    from sfbench.processes.times import time_grid
    from sfbench.statistics.population import population_gram

    t_min, t_max = 1e-3, 6.0
    gram = population_gram(problem, process=OU, grid=time_grid(t_min, t_max, 32))
    noised = problem.target.diffuse(float(OU.alpha(t_min)), float(OU.sigma(t_min)))
    for w, ratio in (((0.0, 1.0), 0.99), ((0.5, 0.5), 0.7)):
        steps = time_steps(OU, 200, t_min=t_min, t_max=t_max)
        kl = fokker_planck_1d(FusedScore(problem.auxiliaries, w, process=OU), steps=steps, n_cells=1500).kl_from(noised)
        bound = float(np.array(w) @ gram.G @ w - 2 * gram.b @ w + gram.c)
        assert ratio * bound < kl.value <= bound + kl.stderr + 1e-3


def test_grid_density_closed_forms():
    law = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], 0.5)
    edges = np.linspace(-8, 9, 4001)
    grid = GridDensity(edges, np.exp(law.log_prob(0.5 * (edges[1:] + edges[:-1])[:, None])), 0.0, "test")
    assert grid.total_variation(law).value < 1e-6
    assert abs(grid.kl_from(law).value) < 1e-5
    assert grid.raw_moments()[0][0] == pytest.approx(float(law.mean()[0]), abs=1e-6)
    assert grid.mass(-np.inf, 0.5) == pytest.approx(0.3 * 0.98305 + 0.7 * 0.01695, abs=1e-4)
    assert grid.sample(20_000, rng=0).mean() == pytest.approx(1.1, abs=0.05)
    np.testing.assert_allclose(grid.log_prob(np.array([[0.3]])), law.log_prob(np.array([[0.3]])), atol=1e-4)
    assert grid.log_prob(np.array([[50.0]]))[0] == -np.inf


def test_fokker_planck_refuses():
    problem = make_problem("random_mixtures", k=2, d=3, rng=0)
    with pytest.raises(ModelError, match="dim 3"):
        fokker_planck_1d(FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU))
    with pytest.raises(ModelError, match="process"):
        fokker_planck_1d(ScoreOnly(AnalyticScore(GaussianMixture([1.0], [[0.0]], 1.0), OU)))
    with pytest.raises(GridError):
        GridDensity(np.array([0.0, 1.0, 0.5]), np.ones(2), 0.0, "test")

    class Broken:
        dim = 1

        def score(self, x, t):
            return np.where(x > 0, np.nan, -x)

    with pytest.raises(NotFiniteError, match="nan"):
        fokker_planck_1d(Broken(), process=OU)


# ---------------------------------------------------------------------- densities of the flow
class ScoreOnly:
    def __init__(self, model):
        self.model, self.dim = model, model.dim

    def score(self, x, t):
        return self.model.score(x, t)


@pytest.mark.parametrize("process", [OU, VariancePreserving(), VarianceExploding(25.0)])
def test_flow_density_is_the_marginal(process):
    law = GaussianMixture([0.4, 0.6], [[-0.5, 0.3, 0.0], [0.4, -0.2, 0.1]], 0.3)
    model, x = AnalyticScore(law, process), law.sample(20, rng=1)
    steps = time_steps(process, 150, t_min=1e-4, t_max=2.4 * process.horizon)  # far enough that the prior is right
    found = ode_log_density(model, x, process=process, steps=steps)
    np.testing.assert_allclose(found.values, model.marginal(1e-4).log_prob(x), atol=0.01)
    assert np.all(found.stderr == 0)


@pytest.mark.slow
def test_hutchinson_is_unbiased_with_an_honest_error():
    law = GaussianMixture([0.4, 0.6], [[-0.5, 0.3, 0.0], [0.4, -0.2, 0.1]], [[0.2, 0.4, 0.3], [0.5, 0.1, 0.3]])
    model, x = AnalyticScore(law, OU), law.sample(40, rng=1)
    exact = ode_log_density(model, x, process=OU, steps=24)
    estimate = ode_log_density(ScoreOnly(model), x, process=OU, steps=24, n_probes=16, rng=0)
    z = (estimate.values - exact.values) / np.maximum(estimate.stderr, 1e-6)
    assert np.all(estimate.stderr < 0.5)
    assert abs(z.mean()) < 1.0
    assert 0.4 < z.std() < 2.0


@pytest.mark.slow
def test_fused_flow_density_integrates_to_one(fused):
    x = np.linspace(-3, 3, 1501)[:, None]
    found = ode_log_density(fused, x, steps=time_steps(OU, 100, t_min=1e-3))
    assert np.exp(found.values).sum() * 0.004 == pytest.approx(1.0, abs=2e-3)


def test_likelihood_counts_the_jacobian():
    """Pixels (raw - 0.1307 * 255) / (0.3081 * 255), a Gaussian model of the scaled data: closed form in raw units."""
    scaling = DataScaling(0.3081 * 255, 0.1307 * 255)
    law = GaussianMixture([1.0], [[0.2, -0.1]], 1.0)
    raw = law.sample(200, rng=0) * scaling.scale + scaling.shift
    model = AnalyticScore(law, OU)
    result = log_likelihood(model, raw, scaling=scaling, process=OU, steps=time_steps(OU, 80, t_min=1e-4, t_max=12.0))
    truth = law.affine(float(scaling.scale), float(scaling.shift)).log_prob(raw)
    np.testing.assert_allclose(result.log_prob, truth, atol=2e-3)
    assert result.bits_per_dim.value == pytest.approx(-truth.mean() / (2 * np.log(2)), abs=2e-3)
    without = log_likelihood(
        model, scaling.apply(raw), scaling=DataScaling(), process=OU, steps=time_steps(OU, 40, t_min=1e-4, t_max=12.0)
    )
    missing = result.bits_per_dim.value - without.bits_per_dim.value
    assert missing == pytest.approx(np.log2(0.3081 * 255), abs=2e-3)  # log2(0.3081) = -1.70 in units of [0, 1] pixels


def test_density_refuses():
    model = AnalyticScore(GaussianMixture([1.0], [[0.0]], 1.0), OU)
    for x in (np.zeros(3), np.zeros((3, 2)), np.zeros((0, 1))):
        with pytest.raises(ModelError, match=r"shape|empty"):
            ode_log_density(model, x, process=OU)
    with pytest.raises(NotFiniteError):
        ode_log_density(model, [[np.nan]], process=OU)
    with pytest.raises(SfbenchError, match="n_probes"):
        ode_log_density(ScoreOnly(model), [[0.0]], process=OU, n_probes=1)
    with pytest.raises(SfbenchError, match="divergence"):
        ode_log_density(model, [[0.0]], process=OU, divergence="none")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="divergence"):
        ode_log_density(ScoreOnly(model), [[0.0]], process=OU, divergence="exact")
    with pytest.raises(SfbenchError, match="scale"):
        DataScaling(0.0)
