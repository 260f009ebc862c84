"""Population statistics: exact in closed form, by quadrature, and for pools at every noise level."""

import numpy as np
import pytest

import sfbench
from sfbench import OrnsteinUhlenbeck, VarianceExploding, population_gram, population_weights, time_grid
from sfbench.statistics.population import noised_pool
from synthetic import GaussianMixture, IntractableError, LogLinearPool, SyntheticProblem, make_problem
from synthetic.quadrature import Grid, cover

from ..common import settings

# (t_min, t_max, nodes that resolve it): population weight of the first auxiliary
WINDOWS = {(1e-4, 2e-4, 2): 0.5000, (1e-3, 0.1, 16): 0.4895, (1e-3, 1.0, 16): 0.5603, (1e-3, 5.0, 16): 0.5903}


@pytest.mark.parametrize("window", WINDOWS)
def test_population_weights_by_window(window: tuple[float, float, int], reference: SyntheticProblem) -> None:
    """Long windows are biased: the weights of the barycenter are 0.5."""
    weight = population_weights(reference, process=OrnsteinUhlenbeck(), grid=time_grid(*window))[0]
    assert [w for w, value in WINDOWS.items() if abs(weight - value) < 5e-5] == [window]


def _doubled(law: GaussianMixture) -> GaussianMixture:
    """The same law written as a mixture of two equal components, for which no closed form applies."""
    covariances = np.concatenate([law.covariances, law.covariances])
    return GaussianMixture([0.5, 0.5], np.concatenate([law.means, law.means]), covariances)


LAYOUTS = {
    "isotropic": lambda i: GaussianMixture([1.0], [[i, 1.0 - i]], 0.6 + 0.4 * i),
    "diagonal": lambda i: GaussianMixture([1.0], [[i, 1.0 - i]], [[1.0, 0.6 + 0.4 * i]]),
    "full": lambda i: GaussianMixture([1.0], [[i, 1.0 - i]], [[[1.0, 0.3], [0.3, 0.7 + 0.2 * i]]]),
    "full target": lambda i: LAYOUTS["full" if i == 2 else "isotropic"](i),
    "full base": lambda i: LAYOUTS["full" if i == 0 else "diagonal"](i),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), VarianceExploding(4.0)], ids=repr)
def test_closed_form_equals_quadrature(layout: str, process: sfbench.ForwardProcess) -> None:
    laws, grid = [LAYOUTS[layout](i) for i in range(3)], time_grid(1e-3, 0.9, 3)
    closed = population_gram(SyntheticProblem("pair", laws[2], tuple(laws[:2]), None), process=process, grid=grid)
    doubled = SyntheticProblem("pair", laws[2], tuple(map(_doubled, laws[:2])), None)
    quadrature = population_gram(doubled, process=process, grid=grid)
    assert np.allclose(closed.G, quadrature.G, rtol=1e-10, atol=1e-11)
    assert np.allclose(closed.b, quadrature.b, rtol=1e-10, atol=1e-11)
    assert closed.c == pytest.approx(quadrature.c, rel=1e-10)
    assert closed.n == quadrature.n == 0


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2])
def test_pools_that_are_gaussian_have_the_closed_form(d: int) -> None:
    """A pool of Gaussians, hidden from the closed form by doubled components, passes through the noised-pool rule."""
    grid, process = time_grid(1e-3, 3.0, 4 if d == 1 else 2), OrnsteinUhlenbeck()
    problem = make_problem("scaled_gaussians", k=2, d=d, ratio=2.0)
    hidden = tuple(_doubled(law) for law in problem.auxiliaries)
    pool = LogLinearPool(hidden, problem.true_weights)
    assert pool.as_mixture() is None
    closed = population_gram(problem, process=process, grid=grid)
    quadrature = population_gram(SyntheticProblem("hidden", pool, hidden, None), process=process, grid=grid)
    assert np.allclose(closed.G, quadrature.G, rtol=1e-9, atol=1e-10)
    assert np.allclose(closed.b, quadrature.b, rtol=1e-7, atol=1e-8)
    assert closed.c == pytest.approx(quadrature.c, rel=1e-7)


def test_a_pool_of_other_laws_is_its_own_target(reference: SyntheticProblem) -> None:
    """The target's components need not be the auxiliaries."""
    process, grid = OrnsteinUhlenbeck(), time_grid(1e-3, 1.0, 6)
    reordered = LogLinearPool(reference.auxiliaries[::-1], [0.8, 0.2])
    same = LogLinearPool(reference.auxiliaries, [0.2, 0.8])
    far = GaussianMixture([1.0], [[5.0]], 0.01)
    foreign = LogLinearPool([far, _doubled(far)], [0.5, 0.5])
    a, b, c = (
        population_gram(SyntheticProblem("pool", law, reference.auxiliaries, None), process=process, grid=grid)
        for law in (reordered, same, foreign)
    )
    assert np.allclose(a.b, b.b, rtol=1e-12)
    exact = population_gram(SyntheticProblem("law", far, reference.auxiliaries, None), process=process, grid=grid)
    assert np.allclose(c.b, exact.b, rtol=1e-8)
    assert not np.allclose(c.b, b.b, rtol=0.1)


@pytest.mark.parametrize(("rank", "target"), [(1, "mixture"), (1, "barycenter"), (2, "mixture")])
def test_quadrature_agrees_with_a_large_sample(rank: int, target: str) -> None:
    problem = make_problem("embedded_mixture", rank=rank, d=8, k=3, target=target)
    rule = settings("stein", t_min=0.05)
    exact = population_gram(problem, process=rule.process, grid=rule.grid)
    sample = sfbench.simulated_grams(problem.auxiliaries, problem.target, rule, [20_000], keep=20_000, rng=0)[0]
    spread_g, spread_b = (np.sqrt(v / sample.n) + 1e-13 for v in sample.contributions.variances())
    assert np.all(np.abs(sample.G - exact.G) < 5 * spread_g)
    assert np.all(np.abs(sample.b - exact.b) < 5 * spread_b)
    shifted_window = population_gram(problem, process=rule.process, grid=time_grid(0.3, 2.0, 6))
    assert np.any(np.abs(sample.b - shifted_window.b) > 5 * spread_b)


def test_the_constant_makes_j_the_mean_squared_distance_of_scores() -> None:
    problem = make_problem("embedded_mixture", d=5, k=2, target="mixture")
    process, grid, w = OrnsteinUhlenbeck(), time_grid(0.3, 0.3), np.array([0.3, 0.7])
    exact = population_gram(problem, process=process, grid=grid)
    target = sfbench.AnalyticScore(problem.target, process)
    x = target.marginal(0.3).sample(40_000, rng=0)
    fused = sfbench.FusedScore(problem.auxiliaries, w, process=process)
    terms = 0.5 * 2.0 * ((fused.score(x, 0.3) - target.score(x, 0.3)) ** 2).sum(axis=1)
    assert abs(terms.mean() - exact.value(w)) < 5 * terms.std() / np.sqrt(len(x))
    assert abs(terms.mean() - exact.value(w[::-1])) > 5 * terms.std() / np.sqrt(len(x))


def test_the_constant_is_unknown_for_gaussians_and_a_general_mixture_target() -> None:
    """In more than two dimensions, where no quadrature reaches it; in fewer it is that of the line, at any d."""
    process, grid = OrnsteinUhlenbeck(), time_grid(0.01, 1.0, 4)
    problems = [make_problem("bimodal_from_unimodal", d=d) for d in (1, 3, 50)]
    grams = [population_gram(problem, process=process, grid=grid) for problem in problems]
    assert grams[0].c is not None
    assert [gram.c for gram in grams] == pytest.approx([grams[0].c] * 3, rel=1e-9)
    target = GaussianMixture([0.5, 0.5], 3 * np.eye(3)[:2], [0.5, 2.0])  # several variances: no shared complement
    general = SyntheticProblem("general", target, problems[1].auxiliaries, None)
    assert population_gram(general, process=process, grid=grid).c is None
    for problem in problems:
        assert population_weights(problem, process=process, grid=grid) == pytest.approx(0.5)


def test_commuting_problems_have_their_true_weights_on_every_window(shifted: SyntheticProblem) -> None:
    for window in ((1e-3, 5.0), (0.5, 0.6)):
        gram = population_gram(shifted, process=OrnsteinUhlenbeck(), grid=time_grid(*window, 8))
        assert gram.value(shifted.true_weights) == pytest.approx(0.0, abs=1e-12)
        weights = population_weights(shifted, process=OrnsteinUhlenbeck(), grid=time_grid(*window, 8))
        assert weights == pytest.approx(shifted.true_weights, abs=1e-7)


def test_a_problem_of_high_rank_is_refused_with_the_way_out() -> None:
    problem = make_problem("random_mixtures", d=4)
    with pytest.raises(IntractableError, match="use score_gram on a large independent sample"):
        population_gram(problem, process=OrnsteinUhlenbeck(), grid=time_grid(0.1, 0.2, 2))


# ---------------------------------------------------------------------- noised pools
CORES = {
    1: [GaussianMixture([0.5, 0.5], [[-1.0], [2.0]], [1.0, 0.5]), GaussianMixture([0.7, 0.3], [[-2.0], [1.0]], 0.8)],
    2: [
        GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], [1.0, 0.7]),
        GaussianMixture([0.6, 0.4], [[0.0, 1.0], [0.5, -1.0]], 0.8),
    ],
}


def _brute_force(pool: LogLinearPool, y: np.ndarray, alpha: float, sigma: float) -> tuple[float, np.ndarray]:
    """Density and gradient of ``alpha X + sigma Z`` at one point, by a dense sum over the narrower of X and Z."""
    r = pool.dim

    def mesh(reach: float) -> tuple[np.ndarray, float]:
        axis = np.linspace(-reach, reach, {1: 8001, 2: 401}[r])
        return np.stack(np.meshgrid(*[axis] * r, indexing="ij"), -1).reshape(-1, r), float(axis[1] - axis[0]) ** r

    if sigma > alpha:  # over x: the pool is narrower than the noise
        x, cell = mesh(9.0)
        offset = (y - alpha * x) / sigma
        kernel = np.exp(-0.5 * (offset**2).sum(axis=1)) / (sigma * np.sqrt(2 * np.pi)) ** r
        mass = np.exp(pool.log_prob(x)) * kernel * cell
        return float(mass.sum()), -mass @ offset / sigma
    z, cell = mesh(8.5)
    where = (y - sigma * z) / alpha
    kernel = np.exp(-0.5 * (z**2).sum(axis=1)) / np.sqrt(2 * np.pi) ** r
    mass = np.exp(pool.log_prob(where)) * kernel * cell / alpha**r
    return float(mass.sum()), mass @ pool.score(where) / alpha


def _step(rank: int) -> float:
    return max(float(axis[1] - axis[0]) for axis in cover(CORES[rank]).axes)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("noise", ["tiny", "just below", "just above", "large"])
def test_noised_pool_equals_brute_force_on_both_sides_of_the_switch(rank: int, noise: str) -> None:
    """Below ``sigma = 3 alpha step`` the rule is Gauss-Hermite or a band-limited kernel, above it a plain kernel."""
    pool, alpha = LogLinearPool(CORES[rank], [0.4, 0.6]), 0.9
    switch = 3 * alpha * _step(rank)
    sigma = {"tiny": 1e-3, "just below": 0.999 * switch, "just above": 1.001 * switch, "large": 2.0}[noise]
    axes = (np.linspace(-2.5, 2.0, 4),) * rank
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, rank)
    density, gradient = noised_pool(pool, Grid(axes, nodes, 1.0), alpha, sigma)
    exact = [_brute_force(pool, y, alpha, sigma) for y in nodes]
    tolerance = {1: 1e-11, 2: 1e-9}[rank]
    assert np.allclose(density, [value for value, _ in exact], rtol=tolerance, atol=0.0)
    scale = np.abs(gradient).max()
    assert np.allclose(gradient, [slope for _, slope in exact], rtol=0.0, atol=tolerance * scale)
    wrong = noised_pool(pool, Grid(axes, nodes, 1.0), alpha, sigma * 1.01)[0]
    if noise != "tiny":
        assert not np.allclose(wrong, density, rtol=10 * tolerance, atol=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("t", [1e-3, 0.03])
def test_a_pool_in_the_plane_is_integrated_to_rounding(t: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grids two and a half times as fine change nothing, whether the noise is narrower than the grid's step or not."""
    problem = make_problem("random_mixtures", d=2, k=2)
    process, grid = OrnsteinUhlenbeck(), time_grid(t, t)
    found = population_gram(problem, process=process, grid=grid)
    monkeypatch.setattr("sfbench.statistics.population.cover", lambda laws, refine=1.0: cover(laws, refine=2.5))
    finer = population_gram(problem, process=process, grid=grid)
    assert np.abs(found.G - finer.G).max() < 1e-12 * np.abs(finer.G).max()
    assert np.abs(found.b - finer.b).max() < 1e-12 * np.abs(finer.b).max()
    assert found.c == pytest.approx(finer.c, rel=1e-12)
