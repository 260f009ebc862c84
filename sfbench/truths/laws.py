r"""Laws that truths are made of beside those of :mod:`synthetic`: products of copies, and arithmetic mixtures.

    product:  p(y) = prod_j p_0(y_j),      mixture:  m(y) = sum_i w_i p_i(y),

for laws of any kind with ``log_prob`` and ``sample``: mixtures, pools, grids, tables of states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import scipy  # submodules load on first use

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_items, as_points, as_weights
from ..errors import SfbenchError


class Density(Protocol):
    """A law that can be evaluated and drawn from."""

    def log_prob(self, x: Any) -> Any:
        """Log density, or log probability, at x (n, r), shape (n,)."""

    def sample(self, n: int, *, rng: SeedLike = None) -> Any:
        """Draws, shape (n, r)."""


@final
@dataclass(frozen=True, eq=False)
class ProductLaw:
    """Independent copies of a law; coordinates of one copy are adjacent.

    Scores and noised laws are known if those of the factor are.
    """

    factor: Any
    copies: int

    def __post_init__(self) -> None:
        as_count("copies", self.copies)
        if not hasattr(self.factor, "log_prob") or not hasattr(self.factor, "sample"):
            raise SfbenchError(f"factor must be a law with log_prob and sample, got a {type(self.factor).__name__}")

    @property
    def dim(self) -> int:
        """Dimension, copies times that of the factor."""
        return int(self.factor.dim) * self.copies

    def log_prob(self, x: Any) -> Float64Array:
        """Log density at x (n, d), shape (n,)."""
        return self._by_copy(self.factor.log_prob(self._split(x)))

    def score(self, x: Any) -> Float64Array:
        """Score at x (n, d), shape (n, d)."""
        return np.asarray(self.factor.score(self._split(x))).reshape(-1, self.dim)

    def divergence(self, x: Any) -> Float64Array:
        """Divergence of the score at x (n, d), shape (n,)."""
        return self._by_copy(self.factor.divergence(self._split(x)))

    def score_and_divergence(self, x: Any) -> tuple[Float64Array, Float64Array]:
        """Both of them."""
        return self.score(x), self.divergence(x)

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws (n, d)."""
        count = as_count("n", n, at_least=0)
        return np.asarray(self.factor.sample(count * self.copies, rng=rng), np.float64).reshape(count, self.dim)

    def diffuse(self, alpha: float, sigma: float) -> "ProductLaw":
        """Law of ``alpha X + sigma Z``."""
        return ProductLaw(self.factor.diffuse(alpha, sigma), self.copies)

    def affine(self, scale: float, shift: float = 0.0) -> "ProductLaw":
        """Law of ``scale X + shift``."""
        return ProductLaw(self.factor.affine(scale, shift), self.copies)

    def raw_moments(self, of: Callable[[Any], Any]) -> tuple[Float64Array, Float64Array]:
        """Means of x and x^2 (d,), given a function that computes them for the factor."""
        first, second = of(self.factor)
        return np.tile(first, self.copies), np.tile(second, self.copies)

    def _by_copy(self, terms: Any) -> Float64Array:
        sums: Float64Array = np.asarray(terms, np.float64).reshape(-1, self.copies).sum(axis=1)
        return sums

    def _split(self, x: Any) -> Any:
        return as_points("x", x, self.dim).reshape(-1, self.factor.dim)


@final
@dataclass(frozen=True, eq=False)
class MixtureLaw:
    """The arithmetic mixture ``sum_i w_i p_i`` of laws of any kind."""

    laws: tuple[Density, ...]
    weights: Float64Array

    def __init__(self, laws: Sequence[Density], weights: Any) -> None:
        laws = as_items("laws", laws, "laws")
        if bad := [law for law in laws if not (hasattr(law, "log_prob") and hasattr(law, "sample"))]:
            raise SfbenchError(f"laws must have log_prob and sample, got a {type(bad[0]).__name__}")
        w = as_weights(weights, len(laws))
        object.__setattr__(self, "laws", tuple(law for law, share in zip(laws, w, strict=True) if share > 0))
        object.__setattr__(self, "weights", w[w > 0])

    def log_prob(self, x: Any) -> Float64Array:
        """Log density at x (n, r), shape (n,)."""
        logs = np.stack([law.log_prob(x) for law in self.laws])
        return np.asarray(scipy.special.logsumexp(logs, axis=0, b=self.weights[:, None]))

    def sample(self, n: int, *, rng: SeedLike = None) -> Any:
        """Draws (n, r), in random order."""
        generator = as_generator(rng)
        counts = generator.multinomial(as_count("n", n), self.weights / self.weights.sum())
        parts = [law.sample(int(c), rng=generator) for law, c in zip(self.laws, counts, strict=True) if c]
        return generator.permutation(np.concatenate(parts))

    def raw_moments(self, of: Callable[[Any], Any]) -> tuple[Float64Array, Float64Array]:
        """Means of x and x^2 (r,), given a function that computes them for each law."""
        first, second = zip(*map(of, self.laws), strict=True)
        return self.weights @ np.stack(first), self.weights @ np.stack(second)
