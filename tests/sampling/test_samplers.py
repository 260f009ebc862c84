"""Fused and flow samplers against closed forms, the Fokker-Planck law and an adaptive oracle."""

import numpy as np
import pytest

from sfbench.laws import fokker_planck_1d
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.processes.times import time_steps
from sfbench.sampling import (
    AdaptiveFlow,
    CorrectedSampler,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    Heun,
    PredictorCorrector,
    known_integrators,
    sample,
)
from sfbench.scores import AnalyticScore, FusedScore
from synthetic import GaussianMixture, LogLinearPool, make_problem

STOCHASTIC = [
    (EulerMaruyama(), 512),
    (Exponential(1), 256),
    (Exponential(2), 96),
    (Heun(), 64),
    (PredictorCorrector(1), 256),
]
FLOWS = [(Exponential(1, False), 256), (Exponential(2, False), 64), (Heun(False), 48), (AdaptiveFlow(1e-6, 1e-8), 1)]
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


@pytest.fixture(scope="module")
def oracle(fused):
    """End points of the adaptive flow."""
    steps = time_steps(fused.process, 4, t_min=1e-3)
    return sample(fused, 300, FlowSampler(AdaptiveFlow()), steps=steps, rng=0).x


@pytest.mark.slow
@pytest.mark.parametrize(("integrator", "n_steps"), STOCHASTIC)
def test_fused_follows_the_exact_law(fused, exact, integrator, n_steps):
    x = sample(fused, 8000, FusedSampler(integrator), steps=n_steps, rng=0).x
    tv, floor = total_variation_from_samples(x, exact).value, total_variation_floor(x, exact)
    assert tv < floor + (0.035 if isinstance(integrator, PredictorCorrector) else 0.013)


def test_the_check_has_teeth(fused, problem):
    pool = LogLinearPool(problem.auxiliaries, [0.5, 0.5])
    x = sample(fused, 8000, rng=0).x
    assert total_variation_from_samples(x, pool).value > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("integrator", "n_steps"), FLOWS)
def test_flow_agrees_with_the_adaptive_oracle(fused, oracle, integrator, n_steps):
    steps = time_steps(fused.process, n_steps, t_min=1e-3)
    x = sample(fused, 300, FlowSampler(integrator), steps=steps, rng=0).x
    assert np.median(np.abs(x - oracle)) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), VariancePreserving(), VarianceExploding(25.0)])
@pytest.mark.parametrize("sampler", ["fused", "ode", "corrected"])
def test_gaussians_with_one_covariance_in_closed_form(process, sampler):
    """Fused law, flow law and barycenter are one law here: N(mean of means, S)."""
    laws = [GaussianMixture([1.0], [[m, -m]], 0.5) for m in (0.6, -0.2)]
    result = sample(FusedScore(laws, [0.25, 0.75], process=process), 8000, sampler, rng=1)
    mean = result.weights @ result.x
    spread = result.weights @ (result.x - mean) ** 2
    np.testing.assert_allclose(mean, [0.0, 0.0], atol=0.05)
    np.testing.assert_allclose(spread, [0.5, 0.5], atol=0.035)


@pytest.mark.parametrize("name", known_integrators())
def test_vertices_return_the_auxiliary(problem, name):
    fused = FusedScore(problem.auxiliaries, [0.0, 1.0], process=OrnsteinUhlenbeck())
    flow = known_integrators()[name].startswith("probability-flow")
    steps = 2 if name == "adaptive" else 256
    x = sample(fused, 4000, FlowSampler(name) if flow else FusedSampler(name), steps=steps, rng=3).x
    law = problem.auxiliaries[1]
    assert total_variation_from_samples(x, law).value < total_variation_floor(x, law) + 0.025


def test_corrected_is_fused_bit_for_bit_at_a_vertex(problem):
    fused = FusedScore(problem.auxiliaries, [1.0, 0.0], process=OrnsteinUhlenbeck())
    plain = sample(fused, 500, "fused", steps=40, rng=5)
    corrected = sample(fused, 500, "corrected", steps=40, rng=5)
    np.testing.assert_array_equal(plain.x, corrected.x)
    assert corrected.diagnostics.log_partition is not None
    assert corrected.diagnostics.log_partition.value == 0.0
    assert plain.law != corrected.law


@quiet
@pytest.mark.parametrize("sampler", ["fused", "ode", "corrected"])
def test_same_seed_same_bits_other_seed_other_bits(fused, sampler):
    runs = [sample(fused, 64, sampler, steps=20, rng=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    np.testing.assert_array_equal(runs[0].log_weights, runs[1].log_weights)
    assert not np.array_equal(runs[0].x, runs[2].x)


@pytest.mark.parametrize("sampler", ["fused", "ode", "corrected"])
def test_float32_stays_float32_and_agrees(fused, sampler):
    single = sample(fused, 4000, sampler, steps=64, dtype=np.float32, rng=0)
    double = sample(fused, 4000, sampler, steps=64, rng=0)
    assert single.x.dtype == np.float32
    assert single.log_weights.dtype == np.float64
    share = [float(r.weights @ (r.x[:, 0] > 0)) for r in (single, double)]
    assert abs(share[0] - share[1]) < 0.05


@quiet
def test_every_result_names_its_law(fused):
    texts = {s: repr(sample(fused, 200, s, steps=30, rng=0)) for s in ("fused", "ode", "corrected")}
    assert "fused law P_w" in texts["fused"]
    assert "probability-flow" in texts["ode"]
    assert "KL barycenter" in texts["corrected"]
    assert "log Z" in texts["corrected"]
    between = sample(fused, 200, FusedSampler(PredictorCorrector()), steps=10, rng=0)
    assert "between" in between.law


def test_weights_sum_to_one_and_resampling_keeps_the_mean(fused):
    result = sample(fused, 4000, CorrectedSampler(threshold=0.0), steps=64, rng=0)
    assert result.weights.sum() == pytest.approx(1.0)
    assert result.resampled(rng=1).mean() == pytest.approx(float(result.weights @ result.x[:, 0]), abs=0.02)
    estimate = result.expectation(lambda x: x[:, 0])
    assert estimate.value == pytest.approx(float(result.weights @ result.x[:, 0]))
    assert estimate.stderr > 0


@quiet
def test_callback_sees_every_step(fused):
    seen = []
    sample(fused, 50, "corrected", steps=20, rng=0, callback=lambda j, t, x, w: seen.append((j, t, x.shape, w.shape)))
    assert [j for j, *_ in seen] == list(range(1, 21))
    assert all(shape == (50, 1) and weights == (50,) for _, _, shape, weights in seen)


def test_sources(problem, fused):
    class Result:
        score = fused

    process = OrnsteinUhlenbeck()
    np.testing.assert_array_equal(sample(Result(), 9, steps=5, rng=0).x, sample(fused, 9, steps=5, rng=0).x)
    law = problem.auxiliaries[0]
    single = AnalyticScore(law, process)
    np.testing.assert_array_equal(
        sample(single, 9, steps=5, rng=0).x, sample(law, 9, steps=5, process=process, rng=0).x
    )


@pytest.mark.slow
@quiet
def test_strong_order_on_shared_noise(problem):
    """Deterministic second-order schemes have order 2, first-order ones order 1."""
    fused = FusedScore(problem.auxiliaries, [0.5, 0.5], process=OrnsteinUhlenbeck())

    def ends(integrator, n):
        steps = time_steps(fused.process, n, t_min=1e-2)
        return sample(fused, 400, FlowSampler(integrator), steps=steps, rng=0).x

    for integrator, order in ((Exponential(1, False), 1), (Exponential(2, False), 2), (Heun(False), 2)):
        fine = ends(integrator, 512)
        errors = [np.median(np.abs(ends(integrator, n) - fine)) for n in (32, 64, 128)]
        slopes = np.log2(np.array(errors[:-1]) / errors[1:])
        np.testing.assert_allclose(slopes, order, atol=0.45)


@pytest.mark.slow
@quiet
def test_a_cheap_integrator_beats_uniform_euler_maruyama(fused):
    exact = fokker_planck_1d(fused, n_cells=1000, steps=150, t_min=1e-3)
    cheap = sample(fused, 20_000, FusedSampler(Exponential(2)), steps=time_steps(fused.process, 32, t_min=1e-3), rng=0)
    dear = sample(
        fused,
        20_000,
        FusedSampler(EulerMaruyama()),
        steps=time_steps(fused.process, 320, "uniform", t_min=1e-3),
        rng=0,
    )
    tv = [total_variation_from_samples(r.x, exact, n_bins=16).value for r in (cheap, dear)]
    assert tv[0] < 0.02 < 0.08 < tv[1]


@pytest.mark.slow
def test_embedded_law_reduces_to_its_core():
    problem = make_problem("embedded_mixture", rank=1, d=40, k=2, rng=3)
    fused = FusedScore(problem.auxiliaries, problem.true_weights, process=OrnsteinUhlenbeck())
    result = sample(fused, 4000, "corrected", steps=64, rng=0)
    truth = LogLinearPool(problem.auxiliaries, problem.true_weights).log_partition().value
    found = result.diagnostics.log_partition
    assert found is not None
    assert abs(found.value - truth) < 5 * found.stderr + 0.003
