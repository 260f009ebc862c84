"""The corrected sampler against quadrature: law, log Z, its standard error, moves, blocks, honesty."""

import warnings

import numpy as np
import pytest

from sfbench.errors import SfbenchError
from sfbench.metrics.from_samples import total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck, VariancePreserving
from sfbench.sampling import CorrectedSampler, EulerMaruyama, Exponential, Heun, TrustWarning, sample
from sfbench.sampling.moves import LangevinMoves
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import LogLinearPool, make_problem

OU = OrnsteinUhlenbeck()
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


def right_mass(law) -> float:
    x = np.linspace(-6, 6, 20_001)
    density = np.exp(law.log_prob(x[:, None]))
    return float(density[x > 0].sum() / density.sum())


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8), (0.8, 0.2)])
def test_twenty_thousand_particles_reach_the_barycenter(problem, weights):
    pool = LogLinearPool(problem.auxiliaries, weights)
    fused = FusedScore(problem.auxiliaries, weights, process=OU)
    result = sample(fused, 20_000, "corrected", rng=1)
    assert total_variation_from_samples(result.x, pool, log_weights=result.log_weights).value <= 0.02
    assert abs(float(result.weights @ (result.x[:, 0] > 0)) - right_mass(pool)) <= 0.01
    assert result.diagnostics.trustworthy
    uncorrected = sample(fused, 20_000, "fused", rng=1)
    assert abs(float((uncorrected.x[:, 0] > 0).mean()) - right_mass(pool)) > 0.2


@pytest.mark.slow
def test_log_partition_and_its_standard_error(problem):
    """20 runs: unbiased within their spread plus the discretisation, and the error stated is not too small."""
    truth = LogLinearPool(problem.auxiliaries, (0.5, 0.5)).log_partition().value
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=VariancePreserving())
    runs = [sample(fused, 1000, "corrected", steps=64, rng=seed, check_steps=False).diagnostics for seed in range(20)]
    values = np.array([run.log_partition.value for run in runs])
    stated = np.mean([run.log_partition_errors["sampling"] for run in runs])
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(20) + 0.03  # 64 steps
    assert 0.6 * stated < values.std(ddof=1) * 1.5
    assert values.std(ddof=1) < 1.5 * stated


@pytest.mark.slow
def test_second_order_chains_need_fewer_steps(problem):
    truth = LogLinearPool(problem.auxiliaries, (0.5, 0.5)).log_partition().value
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    bias = {
        order: sample(fused, 20_000, CorrectedSampler(Exponential(order)), steps=64, rng=0).diagnostics.log_partition
        for order in (1, 2)
    }
    assert abs(bias[2].value - truth) < 0.4 * abs(bias[1].value - truth)


@pytest.mark.parametrize("name", ["systematic", "stratified", "srinivasan", "multinomial"])
def test_every_resampling_scheme_gives_the_same_law(problem, name):
    pool = LogLinearPool(problem.auxiliaries, (0.5, 0.5))
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    result = sample(fused, 6000, CorrectedSampler(resampling=name), steps=64, rng=2)
    assert result.diagnostics.n_resamplings >= 1
    assert abs(float(result.weights @ (result.x[:, 0] > 0)) - right_mass(pool)) < 0.025


@pytest.mark.slow
def test_moves_keep_the_law(problem):
    pool = LogLinearPool(problem.auxiliaries, (0.5, 0.5))
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    result = sample(fused, 4000, CorrectedSampler(moves=LangevinMoves(1)), steps=256, rng=2)
    tv = total_variation_from_samples(result.x, pool, log_weights=result.log_weights, n_bins=12)
    assert tv.value < 0.05


def product(problem, r):
    factors = [ProductScore(AnalyticScore(p, OU), r) for p in problem.auxiliaries]
    return FusedScore(factors, [0.5, 0.5], process=OU), factors[0].blocks


@pytest.mark.slow
def test_blocks_keep_products_reliable_and_warn_without(problem):
    fused, blocks = product(problem, 24)
    truth = right_mass(LogLinearPool(problem.auxiliaries, (0.5, 0.5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrustWarning)
        result = sample(fused, 2000, CorrectedSampler(blocks=blocks), steps=48, rng=0)
    np.testing.assert_allclose((result.x > 0).mean(axis=0), truth, atol=0.08)
    assert result.ess == pytest.approx(2000)
    with pytest.warns(TrustWarning, match="initial particles"):
        plain = sample(fused, 2000, CorrectedSampler(), steps=48, rng=0)
    assert not plain.diagnostics.trustworthy
    assert "WARNING" in repr(plain)


def test_blocks_that_do_not_factorise_are_refused():
    laws = make_problem("random_mixtures", k=2, d=4, m=3, rng=0).auxiliaries
    with pytest.raises(SfbenchError, match="factorise"):
        sample(FusedScore(laws, [0.5, 0.5], process=OU), 50, CorrectedSampler(blocks=[0, 0, 1, 1]), rng=0)
    with pytest.raises(SfbenchError, match="shape"):
        sample(FusedScore(laws, [0.5, 0.5], process=OU), 50, CorrectedSampler(blocks=[0, 1]), rng=0)


def test_too_few_levels_are_noticed(problem):
    fused, _ = product(problem, 16)
    with pytest.warns(TrustWarning):
        result = sample(fused, 300, "corrected", steps=4, rng=0)
    assert result.diagnostics.messages


@quiet
def test_three_models_and_duplicates(problem):
    """Splitting a model's weight over copies of it changes nothing but rounding."""
    a, b = problem.auxiliaries
    pair = sample(FusedScore([a, b], [0.5, 0.5], process=OU), 300, "corrected", steps=30, rng=0)
    split = sample(FusedScore([a, b, a], [0.2, 0.5, 0.3], process=OU), 300, "corrected", steps=30, rng=0)
    np.testing.assert_allclose(split.diagnostics.log_partition.value, pair.diagnostics.log_partition.value, atol=1e-9)
    same = sample(FusedScore([a, a], [0.5, 0.5], process=OU), 300, "corrected", steps=30, rng=0)
    assert same.diagnostics.log_partition.value == 0.0


@pytest.mark.parametrize("integrator", [Heun(), Exponential(2, stochastic=False)])
def test_only_affine_noise_can_be_corrected(integrator):
    with pytest.raises(SfbenchError, match="one-evaluation"):
        CorrectedSampler(integrator)


@pytest.mark.slow
def test_euler_maruyama_can_be_corrected_too(problem):
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    result = sample(fused, 4000, CorrectedSampler(EulerMaruyama()), steps=400, rng=0)
    truth = right_mass(LogLinearPool(problem.auxiliaries, (0.5, 0.5)))
    assert abs(float(result.weights @ (result.x[:, 0] > 0)) - truth) < 0.05
