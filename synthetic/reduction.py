r"""Score-matching problems between mixtures, moved to the few coordinates that matter.

Score matching evaluates ``s_i(alpha x0 + sigma z)`` at data x0 and noise z in R^d. Only a few coordinates of (x0, z)
enter inner products of score *differences* and divergences:

- **shared complement** (:mod:`synthetic.subspace`): the r coordinates in which the laws differ, all else cancels;
- **isotropic mixtures** of any variances: by rotational symmetry about the span of the means (dimension r), the
  coordinates are those in the span and those in the plane of the two residuals x0' and z',

      x0 -> (Q'x0, |x0'|, 0),     z -> (Q'z, <z', u>, |z' - <z', u> u|),     u = x0' / |x0'|,

  r + 2 in all. A component keeps its R^d normalisation ``v^{-d/2}``: responsibilities and divergences are those of R^d.

Either way the statistics of n points cost two products ``(n, d) x (d, r)``, and afterwards nothing depends on d.
When the target is of the same kind its projections can be drawn in law, without ever forming a point of R^d.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from ._covariance import Spectrum
from ._memory import refuse_huge
from ._mixture_kernel import MixtureKernel
from ._typing import Float64Array, FloatArray, SeedLike
from ._validation import as_finite, as_points, finite_result
from .embedded_mixture import Mixture
from .errors import IntractableError, ShapeError
from .gaussian_mixture import GaussianMixture
from .law import Law, components_of
from .subspace import Subspace, common_subspace, span_of

_CACHED_NUMBERS = 1 << 15  # in a copy of points


@final
class ReducedIsotropicMixture:
    """An isotropic mixture on R^d evaluated at points given by r + 2 reduced coordinates.

    ``score`` returns reduced coordinates; ``divergence`` and ``log_prob`` are those of R^d.
    """

    def __init__(self, weights: Float64Array, means: Float64Array, variances: Float64Array, ambient_dim: int) -> None:
        self.weights, self.means = weights, means
        self.spectrum = Spectrum(variances, ambient_dim)

    @cached_property
    def _kernel(self) -> MixtureKernel:
        return MixtureKernel(self.weights, self.means, self.spectrum)

    @property
    def dim(self) -> int:
        """Number of reduced coordinates, r + 2."""
        return int(self.means.shape[1])

    @property
    def n_components(self) -> int:
        """Number of components m."""
        return len(self.means)

    def diffuse(self, alpha: float, sigma: float) -> "ReducedIsotropicMixture":
        """Law of ``alpha X + sigma Z``."""
        noised = self.spectrum.noised(alpha, sigma)
        return ReducedIsotropicMixture(self.weights, alpha * self.means, noised.values, noised.dim)

    def affine(self, scale: float, shift: ArrayLike = 0.0) -> "ReducedIsotropicMixture":
        """Law of ``scale X``; a shift would leave the reduced coordinates."""
        if np.any(as_finite("shift", shift) != 0):
            raise IntractableError("a reduced mixture cannot be shifted; shift the laws before reducing them")
        return self.diffuse(scale, 0.0)

    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density on R^d at reduced points (n, r + 2), shape (n,)."""
        points = as_points(x, self.dim)
        out = np.empty(len(points), dtype=points.dtype)
        self._kernel.evaluate(points, log_prob=out)
        return out

    def score(self, x: ArrayLike) -> FloatArray:
        """Reduced coordinates of the score, (n, r + 2)."""
        points = as_points(x, self.dim)
        out = np.empty_like(points, order="C")
        self._kernel.evaluate(points, score=out)
        return out

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence on R^d, (n,)."""
        return self.score_and_divergence(x)[1]

    def score_and_divergence(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Reduced score (n, r + 2) and divergence on R^d (n,)."""
        points = as_points(x, self.dim)
        score, divergence = np.empty_like(points, order="C"), np.empty(len(points), dtype=points.dtype)
        self._kernel.evaluate(points, score=score, divergence=divergence)
        return score, divergence

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Not defined: reduced coordinates of a point depend on its noise; see :meth:`AbstractReduction.draw`."""
        raise IntractableError("a reduced mixture has no samples of its own; use its reduction's draw()")


ReducedLaw = GaussianMixture | ReducedIsotropicMixture


class AbstractReduction(ABC):
    """Interface of a reduction: reduced auxiliaries, and data and noise in their coordinates.

    Noise can be drawn in law, in the reduced coordinates, or projected from vectors of R^d.
    """

    laws: tuple[ReducedLaw, ...]
    target: Law | None

    @abstractmethod
    def project(self, x0: FloatArray) -> Float64Array:
        """Reduced coordinates (n, r') of points (n, d)."""

    @abstractmethod
    def project_noise(self, x0: FloatArray, z: FloatArray) -> Float64Array:
        """Reduced coordinates (n, r') of noise vectors (n, d) added to the points."""

    @abstractmethod
    def draw_noise(self, n: int, normal: np.random.Generator, chi: np.random.Generator) -> Float64Array:
        """Reduced coordinates (n, r') of n noise vectors; consumes both generators row by row."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Reduced coordinates (n, r') of n fresh target points, without forming them."""


@final
@dataclass(frozen=True, eq=False)
class SharedComplementReduction(AbstractReduction):
    """Reduction of laws that differ in a subspace only."""

    subspace: Subspace
    laws: tuple[ReducedLaw, ...]
    target: Law | None

    def project(self, x0: FloatArray) -> Float64Array:
        """Coordinates in the subspace."""
        return np.asarray(self.subspace.project(x0), np.float64)

    def project_noise(self, x0: FloatArray, z: FloatArray) -> Float64Array:
        """Coordinates in the subspace."""
        return np.asarray(self.subspace.project_direction(z), np.float64)

    def draw_noise(self, n: int, normal: np.random.Generator, chi: np.random.Generator) -> Float64Array:
        """Standard normals."""
        return normal.standard_normal((n, self.subspace.rank))

    def draw(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draws of the target's core."""
        if self.target is None:
            raise IntractableError("the target's core is not known; project data instead")
        return self.target.sample(n, rng=rng)


@final
@dataclass(frozen=True, eq=False)
class IsotropicReduction(AbstractReduction):
    """Reduction of isotropic mixtures with several variances to r + 2 coordinates."""

    frame: Float64Array
    shift: Float64Array
    laws: tuple[ReducedLaw, ...]
    target: GaussianMixture | None

    def project(self, x0: FloatArray) -> Float64Array:
        """Span coordinates, length of the residual, and 0."""
        return self._projected(as_points(x0, len(self.frame)))

    def project_noise(self, x0: FloatArray, z: FloatArray) -> Float64Array:
        """Span coordinates, and the residual along and across that of the data."""
        x, z = as_points(x0, len(self.frame)), as_points(z, len(self.frame), "z")
        if len(z) != len(x):
            raise ShapeError(f"z must have as many rows as x, got {len(z)} and {len(x)}")
        return self._projected(x, z)

    def _projected(self, x: FloatArray, z: FloatArray | None = None) -> Float64Array:
        """Reduced coordinates of the points or of the noise, by rows of which a copy stays in the cache."""
        d, rank = self.frame.shape
        refuse_huge("the coordinates of x", len(x), d)
        out, rows = np.zeros((len(x), rank + 2)), max(_CACHED_NUMBERS // d, 1)
        for part in (slice(start, start + rows) for start in range(0, len(x), rows)):
            centred, found = x[part] - self.shift, out[part]
            with np.errstate(over="ignore", invalid="ignore"):
                y = finite_result("x", x, centred @ self.frame)
                residual = np.sqrt(np.maximum(np.vecdot(centred, centred) - np.vecdot(y, y), 0.0))
                if z is None:
                    found[:, :rank], found[:, rank] = y, residual
                    continue
                noise = finite_result("z", z, z[part] @ self.frame)
            along = (np.vecdot(centred, z[part]) - np.vecdot(y, noise)) / np.where(residual > 0, residual, 1.0)
            squares = np.vecdot(z[part], z[part]) - np.vecdot(noise, noise) - along**2
            found[:, :rank], found[:, rank] = noise, along
            found[:, rank + 1] = np.sqrt(np.maximum(squares, 0.0))
        return out

    def draw_noise(self, n: int, normal: np.random.Generator, chi: np.random.Generator) -> Float64Array:
        """Standard normals along the span and the residual, a chi variable across."""
        d, r = self.frame.shape
        return np.column_stack([normal.standard_normal((n, r + 1)), np.sqrt(chi.chisquare(d - r - 1, n))])

    def draw(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Span coordinates as normals, residual lengths as chi variables."""
        if self.target is None:
            raise IntractableError("the target is not an isotropic mixture in the span; project data instead")
        d, r = self.frame.shape
        labels = rng.choice(self.target.n_components, size=n, p=self.target.weights)
        std = np.sqrt(self.target.spectrum.values[labels, 0])
        y = ((self.target.means - self.shift) @ self.frame)[labels] + std[:, None] * rng.standard_normal((n, r))
        return np.column_stack([y, std * np.sqrt(rng.chisquare(d - r, n)), np.zeros(n)])


def reduce_laws(laws: Sequence[Mixture], target: Law | None = None) -> AbstractReduction | None:
    """Find the cheapest exact reduction of the auxiliaries, or None; foreign laws have none.

    Parameters
    ----------
    laws : sequence of GaussianMixture or EmbeddedMixture
        The k auxiliaries.
    target : Law, optional
        If given and of the same kind, its projections can be drawn in law (:meth:`AbstractReduction.draw`).
    """
    if any(components_of(law) != (law,) or law.dim != laws[0].dim for law in laws):
        return None
    if target is not None and target.dim != laws[0].dim:
        raise ShapeError(f"target lives in {target.dim} dimensions, the laws in {laws[0].dim}")
    parts = () if target is None else components_of(target)
    subspace = common_subspace([*laws, *parts])
    if subspace is not None:
        core = subspace.core_of(target) if target is not None and parts else None
        return SharedComplementReduction(subspace, subspace.cores[: len(laws)], core)
    if target is not None and (parts != (target,) or not parts[0].is_isotropic):
        return reduce_laws(laws)
    if not all(law.is_isotropic for law in laws):
        return None if target is None else reduce_laws(laws)
    return _isotropic_reduction(laws, target)  # type: ignore[arg-type]  # isotropic mixtures all


def _isotropic_reduction(laws: Sequence[GaussianMixture], target: GaussianMixture | None) -> IsotropicReduction | None:
    means = np.concatenate([law.means for law in (*laws, *(() if target is None else (target,)))])
    shift, frame = span_of(means)
    d, rank = frame.shape
    if rank + 2 >= d:
        return None
    reduced = []
    for law in laws:
        coordinates = np.zeros((law.n_components, rank + 2))
        coordinates[:, :rank] = (law.means - shift) @ frame
        reduced.append(ReducedIsotropicMixture(law.weights, coordinates, law.spectrum.values, d))
    return IsotropicReduction(frame, shift, tuple(reduced), target)
