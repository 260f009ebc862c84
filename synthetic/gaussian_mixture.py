r"""Gaussian mixtures with exact density, score and score divergence.

A mixture ``p = sum_j w_j N(mu_j, S_j)`` on R^d. Mixtures are closed under ``x -> alpha x + sigma z``: noised laws, and
hence analytic scores at every diffusion time, cost no factorisation (:meth:`GaussianMixture.diffuse`).

Axis letters: n points, m components, d dimensions. Covariances are *variances*, never standard deviations.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from ._covariance import Spectrum, spectrum_from
from ._memory import refuse_huge
from ._mixture_kernel import MixtureKernel
from ._typing import Float64Array, FloatArray, SeedLike
from ._validation import (
    as_count,
    as_finite,
    as_generator,
    as_number,
    as_points,
    as_real,
    as_simplex,
    new_array,
    require_finite,
)
from .errors import IntractableError, NotFiniteError, ShapeError
from .subspace import Subspace, common_subspace

_SAMPLE_NUMBERS = 1 << 16  # of a sample finished at a time
_SUBSPACE_TOLERANCE = 1e-9  # of the means, in units of the largest: above what a span may lose in rounding


@final
class GaussianMixture:
    """A Gaussian mixture with isotropic, diagonal or full covariances.

    Parameters
    ----------
    weights : array_like, shape (m,)
        Component probabilities; zeros are allowed.
    means : array_like, shape (m, d)
        Component means.
    covariances : array_like, scalar, (m,), (m, d) or (m, d, d)
        Component covariances: one shared variance, a variance per component, per coordinate, or full matrices.

    Raises
    ------
    SimplexError, ShapeError, NotFiniteError, CovarianceError
        If the weights are off the simplex, shapes disagree, a value is not finite, or a covariance is not positive
        definite.

    Notes
    -----
    Evaluation of n points costs ``O(n m d)`` (isotropic, diagonal) or ``O(n m d^2)`` (full) and a few megabytes of
    memory beyond its output. Float32 points give float32 results; everything else is computed in float64.
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike | Spectrum) -> None:
        mu = as_real("means", means)
        if mu.ndim != 2 or 0 in mu.shape:
            raise ShapeError(f"means must have shape (m, d) with m, d >= 1, got {mu.shape}")
        self.weights: Float64Array = as_simplex(weights, len(mu))
        self.means: Float64Array = as_finite("means", mu)
        self.spectrum: Spectrum = (
            covariances if isinstance(covariances, Spectrum) else spectrum_from(covariances, *mu.shape)
        )
        self._freeze()

    def _freeze(self) -> None:
        basis = () if self.spectrum.basis is None else (self.spectrum.basis,)
        for array in (self.weights, self.means, self.spectrum.values, *basis):
            array.setflags(write=False)

    def __getstate__(self) -> dict[str, Any]:
        # Without what was prepared for evaluation: two copies of one law have one pickle, used or not.
        return {"weights": self.weights, "means": self.means, "spectrum": self.spectrum}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._freeze()

    @cached_property
    def _kernel(self) -> MixtureKernel:
        return MixtureKernel(self.weights, self.means, self.spectrum)

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return int(self.means.shape[1])

    @property
    def n_components(self) -> int:
        """Number of components m."""
        return len(self.means)

    @property
    def covariances(self) -> Float64Array:
        """Covariances as (m,), (m, d) or (m, d, d), the smallest array that holds them."""
        return self.spectrum.covariances()

    @property
    def is_isotropic(self) -> bool:
        """Whether every component covariance is a multiple of the identity."""
        return self.spectrum.layout == "isotropic"

    # ------------------------------------------------------------------ structure
    @property
    def components(self) -> "tuple[GaussianMixture]":
        """The mixtures that the law is made of: itself. (Its Gaussians are rows of ``means``.)"""
        return (self,)

    @property
    def embedding(self) -> None:
        """Coordinates that the law was built in; None, since it is built in R^d itself."""
        return None

    @property
    def shared_variance(self) -> float | None:
        """The variance of every component in every direction, if there is one such number."""
        values = self.spectrum.values
        same = self.is_isotropic and bool(np.all(values == values[0]))
        return float(values[0, 0]) if same else None

    @cached_property
    def subspace(self) -> Subspace | None:
        """Coordinates that hold all of the law but an isotropic Gaussian: the span of its means, or R^1 or R^2."""
        return common_subspace((self,))

    @property
    def rank(self) -> int:
        """Dimension r of :attr:`core`; d if no smaller one is known."""
        return self.dim if self.subspace is None else self.subspace.rank

    @property
    def core(self) -> "GaussianMixture":
        """The law in the coordinates of its :attr:`subspace`; itself if it has none."""
        return self if self.subspace is None else self.subspace.cores[0]

    def as_mixture(self) -> "GaussianMixture":
        """The law itself."""
        return self

    def core_in(self, subspace: Subspace) -> "GaussianMixture":
        """The law in given coordinates.

        Raises
        ------
        IntractableError
            If they do not hold all of it but an isotropic Gaussian of their variance.
        """
        if subspace.dim == self.dim and subspace.variance is None:
            return self
        shared = subspace.plain and self.shared_variance == subspace.variance
        if subspace.dim == self.dim and shared:
            means = self.means - subspace.shift
            inside = means @ subspace.frame
            missed = float(np.abs(means - inside @ subspace.frame.T).max())
            if missed <= _SUBSPACE_TOLERANCE * (float(np.abs(self.means).max()) + float(np.abs(means).max())):
                return self.map_means(lambda _: inside)
        raise IntractableError(f"{self!r} does not differ from an isotropic Gaussian in these coordinates alone")

    def mean(self) -> Float64Array:
        """Mean of the mixture, (d,)."""
        return np.asarray(self.weights @ self.means)

    def covariance(self) -> Float64Array:
        """Covariance of the mixture, (d, d)."""
        refuse_huge("the covariances", self.n_components, self.dim, self.dim)
        centred = self.means - self.mean()
        within = np.einsum("m,mde->de", self.weights, self.spectrum.dense())
        return np.asarray(within + (self.weights[:, None] * centred).T @ centred)

    # ------------------------------------------------------------------ evaluation
    def log_prob(self, x: ArrayLike) -> FloatArray:
        """Log density in nats at points x (n, d), shape (n,)."""
        points = as_points(x, self.dim)
        out = new_array("a result at x", points.shape[:1], points.dtype)
        self._kernel.evaluate(points, log_prob=out)
        return out

    def score(self, x: ArrayLike) -> FloatArray:
        """Score ``grad log p`` at points x (n, d), shape (n, d)."""
        points = as_points(x, self.dim)
        out = new_array("the score at x", points.shape, points.dtype)
        self._kernel.evaluate(points, score=out)
        return out

    def divergence(self, x: ArrayLike) -> FloatArray:
        """Divergence of the score, ``laplacian log p``, at points x (n, d), shape (n,)."""
        points = as_points(x, self.dim)
        out = new_array("a result at x", points.shape[:1], points.dtype)
        self._kernel.evaluate(points, divergence=out)
        return out

    def score_and_divergence(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Score (n, d) and its divergence (n,) in one pass."""
        points = as_points(x, self.dim)
        score = new_array("the score at x", points.shape, points.dtype)
        divergence = new_array("the divergence at x", points.shape[:1], points.dtype)
        self._kernel.evaluate(points, score=score, divergence=divergence)
        return score, divergence

    # ------------------------------------------------------------------ sampling and maps
    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draw n points, shape (n, d), in random order."""
        count = as_count("n", n, at_least=0)
        refuse_huge("a sample of n points", count, self.dim, beside=2 * count)
        generator = as_generator(rng)
        labels = generator.choice(self.n_components, size=count, p=self.weights)
        z = generator.standard_normal((count, self.dim))
        if self.spectrum.basis is None:
            step = max(_SAMPLE_NUMBERS // self.dim, 1)
            for start in range(0, count, step):
                part = slice(start, start + step)
                z[part] *= np.sqrt(self.spectrum.values[labels[part]])
                z[part] += self.means[labels[part]]
            return z
        # One pass per component that was drawn, however many there are: rows of one label are consecutive in `order`.
        order = np.argsort(labels, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if rows.size:
                j = int(labels[rows[0]])
                z[rows] = self.means[j] + self.spectrum.colour(z[rows], j)
        return z

    def affine(self, scale: float, shift: ArrayLike = 0.0) -> "GaussianMixture":
        """Law of ``scale * X + shift`` for a nonzero number ``scale`` and a number or (d,) ``shift``."""
        a = as_number("scale", scale)
        if a == 0.0:
            raise NotFiniteError("scale must be nonzero, got 0")
        b = as_finite("shift", shift, (), (self.dim,))
        means = require_finite("means", np.asarray(a * self.means + b))
        return self._trusted(means, self.spectrum.noised(a, 0.0))

    def diffuse(self, alpha: float, sigma: float) -> "GaussianMixture":
        """Law of ``alpha * X + sigma * Z`` with Z standard normal; ``sigma >= 0``, not both zero. No factorisation."""
        a, s = as_number("alpha", alpha), as_number("sigma", sigma)
        if s < 0 or (a == 0 and s == 0):
            raise NotFiniteError(f"sigma must be at least 0, and alpha and sigma not both 0; got {alpha!r}, {sigma!r}")
        return self._trusted(require_finite("means", a * self.means), self.spectrum.noised(a, s))

    def _trusted(self, means: Float64Array, spectrum: Spectrum) -> "GaussianMixture":
        """Mixture with the same weights and parts known to be valid: the checks would cost more than the work."""
        other = object.__new__(GaussianMixture)
        other.weights, other.means, other.spectrum = self.weights, means, spectrum
        other._freeze()
        return other

    def map_means(self, transform: Callable[[Float64Array], Float64Array]) -> "GaussianMixture":
        """Isotropic mixture with transformed means (m, d) -> (m, r); the variances are kept."""
        if not self.is_isotropic:
            raise ShapeError("only isotropic mixtures can be moved to another dimension by their means alone")
        means = np.asarray(transform(self.means), dtype=np.float64)
        return GaussianMixture(self.weights, means, Spectrum(self.spectrum.values.copy(), means.shape[1]))

    def __repr__(self) -> str:
        return f"GaussianMixture(m={self.n_components}, d={self.dim}, {self.spectrum.layout})"
