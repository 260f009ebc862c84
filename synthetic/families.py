r"""Named families of fusion problems.

Every family is a keyword-only function of its parameters and ``rng``; see :func:`synthetic.make_problem`. Notation: k
auxiliaries on R^d, m components each. Geometry is drawn first in the smallest space that holds it and rotated into R^d
afterwards, so that problems differing in d alone have the same intrinsic geometry.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array
from ._validation import as_choice, as_count, as_number, as_positive, as_simplex
from .embedded_mixture import EmbeddedMixture, Mixture
from .errors import IntractableError, ShapeError, SyntheticError
from .gaussian_mixture import GaussianMixture
from .law import Law
from .log_linear_pool import LogLinearPool
from .problems import SyntheticProblem
from .registry import family

_CLOSED = "closed form"
_MOST_AUXILIARIES = 10_000


@family
def shifted_gaussians(
    *,
    rng: np.random.Generator,
    k: int = 4,
    d: int = 4,
    separation: float = 2.0,
    condition: float = 1.0,
    weights: ArrayLike | None = None,
) -> SyntheticProblem:
    """Gaussians with one covariance; pooling and noise commute, everything is in closed form.

    Means are the vertices of a regular simplex of edge ``separation``, randomly rotated; the covariance is the
    identity, or diagonal with variances from 1 down to ``1/condition``. So ``separation`` is in units of the largest
    standard deviation: unless ``condition=1``, Mahalanobis distances are larger, and unequal. The target is the
    barycenter at random interior weights. Needs ``d >= k - 1``.
    """
    k, d = _auxiliary_count(k), as_count("d", d)
    vertices = _regular_simplex(k, as_positive("separation", separation))
    true = _interior_weights(k, weights, rng)
    means = vertices @ _frame(d, vertices.shape[1], rng, "k - 1").T
    spread = as_number("condition", condition)
    if spread < 1:
        raise SyntheticError(f"condition is a ratio of variances of at least 1, got {condition!r}")
    covariance: float | Float64Array = 1.0 if spread == 1.0 else np.geomspace(1.0, 1.0 / spread, d)[None]
    auxiliaries = tuple(GaussianMixture([1.0], mean[None], covariance) for mean in means)
    return _pool_problem(
        "shifted_gaussians",
        auxiliaries,
        true,
        {"weights": _CLOSED, "barycenter": _CLOSED, "population_gram": _CLOSED, "total_variation": _CLOSED},
        weights,
    )


@family
def scaled_gaussians(
    *, rng: np.random.Generator, k: int = 3, d: int = 4, ratio: float = 4.0, weights: ArrayLike | None = None
) -> SyntheticProblem:
    """Gaussians with different covariances: closed-form barycenter, but pooling and noise do not commute.

    Auxiliary i has variance ``ratio^(i/(k-1) - 1/2)`` times the identity and a mean on a simplex of edge 2 (needs
    ``d >= k - 1``). The target is the barycenter at random interior weights.
    """
    k, d = _auxiliary_count(k), as_count("d", d)
    vertices = _regular_simplex(k, 2.0)
    true = _interior_weights(k, weights, rng)
    means = vertices @ _frame(d, vertices.shape[1], rng, "k - 1").T
    exponent = np.linspace(-0.5, 0.5, k) if k > 1 else np.zeros(1)
    variances = as_positive("ratio", ratio) ** exponent
    auxiliaries = tuple(GaussianMixture([1.0], mean[None], v) for mean, v in zip(means, variances, strict=True))
    known = {
        "weights": "true weights in closed form; the population weights of a long time window differ from them",
        "barycenter": _CLOSED,
        "population_gram": _CLOSED,
        "total_variation": "quadrature for d <= 2, else Monte Carlo with an interval",
    }
    return _pool_problem("scaled_gaussians", auxiliaries, true, known, weights)


@family
def paper_mixture_1d(
    *,
    rng: np.random.Generator,
    space: Literal["raw", "aligned"] = "raw",
    scale: float = 1.0,
    target: Literal["mixture", "barycenter"] = "mixture",
    weights: ArrayLike = (0.5, 0.5),
) -> SyntheticProblem:
    """The reference 1-D problem: bimodal target, two bimodal auxiliaries.

    ``space="aligned"`` standardises every law by its own mean and standard deviation, as the published code does;
    coordinates are then divided by ``scale``. ``target="barycenter"`` replaces the published target by the pool of the
    auxiliaries at ``weights``.
    """
    as_choice("space", space, ("raw", "aligned"))
    as_choice("target", target, ("mixture", "barycenter"))
    true = as_simplex(weights, 2)
    laws = [
        GaussianMixture([0.6, 0.4], [[-6.0], [6.0]], 0.64),
        GaussianMixture([0.5, 0.5], [[-3.0], [10.0]], 1.0),
        GaussianMixture([0.7, 0.3], [[-7.0], [9.0]], 1.0),
    ]
    if space == "aligned":
        laws = [_standardised(law) for law in laws]
    published, *auxiliaries = [law.affine(1.0 / as_positive("scale", scale)) for law in laws]
    known = {
        "weights": "true weights" if target == "barycenter" else "none: the target is not a pool of the auxiliaries",
        "barycenter": "quadrature",
        "population_gram": "quadrature",
        "total_variation": "CDF crossings (mixtures) or quadrature (pools)",
    }
    if target == "mixture":
        return SyntheticProblem("paper_mixture_1d", published, tuple(auxiliaries), known=known)
    return _pool_problem("paper_mixture_1d", tuple(auxiliaries), true, known, weights)


@family
def embedded_mixture(
    *,
    rng: np.random.Generator,
    rank: int = 1,
    d: int = 16,
    k: int = 3,
    m: int = 2,
    target: Literal["barycenter", "mixture"] = "barycenter",
    weights: ArrayLike | None = None,
) -> SyntheticProblem:
    """Mixtures of rank 1 or 2 times a shared isotropic complement, rotated into R^d: exact at any d.

    Component means are spread over [-4, 4]^rank and variances over [0.5, 1.5]; the complement has unit variance. The
    target is a barycenter at random interior weights, or one more mixture.
    """
    rank, d, k, m = as_count("rank", rank), as_count("d", d), _auxiliary_count(k), as_count("m", m)
    refuse_huge("the means", k + 1, m, rank)
    if rank > 2:
        raise SyntheticError(f"rank must be 1 or 2 for exact quadrature, got {rank}; see random_mixtures")
    as_choice("target", target, ("mixture", "barycenter"))
    true = _interior_weights(k, weights, rng)
    cores = [_random_mixture(m, rank, rng) for _ in range(k + 1)]
    frame = _frame(d, rank, rng, "rank")
    laws: list[Mixture] = [EmbeddedMixture(core, frame, 1.0, np.zeros(d)) for core in cores]
    known = {
        "weights": "true weights" if target == "barycenter" else "none: the target is not a pool of the auxiliaries",
        "barycenter": f"quadrature in rank {rank}",
        "population_gram": f"quadrature in rank {rank}",
        "total_variation": f"quadrature in rank {rank}, at any d",
    }
    if target == "mixture":
        return SyntheticProblem("embedded_mixture", laws[-1], tuple(laws[:-1]), known=known)
    return _pool_problem("embedded_mixture", tuple(laws[:-1]), true, known, weights)


@family
def bimodal_from_unimodal(
    *, rng: np.random.Generator, k: int = 2, d: int = 1, separation: float = 6.0
) -> SyntheticProblem:
    """A two-mode target and k Gaussian auxiliaries along its axis: out of reach of every pool, by design.

    A log-linear pool of Gaussians is Gaussian, so the best total variation stays bounded away from 0 at any n.
    """
    k, d = _auxiliary_count(k), as_count("d", d)
    axis = _frame(d, 1, rng, "1")[:, 0]
    separation = as_positive("separation", separation)
    places = separation * np.linspace(-0.5, 0.5, k) if k > 1 else np.zeros(1)
    auxiliaries = tuple(GaussianMixture([1.0], (place * axis)[None], 1.0) for place in places)
    target = GaussianMixture([0.5, 0.5], 0.5 * separation * np.stack([-axis, axis]), 1.0)
    known = {
        "weights": "none: the target is not a pool of the auxiliaries",
        "barycenter": _CLOSED,
        "population_gram": "quadrature in rank 1",
        "total_variation": "CDF crossings or quadrature in rank 1",
    }
    return SyntheticProblem("bimodal_from_unimodal", target, auxiliaries, known=known)


@family
def random_mixtures(
    *,
    rng: np.random.Generator,
    k: int = 3,
    d: int = 8,
    m: int = 3,
    covariance: Literal["isotropic", "diagonal", "full"] = "diagonal",
    weights: ArrayLike | None = None,
) -> SyntheticProblem:
    """General mixtures without low-rank structure; the target is their barycenter, sampled by its envelope.

    Truth is the envelope (exact samples, and a certified log Z while its ``m^k`` tuples are few enough: see ``known``)
    and bounded Monte Carlo for total variation, with intervals.
    """
    k, d, m = _auxiliary_count(k), as_count("d", d), as_count("m", m)
    as_choice("covariance", covariance, ("isotropic", "diagonal", "full"))
    refuse_huge("the covariances" if covariance == "full" else "the means", k, m, d, d if covariance == "full" else 1)
    true = _interior_weights(k, weights, rng)
    auxiliaries = tuple(_random_mixture(m, d, rng, covariance, reach=4.0 / np.sqrt(d)) for _ in range(k))
    problem = _pool_problem("random_mixtures", auxiliaries, true, {}, weights)
    pool = LogLinearPool(auxiliaries, true)
    barycenter: str = pool.partition_method
    if barycenter == "envelope":  # the product envelope, unless it would hold too many tuples
        barycenter = (
            "envelope: certified log Z and exact samples"
            if pool.is_certified
            else "arithmetic envelope: Monte Carlo log Z, not certified; exact samples while acceptance lasts"
        )
    known = {
        "weights": "true weights",
        "barycenter": barycenter,
        "population_gram": _CLOSED
        if m == 1
        else "quadrature for d <= 2, else not known; estimate it from an independent stream",
        "total_variation": "quadrature for d <= 2, else bounded Monte Carlo with an interval",
    }
    return replace(problem, known=known)


@family
def near_duplicates(
    *, rng: np.random.Generator, k: int = 4, d: int = 4, spread: float = 1e-4, weights: ArrayLike | None = None
) -> SyntheticProblem:
    """Unit Gaussians of which all but the first lie about ``spread`` apart: an almost singular Gram.

    The weights are unique if the means are in general position (``spread > 0`` and ``d >= k - 1``). ``spread=0`` gives
    exact duplicates: the fused law is still unique, the weights are not.
    """
    k, d = _auxiliary_count(k, at_least=2), as_count("d", d)
    if as_number("spread", spread) < 0:
        raise SyntheticError(f"spread must be at least 0, got {spread!r}")
    true = _interior_weights(k, weights, rng)
    r = max(1, min(d, k - 1))
    offsets = spread * rng.standard_normal((k - 1, r))
    low = np.vstack([np.zeros(r), np.eye(1, r) * 2.0 + offsets])
    means = low @ _frame(d, r, rng, "1").T
    auxiliaries = tuple(GaussianMixture([1.0], mean[None], 1.0) for mean in means)
    known = {
        "weights": _CLOSED if spread > 0 and d >= k - 1 else "not unique: the means are not in general position",
        "barycenter": _CLOSED,
        "population_gram": _CLOSED,
        "total_variation": _CLOSED,
    }
    return _pool_problem("near_duplicates", auxiliaries, true, known, weights)


# ---------------------------------------------------------------------- geometry
def _pool_problem(
    name: str,
    auxiliaries: tuple[Mixture, ...],
    weights: Float64Array,
    known: Mapping[str, str],
    given: ArrayLike | None = None,
) -> SyntheticProblem:
    """Problem whose target is the barycenter at ``weights``, as a mixture when that is exact.

    Weights ``given`` by the caller are noted as they are used, so that they sum to one when they are read again.
    """
    pool = LogLinearPool(auxiliaries, weights)
    target: Law = pool.as_mixture() or pool
    params = {} if given is None else {"weights": weights.tolist()}
    return SyntheticProblem(name, target, auxiliaries, weights, params, known)


def _auxiliary_count(k: int, at_least: int = 1) -> int:
    """The number of auxiliaries, refused before millions of laws are built one by one."""
    count = as_count("k", k, at_least=at_least)
    if count > _MOST_AUXILIARIES:
        raise IntractableError(f"k must be at most {_MOST_AUXILIARIES} auxiliaries, got {count}")
    return count


def _regular_simplex(k: int, edge: float) -> Float64Array:
    """Vertices (k, max(1, k - 1)) of a centred regular simplex."""
    return np.zeros((1, 1)) if k == 1 else np.asarray(scipy.linalg.helmert(k).T * (edge / np.sqrt(2.0)))


def _frame(d: int, r: int, rng: np.random.Generator, what: str) -> Float64Array:
    """Random orthonormal frame (d, r)."""
    if d < r:
        raise ShapeError(f"d must be at least {what} = {r}, got {d}")
    refuse_huge("a frame", d, r)
    q, upper = np.linalg.qr(rng.standard_normal((d, r)))
    return np.asarray(q * np.where(np.diag(upper) < 0, -1.0, 1.0))


def _interior_weights(k: int, weights: ArrayLike | None, rng: np.random.Generator) -> Float64Array:
    """The given weights, or random ones of at least ``1/2k`` each."""
    random = 0.5 / k + 0.5 * rng.dirichlet(np.full(k, 4.0))
    return as_simplex(random, k) if weights is None else as_simplex(weights, k)


def _random_mixture(
    m: int, d: int, rng: np.random.Generator, covariance: str = "diagonal", reach: float = 4.0
) -> GaussianMixture:
    shapes: dict[str, Callable[[], Float64Array]] = {
        "isotropic": lambda: rng.uniform(0.5, 1.5, m),
        "diagonal": lambda: rng.uniform(0.5, 1.5, (m, d)),
        "full": lambda: _random_covariances(m, d, rng),
    }
    means = rng.uniform(-reach, reach, (m, d))
    weights = 0.5 / m + 0.5 * rng.dirichlet(np.full(m, 4.0))
    return GaussianMixture(weights / weights.sum(), means, shapes[covariance]())


def _random_covariances(m: int, d: int, rng: np.random.Generator) -> Float64Array:
    frames = np.stack([_frame(d, d, rng, "d") for _ in range(m)])
    values = rng.uniform(0.5, 1.5, (m, d))
    dense = np.einsum("mde,me,mfe->mdf", frames, values, frames)
    return np.asarray((dense + dense.transpose(0, 2, 1)) / 2)


def _standardised(law: GaussianMixture) -> GaussianMixture:
    """The 1-D law in units of its own standard deviation about its own mean."""
    std = float(np.sqrt(law.covariance()[0, 0]))
    return law.affine(1.0 / std, -float(law.mean()[0]) / std)
