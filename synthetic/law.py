"""What a probability law offers to the rest of the toolkit."""

from typing import TYPE_CHECKING, Any, Protocol, Self

from numpy.typing import ArrayLike

from ._typing import Float64Array, FloatArray, SeedLike

if TYPE_CHECKING:
    from .embedded_mixture import Mixture
    from .gaussian_mixture import GaussianMixture


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


def as_gaussian_mixture(law: object) -> "GaussianMixture | None":
    """The law as a Gaussian mixture on its own space, if it says that it is one exactly; None for any other object."""
    mixture = law.as_mixture() if hasattr(law, "as_mixture") else None
    return None if mixture is None or mixture.embedding is not None else mixture


def components_of(law: object) -> "tuple[Mixture, ...]":
    """The mixtures of which a law says it is made (``law.components``); empty for a foreign law that does not say."""
    parts = getattr(law, "components", ())
    made_of_mixtures = isinstance(parts, tuple) and all(hasattr(part, "embedding") for part in parts)
    return parts if made_of_mixtures else ()
