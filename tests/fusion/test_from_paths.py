"""log Z and vanilla fusion from scores alone against quadrature."""

import numpy as np
import pytest

from sfbench.errors import SfbenchError
from sfbench.fusion.from_densities import likelihood_fit
from sfbench.fusion.from_paths import fit_from_scores, path_ratios
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.processes.times import time_grid
from sfbench.scores import AnalyticScore, FusedScore
from sfbench.statistics.population import population_gram
from synthetic import LogLinearPool, make_problem

OU = OrnsteinUhlenbeck()


def test_one_run_gives_log_z_near_its_weights(problem):
    ratios = path_ratios(FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU), 20_000, rng=0)
    for w in ((0.5, 0.5), (0.4, 0.6), (0.65, 0.35)):
        found = ratios.log_partition(w)
        truth = LogLinearPool(problem.auxiliaries, w).log_partition().value
        assert abs(found.value - truth) < 4 * found.stderr + 0.012
    assert ratios.effective_share((0.5, 0.5)) > 0.5


def test_at_the_base_it_is_the_corrected_samplers_weight(problem):
    """At its own weights the stochastic integrals cancel: log weights are never positive."""
    ratios = path_ratios(FusedScore(problem.auxiliaries, (0.3, 0.7), process=OU), 200, steps=32, rng=0)
    assert np.all(ratios.log_ratios @ ratios.base <= 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8)])
def test_vanilla_fusion_agrees_with_quadrature(weights):
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=weights)
    x = problem.target.sample(20_000, rng=1)
    by_quadrature = np.asarray(likelihood_fit(problem.auxiliaries, x)[0].weights)
    m = [float(np.mean(law.log_prob(x))) for law in problem.auxiliaries]
    models = [AnalyticScore(law, OU) for law in problem.auxiliaries]
    fit = fit_from_scores(models, m, process=OU, n=8000, rng=0)
    assert np.all(np.abs(fit.weights - by_quadrature) < 4 * fit.stderr + 0.01)
    assert np.abs(fit.weights - np.array(weights)).max() < 0.06
    assert fit.effective_share > 0.3


@pytest.mark.slow
def test_expected_log_densities_come_from_scores_too():
    """E_q log p_i = const - (G_ii - 2 b_i) over the whole window."""
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.3, 0.7))
    gram = population_gram(problem, process=OU, grid=time_grid(5e-5, 8.0, 64))
    from_scores = -(np.diag(gram.G) - 2 * gram.b)
    x = problem.target.sample(200_000, rng=0)
    direct = [float(np.mean(law.log_prob(x))) for law in problem.auxiliaries]
    assert from_scores[0] - from_scores[1] == pytest.approx(direct[0] - direct[1], abs=0.03)
    models = [AnalyticScore(law, OU) for law in problem.auxiliaries]
    fit = fit_from_scores(models, from_scores, process=OU, n=8000, rng=3)
    assert np.abs(fit.weights - [0.3, 0.7]).max() < 0.03


def test_bad_input(problem):
    models = [AnalyticScore(law, OU) for law in problem.auxiliaries]
    for m in ([0.0], [0.0, np.nan]):
        with pytest.raises(SfbenchError, match="expected_log_densities"):
            fit_from_scores(models, m, process=OU)
    with pytest.raises(SfbenchError, match="still move"):
        fit_from_scores(models, [0.0, 0.1], process=OU, n=200, steps=8, max_rounds=1)
