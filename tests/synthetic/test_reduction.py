"""Reductions keep every statistic of score matching, and their draws in law are projections of draws in R^d."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthetic import EmbeddedMixture, GaussianMixture, IntractableError, LogLinearPool, common_subspace, make_problem
from synthetic.embedded_mixture import embed
from synthetic.reduction import (
    AbstractReduction,
    IsotropicReduction,
    ReducedIsotropicMixture,
    SharedComplementReduction,
    reduce_laws,
)
from synthetic.subspace import span_of

from . import checks
from .examples import embedded, examined, pool, random_frame, random_mixture

D = 9


def in_plane(seed: int, layout: str, offset: float = 0.0) -> GaussianMixture:
    """A mixture on R^D with its means in a common plane, off the origin."""
    core = random_mixture(seed, layout, 3, 2)
    means = core.means @ random_frame(1, D, 2).T + offset + np.linspace(-1, 1, D)
    variances = 0.8 if layout == "shared" else core.covariances
    return GaussianMixture(core.weights, means, variances)


Laws = tuple[Sequence[Any], Any]
CASES: dict[str, Callable[[], Laws]] = {
    "shared variance": lambda: ([in_plane(i, "shared") for i in range(3)], in_plane(9, "shared")),
    "embedded": lambda: ([embedded(i, D, 2) for i in range(3)], embedded(9, D, 2)),
    "pool of embedded": lambda: (
        [embedded(i, D, 1) for i in range(2)],
        LogLinearPool([embedded(i, D, 1) for i in range(2)], [0.3, 0.7]),
    ),
    "low dimension": lambda: ([random_mixture(i, "full", 2, 2) for i in range(2)], random_mixture(9, "full", 2, 2)),
    "pool in low dimension": lambda: (pool(3, d=2).components, pool(3, d=2)),
    "isotropic": lambda: ([in_plane(i, "isotropic") for i in range(3)], in_plane(9, "isotropic")),
    "isotropic far from the origin": lambda: (
        [in_plane(i, "isotropic", 1e4) for i in range(3)],
        in_plane(9, "isotropic", 1e4),
    ),
    "isotropic about one centre": lambda: (
        [GaussianMixture([1.0], np.ones((1, D)), v) for v in (0.5, 2.0)],
        GaussianMixture([1.0], np.ones((1, D)), 1.0),
    ),
}
ISOTROPIC = [name for name in CASES if name.startswith("isotropic")]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Laws:
    return CASES[request.param]()


def reduced(laws: Sequence[Any], target: Any = None) -> AbstractReduction:
    reduction = reduce_laws(laws, target)
    assert reduction is not None
    return reduction


def score_statistics(laws: Sequence[Any], x: Any) -> dict[str, Any]:
    """All that score matching needs at each point: log ratios, and what scores and divergences differ by."""
    logs = np.array([p.log_prob(x) for p in laws])
    scores = np.array([p.score(x) for p in laws])
    divergences = np.array([p.divergence(x) for p in laws])
    gaps = scores[1:] - scores[0]
    return {
        "log ratios": logs[1:] - logs[0],
        "inner products of differences": np.einsum("ind,jnd->ijn", gaps, gaps),
        "divergence differences": divergences[1:] - divergences[0],
    }


def noised(laws: Sequence[Any], alpha: float, sigma: float) -> list[Any]:
    return [p.diffuse(alpha, sigma) for p in laws]


# ---------------------------------------------------------------------- statistics
@pytest.mark.parametrize("name", CASES)
@examined
@given(st.floats(0.05, 2.0), st.floats(0.01, 3.0), st.integers(0, 1000))
def test_statistics_survive_the_reduction(name: str, alpha: float, sigma: float, seed: int) -> None:
    laws, target = CASES[name]()
    reduction = reduced(laws, target)
    rng = np.random.default_rng(seed)
    x0, z = target.sample(20, rng=rng), rng.standard_normal((20, target.dim))
    y0, u = reduction.project(x0), reduction.project_noise(x0, z)
    full = score_statistics(noised(laws, alpha, sigma), alpha * x0 + sigma * z)
    less = score_statistics(noised(reduction.laws, alpha, sigma), alpha * y0 + sigma * u)
    for what, value in full.items():
        np.testing.assert_allclose(less[what], value, rtol=1e-7, atol=1e-6, err_msg=what)


@pytest.mark.parametrize("name", ISOTROPIC)
def test_isotropic_reduction_keeps_densities_scores_and_noise_themselves(name: str) -> None:
    laws, target = CASES[name]()
    reduction = reduced(laws, target)
    assert isinstance(reduction, IsotropicReduction)
    x0, z = target.sample(30, rng=0), np.random.default_rng(1).standard_normal((30, D))
    x, y = 0.7 * x0 + 0.4 * z, 0.7 * reduction.project(x0) + 0.4 * reduction.project_noise(x0, z)
    for p, q in zip(noised(laws, 0.7, 0.4), noised(reduction.laws, 0.7, 0.4), strict=True):
        np.testing.assert_allclose(q.log_prob(y), p.log_prob(x), rtol=1e-7)
        np.testing.assert_allclose(q.divergence(y), p.divergence(x), rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose((q.score(y) ** 2).sum(1), (p.score(x) ** 2).sum(1), rtol=1e-6)
        along = (q.score(y) * reduction.project_noise(x0, z)).sum(1)
        np.testing.assert_allclose(along, (p.score(x) * z).sum(1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ISOTROPIC)
def test_noise_at_a_point_in_the_span_keeps_its_length(name: str) -> None:
    laws, target = CASES[name]()
    reduction = reduced(laws, target)
    x0, z = laws[0].means, np.random.default_rng(1).standard_normal(laws[0].means.shape)
    u = reduction.project_noise(x0, z)
    assert np.all(np.isfinite(u))
    np.testing.assert_allclose((u**2).sum(1), (z**2).sum(1), rtol=1e-9)


# ---------------------------------------------------------------------- draws in law
def test_draws_in_law_are_projections_of_draws(case: Laws) -> None:
    """Coordinate by coordinate, and in every statistic of the noised laws."""
    laws, target = case
    reduction, n, rng = reduced(laws, target), 4000, np.random.default_rng(0)
    x0, z = target.sample(n, rng=1), rng.standard_normal((n, target.dim))
    projected = reduction.project(x0), reduction.project_noise(x0, z)
    drawn = reduction.draw(n, np.random.default_rng(2)), reduction.draw_noise(n, rng, np.random.default_rng(3))
    later = noised(reduction.laws, 0.8, 0.5)
    for a, b in zip(projected, drawn, strict=True):
        assert a.shape == b.shape
        for left, right in zip(a.T, b.T, strict=True):
            assert stats.ks_2samp(left, right).pvalue > checks.P_VALUE
    left, right = (score_statistics(later, 0.8 * y + 0.5 * u) for y, u in (projected, drawn))
    for what, values in left.items():
        for a, b in zip(values.reshape(-1, n), right[what].reshape(-1, n), strict=True):
            assert stats.ks_2samp(a, b).pvalue > checks.P_VALUE, what


def test_draws_are_reproducible(case: Laws) -> None:
    reduction = reduced(*case)
    for draw in (
        lambda seed: reduction.draw(10, np.random.default_rng(seed)),
        lambda seed: reduction.draw_noise(10, np.random.default_rng(seed), np.random.default_rng(seed + 1)),
    ):
        np.testing.assert_array_equal(draw(4), draw(4))
        assert not np.array_equal(draw(4), draw(5))


def test_noise_rows_do_not_depend_on_how_many_are_drawn_at_a_time(case: Laws) -> None:
    reduction = reduced(*case)
    whole = reduction.draw_noise(10, np.random.default_rng(0), np.random.default_rng(1))
    normal, chi = np.random.default_rng(0), np.random.default_rng(1)
    parts = [reduction.draw_noise(n, normal, chi) for n in (3, 0, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


# ---------------------------------------------------------------------- what reduces to what
def test_kind_of_reduction_follows_the_laws() -> None:
    kinds = {name: type(reduced(*build())) for name, build in CASES.items()}
    assert {name for name, kind in kinds.items() if kind is IsotropicReduction} == set(ISOTROPIC)
    assert set(kinds.values()) == {IsotropicReduction, SharedComplementReduction}
    assert reduced(*CASES["isotropic"]()).laws[0].dim == 2 + 2
    assert reduced(*CASES["isotropic about one centre"]()).laws[0].dim == 0 + 2


@pytest.mark.parametrize(
    "target",
    [random_mixture(3, "full", 2, D), embedded(3, D, 2), pool(2, layout="isotropic", d=D, m=1), None],
    ids=["full", "embedded", "pool", "no target"],
)
@pytest.mark.parametrize("name", ["isotropic", "shared variance", "embedded"])
def test_foreign_targets_are_projected_not_drawn(name: str, target: Any) -> None:
    laws, _ = CASES[name]()
    if name == "embedded" and isinstance(target, EmbeddedMixture):
        target = EmbeddedMixture(target.core, random_frame(8, D, 2), 1.0, np.zeros(D))
    reduction = reduced(laws, target)
    with pytest.raises(IntractableError, match="project data instead"):
        reduction.draw(3, np.random.default_rng(0))
    x = np.random.default_rng(0).standard_normal((10, D))
    for what, value in score_statistics(laws, x).items():
        less = score_statistics(reduction.laws, reduction.project(x))[what]
        np.testing.assert_allclose(less, value, rtol=1e-7, atol=1e-7, err_msg=what)


def test_laws_without_structure_do_not_reduce() -> None:
    assert reduce_laws([random_mixture(i, "full", 2, 5) for i in range(2)]) is None
    assert reduce_laws([random_mixture(i, "isotropic", 6, 5) for i in range(2)]) is None
    assert reduce_laws([random_mixture(i, "diagonal", 2, 5) for i in range(2)], random_mixture(2, "full", 2, 5)) is None
    assert reduce_laws([embedded(1), random_mixture(1, "isotropic", 2, 5)]) is None


def test_reduced_mixture_admits_what_it_cannot_do() -> None:
    law = reduced(*CASES["isotropic"]()).laws[0]
    assert isinstance(law, ReducedIsotropicMixture)
    y = np.ones((3, law.dim))
    np.testing.assert_allclose(law.affine(2.0).score(2.0 * y), law.score(y) / 2.0, rtol=1e-12)
    with pytest.raises(IntractableError, match="cannot be shifted"):
        law.affine(1.0, 1.0)
    with pytest.raises(IntractableError, match=r"use its reduction's draw\(\)"):
        law.sample(3)


# ---------------------------------------------------------------------- subspaces
@examined
@given(st.integers(1, 4), st.integers(0, 1000), st.sampled_from([0.0, 1.0, 1e6]))
def test_rank_of_means_is_that_of_their_differences(rank: int, seed: int, offset: float) -> None:
    """Rounding at an offset is not a direction."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((12, rank)) @ random_frame(seed, 16, rank).T + offset
    shift, frame = span_of(means)
    assert frame.shape == (16, rank)
    np.testing.assert_allclose(frame.T @ frame, np.eye(rank), atol=1e-12)
    residual = (means - shift) - (means - shift) @ frame @ frame.T
    assert np.abs(residual).max() <= 1e-12 + 1e-14 * offset


def test_equal_means_span_nothing() -> None:
    assert span_of(np.full((3, 5), 1e8 / 3))[1].shape == (5, 0)
    assert span_of(np.full((3, 5), 1e8 / 3), at_least=1)[1].shape == (5, 1)


def test_lift_and_project_are_inverse() -> None:
    subspace = common_subspace([in_plane(i, "shared") for i in range(2)])
    assert subspace is not None
    y = np.random.default_rng(0).standard_normal((20_000, subspace.rank))
    x = subspace.lift(y, np.random.default_rng(1))
    np.testing.assert_allclose(subspace.project(x), y, atol=1e-12)
    residual = x - subspace.shift - y @ subspace.frame.T
    np.testing.assert_allclose((residual**2).sum(axis=1).mean(), (D - subspace.rank) * 0.8, rtol=0.02)


def test_embedding_a_core_returns_the_law_it_came_from() -> None:
    for laws in ([in_plane(i, "shared") for i in range(2)], [embedded(i) for i in range(2)]):
        subspace = common_subspace(laws)
        assert subspace is not None
        x = laws[0].sample(10, rng=0)
        for law, core in zip(laws, subspace.cores, strict=True):
            again = embed(core, subspace)
            assert type(again) is type(law)
            np.testing.assert_allclose(again.log_prob(x), law.log_prob(x), rtol=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        lambda law: EmbeddedMixture(law.core, law.frame, 2.0, law.shift),
        lambda law: EmbeddedMixture(law.core, law.frame, law.variance, law.shift + 1e-9),
        lambda law: EmbeddedMixture(law.core, -law.frame, law.variance, law.shift),
        lambda law: random_mixture(0, d=5),
        lambda law: embedded(0, 6),
    ],
    ids=["variance", "shift", "frame", "kind", "dimension"],
)
def test_laws_that_differ_outside_share_no_complement(change: Any) -> None:
    law = embedded(0)
    assert common_subspace([law, law]) is not None
    assert common_subspace([law, change(law)]) is None


def test_problem_knows_its_subspace() -> None:
    for target, count in (("barycenter", 2 + 2), ("mixture", 2 + 1)):
        subspace = make_problem("embedded_mixture", d=50, k=2, rank=2, target=target).subspace()
        assert subspace is not None
        assert (subspace.rank, len(subspace.cores)) == (2, count)
