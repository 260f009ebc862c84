r"""The subspace in which a set of laws differ.

If laws ``p_1 .. p_k`` are ``core_i (x) complement`` with one common complement, then densities, scores, pools, total
variation, KL and score-matching objectives all reduce to the cores:

- :class:`EmbeddedMixture` laws with one frame, variance and shift reduce by construction;
- isotropic mixtures whose components all have one variance reduce to the span of their means;
- other laws on R^1 and R^2 are their own cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ._typing import Float64Array, FloatArray
from .embedded_mixture import EmbeddedMixture
from .gaussian_mixture import GaussianMixture

Mixture = GaussianMixture | EmbeddedMixture
_RANK_TOLERANCE = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Subspace:
    """Cores of several laws in common coordinates ``y = frame' (x - shift)``.

    ``variance`` is that of the shared isotropic complement (None when the frame spans the whole space); ``plain`` says
    that the laws themselves are isotropic mixtures of that variance, not embedded ones.
    """

    cores: tuple[GaussianMixture, ...]
    frame: Float64Array
    shift: Float64Array
    variance: float | None
    plain: bool

    @property
    def rank(self) -> int:
        """Dimension r of the cores."""
        return int(self.frame.shape[1])

    def project(self, x: FloatArray) -> FloatArray:
        """Coordinates (n, r) of points (n, d)."""
        out: FloatArray = (x - self.shift) @ self.frame
        return out

    def project_direction(self, z: FloatArray) -> FloatArray:
        """Coordinates (n, r) of displacement vectors (n, d): the shift does not apply."""
        out: FloatArray = z @ self.frame
        return out

    def lift(self, y: Float64Array, rng: np.random.Generator) -> Float64Array:
        """Points (n, d) with the given coordinates (n, r) and a freshly drawn complement."""
        if self.variance is None:
            return y
        noise = np.sqrt(self.variance) * rng.standard_normal((len(y), len(self.frame)))
        return np.asarray(self.shift + noise + (y - noise @ self.frame) @ self.frame.T)

    def embed(self, core: GaussianMixture) -> Mixture:
        """The law on R^d with the given core and the shared complement."""
        if self.variance is None:
            return core
        if self.plain and core.is_isotropic and np.allclose(core.spectrum.values, self.variance, rtol=1e-12, atol=0.0):
            return GaussianMixture(core.weights, self.shift + core.means @ self.frame.T, self.variance)
        return EmbeddedMixture(core, self.frame, self.variance, self.shift)


def common_subspace(laws: Sequence[Mixture]) -> Subspace | None:
    """Return the subspace in which mixtures differ, or None if no shared complement is known."""
    first = laws[0]
    dim = first.dim
    if any(law.dim != dim for law in laws):
        return None
    embedded = [law for law in laws if isinstance(law, EmbeddedMixture)]
    if embedded:
        e = embedded[0]
        same = len(embedded) == len(laws) and all(
            np.array_equal(law.frame, e.frame) and law.variance == e.variance and np.array_equal(law.shift, e.shift)
            for law in embedded
        )
        return (
            Subspace(tuple(law.core for law in embedded), e.frame, e.shift, e.variance, plain=False) if same else None
        )
    mixtures = [law for law in laws if isinstance(law, GaussianMixture)]
    shared_variance = (
        all(law.is_isotropic for law in mixtures)
        and len({float(v) for law in mixtures for v in law.spectrum.values[:, 0]}) == 1
    )
    whole = Subspace(tuple(mixtures), np.eye(dim), np.zeros(dim), None, plain=True) if dim <= 2 else None
    if not shared_variance:
        return whole
    shift, frame = span_of(np.concatenate([law.means for law in mixtures]), at_least=1)
    if frame.shape[1] >= dim:
        return whole
    projected = tuple(law.map_means(lambda mu: (mu - shift) @ frame) for law in mixtures)
    return Subspace(projected, frame, shift, float(mixtures[0].spectrum.values[0, 0]), plain=True)


def span_of(means: Float64Array, *, at_least: int = 0) -> tuple[Float64Array, Float64Array]:
    """Centre (d,) of points (K, d), and an orthonormal frame (d, r) of the span of what they differ by.

    Directions lost in rounding, of the differences or of the points themselves, do not count.
    """
    shift = means.mean(axis=0)
    _, singular, rows = np.linalg.svd(means - shift, full_matrices=False)
    rounding = 4 * np.finfo(np.float64).eps * np.linalg.norm(means)
    rank = int(np.sum(singular > max(_RANK_TOLERANCE * singular[0], rounding)))
    return shift, np.ascontiguousarray(rows[: max(rank, at_least)].T)
