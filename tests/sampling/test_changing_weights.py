"""Weights that change with time, on the line: fused laws and their certificate, the pool that weighted particles reach,
and the law that they would have without the jump of their weights."""

import re
from pathlib import Path

import numpy as np
import pytest

import sfbench
from sfbench import FusedScore, ModelError, bounds, laws, sample
from sfbench.sampling import CorrectedSampler
from sfbench.scores import WeightsOverTime
from synthetic import GaussianMixture, LogLinearPool, make_problem

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [GaussianMixture([0.5, 0.5], [[-1.5], [1.0]], 0.3), GaussianMixture([0.3, 0.7], [[-1.0], [1.5]], 0.5)]
EARLY, LATE = np.array([0.8, 0.2]), np.array([0.25, 0.75])  # early: small times
CHANGE = 0.4
CHANGING = FusedScore(LAWS, WeightsOverTime([1e-3, CHANGE, 5.0], [EARLY, LATE]), process=OU)


def cdf_distance(x: np.ndarray, weights: np.ndarray, grid: np.ndarray, density: np.ndarray) -> float:
    """Largest difference of distribution functions between weighted points and a density on a grid."""
    order = np.argsort(x)
    mass = np.cumsum(density) / density.sum()
    return float(np.abs(np.interp(x[order], grid, mass) - np.cumsum(weights[order])).max())


GRID = np.linspace(-8, 8, 8001)


def without_jumps() -> np.ndarray:
    """``prod p_i^w E[ prod p_{i,t}(X_t)^(v - w) ]``: w the weights at small times, v those before the change."""
    alpha, sigma = float(OU.alpha(CHANGE)), float(OU.sigma(CHANGE))
    z, share = np.polynomial.hermite_e.hermegauss(60)
    logs = np.stack([law.log_prob(GRID[:, None]) for law in LAWS])
    mean = np.zeros(len(GRID))
    for node, weight in zip(z, share / share.sum(), strict=True):
        there = (alpha * GRID + sigma * node)[:, None]
        noised = np.stack([law.diffuse(alpha, sigma).log_prob(there) for law in LAWS])
        mean += weight * np.exp((LATE - EARLY) @ noised)
    return np.exp(EARLY @ logs) * mean


def pool(weights: np.ndarray) -> np.ndarray:
    return np.exp(LogLinearPool(LAWS, weights).log_prob(GRID[:, None]))


@pytest.mark.slow
def test_particles_reach_the_pool_of_the_weights_at_the_end() -> None:
    result = sample(CHANGING, 8000, CorrectedSampler(), rng=0)
    assert result.law == "KL barycenter p_w (log-linear pool), of the weights at the end"
    x, w = result.x[:, 0], result.weights
    assert cdf_distance(x, w, GRID, pool(EARLY)) < 0.01
    assert cdf_distance(x, w, GRID, pool(LATE)) > 0.1
    assert cdf_distance(x, w, GRID, without_jumps()) > 0.02
    found, exact = result.diagnostics.log_partition, LogLinearPool(LAWS, EARLY).log_partition().value
    assert found is not None
    assert abs(found.value - exact) < 4 * found.stderr + 0.01


@pytest.mark.slow
def test_without_the_jump_the_law_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfbench.sampling.particle_run.jump", lambda *_: None)
    result = sample(CHANGING, 8000, CorrectedSampler(integrator=sfbench.sampling.Exponential(1)), steps=400, rng=0)
    x, w = result.x[:, 0], result.weights
    assert cdf_distance(x, w, GRID, without_jumps()) < 0.012
    assert cdf_distance(x, w, GRID, pool(EARLY)) > 0.02


def test_models_without_densities_and_blocks_are_refused_with_the_law_named() -> None:
    foreign = FusedScore([LAWS[0], Foreign(LAWS[1], OU)], CHANGING.schedule, process=OU)
    with pytest.raises(ModelError, match=r"models\[1\] is a Foreign with a score only. Without that the law would not"):
        sample(foreign, 100, "corrected", rng=0)
    plane = [GaussianMixture([1.0], [[m, m]], 1.0) for m in (-1.0, 1.0)]
    fused = FusedScore(plane, CHANGING.schedule, process=OU)
    with pytest.raises(ModelError, match="blocks of coordinates are weighted apart"):
        sample(fused, 100, CorrectedSampler(blocks=[0, 1]), rng=0)
    changing = WeightsOverTime([0.1, 1.0, 5.0], [[1, 0, 0], [0, 1, 0]])
    with pytest.raises(ModelError, match="change with time"):
        sample(CHANGING, 10, "superposed", rng=0)
    three = FusedScore([*LAWS, Foreign(LAWS[0], OU)], changing, process=OU)
    assert len(sample(three, 600, "corrected", rng=0).x) == 600  # whose weight is zero at all times needs none


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["fused", "ode"])
def test_other_samplers_follow_the_weights_of_their_times(sampler: str) -> None:
    result = sample(CHANGING, 8000, sampler, rng=1)
    exact = laws.fokker_planck_1d(CHANGING, n_cells=1000, steps=150)
    centres = 0.5 * (exact.edges[1:] + exact.edges[:-1])
    mass = exact.density * np.diff(exact.edges)
    x, w = result.x[:, 0], result.weights
    if sampler == "fused":
        assert cdf_distance(x, w, centres, mass) < 0.025
        for constant in (EARLY, LATE):
            other = sample(FusedScore(LAWS, constant, process=OU), 8000, sampler, rng=1)
            assert abs(other.x.mean() - result.x.mean()) > 0.03
    else:
        density = np.exp(laws.ode_log_density(CHANGING, GRID[::40, None]).values)
        assert cdf_distance(x, w, GRID[::40], density) < 0.03


@pytest.mark.slow
def test_girsanovs_certificate_holds_for_weights_that_change() -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0)
    schedule = WeightsOverTime(
        [1e-3, 0.0075, 0.055, 1.0, 5.0], [[0.12, 0.88], [0.16, 0.84], [0.28, 0.72], [0.18, 0.82]]
    )
    bound = bounds.certificate(problem, schedule, process=OU)
    steps = sfbench.time_steps(OU, 300, t_min=1e-3, t_max=OU.horizon)
    law = laws.fokker_planck_1d(FusedScore(problem.auxiliaries, schedule, process=OU), steps=steps)
    observed = law.kl_from(problem.target.diffuse(float(OU.alpha(1e-3)), float(OU.sigma(1e-3))))
    assert observed.value <= bound.value + 3 * observed.stderr
    assert observed.value > 0.3 * bound.value
    constant = bounds.certificate(problem, [0.1709, 0.8291], process=OU)  # the best of all constant weights
    assert bound.value < constant.value


def test_weights_of_a_time_and_what_is_refused() -> None:
    assert np.array_equal(CHANGING.weights_at(0.1), EARLY)
    assert np.array_equal(CHANGING.weights_at(CHANGE), LATE)
    assert np.array_equal(CHANGING.weights_at(1e-9), EARLY)
    assert np.array_equal(CHANGING.weights_at(99.0), LATE)
    assert np.array_equal(CHANGING.at(2.0).weights, LATE)
    x = np.linspace(-2, 2, 5)[:, None]
    assert np.array_equal(CHANGING.score(x, 0.1), FusedScore(LAWS, EARLY, process=OU).score(x, 0.1))
    with pytest.raises(ModelError, match="change with time; ask for weights_at"):
        _ = CHANGING.weights
    for edges, weights, error, message in (
        ([1.0, 2.0], [[0.5, 0.6]], ModelError, "sum to 1"),
        ([1.0, 2.0], [0.5, 0.5], ModelError, r"shape \(bins, k\)"),
        ([2.0, 1.0], [[0.5, 0.5]], sfbench.GridError, "strictly increasing"),
        ([1.0, 2.0, 3.0], [[0.5, 0.5]], sfbench.GridError, r"shape \(2,\)"),
        ([1.0, np.nan], [[0.5, 0.5]], sfbench.GridError, r"edges\[1\] is nan"),
        ([0.0, 1.0], [[0.5, 0.5]], sfbench.GridError, "positive"),
    ):
        with pytest.raises(error, match=message):
            WeightsOverTime(edges, weights)
    with pytest.raises(ModelError, match="weights must be those of 3 models"):
        FusedScore([*LAWS, LAWS[0]], CHANGING.schedule, process=OU)


@pytest.mark.slow
def test_the_fused_law_of_gaussians_under_changing_weights() -> None:
    """By differential equations, by particles, and, for equal covariances, in one line."""
    means = np.array([[-2.0, 0.5], [1.0, -1.0]])
    gaussians = [GaussianMixture([1.0], [m], 1.0) for m in means]
    fused = FusedScore(gaussians, CHANGING.schedule, process=OU)
    law = laws.affine_fused_law(gaussians, CHANGING.schedule, process=OU)
    # unit variances: dm/dt = m - 2 exp(-t) mu_w(t) with m(T) = 0, solved on the two sides of the change
    t, c = 1e-3, CHANGE
    middle = np.exp(-c) * (1.0 - np.exp(-2.0 * (OU.horizon - c))) * (LATE @ means)
    mean = np.exp(t - c) * middle + np.exp(-t) * (1.0 - np.exp(-2.0 * (c - t))) * (EARLY @ means)
    assert law.means[0] == pytest.approx(mean, abs=1e-8)
    x = sample(fused, 20_000, "fused", rng=0).x
    assert x.mean(axis=0) == pytest.approx(law.means[0], abs=0.03)
    constant = laws.affine_fused_law(gaussians, EARLY, process=OU)
    assert np.abs(constant.means[0] - law.means[0]).max() > 0.3


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text(encoding="utf-8")
    [(code, printed)] = re.findall(r"```python\n([^`]*)```\s*```text\n(.*?)```", page, flags=re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[0] == printed.splitlines()[0]
