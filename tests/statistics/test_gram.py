"""The quadratic objective as a statistic: it merges, restricts and evaluates like the function it stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import sfbench
from sfbench import GramError, ScoreGram, score_gram
from sfbench.statistics.gram import Contributions, tangent_basis
from synthetic import SyntheticProblem, make_problem

from ..common import ambient_gram, settings

simplex = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-3)


def _normalised(raw: list[float]) -> np.ndarray:
    return np.array(raw) / sum(raw)


@pytest.fixture(scope="module")
def gram(shifted: SyntheticProblem) -> ScoreGram:
    return score_gram(shifted.auxiliaries, shifted.target.sample(50, rng=0), settings(), rng=0)


@pytest.fixture(scope="module")
def population(shifted: SyntheticProblem) -> ScoreGram:
    rule = settings()
    return sfbench.population_gram(shifted, process=rule.process, grid=rule.grid)


def _by_size(a: ScoreGram, b: ScoreGram) -> tuple[np.ndarray, np.ndarray]:
    return (a.n * a.G + b.n * b.G) / (a.n + b.n), (a.n * a.b + b.n * b.b) / (a.n + b.n)


def test_merging_weighs_by_the_number_of_samples(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(90, rng=1)
    parts = [
        score_gram(shifted.auxiliaries, part, settings(), rng=i) for i, part in enumerate((x[:20], x[20:50], x[50:]))
    ]
    merged = parts[0] + parts[1]
    assert merged.n == 50
    assert np.allclose(np.concatenate(_by_size(*parts[:2]), axis=None), np.concatenate([merged.G, merged.b], axis=None))
    left, right = (parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2])
    assert np.allclose(left.G, right.G, rtol=1e-14)
    assert np.allclose(left.b, right.b, rtol=1e-13)
    plain_mean = (parts[0].b + parts[1].b) / 2
    assert not np.allclose(merged.b, plain_mean, rtol=1e-3)


@pytest.mark.slow
def test_merged_halves_have_the_law_of_the_whole(reference: SyntheticProblem) -> None:
    """Merged halves differ from the whole by their noise alone, so over draws the difference has mean 0."""
    differences = []
    for seed in range(60):
        x = reference.target.sample(100, rng=seed)
        whole, first, second = (
            score_gram(reference.auxiliaries, part, settings("dsm"), rng=seed * 3 + i)
            for i, part in enumerate((x, x[:30], x[30:]))
        )
        differences.append((first + second).b[1] - whole.b[1])
    assert abs(np.mean(differences)) < 5 * np.std(differences) / np.sqrt(len(differences))


def test_only_one_objective_merges(gram: ScoreGram, population: ScoreGram, shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(10, rng=0)
    other = score_gram(shifted.auxiliaries, x, settings(t_max=1.0), rng=0)
    with pytest.raises(GramError, match="different objectives"):
        gram + other
    with pytest.raises(GramError, match="different objectives"):
        gram + gram.leading(2)
    exact = ScoreGram(population.G, population.b, population.c, 0, gram.objective)
    with pytest.raises(GramError, match="population value"):
        gram + exact


@pytest.mark.parametrize("k", [1, 2, 3])
def test_leading_statistics_are_those_of_the_first_models(k: int, gram: ScoreGram, shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(50, rng=0)
    alone, whole = (ambient_gram(laws, x, settings()) for laws in (shifted.auxiliaries[:k], shifted.auxiliaries))
    assert np.allclose(whole.leading(k).G, alone.G, rtol=1e-12, atol=1e-13)
    assert np.allclose(whole.leading(k).b, alone.b, rtol=1e-12, atol=1e-13)
    for bad in (0, 4):
        with pytest.raises(GramError, match="between 1 and 3"):
            gram.leading(bad)


@hypothesis_settings(deadline=None)
@given(first=simplex, second=simplex)
def test_value_excess_and_qp_are_one_function(first: list[float], second: list[float], population: ScoreGram) -> None:
    v, w = _normalised(first), _normalised(second)
    assert population.to_qp().value(w) == pytest.approx(population.value(w), abs=1e-12)
    assert population.excess(w, v) == pytest.approx(population.value(w) - population.value(v), abs=1e-12)
    assert population.value(w) >= -1e-12


def test_excess_keeps_the_digits_that_a_difference_of_values_loses(population: ScoreGram, shifted) -> None:
    w = shifted.true_weights
    step = 1e-9 * np.array([1.0, -1.0, 0.0])
    exact = float(step @ population.G @ step)
    at_optimum = ScoreGram(population.G, population.G @ w, None, 0)
    assert at_optimum.excess(w + step, w) == pytest.approx(exact, rel=1e-6)
    assert abs(at_optimum.value(w + step) - at_optimum.value(w) - exact) > 0.5 * exact


@pytest.mark.parametrize("k", [1, 2, 5])
def test_tangent_basis_is_orthonormal_and_sums_to_zero(k: int) -> None:
    basis = tangent_basis(k)
    assert basis.shape == (k, k - 1)
    assert np.allclose(basis.T @ basis, np.eye(k - 1), atol=1e-15)
    assert np.allclose(basis.sum(axis=0), 0, atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), np.zeros(2), None, 1), r"\(k, k\)"),
        ((np.zeros((2, 2)), np.zeros((2, 1)), None, 1), r"\(k, k\)"),
        ((np.full((1, 1), np.nan), np.zeros(1), None, 1), "finite"),
        ((np.zeros((1, 1)), np.zeros(1), np.inf, 1), "finite"),
        ((np.zeros((1, 1)), np.zeros(1), None, -1), "at least 0"),
    ],
)
def test_inconsistent_statistics_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(GramError, match=message):
        ScoreGram(*arguments)


def test_statistics_are_frozen_copies() -> None:
    G, b = np.eye(2), np.zeros(2)
    gram = ScoreGram(G, b, None, 1)
    G[0, 0], b[0] = 5.0, 5.0
    assert gram.G[0, 0] == 1.0
    assert gram.b[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        gram.G[0, 0] = 2.0


@pytest.mark.parametrize("rows", [4000, 250])
def test_variances_per_sample_do_not_depend_on_batching(rows: int) -> None:
    problem = make_problem("scaled_gaussians", k=2, d=3)
    x = problem.target.sample(4000, rng=0)
    gram = score_gram(problem.auxiliaries, x, settings(), keep=rows, rng=0)
    every = score_gram(problem.auxiliaries, x, settings(), keep=4000, rng=0).contributions
    g, b = gram.contributions.variances()
    relative = 5 * np.sqrt(2 / rows)
    assert g[1, 1] == pytest.approx(every.g[:, 1, 1].var(ddof=1), rel=relative)
    assert b[1] == pytest.approx(every.b[:, 1].var(ddof=1), rel=relative)
    naive = gram.contributions.b[:, 1].var()
    assert (naive == pytest.approx(b[1], rel=relative)) == (rows == 4000)


def test_unequal_batches_are_weighted() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 60, 3000).astype(float)
    means = rng.normal(size=3000) * 2.0 / np.sqrt(counts)
    kept = Contributions(np.zeros((3000, 1, 1)), means[:, None], counts)
    assert kept.n == counts.sum()
    assert kept.variances()[1][0] == pytest.approx(4.0, rel=5 * np.sqrt(2 / 3000))


def test_vectors_of_another_length_and_other_summands_are_refused() -> None:
    gram = ScoreGram(np.eye(2), np.zeros(2), None, 3)
    with pytest.raises(GramError, match=r"weights must have shape \(2,\), got \(3,\)"):
        gram.value([0.2, 0.3, 0.5])
    with pytest.raises(TypeError, match="unsupported operand"):
        gram + 1  # type: ignore[operator]
    with pytest.raises(GramError, match="n must be an integer"):
        ScoreGram(np.eye(2), np.zeros(2), None, 1.5)  # type: ignore[arg-type]
    assert repr(gram) == "ScoreGram(k=2, n=3, c=None, '')"


def test_an_asymmetric_gram_is_refused() -> None:
    with pytest.raises(GramError, match="symmetric"):
        ScoreGram(np.array([[0.0, 0.0], [1.0, 1.0]]), np.zeros(2), None, 5)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [np.nan, 1.0], [np.inf, -np.inf], [0.0, 0.0]])
def test_weights_off_the_simplex_have_no_value(weights: list[float]) -> None:
    gram = ScoreGram(np.diag([0.0, 1.0]), np.zeros(2), 0.0, 5)
    with np.errstate(invalid="ignore"), pytest.raises(GramError, match="sum to 1"):
        gram.value(weights)
    with np.errstate(invalid="ignore"), pytest.raises(GramError, match="sum to 1"):
        gram.excess(weights, [0.5, 0.5])
