r"""Statistics of Gaussian auxiliaries: functions of second moments, whatever n.

The score of ``N(mu, S)`` under a forward process is affine: ``s(x) = P (m - x)``, ``P = (alpha^2 S + sigma^2 I)^{-1}``,
``m = alpha mu``. With ``S_i = s_i - s_0 = a_i - B_i x``, ``a_i = P_i m_i - P_0 m_0``, ``B_i = P_i - P_0``, and the
mean ``xbar`` and second moment ``M`` of ``x_t``,

    E<S_i, S_j>  = a_i.a_j - a_i.B_j xbar - a_j.B_i xbar + tr(B_i B_j M)
    E<S_i, s_0>  = a_i.P_0 (m_0 - xbar) - B_i xbar . P_0 m_0 + tr(B_i P_0 M),       E div S_i = -tr B_i,

so a pass over n samples only needs the moments of (x_0, z), and a Gaussian target needs no samples at all. Precisions
are kept as diagonals (k, d) unless a covariance is full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from synthetic import GaussianMixture
from synthetic.reduction import ReducedLaw

from .._typing import Float64Array


@final
@dataclass(frozen=True, eq=False)
class AffineScores:
    """Scores ``P_i (m_i - x)`` of k Gaussians: means (k, d), precisions (k, d) or (k, d, d), traces (k,)."""

    means: Float64Array
    precisions: Float64Array
    traces: Float64Array

    @classmethod
    def of(cls, laws: Sequence[ReducedLaw], origin: Float64Array | float = 0.0) -> "AffineScores":
        """Scores of single-component laws, in coordinates with the given origin."""
        means = np.stack([law.means[0] for law in laws]) - origin
        traces = np.stack([law.spectrum.precision_trace()[0] for law in laws])
        if any(law.spectrum.layout == "full" for law in laws):
            dense = [np.linalg.inv(law.spectrum.dense()[0]) for law in laws]
            return cls(means, np.stack(dense), traces)
        rows = [np.broadcast_to(1.0 / law.spectrum.values[0], means[0].shape) for law in laws]
        return cls(means, np.stack(rows), traces)

    @property
    def dense(self) -> bool:
        """Whether precisions are full matrices."""
        return self.precisions.ndim == 3

    def _apply(self, matrices: Float64Array, vectors: Float64Array) -> Float64Array:
        return np.asarray(np.einsum("kde,...e->kd", matrices, vectors) if self.dense else matrices * vectors)

    def _trace(self, left: Float64Array, right: Float64Array, second: Float64Array) -> Float64Array:
        """``tr(L_i R_j M)`` for all i, j; shape (i, j)."""
        moved = right @ second if self.dense else right * second
        rows, columns = left.reshape(len(left), -1), moved.reshape(len(moved), -1)
        return np.asarray(rows @ columns.T)

    def expectations(self, mean: Float64Array, second: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
        """``E<S_i, S_j>`` (k, k), ``E<S_i, s_0>`` (k,) and ``E div S_i`` (k,) from the moments of x_t.

        ``second`` is (d, d) for full precisions and its diagonal (d,) otherwise.
        """
        p0 = self.precisions[0]
        pulled = np.einsum("kde,ke->kd", self.precisions, self.means) if self.dense else self.precisions * self.means
        a, B = pulled - pulled[0], self.precisions - p0
        moved = self._apply(B, mean)
        cross = a @ moved.T
        pairs = a @ a.T - cross - cross.T + self._trace(B, B, second)
        p0_mean = p0 @ mean if self.dense else p0 * mean
        with_base = a @ (pulled[0] - p0_mean) - moved @ pulled[0] + self._trace(B, p0[None], second)[:, 0]
        return pairs, with_base, self.traces[0] - self.traces

    def noise_products(self, mean: Float64Array, product: Float64Array) -> Float64Array:
        """``E<S_i, z>`` (k,) from ``E z`` (d,) and ``E x_t z'`` (d, d) or its diagonal."""
        pulled = np.einsum("kde,ke->kd", self.precisions, self.means) if self.dense else self.precisions * self.means
        a, B = pulled - pulled[0], self.precisions - self.precisions[0]
        if self.dense:
            return np.asarray(a @ mean - np.einsum("kde,ed->k", B, product))
        return np.asarray(a @ mean - B @ product)


@final
@dataclass(frozen=True, eq=False)
class PairMoments:
    """Running sums over samples of data y and noise z: first moments (d,), second moments (d, d) or diagonals (d,)."""

    dense: bool
    y: Float64Array
    z: Float64Array
    yy: Float64Array
    yz: Float64Array
    zz: Float64Array

    @classmethod
    def zero(cls, d: int, *, dense: bool) -> "PairMoments":
        """Empty sums."""
        first, second = np.zeros(d), np.zeros((d, d) if dense else d)
        return cls(dense, first, first, second, second, second)

    def add(self, y: Float64Array, z: Float64Array) -> "PairMoments":
        """Sums including rows y, z (n, d)."""

        def product(left: Float64Array, right: Float64Array) -> Float64Array:
            return np.asarray(left.T @ right if self.dense else np.einsum("nd,nd->d", left, right))

        return PairMoments(
            self.dense,
            self.y + y.sum(axis=0),
            self.z + z.sum(axis=0),
            self.yy + product(y, y),
            self.yz + product(y, z),
            self.zz + product(z, z),
        )


def node_statistics(
    scores: AffineScores, moments: PairMoments, n: int, alpha: float, sigma: float, estimator: str
) -> tuple[Float64Array, Float64Array]:
    """Contributions (k, k) and (k,) of one time node, before its weight, from moments of data over n draws.

    ``scores`` are those of the noised laws, in coordinates whose origin is ``alpha`` times that of the data.
    """
    yy, yz, zz = moments.yy / n, moments.yz / n, moments.zz / n
    even, noise = alpha**2 * yy + sigma**2 * zz, np.zeros_like(moments.z)
    product, mean = sigma * zz, alpha * moments.y / n
    if estimator != "antithetic":  # the terms that cancel between z and -z
        noise = moments.z / n
        mean = mean + sigma * noise
        symmetric = yz + yz.T if moments.dense else 2.0 * yz
        even, product = even + alpha * sigma * symmetric, product + alpha * yz
    pairs, with_base, divergence = scores.expectations(mean, even)
    if estimator == "stein":
        return pairs, -divergence - with_base
    return pairs, -scores.noise_products(noise, product) / sigma - with_base


def are_gaussian(laws: Sequence[object]) -> bool:
    """Whether all laws have affine scores and few enough coordinates for dense moments."""
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
