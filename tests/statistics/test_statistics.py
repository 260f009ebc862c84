"""Streamed score-matching statistics: unbiased, the same by every path, and careful about what they are given."""

import tracemalloc

import numpy as np
import pytest

import sfbench
from sfbench import (
    ScoreGram,
    prefix_grams,
    score_gram,
    simulated_grams,
)
from sfbench.statistics.estimators import ESTIMATORS
from solvers import solve
from synthetic import GaussianMixture, SyntheticProblem, make_problem

from ..common import Foreign, ambient_gram, settings, streamed

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def _agree(a: ScoreGram, b: ScoreGram, tolerance: float = 1e-12) -> bool:
    """Whether two statistics agree relative to their own size."""
    size = max(np.abs(b.G).max(), np.abs(b.b).max())
    return bool(max(np.abs(a.G - b.G).max(), np.abs(a.b - b.b).max()) <= tolerance * size)


# ---------------------------------------------------------------------- in expectation
def _z_scores(problem: SyntheticProblem, estimator: str, shift: float = 0.0) -> np.ndarray:
    """Deviations of per-draw means from the exact population values, in standard errors."""
    rule = settings(estimator, t_min=0.05)
    exact = sfbench.population_gram(problem, process=rule.process, grid=rule.grid)
    draws = []
    for seed in range(40):
        x = problem.target.sample(400, rng=seed) + shift
        draw = score_gram(problem.auxiliaries, x, rule, rng=1000 + seed)
        draws.append(np.concatenate([draw.b[1:], draw.G[np.triu_indices(draw.k, 1)], np.diag(draw.G)[1:]]))
    centre = np.concatenate([exact.b[1:], exact.G[np.triu_indices(exact.k, 1)], np.diag(exact.G)[1:]])
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    deviation = np.mean(draws, axis=0) - centre
    return np.asarray(deviation / np.maximum(error, 1e-12 * (1 + np.abs(centre))))


@pytest.mark.slow
@every_estimator
@pytest.mark.parametrize("family", ["shifted_gaussians", "scaled_gaussians", "embedded_mixture", "paper_mixture_1d"])
def test_estimators_are_unbiased(family: str, estimator: str) -> None:
    params = {"scale": 6.0, "target": "barycenter"} if family == "paper_mixture_1d" else {"k": 3, "d": 5}
    problem = make_problem(family, **params)
    assert np.abs(_z_scores(problem, estimator)).max() < 5
    assert np.abs(_z_scores(problem, estimator, shift=0.2)).max() > 5


def _spread(problem: SyntheticProblem, estimator: str, t: float) -> float:
    """Standard deviation of the fitted first weight over data draws at a single time."""
    rule = settings(estimator, t_min=t, t_max=t)
    weights = []
    for seed in range(100):
        x = problem.target.sample(64, rng=seed)
        gram = score_gram(problem.auxiliaries, x, rule, rng=seed + 10_000)
        weights.append(solve(gram.to_qp(), "active_set").weights[0])
    return float(np.std(weights))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["antithetic", "stein"])
def test_small_times_need_a_bounded_variance(estimator: str, reference: SyntheticProblem) -> None:
    assert _spread(reference, "dsm", 1e-4) >= 5 * _spread(reference, estimator, 1e-4)
    assert _spread(reference, "dsm", 0.1) < 5 * _spread(reference, estimator, 0.1)


@pytest.mark.slow
@every_estimator
@pytest.mark.parametrize("family", ["embedded_mixture", "scaled_gaussians"])
def test_simulated_statistics_have_the_law_of_those_from_data(family: str, estimator: str) -> None:
    problem, rule = make_problem(family, k=3, d=6), settings(estimator, t_min=0.05)
    simulated, streamed = [], []
    for seed in range(60):
        simulated.append(simulated_grams(problem.auxiliaries, problem.target, rule, [50], rng=seed)[0].b[1:])
        x = problem.target.sample(50, rng=seed + 5000)
        streamed.append(score_gram(problem.auxiliaries, x, rule, rng=seed + 9000).b[1:])
    a, b = np.array(simulated), np.array(streamed)
    error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
    assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * error)
    ratio = a.std(axis=0) / b.std(axis=0)
    assert np.all((ratio > 0.5) & (ratio < 1.9))  # five standard errors of a ratio at 60 draws


@pytest.mark.slow
def test_more_noise_per_sample_leaves_less_of_it(reference: SyntheticProblem) -> None:
    x = reference.target.sample(30, rng=0)

    def spread(n_noise: int) -> float:
        rule = settings("dsm", t_min=0.2, n_noise=n_noise)
        return float(np.std([score_gram(reference.auxiliaries, x, rule, rng=seed).b[1] for seed in range(40)]))

    assert spread(1) / spread(16) == pytest.approx(4.0, rel=0.45)


# ---------------------------------------------------------------------- one result, several paths
FULL = np.array([[1.0, 0.3], [0.3, 0.7]])
REDUCIBLE = {
    "one variance": [GaussianMixture([0.4, 0.6], np.random.default_rng(i).normal(0, 2, (2, 7)), 0.8) for i in range(3)],
    "several variances": [
        GaussianMixture([0.4, 0.6], np.random.default_rng(i).normal(0, 2, (2, 9)), [0.8, 1.0 + i]) for i in range(2)
    ],
    "embedded": make_problem("embedded_mixture", rank=2, d=9, k=3).auxiliaries,
    "full, d = 2": [GaussianMixture([0.5, 0.5], [[0, i], [2, 1]], np.stack([FULL, FULL + i])) for i in range(3)],
}


@every_estimator
@pytest.mark.parametrize("kind", REDUCIBLE)
def test_reduced_and_streamed_statistics_are_the_same(kind: str, estimator: str) -> None:
    laws = REDUCIBLE[kind]
    x = np.random.default_rng(7).normal(0, 2, (60, laws[0].dim))
    rule = settings(estimator)
    reduced, whole = ambient_gram(laws, x, rule, rng=3), streamed(laws, rule)
    assert _agree(reduced, score_gram(whole, x, rule, rng=3))
    assert not _agree(reduced, score_gram(whole, x, rule, rng=4), 1e-6)


@pytest.mark.parametrize("estimator", ["antithetic", "dsm"])
def test_foreign_models_give_the_statistics_of_their_laws(estimator: str, ou: sfbench.OrnsteinUhlenbeck) -> None:
    laws = REDUCIBLE["several variances"]
    x = np.random.default_rng(8).normal(0, 2, (60, laws[0].dim))
    foreign = score_gram([Foreign(law, ou) for law in laws], x, settings(estimator), rng=3)
    assert _agree(foreign, ambient_gram(laws, x, settings(estimator), rng=3))


GAUSSIANS = {
    "isotropic": lambda i: GaussianMixture([1.0], [[i, 1.0, -i, 0.0]], 0.5 + i),
    "diagonal": lambda i: GaussianMixture([1.0], [[i, 1.0, -i, 0.0]], [[1.0, 0.5 + i, 2.0, 1.0]]),
    "full": lambda i: GaussianMixture([1.0], [[i, 1.0, -i, 0.0]], (np.eye(4) + 0.2 * i)[None]),
    "mixed": lambda i: GAUSSIANS[("full", "isotropic", "diagonal")[i]](i),
}


@every_estimator
@pytest.mark.parametrize("kind", GAUSSIANS)
@pytest.mark.parametrize("n_noise", [1, 3])
def test_moments_of_gaussians_give_the_generic_statistics(kind: str, estimator: str, n_noise: int) -> None:
    laws = [GAUSSIANS[kind](i) for i in range(3)]
    x = np.random.default_rng(9).normal(1, 2, (50, 4))
    rule = settings(estimator, n_noise=n_noise)
    by_moments, generic = score_gram(laws, x, rule, rng=5), score_gram(laws, x, rule, keep=50, rng=5)
    assert by_moments.contributions is None
    assert generic.contributions is not None
    assert _agree(by_moments, generic)
    assert not _agree(by_moments, score_gram(laws, x[:-1], rule, keep=50, rng=5), 1e-6)


@every_estimator
@pytest.mark.parametrize("kind", ["gaussians", "mixtures", "foreign"])
def test_prefixes_are_the_statistics_of_the_first_samples(
    kind: str, estimator: str, ou: sfbench.OrnsteinUhlenbeck
) -> None:
    laws = [GAUSSIANS["diagonal"](i) for i in range(3)] if kind == "gaussians" else list(REDUCIBLE["embedded"])
    models = [sfbench.AnalyticScore(law, ou) for law in laws] if kind == "foreign" else laws
    x = np.random.default_rng(10).normal(0, 2, (300, laws[0].dim))
    sizes = [1, 7, 128, 300]
    grams = prefix_grams(models, x, settings(estimator), sizes, rng=6)
    assert [gram.n for gram in grams] == sizes
    for size, gram in zip(sizes, grams, strict=True):
        assert _agree(gram, score_gram(models, x[:size], settings(estimator), rng=6))
    assert not _agree(grams[2], grams[3], 1e-6)


@every_estimator
@pytest.mark.parametrize("kind", ["several variances", "embedded"])
def test_results_do_not_depend_on_chunks(kind: str, estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    laws, rule = REDUCIBLE[kind], settings(estimator, n_noise=2)
    x = np.random.default_rng(11).normal(0, 2, (500, laws[0].dim))
    whole = score_gram(laws, x, rule, keep=40, rng=7)
    monkeypatch.setattr("sfbench.statistics.samples._CHUNK_NUMBERS", 1)
    chunked = score_gram(laws, x, rule, keep=40, rng=7)
    assert _agree(chunked, whole)
    assert chunked.contributions.g == pytest.approx(whole.contributions.g, rel=1e-12, abs=1e-12)
    assert chunked.contributions.b == pytest.approx(whole.contributions.b, rel=1e-11, abs=1e-11)


def test_simulated_prefixes_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem("embedded_mixture", k=3, d=8)
    arguments = problem.auxiliaries, problem.target, settings(), [50, 400]
    whole = simulated_grams(*arguments, rng=8)
    monkeypatch.setattr("sfbench.statistics.samples._CHUNK_NUMBERS", 1)
    assert all(_agree(a, b) for a, b in zip(simulated_grams(*arguments, rng=8), whole, strict=True))


@every_estimator
def test_kept_contributions_average_to_the_statistics(estimator: str, reference: SyntheticProblem) -> None:
    x = reference.target.sample(103, rng=0)
    for keep in (10, 103, 5000):
        gram = score_gram(reference.auxiliaries, x, settings(estimator), keep=keep, rng=1)
        kept = gram.contributions
        assert kept.n == 103
        assert len(kept.counts) == min(keep, 103)
        share = kept.counts / kept.n
        assert np.allclose(np.einsum("n,nij->ij", share, kept.g), gram.G, rtol=1e-12, atol=0.0)
        assert np.allclose(share @ kept.b, gram.b, rtol=1e-12, atol=1e-14)


def test_float32_statistics_are_accurate_and_summed_in_float64() -> None:
    laws = REDUCIBLE["several variances"]
    x = np.random.default_rng(12).normal(0, 2, (400, laws[0].dim))
    single, double = (score_gram(laws, x, settings(dtype=dtype), rng=9) for dtype in (np.float32, np.float64))
    assert single.G.dtype == single.b.dtype == np.float64
    assert _agree(single, double, 1e-5)
    assert not _agree(single, double, 1e-12)


@every_estimator
@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_data_far_from_the_origin_lose_few_digits(kind: str, offset: float, estimator: str) -> None:
    parts = {"gaussian": [1.0], "mixture": [0.5, 0.5]}[kind]

    def laws(shift: float) -> list[GaussianMixture]:
        means = [[[i + shift, shift], [i - 2 + shift, 1 + shift]][: len(parts)] for i in range(3)]
        return [GaussianMixture(parts, mean, 0.7 + 0.4 * i) for i, mean in enumerate(means)]

    x = np.round(np.random.default_rng(13).normal(0, 1.5, (200, 2)) * 64) / 64  # exact when shifted
    rule = settings(estimator, t_min=1e-3)
    near, far = score_gram(laws(0.0), x, rule, rng=2), score_gram(laws(offset), x + offset, rule, rng=2)
    assert _agree(far, near, 1e-13 * offset)


@pytest.mark.slow
def test_memory_does_not_depend_on_the_number_of_samples(ou: sfbench.OrnsteinUhlenbeck) -> None:
    models = [Foreign(GaussianMixture([1.0], np.full((1, 64), i), 1.0 + i), ou) for i in range(3)]

    def peak(n: int) -> int:
        x = np.random.default_rng(0).normal(size=(n, 64))
        score_gram(models, x[:64], settings(n_nodes=1), rng=0)
        tracemalloc.start()
        score_gram(models, x, settings(n_nodes=1), rng=0)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small = peak(5_000)
    assert peak(60_000) < 1.1 * small  # the data alone are 30 MB
    assert small < 25e6


# ---------------------------------------------------------------------- nearly equal models
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
TRUE = np.array([0.5, 0.3, 0.2])


def _duplicates(distance: float) -> tuple[list[GaussianMixture], np.ndarray]:
    """Unit Gaussians ``distance`` apart and data of mean ``sum w mu``, so that w is the empirical optimum exactly."""
    laws = [GaussianMixture([1.0], corner[None], 1.0) for corner in distance * CORNERS]
    half = np.random.default_rng(14).normal(size=(100, 2))
    return laws, distance * TRUE @ CORNERS + np.concatenate([half, -half])


def _raw_weights(distance: float, dtype: type = np.float64) -> np.ndarray:
    """The same fit from raw inner products <s_i, s_j> at one time, instead of those of differences."""
    laws, x = _duplicates(distance)
    process, z = sfbench.OrnsteinUhlenbeck(), np.random.default_rng(0).standard_normal(x.shape)
    alpha, sigma, k = float(process.alpha(0.3)), float(process.sigma(0.3)), len(laws)
    system, right = np.ones((k + 1, k + 1)), np.zeros(k + 1)
    system[:k, :k], system[k, k], right[k] = 0.0, 0.0, 1.0
    for sign in (1, -1):
        points = (alpha * x + sign * sigma * z).astype(dtype)
        scores = np.stack([law.diffuse(alpha, sigma).score(points).ravel() for law in laws])
        system[:k, :k] += scores @ scores.T / len(x)
        right[:k] += scores @ (-sign * z.ravel() / sigma).astype(dtype) / len(x)
    return np.asarray(np.linalg.solve(system, right)[:k])


@pytest.mark.parametrize(("distance", "keep"), [(1.0, 200), (1e-4, 200), (1e-5, 200), (1e-6, 0), (1e-8, 0)])
def test_the_difference_basis_resolves_near_duplicates(distance: float, keep: int) -> None:
    laws, x = _duplicates(distance)
    gram = score_gram(laws, x, settings(t_min=0.3, t_max=0.3), keep=keep, rng=0)
    assert solve(gram.to_qp(), "active_set", tol=1e-13).weights == pytest.approx(TRUE, abs=1e-6)


def test_raw_inner_products_do_not() -> None:
    assert _raw_weights(1.0) == pytest.approx(TRUE, abs=1e-6)  # they are sound where models are far apart
    assert np.abs(_raw_weights(1e-4, np.float32) - TRUE).max() > 1e-2
    assert np.abs(_raw_weights(1e-6) - TRUE).max() > 1e-5


@pytest.mark.parametrize("distance", [1e-2, 1e-3])
def test_float32_scores_resolve_what_raw_ones_do_not(distance: float) -> None:
    laws, x = _duplicates(distance)
    gram = score_gram(laws, x, settings(t_min=0.3, t_max=0.3, dtype=np.float32), keep=200, rng=0)
    error = np.abs(solve(gram.to_qp(), "active_set", tol=1e-13).weights - TRUE).max()
    assert 20 * error < np.abs(_raw_weights(distance, np.float32) - TRUE).max()


def test_inputs_of_any_layout_give_the_same_bits_and_are_left_alone() -> None:
    laws = REDUCIBLE["embedded"]
    x = np.random.default_rng(15).integers(-3, 4, (64, laws[0].dim)).astype(np.float64)
    expected = score_gram(laws, x, settings(), rng=0)
    frozen = x.copy()
    frozen.setflags(write=False)
    for variant in (frozen, np.repeat(x, 2, axis=0)[::2], x.astype(int), x.tolist(), x.astype(np.float32)):
        before = np.array(variant)
        assert _agree(score_gram(laws, variant, settings(), rng=0), expected, 0.0)
        assert np.array_equal(before, variant)
    assert _agree(score_gram(laws, np.asfortranarray(x), settings(), rng=0), expected, 1e-14)
