"""What a probability law offers to the rest of the toolkit."""

from typing import Any, Protocol, Self

from numpy.typing import ArrayLike

from ._typing import Float64Array, FloatArray, SeedLike


class Law(Protocol):
    """A law on R^d with a density and its score."""

    @property
    def dim(self) -> int:
        """Dimension d."""

    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density at x (n, d), shape (n,)."""

    def score(self, x: ArrayLike) -> FloatArray:
        """Score at x (n, d), shape (n, d)."""

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score at x (n, d), shape (n,)."""

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws, shape (n, d)."""


class DiffusableLaw(Law, Protocol):
    """A law closed under scaling and added Gaussian noise, so that its score is known at every diffusion time."""

    def diffuse(self, alpha: float, sigma: float) -> Self:
        """Law of ``alpha X + sigma Z``."""

    def affine(self, scale: float, shift: Any = 0.0) -> Self:
        """Law of ``scale X + shift``."""

    def score_and_divergence(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Score (n, d) and divergence (n,) in one pass."""
