r"""A low-dimensional mixture times an isotropic Gaussian, rotated into R^d.

    X = shift + Q Y + (I - Q Q') sqrt(v) Z,     Y ~ core on R^r,  Z ~ N(0, I_d),  Q (d, r) orthonormal.

Everything that differs between two such laws with the same Q, v and shift happens in R^r, so total variation and KL
between them equal those of their cores at any d.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray, SeedLike
from ._validation import (
    LARGEST,
    as_count,
    as_finite,
    as_generator,
    as_points,
    as_positive,
    as_real,
    new_array,
    not_finite,
)
from .errors import IntractableError, NotFiniteError, ShapeError, SyntheticError
from .gaussian_mixture import GaussianMixture
from .subspace import Subspace

_ORTHONORMAL_TOLERANCE = 1e-10
_CHUNK_NUMBERS = 1 << 18  # numbers in one (rows, d) array


@final
@dataclass(frozen=True, eq=False)
class EmbeddedMixture:
    """Law of a core mixture on R^r embedded in R^d with a shared isotropic complement.

    Parameters
    ----------
    core : GaussianMixture
        The law in the r-dimensional subspace.
    frame : array, shape (d, r)
        Orthonormal columns spanning the subspace.
    variance : float
        Variance of every direction orthogonal to the subspace.
    shift : array, shape (d,)
        Origin of the subspace.

    Notes
    -----
    Evaluation costs ``O(n d r)`` beyond the core's, and a few megabytes of memory beyond its output. Float32 points
    give float32 results, computed in float64.
    """

    core: GaussianMixture
    frame: Float64Array
    variance: float
    shift: Float64Array

    def __post_init__(self) -> None:
        if not isinstance(self.core, GaussianMixture):
            raise SyntheticError(f"core must be a GaussianMixture, got a {type(self.core).__name__}")
        given, r = as_real("frame", self.frame), self.core.dim
        if given.ndim != 2 or given.shape[1] != r or given.shape[0] < r:
            raise ShapeError(f"frame must have shape (d, {r}) with d >= {r}, got {given.shape}")
        frame = as_finite("frame", given)
        error = float(np.abs(frame.T @ frame - np.eye(r)).max())
        if error > _ORTHONORMAL_TOLERANCE:
            raise ShapeError(f"frame columns must be orthonormal; they miss by {error:.3g} (use numpy.linalg.qr)")
        shift = as_finite("shift", self.shift, (frame.shape[0],))
        for array in (frame, shift):
            array.setflags(write=False)
        object.__setattr__(self, "variance", as_positive("variance", self.variance))
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "shift", shift)

    @property
    def dim(self) -> int:
        """Dimension d of the ambient space."""
        return int(self.frame.shape[0])

    # ------------------------------------------------------------------ structure
    @property
    def components(self) -> "tuple[EmbeddedMixture]":
        """The mixtures that the law is made of: itself."""
        return (self,)

    @property
    def embedding(self) -> Subspace:
        """Coordinates that the law was built in."""
        return Subspace(self.frame, self.shift, self.variance, cores=(self.core,))

    @property
    def subspace(self) -> Subspace:
        """Coordinates that hold all of the law but an isotropic Gaussian."""
        return self.embedding

    @property
    def is_isotropic(self) -> bool:
        """Whether every component covariance is known to be a multiple of the identity: never."""
        return False

    @property
    def shared_variance(self) -> None:
        """No one variance is known for every component in every direction."""
        return None

    @property
    def rank(self) -> int:
        """Dimension r of the core."""
        return self.core.dim

    def as_mixture(self) -> "EmbeddedMixture":
        """The law itself."""
        return self

    def core_in(self, subspace: Subspace) -> GaussianMixture:
        """The law in given coordinates.

        Raises
        ------
        IntractableError
            If they are not those that it was built in.
        """
        if not self.embedding.is_same(subspace):
            raise IntractableError(f"{self!r} was built in other coordinates, or about another complement")
        return self.core

    def _evaluate(
        self,
        x: ArrayLike,
        *,
        log_prob: bool = False,
        score: bool = False,
        divergence: bool = False,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log density (n,), score (n, d) and divergence (n,); those not asked for are empty.

        Chunks are evaluated in float64 and stored in the dtype of the points.
        """
        points = as_points(x, self.dim)
        (n, d), codim = points.shape, self.dim - self.core.dim
        densities = new_array("the log density at x", (n if log_prob else 0,), points.dtype)
        scores = new_array("the score at x", (n if score else 0, d), points.dtype)
        divergences = new_array("the divergence at x", (n if divergence else 0,), points.dtype)
        rows = max(_CHUNK_NUMBERS // d, 16)
        for start in range(0, n, rows):
            part = slice(start, start + rows)
            if not float(np.abs(points[part]).max(initial=0.0)) <= LARGEST:
                raise not_finite("x", points[part], first_row=start)
            with np.errstate(over="ignore", invalid="ignore"):  # of a float32 result: reported below
                centred = np.subtract(points[part], self.shift, order="C")  # the same bits whatever the layout of x
                y = centred @ self.frame
                if log_prob or score:
                    rest = centred - y @ self.frame.T
                if log_prob:
                    square = np.einsum("nd,nd->n", rest, rest) / self.variance
                    densities[part] = self.core.log_prob(y) - 0.5 * (square + codim * np.log(2 * np.pi * self.variance))
                if score and divergence:
                    inner, bend = self.core.score_and_divergence(y)
                elif score:
                    inner = self.core.score(y)
                elif divergence:
                    bend = self.core.divergence(y)
                if score:
                    scores[part] = inner @ self.frame.T - rest / self.variance
                if divergence:
                    divergences[part] = bend - codim / self.variance
            for out in (densities[part], scores[part], divergences[part]):
                if not np.all(np.isfinite(out)):
                    row = start + int(np.argwhere(~np.isfinite(out))[0, 0])
                    raise NotFiniteError(
                        f"x[{row}] lies too many standard deviations from the law for a {out.dtype} result"
                    )
        return densities, scores, divergences

    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density in nats at x (n, d), shape (n,)."""
        return self._evaluate(x, log_prob=True)[0]

    def score(self, x: ArrayLike) -> FloatArray:
        """Score at x (n, d), shape (n, d)."""
        return self._evaluate(x, score=True)[1]

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score at x (n, d), shape (n,)."""
        return self._evaluate(x, divergence=True)[2]

    def score_and_divergence(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Score (n, d) and divergence (n,) in one pass."""
        return self._evaluate(x, score=True, divergence=True)[1:]

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draw n points, shape (n, d)."""
        count = as_count("n", n, at_least=0)
        refuse_huge("a sample of n points", count, self.dim, beside=3 * count * self.dim)
        generator = as_generator(rng)
        y = self.core.sample(count, rng=generator)
        noise = np.sqrt(self.variance) * generator.standard_normal((count, self.dim))
        return np.asarray(self.shift + noise + (y - noise @ self.frame) @ self.frame.T)

    def diffuse(self, alpha: float, sigma: float) -> "EmbeddedMixture":
        """Law of ``alpha X + sigma Z``."""
        core = self.core.diffuse(alpha, sigma)  # checks alpha and sigma
        return EmbeddedMixture(core, self.frame, alpha * alpha * self.variance + sigma * sigma, alpha * self.shift)

    def affine(self, scale: float, shift: ArrayLike = 0.0) -> "EmbeddedMixture":
        """Law of ``scale X + shift``."""
        core = self.core.affine(scale)  # checks scale
        moved = as_finite("shift", shift, (), (self.dim,))
        return EmbeddedMixture(core, self.frame, scale * scale * self.variance, scale * self.shift + moved)

    def __repr__(self) -> str:
        return f"EmbeddedMixture(core={self.core!r}, d={self.dim})"


Mixture = GaussianMixture | EmbeddedMixture


def embed(core: GaussianMixture, subspace: Subspace) -> Mixture:
    """The law on R^d with the given core and the complement of a subspace."""
    v = subspace.variance
    if v is None:
        return core
    if subspace.plain and core.is_isotropic and np.allclose(core.spectrum.values, v, rtol=1e-12, atol=0.0):
        return GaussianMixture(core.weights, subspace.shift + core.means @ subspace.frame.T, v)
    return EmbeddedMixture(core, subspace.frame, v, subspace.shift)
