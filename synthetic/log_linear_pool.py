r"""The Kullback-Leibler barycenter of several laws: their log-linear pool.

    p_w = argmin_mu sum_i w_i KL(mu || p_i)  =  prod_i p_i^{w_i} / Z(w),     0 < Z(w) <= 1,  optimal value -log Z(w).

This is *not* the law sampled by running a diffusion with the averaged score (``sfbench.FusedScore``): averaging and
adding noise do not commute. Weights are called ``weights`` at the API; the source paper writes lambda.

``log Z`` is known in closed form for Gaussians, by quadrature when the laws differ in at most two dimensions, and
otherwise by Monte Carlo under an envelope with a certified ratio (:mod:`synthetic.product_envelope`).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, final, get_args

import numpy as np
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray, SeedLike
from ._validation import as_count, as_generator, as_laws, as_simplex, close_matches
from .embedded_mixture import EmbeddedMixture, Mixture, embed
from .errors import EffectiveSampleSizeError, IntractableError
from .estimate import Estimate
from .gaussian_mixture import GaussianMixture
from .product_envelope import Envelope, product_envelope
from .quadrature import GridLaw, cover, log_integral
from .subspace import Subspace, common_subspace

PartitionMethod = Literal["auto", "closed form", "quadrature", "envelope"]
_ENVELOPE_DRAWS = 200_000
_SMALLEST_ACCEPTANCE = 1e-3
_LARGEST_LOG_MASS = 2.0  # of a product envelope that still leaves less variance than the arithmetic mixture
_BLOCK = 1 << 20  # numbers proposed at a time
_ROUNDING = 1e-6  # by how much a ratio may exceed its bound for numerical reasons


@final
class LogLinearPool:
    """Normalised geometric mean ``prod_i p_i^{w_i} / Z`` of mixtures.

    Parameters
    ----------
    components : sequence of GaussianMixture or EmbeddedMixture
        The k laws, on one space R^d.
    weights : array_like, shape (k,)
        Simplex weights; laws of weight zero do not matter.

    Raises
    ------
    ShapeError, SimplexError
        If dimensions differ, there are no components, or the weights are off the simplex.
    SyntheticError
        If a component is not a mixture.
    """

    def __init__(self, components: Sequence[Mixture], weights: ArrayLike) -> None:
        self.components: tuple[Mixture, ...] = as_laws("components", components, GaussianMixture, EmbeddedMixture)
        self._set_weights(as_simplex(weights, len(self.components)))

    def _set_weights(self, weights: Float64Array) -> None:
        self.weights = weights
        self.weights.setflags(write=False)
        support = np.flatnonzero(self.weights > 0)
        self._active = tuple(self.components[i] for i in support)
        self._exponents: Float64Array = self.weights[support]

    def __getstate__(self) -> dict[str, Any]:
        # Without envelope and log Z: two copies of one law have one pickle, used or not.
        return {"components": self.components, "weights": self.weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.components = state["components"]
        self._set_weights(state["weights"])

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.components[0].dim

    # ------------------------------------------------------------------ representations
    @cached_property
    def subspace(self) -> Subspace | None:
        """Where the active components differ, if they share a complement."""
        return common_subspace(self._active)

    @property
    def rank(self) -> int:
        """Dimension r of :attr:`core`; d if no smaller one is known."""
        return self.dim if self.subspace is None else self.subspace.rank

    @property
    def core(self) -> "LogLinearPool":
        """The pool in the coordinates of its :attr:`subspace`, without components of weight zero; itself if none."""
        return self if self.subspace is None else LogLinearPool(self.subspace.cores, self._exponents)

    def core_in(self, subspace: Subspace) -> "LogLinearPool":
        """The pool in given coordinates.

        Raises
        ------
        IntractableError
            If they do not hold all of its components but their common complement.
        """
        return LogLinearPool([p.core_in(subspace) for p in self.components], self.weights)

    @cached_property
    def _cores(self) -> tuple[GaussianMixture, ...]:
        if self.subspace is not None:
            return self.subspace.cores
        if any(p.embedding is not None for p in self._active):
            raise IntractableError("embedded mixtures with different frames share no subspace in which to pool them")
        return self._active  # type: ignore[return-value]  # what is not embedded is a GaussianMixture

    @cached_property
    def envelope(self) -> Envelope:
        """A mixture that dominates the pool (of its cores, if the laws share a complement).

        The Gaussian-product envelope when its tuples are few enough; otherwise the cells of a fine grid in rank 1 and
        2, and beyond the arithmetic mixture ``sum_i w_i p_i``, which dominates the geometric one (weighted means) but
        has no lower bound on the ratio.
        """
        try:
            return product_envelope(self._cores, self._exponents)
        except IntractableError:
            if self._cores[0].dim <= 2:
                grid = cover(self._cores)
                cells = GridLaw(np.asarray(self._pooled(grid.nodes), np.float64), grid)
                return Envelope(cells, cells.log_mass, -np.inf)
            return Envelope(arithmetic_mixture(self._cores, self._exponents), 0.0, -np.inf)

    @cached_property
    def _proposal(self) -> Envelope:
        """What points are proposed from: the envelope, or the arithmetic mixture where that has less mass."""
        if self.envelope.log_mass <= 0.0:
            return self.envelope
        return Envelope(arithmetic_mixture(self._cores, self._exponents), 0.0, -np.inf)

    def as_mixture(self) -> Mixture | None:
        """The pool itself as a mixture when that is exact: one active law, or Gaussians only; else None."""
        if len(self._active) == 1:
            return self._active[0]
        if self.subspace is None and any(p.embedding is not None for p in self._active):
            return None
        gaussians = all(np.count_nonzero(p.weights) == 1 for p in self._cores)
        # The envelope of Gaussians is their pool, unless it is the arithmetic mixture, which has no floor.
        if not gaussians or self.envelope.log_floor < 0 or not isinstance(self.envelope.mixture, GaussianMixture):
            return None
        return self.envelope.mixture if self.subspace is None else embed(self.envelope.mixture, self.subspace)

    # ------------------------------------------------------------------ partition function
    @property
    def partition_method(self) -> Literal["closed form", "quadrature", "envelope"]:
        """How ``log Z`` is computed by default: the first of the three that applies; only the last is random."""
        if self.as_mixture() is not None:
            return "closed form"
        return "quadrature" if self._cores[0].dim <= 2 else "envelope"

    @property
    def is_certified(self) -> bool:
        """Whether :meth:`partition_bounds` are finite: the Gaussian-product envelope applies."""
        return bool(np.isfinite(self.envelope.log_floor))

    def log_partition(
        self, method: PartitionMethod = "auto", *, n: int = _ENVELOPE_DRAWS, rng: SeedLike = 0
    ) -> Estimate:
        """``log Z(w)`` with its error.

        Parameters
        ----------
        method : {"auto", "closed form", "quadrature", "envelope"}
            ``auto`` takes the first that applies, in this order.
        n : int
            Envelope draws; ignored by the other methods.
        rng : Generator, int or None
            Randomness of the envelope draws.

        Raises
        ------
        IntractableError
            If the requested method does not apply.
        UnknownNameError
            If there is no such method.
        """
        if not isinstance(method, str):
            raise close_matches(method, get_args(PartitionMethod), "method")
        if method == "auto":
            method = self.partition_method
        if method == "closed form":
            if self.as_mixture() is None:
                raise IntractableError(
                    "log Z has a closed form for Gaussians only; use method='quadrature' or 'envelope'"
                )
            return Estimate(0.0 if len(self._active) == 1 else self.envelope.log_mass)
        if method == "quadrature":
            grid = cover(self._cores)
            value, change = log_integral(self._pooled(grid.nodes), grid)
            return Estimate(value, change, len(grid.nodes), "quadrature")
        if method == "envelope":
            return self._log_partition_by_envelope(as_count("n", n, at_least=2), as_generator(rng))
        raise close_matches(method, get_args(PartitionMethod), "method")

    def partition_bounds(self) -> tuple[float, float]:
        """Deterministic bounds on ``log Z`` from the envelope, in any dimension; the lower one may be -inf."""
        return self.envelope.log_mass + self.envelope.log_floor, min(0.0, self.envelope.log_mass)

    def _log_partition_by_envelope(self, n: int, rng: np.random.Generator) -> Estimate:
        # The ratio to the product envelope is bounded below too: less variance, until its mass is a multiple of Z.
        refuse_huge("a sample of n draws", n)
        source = self.envelope if self.envelope.log_mass <= _LARGEST_LOG_MASS else self._proposal
        ratio = np.exp(np.concatenate([self._log_ratio(y, source) for y in self._proposals(n, source, rng)]))
        mean, error = float(ratio.mean()), float(ratio.std(ddof=1) / np.sqrt(n))
        if mean < _SMALLEST_ACCEPTANCE:
            raise EffectiveSampleSizeError(
                f"log Z rests on an acceptance rate of {mean:.2g}: these laws have almost no overlap in d = {self.dim}"
            )
        return Estimate(source.log_mass + float(np.log(mean)), error / mean, n, "envelope")

    def _proposals(self, n: int, source: Envelope, rng: np.random.Generator) -> Iterator[Float64Array]:
        """Draws from the envelope, n in all, in blocks of bounded size."""
        rows = max(_BLOCK // self._cores[0].dim, 1)
        for start in range(0, n, rows):
            yield source.mixture.sample(min(rows, n - start), rng=rng)

    def _log_ratio(self, y: Float64Array, source: Envelope) -> Float64Array:
        """Log of pool over proposal at core points, at most 0."""
        ratio = np.asarray(self._pooled(y) - source.log_bound(y), dtype=np.float64)
        if ratio.size and ratio.max() > _ROUNDING:
            raise IntractableError(f"the envelope of {self!r} is exceeded by a factor {np.exp(ratio.max()):.6g}")
        return ratio

    def _pooled(self, y: Float64Array) -> Float64Array:
        """Unnormalised log density of the cores at (n, r), shape (n,)."""
        return np.asarray(sum(w * p.log_prob(y) for w, p in zip(self._exponents, self._cores, strict=True)))

    @cached_property
    def _log_z(self) -> Estimate:
        return self.log_partition()

    # ------------------------------------------------------------------ law
    def log_prob(self, x: ArrayLike, *, normalized: bool = True) -> FloatArray:
        """Log density at x (n, d), shape (n,); without ``log Z`` if not ``normalized``."""
        pooled = sum(w * p.log_prob(x) for w, p in zip(self._exponents, self._active, strict=True))
        return np.asarray(pooled - self._log_z.value if normalized else pooled)

    def score(self, x: ArrayLike) -> FloatArray:
        """Score ``sum_i w_i grad log p_i`` at x (n, d), shape (n, d)."""
        return np.asarray(sum(w * p.score(x) for w, p in zip(self._exponents, self._active, strict=True)))

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score at x (n, d), shape (n,)."""
        return np.asarray(sum(w * p.divergence(x) for w, p in zip(self._exponents, self._active, strict=True)))

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draw n exact i.i.d. points, shape (n, d): from the mixture that the pool is, or by rejection.

        The acceptance rate is ``Z`` over the mass of the envelope: bounded below for the Gaussian-product envelope.

        Raises
        ------
        EffectiveSampleSizeError
            If fewer than one proposal in a thousand would be accepted.
        """
        count = as_count("n", n, at_least=0)
        refuse_huge("a sample of n points", count, self.dim)
        generator = as_generator(rng)
        exact = self.as_mixture()
        if exact is not None:
            return exact.sample(count, rng=generator)
        y = self._sample_cores(count, generator)
        return y if self.subspace is None else self.subspace.lift(y, generator)

    def _sample_cores(self, count: int, rng: np.random.Generator) -> Float64Array:
        accepted: list[Float64Array] = []
        found, proposed = 0, 0
        while found < count:
            batch = int(np.clip(1.2 * (count - found) * (proposed + 1) / (found + 1) + 64, 64, 200_000))
            for y in self._proposals(batch, self._proposal, rng):
                keep = y[np.log(rng.random(len(y))) < self._log_ratio(y, self._proposal)]
                accepted.append(keep)
                found, proposed = found + len(keep), proposed + len(y)
            if proposed > 20 / _SMALLEST_ACCEPTANCE and found < _SMALLEST_ACCEPTANCE * proposed:
                raise EffectiveSampleSizeError(
                    f"rejection accepted {found} of {proposed} proposals; this pool has almost no overlap "
                    "(use a corrected sampler, or fewer auxiliaries)"
                )
        return np.concatenate(accepted)[:count] if accepted else np.empty((0, self._cores[0].dim))

    def __repr__(self) -> str:
        return f"LogLinearPool(k={len(self.components)}, d={self.dim}, weights={np.round(self.weights, 4).tolist()})"


def arithmetic_mixture(mixtures: Sequence[GaussianMixture], weights: ArrayLike) -> GaussianMixture:
    """The mixture ``sum_i w_i p_i``: the barycenter for the other direction of KL."""
    mixtures = as_laws("mixtures", mixtures, GaussianMixture)
    w = as_simplex(weights, len(mixtures))
    shares = np.concatenate([wi * p.weights for wi, p in zip(w, mixtures, strict=True)])
    means = np.concatenate([p.means for p in mixtures])
    layouts = {p.spectrum.layout for p in mixtures}
    if "full" in layouts:
        covariances: Float64Array = np.concatenate([p.spectrum.dense() for p in mixtures])
    elif "diagonal" in layouts:
        covariances = np.concatenate([np.broadcast_to(p.spectrum.values, p.means.shape) for p in mixtures])
    else:
        covariances = np.concatenate([p.spectrum.values[:, 0] for p in mixtures])
    return GaussianMixture(shares, means, covariances)
