"""Laws say what they are: their components, their rank, and their core in the coordinates that hold all of it."""

from typing import Any

import numpy as np
import pytest

from synthetic import (
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    SyntheticProblem,
    common_subspace,
    make_problem,
)
from synthetic.law import components_of
from synthetic.quadrature import can_cover, cover
from synthetic.reduction import reduce_laws

from .examples import KINDS, embedded, pool, random_frame, random_mixture

RANKS = {
    "one component": 1,
    "shared variance 1-D": 1,
    "isotropic 2-D": 2,
    "diagonal 12-D": 12,
    "isotropic 12-D": 12,
    "shared variance 12-D": 2,
    "full 5-D": 5,
    "embedded rank 1": 1,
    "embedded rank 2, full core": 2,
    "embedded in the plane": 1,
    "pool of mixtures 4-D": 4,
    "pool of shared variance 6-D": 3,
    "pool of embedded mixtures": 1,
}


class Foreign:
    """A law that says nothing about itself."""

    dim = 2

    def log_prob(self, x: Any) -> Any:
        return -0.5 * (np.asarray(x) ** 2).sum(axis=1) - np.log(2 * np.pi)

    def score(self, x: Any) -> Any:
        return -np.asarray(x)

    def divergence(self, x: Any) -> Any:
        return np.full(len(x), -2.0)

    def sample(self, n: int, *, rng: Any = None) -> Any:
        return np.random.default_rng(rng).standard_normal((n, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_components_are_mixtures_that_make_the_law(kind: str) -> None:
    law = KINDS[kind]()
    assert components_of(law) == law.components
    assert all(part.components == (part,) and part.as_mixture() is part for part in law.components)
    x = law.sample(5, rng=0)
    weights = getattr(law, "weights", [1.0]) if len(law.components) > 1 else [1.0]
    mixed = sum(w * part.score(x) for w, part in zip(weights, law.components, strict=True))
    np.testing.assert_allclose(law.score(x), mixed, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_core_holds_all_that_is_not_an_isotropic_gaussian(kind: str) -> None:
    """Log densities of law and core differ by that of the complement, at any point."""
    law = KINDS[kind]()
    assert law.core.dim == law.rank == RANKS.get(kind, law.dim)
    x = law.sample(20, rng=0)
    subspace = law.subspace
    if subspace is None or subspace.variance is None:
        np.testing.assert_allclose(law.core.log_prob(x), law.log_prob(x), rtol=1e-10)
        return
    y = subspace.project(x)
    outside = ((x - subspace.shift - y @ subspace.frame.T) ** 2).sum(axis=1) / subspace.variance
    rest = -0.5 * outside - 0.5 * (law.dim - law.rank) * np.log(2 * np.pi * subspace.variance)
    np.testing.assert_allclose(law.core.log_prob(y) + rest, law.log_prob(x), rtol=1e-8, atol=1e-8)


PAIRS: dict[str, tuple[Any, Any]] = {
    "embedded": (embedded(1), embedded(2)),
    "pool and mixture": (KINDS["pool of embedded mixtures"](), embedded(3)),
    "pools": (
        LogLinearPool([embedded(1), embedded(2)], [0.3, 0.7]),
        LogLinearPool([embedded(4), embedded(2)], [0.6, 0.4]),
    ),
    "shared variance": (random_mixture(1, "shared", 3, 12), random_mixture(1, "shared", 3, 12).affine(-1.0)),
    "plane": (random_mixture(1, "full"), pool(3, layout="full", d=2)),
    "a component of weight zero": (pool(3, weights=[0.4, 0.0, 0.6], d=2), random_mixture(2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_log_ratios_of_laws_are_those_of_their_cores(name: str) -> None:
    p, q = PAIRS[name]
    subspace = common_subspace([p, q])
    assert subspace is not None
    x = p.sample(30, rng=0)
    y = x if subspace.variance is None else subspace.project(x)
    ratio = subspace.core_of(p).log_prob(y) - subspace.core_of(q).log_prob(y)
    np.testing.assert_allclose(ratio, p.log_prob(x) - q.log_prob(x), rtol=1e-7, atol=1e-7)
    assert len(subspace.cores) == len(p.components) + len(q.components)


@pytest.mark.parametrize(
    ("law", "other"),
    [
        (random_mixture(1, "shared", 3, 5), random_mixture(2, "shared", 3, 5)),  # another variance, another span
        (GaussianMixture([1.0], np.eye(1, 5), 0.7), embedded(1)),
        (embedded(1), GaussianMixture([1.0], np.eye(1, 5), 0.7)),
        (embedded(1).affine(2.0), embedded(1)),
        (embedded(1).affine(1.0, 0.5), embedded(1)),
        (random_mixture(1, "diagonal", 2, 5), GaussianMixture([0.5, 0.5], np.eye(2, 5), 0.7)),
        (GaussianMixture([1.0], 3 * np.eye(1, 5, 4), 0.7), GaussianMixture([0.5, 0.5], np.eye(2, 5), 0.7)),
        (LogLinearPool([embedded(1), embedded(1).affine(2.0)], [0.5, 0.5]), embedded(1)),
    ],
)
def test_a_law_that_does_not_fit_is_refused(law: Any, other: Any) -> None:
    """Not projected in silence onto coordinates that do not hold it."""
    with pytest.raises(IntractableError, match="coordinates"):
        common_subspace([other]).core_of(law)  # type: ignore[union-attr]


def test_a_foreign_law_is_not_mistaken() -> None:
    law: Any = Foreign()
    assert components_of(law) == ()
    assert common_subspace([law]) is None
    assert common_subspace([random_mixture(1), law]) is None
    assert not can_cover(law)
    assert can_cover(random_mixture(1), pool(2, d=2))
    assert reduce_laws([law]) is None
    with pytest.raises(IntractableError, match="law is a Foreign, which does not say what it is in a subspace"):
        common_subspace([random_mixture(1)]).core_of(law)  # type: ignore[union-attr]
    with pytest.raises(IntractableError, match="does not say of which mixtures on R"):
        cover([random_mixture(1), law])
    law.components = ("a", "b")  # an attribute of that name, of another meaning
    assert components_of(law) == ()


def test_a_foreign_law_may_say_what_bounds_it() -> None:
    law: Any = Foreign()
    law.components = (GaussianMixture([1.0], [[0.0, 0.0]], 1.0),)
    assert can_cover(law)
    grid = cover([law])
    np.testing.assert_allclose(np.exp(law.log_prob(grid.nodes)).sum() * grid.cell, 1.0, rtol=1e-12)


def test_embedded_laws_in_the_plane_are_not_covered_by_half() -> None:
    assert not can_cover(embedded(1, 2, 1))
    with pytest.raises(IntractableError, match="does not say"):
        cover([embedded(1, 2, 1)])


@pytest.mark.parametrize("name", ["shifted_gaussians", "embedded_mixture", "random_mixtures"])
def test_a_problem_knows_its_subspace(name: str) -> None:
    problem = make_problem(name)
    subspace = problem.subspace()
    if name == "random_mixtures":
        assert subspace is None
        return
    assert subspace is not None
    core = subspace.core_of(problem.target)
    assert core.dim == subspace.rank
    assert all(subspace.core_of(p).dim == subspace.rank for p in problem.auxiliaries)


def test_a_problem_with_a_foreign_target_has_no_subspace() -> None:
    law: Any = Foreign()
    assert SyntheticProblem("mine", law, (random_mixture(1),), None).subspace() is None


def test_rank_of_the_embedding_is_found_again_from_a_plain_mixture() -> None:
    frame = random_frame(3, 7, 2)
    core = random_mixture(5, "shared", 4, 2)
    plain = core.map_means(lambda mu: 3.0 + mu @ frame.T)
    assert (plain.rank, plain.core.dim, plain.dim) == (2, 2, 7)
