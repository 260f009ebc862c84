"""Every family keeps the promises of its docstring and of `known`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from synthetic import (
    GaussianMixture,
    LogLinearPool,
    NotFiniteError,
    ShapeError,
    SimplexError,
    SyntheticError,
    SyntheticProblem,
    UnknownNameError,
    known_problems,
    make_problem,
)
from synthetic.quadrature import cover

from .checks import CHECKS
from .examples import examined

FAMILIES = [
    "shifted_gaussians",
    "scaled_gaussians",
    "paper_mixture_1d",
    "embedded_mixture",
    "bimodal_from_unimodal",
    "random_mixtures",
    "near_duplicates",
]
# Every family at several parameters.
PROBLEMS: list[tuple[str, dict[str, Any]]] = [
    ("shifted_gaussians", {}),
    ("shifted_gaussians", {"k": 1, "d": 1}),
    ("shifted_gaussians", {"k": 3, "d": 20, "separation": 0.5, "condition": 30.0}),
    ("scaled_gaussians", {}),
    ("scaled_gaussians", {"k": 1, "d": 2}),
    ("paper_mixture_1d", {}),
    ("paper_mixture_1d", {"target": "barycenter", "scale": 6.0, "weights": (0.2, 0.8)}),
    ("paper_mixture_1d", {"target": "barycenter", "space": "aligned"}),
    ("embedded_mixture", {}),
    ("embedded_mixture", {"rank": 2, "d": 5, "k": 2, "m": 3}),
    ("embedded_mixture", {"rank": 2, "d": 2, "target": "mixture"}),
    ("bimodal_from_unimodal", {"k": 3, "d": 4}),
    ("random_mixtures", {"covariance": "isotropic", "m": 2}),
    ("random_mixtures", {"covariance": "full", "m": 2, "d": 3}),
    ("random_mixtures", {"k": 16, "m": 2, "d": 1}),
    ("near_duplicates", {}),
    ("near_duplicates", {"spread": 0.0, "weights": (0.1, 0.2, 0.3, 0.4)}),
    ("near_duplicates", {"k": 5, "d": 2}),
]
IDS = [f"{name}-{'-'.join(map(str, params.values()))}" for name, params in PROBLEMS]

every_problem = pytest.mark.parametrize(("name", "params"), PROBLEMS, ids=IDS)
seeds = st.integers(0, 2**32 - 1)


def means_of(problem: SyntheticProblem) -> Any:
    return np.concatenate([p.means for p in problem.auxiliaries if isinstance(p, GaussianMixture)])


def moved(problem: SyntheticProblem) -> Any:
    """Distances between all component means: what a rotation cannot change."""
    return pdist(means_of(problem))


def total_variation(p: Any, q: Any) -> float:
    """By quadrature, on the line or in the plane."""
    grid = cover([p, q])
    return float(np.abs(np.exp(p.log_prob(grid.nodes)) - np.exp(q.log_prob(grid.nodes))).sum() / 2 * grid.cell)


# ---------------------------------------------------------------------- all families
def test_registry_lists_every_family_with_a_sentence() -> None:
    listed = known_problems()
    assert set(listed) == set(FAMILIES) == {name for name, _ in PROBLEMS}
    assert all(line.endswith(".") and 20 < len(line) < 120 for line in listed.values())


@every_problem
@pytest.mark.parametrize("check", ["score_is_gradient", "draws_obey_stein", "divergence_averages_to_minus_square"])
def test_target_is_a_law(name: str, params: dict[str, Any], check: str) -> None:
    CHECKS[check](make_problem(name, **params).target)


@every_problem
def test_target_is_the_pool_at_the_true_weights(name: str, params: dict[str, Any]) -> None:
    """The ratio of densities is constant: target = pool up to normalisation, by the auxiliaries' own densities."""
    problem = make_problem(name, **params)
    assert problem.k == len(problem.auxiliaries)
    assert set(problem.known) == {"weights", "barycenter", "population_gram", "total_variation"}
    assert (problem.true_weights is None) == problem.known["weights"].startswith("none")
    if problem.true_weights is None:
        return
    np.testing.assert_allclose(problem.true_weights.sum(), 1.0, rtol=1e-12)
    x = problem.target.sample(60, rng=0)
    pooled = sum(w * p.log_prob(x) for w, p in zip(problem.true_weights, problem.auxiliaries, strict=True))
    np.testing.assert_allclose(np.ptp(problem.target.log_prob(x) - pooled), 0.0, atol=1e-7)
    np.testing.assert_allclose(problem.barycenter(problem.true_weights).score(x), problem.target.score(x), atol=1e-7)


@every_problem
def test_params_and_seed_reproduce_the_problem(name: str, params: dict[str, Any]) -> None:
    first = make_problem(name, rng=3, **params)
    again = make_problem(name, rng=np.random.default_rng(3), **first.params)
    assert again.params == first.params
    assert name in repr(first)
    x = first.target.sample(10, rng=0)
    np.testing.assert_array_equal(again.target.sample(10, rng=0), x)
    for p, q in zip(first.auxiliaries, again.auxiliaries, strict=True):
        np.testing.assert_array_equal(p.score(x), q.score(x))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "paper_mixture_1d"])
def test_seed_decides_the_geometry(name: str) -> None:
    a, b = (make_problem(name, rng=seed, d=4) for seed in (0, 1))
    x = np.ones((1, 4))
    assert not np.array_equal(a.auxiliaries[-1].score(x), b.auxiliaries[-1].score(x))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "bimodal_from_unimodal"])
def test_given_weights_are_the_true_weights_and_leave_the_geometry(name: str) -> None:
    extra = {"target": "barycenter"} if name == "paper_mixture_1d" else {"k": 2}
    random, given_ = make_problem(name, **extra), make_problem(name, weights=(0.25, 0.75), **extra)
    np.testing.assert_array_equal(given_.true_weights, [0.25, 0.75])
    x = random.target.sample(5, rng=0)
    for p, q in zip(random.auxiliaries, given_.auxiliaries, strict=True):
        np.testing.assert_array_equal(p.score(x), q.score(x))
    with pytest.raises(SimplexError, match=r"weights sum to 0.9"):
        make_problem(name, weights=(0.5, 0.4), **extra)


@examined
@given(seeds, st.integers(1, 8))
def test_random_weights_are_interior(seed: int, k: int) -> None:
    weights = make_problem("shifted_gaussians", rng=seed, k=k, d=8).true_weights
    assert weights is not None
    assert weights.min() >= 0.5 / k - 1e-15


@pytest.mark.parametrize("name", ["shifted_gaussians", "scaled_gaussians", "bimodal_from_unimodal", "near_duplicates"])
def test_dimension_rotates_the_geometry_and_changes_nothing_else(name: str) -> None:
    reference, *others = (make_problem(name, rng=5, d=d) for d in (4, 16, 300))
    for other in others:
        np.testing.assert_allclose(moved(other), moved(reference), rtol=1e-9, atol=1e-12)
        if reference.true_weights is not None:
            np.testing.assert_array_equal(other.true_weights, reference.true_weights)


@pytest.mark.parametrize("rank", [1, 2])
def test_embedding_dimension_changes_no_core_and_no_total_variation(rank: int) -> None:
    cores = []
    for d in (rank, 16, 300):
        problem = make_problem("embedded_mixture", rng=5, d=d, rank=rank, target="mixture")
        subspace = problem.subspace()
        assert subspace is not None
        assert subspace.rank == rank
        cores.append(subspace.cores)
    for others in cores[1:]:
        for p, q in zip(cores[0], others, strict=True):
            np.testing.assert_array_equal(p.means, q.means)
            np.testing.assert_array_equal(p.covariances, q.covariances)
        assert total_variation(others[0], others[-1]) == total_variation(cores[0][0], cores[0][-1])


# ---------------------------------------------------------------------- one by one
@examined
@given(seeds, st.integers(2, 8), st.floats(0.01, 50.0))
def test_shifted_means_are_separated_as_asked(seed: int, k: int, separation: float) -> None:
    problem = make_problem("shifted_gaussians", rng=seed, k=k, d=k + 3, separation=separation)
    np.testing.assert_allclose(moved(problem), separation, rtol=1e-9)
    np.testing.assert_allclose(means_of(problem).mean(axis=0), 0.0, atol=1e-12 * separation)


@pytest.mark.parametrize("condition", [1.0, 4.0, 100.0])
def test_shifted_gaussians_share_a_covariance_of_the_condition_asked(condition: float) -> None:
    problem = make_problem("shifted_gaussians", k=3, d=10, condition=condition)
    for law in (*problem.auxiliaries, problem.target):
        assert isinstance(law, GaussianMixture)
        np.testing.assert_allclose(np.linalg.cond(law.covariance()), condition, rtol=1e-9)
    assert problem.true_weights is not None
    np.testing.assert_allclose(problem.target.mean(), problem.true_weights @ means_of(problem), atol=1e-12)  # type: ignore[attr-defined]


def test_pooling_and_noise_commute_for_shifted_but_not_scaled_gaussians() -> None:
    for name, commutes in (("shifted_gaussians", True), ("scaled_gaussians", False)):
        problem = make_problem(name, k=3, d=4)
        noised = LogLinearPool([p.diffuse(0.6, 0.8) for p in problem.auxiliaries], problem.true_weights)  # type: ignore[arg-type]
        x = problem.target.sample(20, rng=0)
        error = np.abs(noised.score(x) - problem.target.diffuse(0.6, 0.8).score(x)).max()  # type: ignore[attr-defined]
        assert (error < 1e-10) == commutes


@examined
@given(seeds, st.integers(2, 6), st.floats(0.1, 10.0))
def test_scaled_variances_span_the_ratio_asked(seed: int, k: int, ratio: float) -> None:
    problem = make_problem("scaled_gaussians", rng=seed, k=k, d=k, ratio=ratio)
    variances = [float(p.covariances[0]) for p in problem.auxiliaries]  # type: ignore[union-attr]
    np.testing.assert_allclose(variances[-1] / variances[0], ratio, rtol=1e-12)
    np.testing.assert_allclose(moved(problem), 2.0, rtol=1e-9)


@pytest.mark.parametrize("name", ["shifted_gaussians", "scaled_gaussians"])
def test_gaussians_need_room_for_their_simplex(name: str) -> None:
    assert make_problem(name, k=4, d=3).dim == 3
    with pytest.raises(ShapeError, match="d must be at least k - 1 = 3, got 2"):
        make_problem(name, k=4, d=2)


def test_paper_mixture_is_the_published_one() -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0)
    published = [
        ([0.6, 0.4], [-6, 6], 0.64),
        ([0.5, 0.5], [-3, 10], 1.0),
        ([0.7, 0.3], [-7, 9], 1.0),
    ]
    for law, (weights, means, variance) in zip((problem.target, *problem.auxiliaries), published, strict=True):
        assert isinstance(law, GaussianMixture)
        np.testing.assert_array_equal(law.weights, weights)
        np.testing.assert_allclose(law.means[:, 0], np.array(means) / 6.0, rtol=1e-15)
        np.testing.assert_allclose(law.covariances, variance / 36.0, rtol=1e-15)


def test_mass_of_the_reference_barycenter_right_of_zero() -> None:
    """Section 6 of the theory: the KL barycenter puts 0.81 of its mass on x > 0."""
    target = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5)).target
    x = np.linspace(0.0, 5.0, 50_001)[:, None]
    np.testing.assert_allclose(np.exp(target.log_prob(x)).sum() * 1e-4, 0.81, atol=5e-3)


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_aligned_laws_are_standardised(scale: float) -> None:
    problem = make_problem("paper_mixture_1d", space="aligned", scale=scale)
    for law in (problem.target, *problem.auxiliaries):
        assert isinstance(law, GaussianMixture)
        np.testing.assert_allclose(law.mean(), 0.0, atol=1e-14)
        np.testing.assert_allclose(law.covariance(), 1.0 / scale**2, rtol=1e-12)


def test_embedded_mixtures_stay_in_their_range() -> None:
    problem = make_problem("embedded_mixture", rank=2, d=9, k=4, m=5)
    for law in problem.auxiliaries:
        core = law.core  # type: ignore[union-attr]
        assert core.n_components == 5
        assert np.abs(core.means).max() <= 4.0
        assert np.all((core.covariances >= 0.5) & (core.covariances <= 1.5))
        assert law.variance == 1.0  # type: ignore[union-attr]


def test_bimodal_target_is_out_of_reach_of_every_pool() -> None:
    """A pool of Gaussians is one Gaussian, whatever the weights: total variation stays large."""
    problem = make_problem("bimodal_from_unimodal", k=2, d=1, separation=6.0)
    distances = [total_variation(problem.target, problem.barycenter([w, 1 - w])) for w in np.linspace(0, 1, 21)]
    assert min(distances) > 0.45
    assert all(p.n_components == 1 for p in problem.auxiliaries)  # type: ignore[union-attr]
    modes = problem.target.means  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.ptp(modes), 6.0, rtol=1e-12)


@pytest.mark.parametrize("covariance", ["isotropic", "diagonal", "full"])
def test_random_mixtures_have_the_layout_asked_and_an_exact_sampler(covariance: str) -> None:
    problem = make_problem("random_mixtures", k=2, d=3, m=2, covariance=covariance)
    for law in problem.auxiliaries:
        assert isinstance(law, GaussianMixture)
        assert law.spectrum.layout == covariance
        eigenvalues = np.linalg.eigvalsh(law.spectrum.dense())
        assert 0.5 - 1e-12 <= eigenvalues.min() <= eigenvalues.max() <= 1.5 + 1e-12
    assert isinstance(problem.target, LogLinearPool)
    low, high = problem.target.partition_bounds()
    assert low <= problem.target.log_partition(n=20_000).value <= high


@pytest.mark.parametrize(
    ("params", "barycenter", "gram"),
    [
        ({}, "envelope: certified", "quadrature for d <= 2, else not known"),
        ({"k": 12, "m": 2, "d": 3}, "envelope: certified", "quadrature for d <= 2, else not known"),
        ({"k": 13, "m": 2, "d": 3}, "arithmetic envelope: Monte Carlo log Z, not certified", "quadrature"),
        ({"k": 13, "m": 2, "d": 2}, "quadrature", "quadrature"),
        ({"m": 1}, "closed form", "closed form"),
        ({"k": 1}, "closed form", "quadrature"),
    ],
)
def test_random_mixtures_claim_a_certified_partition_function_only_where_it_is(
    params: dict[str, Any], barycenter: str, gram: str
) -> None:
    problem = make_problem("random_mixtures", **params)
    assert problem.known["barycenter"].startswith(barycenter)
    assert problem.known["population_gram"].startswith(gram)
    pool = LogLinearPool(problem.auxiliaries, problem.true_weights)
    if "envelope" in barycenter:
        assert np.isfinite(pool.partition_bounds()[0]) == ("not certified" not in barycenter)
        assert pool.log_partition(n=2000).method == "envelope"
    else:
        assert pool.log_partition().method == barycenter


@pytest.mark.parametrize("spread", [0.0, 1e-8, 1e-4, 1.0])
def test_near_duplicates_are_as_near_as_asked(spread: float) -> None:
    problem = make_problem("near_duplicates", k=5, d=6, spread=spread)
    means = means_of(problem)
    assert np.all(pdist(means[1:]) <= 8 * spread)
    np.testing.assert_allclose(np.linalg.norm(means[1:] - means[0], axis=1), 2.0, atol=8 * spread + 1e-12)
    gram = np.cov(means - means[1])
    if spread == 0.0:
        assert np.linalg.matrix_rank(gram) <= 1
        assert problem.known["weights"].startswith("not unique")
        swapped = np.array(problem.true_weights)[[0, 2, 1, 3, 4]]
        x = problem.target.sample(10, rng=0)
        np.testing.assert_allclose(problem.barycenter(swapped).score(x), problem.target.score(x), rtol=1e-12)
    else:
        assert problem.known["weights"] == "closed form"


def test_weights_are_not_called_unique_where_the_means_are_dependent() -> None:
    assert make_problem("near_duplicates", k=4, d=3).known["weights"] == "closed form"
    assert make_problem("near_duplicates", k=4, d=2).known["weights"].startswith("not unique")


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("paper_mixture", "unknown problem 'paper_mixture'; did you mean 'paper_mixture_1d'"),
        ("shifted_gausians", "did you mean 'shifted_gaussians'"),
        ("zzz", "known: bimodal_from_unimodal, embedded_mixture, near_duplicates"),
        (3, "unknown problem 3; known: "),
    ],
)
def test_unknown_problem_lists_close_matches(name: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make_problem(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_unknown_parameter_lists_those_there_are(name: str) -> None:
    with pytest.raises(SyntheticError, match=rf"problem '{name}' takes no parameter 'seperation'; it takes [a-z]+, "):
        make_problem(name, seperation=1.0)


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        ("shifted_gaussians", {"k": 0}, ShapeError, "k must be at least 1, got 0"),
        ("shifted_gaussians", {"d": "4"}, ShapeError, "d must be an integer, got '4'"),
        ("shifted_gaussians", {"separation": -1.0}, NotFiniteError, "separation must be finite and positive, got -1.0"),
        ("shifted_gaussians", {"condition": np.nan}, NotFiniteError, "condition is nan"),
        ("shifted_gaussians", {"weights": (0.5, 0.5)}, ShapeError, "weights must have length 4, got 2"),
        ("scaled_gaussians", {"ratio": 0.0}, NotFiniteError, "ratio must be finite and positive"),
        ("paper_mixture_1d", {"space": "cooked"}, SyntheticError, "space must be 'raw' or 'aligned', got 'cooked'"),
        ("paper_mixture_1d", {"target": "pool"}, SyntheticError, "target must be 'mixture' or 'barycenter'"),
        ("paper_mixture_1d", {"scale": 0}, NotFiniteError, "scale must be finite and positive"),
        ("embedded_mixture", {"rank": 3}, SyntheticError, "rank must be 1 or 2 .* got 3; see random_mixtures"),
        ("embedded_mixture", {"rank": 2, "d": 1}, ShapeError, "d must be at least rank = 2, got 1"),
        ("embedded_mixture", {"target": "pool"}, SyntheticError, "target must be 'mixture' or 'barycenter'"),
        ("embedded_mixture", {"m": 0}, ShapeError, "m must be at least 1"),
        ("bimodal_from_unimodal", {"k": 1, "separation": -1.0}, NotFiniteError, "separation must be finite and pos"),
        ("random_mixtures", {"covariance": "round"}, SyntheticError, "covariance must be 'isotropic', 'diagonal'"),
        ("near_duplicates", {"spread": -1e-3}, SyntheticError, "spread must be at least 0, got -0.001"),
        ("near_duplicates", {"spread": np.inf}, NotFiniteError, "spread is inf"),
        ("near_duplicates", {"k": 1}, ShapeError, "k must be at least 2, got 1"),
    ],
)
def test_bad_parameters_are_named(name: str, params: dict[str, Any], error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        make_problem(name, **params)


def test_problem_lives_in_one_dimension() -> None:
    line, plane = (make_problem("bimodal_from_unimodal", d=d) for d in (1, 2))
    with pytest.raises(ShapeError, match=r"one dimension, got \[1, 2\]"):
        SyntheticProblem("mixed", line.target, plane.auxiliaries, None)
