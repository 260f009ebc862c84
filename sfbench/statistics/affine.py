r"""Statistics of Gaussian auxiliaries: functions of second moments, whatever n.

The score of ``N(mu, S)`` under a forward process is affine: ``s(x) = P (m - x)``, ``P = (alpha^2 S + sigma^2 I)^{-1}``,
``m = alpha mu``. With ``S_i = s_i - s_0 = a_i - B_i x``, ``a_i = P_i m_i - P_0 m_0``, ``B_i = P_i - P_0``, and the
mean ``xbar`` and second moment ``M`` of ``x_t``,

    E<S_i, S_j>  = a_i.a_j - a_i.B_j xbar - a_j.B_i xbar + tr(B_i B_j M)
    E<S_i, s_0>  = a_i.P_0 (m_0 - xbar) - B_i xbar . P_0 m_0 + tr(B_i P_0 M),       E div S_i = -tr B_i,

so a pass over n samples only needs the moments of (x_0, z), and a Gaussian target needs no samples at all. Precisions
are kept as diagonals (k, d) unless a covariance is full. Moments may have a leading axis s: those of several samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from synthetic import GaussianMixture
from synthetic.reduction import ReducedLaw

from .._internal.aliases import Float64Array, FloatArray
from .settings import GramSettings


@final
@dataclass(frozen=True, eq=False)
class AffineScores:
    """Score differences ``a_i - B_i x`` and base score ``p - P x``: (k, d), (k, d) or (k, d, d), (d,), (d,) or (d, d).

    ``traces`` (k,) are those of B in the whole space: minus the divergences of the differences.
    """

    a: Float64Array
    B: Float64Array
    pulled: Float64Array
    precision: Float64Array
    traces: Float64Array

    @property
    def dense(self) -> bool:
        """Whether precisions are full matrices."""
        return self.B.ndim == 3

    def expectations(self, mean: Float64Array, second: Float64Array) -> tuple[Float64Array, Float64Array]:
        """``E<S_i, S_j>`` (..., k, k) and ``E<S_i, s_0>`` (..., k) from the moments of x_t.

        ``mean`` is (..., d); ``second`` (..., d, d) for full precisions and its diagonal (..., d) otherwise.
        """
        if self.dense:
            moved = np.einsum("kde,...e->...kd", self.B, mean)
            turned, base_mean = self.B @ second[..., None, :, :], mean @ self.precision
        else:
            moved, turned, base_mean = self.B * mean[..., None, :], self.B * second[..., None, :], self.precision * mean
        flat = turned.reshape(*turned.shape[: mean.ndim], -1)
        cross = self.a @ moved.swapaxes(-1, -2)
        pairs = self.a @ self.a.T - cross - cross.swapaxes(-1, -2) + flat @ self.B.reshape(len(self.B), -1).T
        base = (self.pulled - base_mean) @ self.a.T - moved @ self.pulled + flat @ self.precision.ravel()
        return pairs, base

    def noise_products(self, mean: Float64Array, product: Float64Array) -> Float64Array:
        """``E<S_i, z>`` (..., k) from ``E z`` (..., d) and ``E x_t z'`` (..., d, d) or its diagonal."""
        if self.dense:
            return np.asarray(mean @ self.a.T - np.einsum("kde,...ed->...k", self.B, product))
        return np.asarray(mean @ self.a.T - product @ self.B.T)


@final
class Gaussians:
    """Means (k, d) and spectra of single-component laws, ready to be noised."""

    def __init__(self, laws: Sequence[ReducedLaw]) -> None:
        self.means = np.stack([law.means[0] for law in laws])
        self.dense = any(law.spectrum.layout == "full" for law in laws)
        self._spectra = [law.spectrum for law in laws]

    def scores(self, alpha: float, sigma: float, centre: Float64Array) -> AffineScores:
        """Scores of the noised laws, in coordinates around ``alpha`` times the centre."""
        noised = [spectrum.noised(alpha, sigma) for spectrum in self._spectra]
        traces = np.stack([spectrum.precision_trace()[0] for spectrum in noised])
        means, d = alpha * (self.means - centre), self.means.shape[1]
        inverse = np.stack([np.broadcast_to(1.0 / spectrum.values[0], d) for spectrum in noised])
        if not self.dense:
            pulled = inverse * means
            return AffineScores(pulled - pulled[0], inverse - inverse[0], pulled[0], inverse[0], traces - traces[0])
        bases = np.stack([np.eye(d) if spectrum.basis is None else spectrum.basis[0] for spectrum in noised])
        P = (bases * inverse[:, None]) @ bases.swapaxes(1, 2)
        pulled = np.einsum("kde,ke->kd", P, means)
        return AffineScores(pulled - pulled[0], P - P[0], pulled[0], P[0], traces - traces[0])


@final
class MomentStatistics:
    """Running moments of data y and noise z, and the statistics of every node at marked sample sizes."""

    def __init__(self, laws: Sequence[ReducedLaw], settings: GramSettings) -> None:
        self.gaussians, self.settings = Gaussians(laws), settings
        # Moments about the middle of the laws: raw ones would lose the digits of data far from the origin.
        self.centre = self.gaussians.means.mean(axis=0)
        self.sizes: list[int] = []
        d, dense = len(self.centre), self.gaussians.dense
        shape = (d, d) if dense else (d,)
        self._sums = [np.zeros(d), np.zeros(d), *(np.zeros(shape) for _ in range(3))]
        self._marked: list[list[Float64Array]] = []

    def add(self, y: FloatArray, z: FloatArray) -> None:
        """Take in rows y, z (n, d)."""
        y, z = y.astype(np.float64, copy=False) - self.centre, z.astype(np.float64, copy=False)
        pairs = ((y, y), (y, z), (z, z))
        products = [u.T @ v if self.gaussians.dense else np.einsum("nd,nd->d", u, v) for u, v in pairs]
        for total, value in zip(self._sums, (y.sum(axis=0), z.sum(axis=0), *products), strict=True):
            total += value

    def mark(self, size: int) -> None:
        """Ask for the statistics of what came so far, ``size`` samples."""
        self.sizes.append(size)
        self._marked.append([total / (size * self.settings.n_noise) for total in self._sums])

    def finish(self) -> list[tuple[Float64Array, Float64Array, int]]:
        """``G`` (t, k, k), ``b`` (t, k) and the size, for every mark."""
        y, z, yy, yz, zz = (np.stack(values) for values in zip(*self._marked, strict=True))
        rule = self.settings.rule
        # Means over the signs of the noise: (z, -z) cancels odd terms.
        odd, even = float(np.mean(rule.signs)), float(np.mean(np.square(rule.signs)))
        symmetric = yz + yz.swapaxes(-1, -2) if self.gaussians.dense else 2.0 * yz
        k, s, n_nodes = len(self.gaussians.means), len(self.sizes), len(self.settings.grid)
        G, b = np.empty((s, n_nodes, k, k)), np.empty((s, n_nodes, k))
        one_by_one: list[int | slice] = [*range(s)] if self.gaussians.dense else [slice(None)]  # s x k x d^2 is much
        for t, (alpha, sigma) in enumerate(self.settings.coefficients):
            scores, share = self.gaussians.scores(alpha, sigma, self.centre), rule.noise_share(alpha, sigma)
            second = alpha**2 * yy + even * sigma**2 * zz + odd * alpha * sigma * symmetric
            mean, product = alpha * y + odd * sigma * z, odd * alpha * yz + even * sigma * zz
            for i in one_by_one:
                G[i, t], base = scores.expectations(mean[i], second[i])
                noise = scores.noise_products(odd * z[i], product[i])
                b[i, t] = (1.0 - share) * scores.traces - share / sigma * noise - base
        return [(G[i], b[i], size) for i, size in enumerate(self.sizes)]


def are_gaussian(laws: Sequence[object]) -> bool:
    """Whether all laws have affine scores."""
    return all(getattr(law, "n_components", 0) == 1 for law in laws)


def gaussian_moments(law: GaussianMixture, *, dense: bool) -> tuple[Float64Array, Float64Array]:
    """Mean (d,) and covariance (d, d), or its diagonal, of a mixture."""
    mean = law.mean()
    if dense:
        return mean, law.covariance()
    if law.spectrum.layout == "full":
        variances = np.einsum("mdd->md", law.spectrum.dense())
    else:
        variances = np.broadcast_to(law.spectrum.values, law.means.shape)
    return mean, np.asarray(law.weights @ (variances + (law.means - mean) ** 2))
