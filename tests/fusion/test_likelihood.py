"""Maximum likelihood in the log-linear family, and the intervals that rest on its local quadratic model."""

import numpy as np
import pytest

import sfbench
from synthetic import IntractableError, LogLinearPool, make_problem

PROCESS = sfbench.OrnsteinUhlenbeck()


def _fit(problem, x, **options):
    return sfbench.fuse(problem.auxiliaries, x, process=PROCESS, objective="likelihood", **options)


@pytest.mark.parametrize("solver", ["newton", "cvxpy", "projected_gradient", "frank_wolfe", "auto"])
def test_every_backend_finds_the_maximum_of_the_likelihood(solver: str) -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.3, 0.7))
    x = problem.target.sample(2000, rng=0)
    result = _fit(problem, x, solver=solver, tol=1e-7)

    def mean_log_likelihood(w: float) -> float:
        return float(LogLinearPool(problem.auxiliaries, [w, 1 - w]).log_prob(x).mean())

    best = result.weights[0]
    for other in (best - 0.01, best + 0.01):
        assert mean_log_likelihood(best) > mean_log_likelihood(other)
    assert result.weights == pytest.approx([0.3, 0.7], abs=0.04)


def test_likelihood_has_no_window_bias_where_score_matching_has() -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    x = problem.target.sample(40_000, rng=1)
    assert _fit(problem, x).weights[0] == pytest.approx(0.5, abs=0.01)
    matched = sfbench.fuse(problem.auxiliaries, x, process=PROCESS, rng=1)
    assert matched.weights[0] == pytest.approx(0.5903, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 2])
def test_embedded_laws_are_fitted_in_their_subspace(rank: int) -> None:
    problem = make_problem("embedded_mixture", rank=rank, d=12, k=3)
    result = _fit(problem, problem.target.sample(2000, rng=2))
    low, high = result.confidence_interval(0.999).T
    assert np.all((low <= problem.true_weights) & (problem.true_weights <= high))


def test_local_model_has_the_gradient_of_the_likelihood() -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.3, 0.7))
    x = problem.target.sample(500, rng=3)
    result = _fit(problem, x)
    w, step = result.weights, 1e-4

    def objective(first: float) -> float:
        return -float(LogLinearPool(problem.auxiliaries, [first, 1 - first]).log_prob(x).mean())

    slope = (objective(w[0] + step) - objective(w[0] - step)) / (2 * step)
    bend = (objective(w[0] + step) - 2 * objective(w[0]) + objective(w[0] - step)) / step**2
    gram, direction = result.gram, np.array([1.0, -1.0])
    assert 2 * (gram.G @ w - gram.b) @ direction == pytest.approx(slope, abs=1e-6)
    assert 2 * direction @ gram.G @ direction == pytest.approx(bend, rel=1e-4)


def test_laws_of_high_rank_and_score_models_are_refused() -> None:
    problem = make_problem("random_mixtures", d=5)
    with pytest.raises(IntractableError, match="at most two dimensions"):
        _fit(problem, problem.target.sample(10, rng=0))
    shifted = make_problem("shifted_gaussians", k=2, d=2)
    models = [sfbench.AnalyticScore(law, PROCESS) for law in shifted.auxiliaries]
    with pytest.raises(sfbench.ModelError, match="densities"):
        sfbench.fuse(models, np.zeros((3, 2)), process=PROCESS, objective="likelihood")
    with pytest.raises(sfbench.GramError, match="unknown objective 'map'"):
        sfbench.fuse(shifted.auxiliaries, np.zeros((3, 2)), process=PROCESS, objective="map")


def test_the_summary_says_that_adequacy_is_not_judged(reference):
    fit = _fit(reference, reference.target.sample(100, rng=0))
    assert fit.adequacy is None
    assert "adequate: not judged for a likelihood" in fit.summary()
