r"""Measures of diversity, in closed form for mixtures of Gaussians with diagonal covariances.

- **Differential entropy**, nats: ``1/2 sum_j log(2 pi e v_j)`` of a Gaussian; of a mixture from samples.
- **Vendi score of order 2** with kernel ``exp(-|x - y|^2 / 2 l^2)``: the inverse of the sum of squared eigenvalues of
  the kernel as an operator under the law, ``1 / E k(x, y)^2`` for independent x, y. With ``x - y ~ N(m, V)``,
  ``E k^2 = prod_j (1 + 2 V_j / l^2)^{-1/2} exp(-m_j^2 / (l^2 + 2 V_j))``. Here ``l^2 = d``, so that dimensions compare.
- **Density and coverage**: of samples against reference samples, by balls that reach the fifth neighbour within the
  reference: the mean number of balls that hold a sample, over five, and the share of balls that hold any.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from synthetic import Estimate, GaussianMixture

Array = NDArray[np.float64]
NEIGHBOURS = 5


def gaussian_entropy(variances: Array) -> float:
    """Entropy (nats) of a Gaussian with variances (d,)."""
    return 0.5 * float(np.log(2.0 * np.pi * np.e * variances).sum())


def mixture_entropy(law: GaussianMixture, n: int, rng: np.random.Generator) -> Estimate:
    """Entropy from n samples, with its standard error."""
    values = -law.log_prob(law.sample(n, rng=rng))
    return Estimate(float(values.mean()), float(values.std() / np.sqrt(n)), n, "samples")


def log_vendi(weights: Array, means: Array, variances: Array) -> float:
    """Logarithm of the Vendi score of order 2 of a mixture: weights (m,), means (m, d), variances (m, d)."""
    squared = float(means.shape[1])
    pairs = np.empty((len(weights), len(weights)))
    for i, (m, v) in enumerate(zip(means, variances, strict=True)):
        spread = v + variances
        pairs[i] = (-0.5 * np.log1p(2.0 * spread / squared) - (m - means) ** 2 / (squared + 2.0 * spread)).sum(axis=1)
    top = float(pairs.max())
    return -top - float(np.log(weights @ np.exp(pairs - top) @ weights))


def density_and_coverage(reference: Array, samples: Array) -> tuple[float, float]:
    """Density and coverage of samples (n, d) against reference samples (m, d)."""
    within = np.sort(cdist(reference, reference), axis=1)[:, NEIGHBOURS]  # the point itself is the zeroth
    inside = cdist(reference, samples) <= within[:, None]
    return float(inside.sum(axis=0).mean() / NEIGHBOURS), float(inside.any(axis=1).mean())


def log_vendi_of_samples(x: Array) -> float:
    """Logarithm of the Vendi score of order 2 of samples (n, d), ``l^2 = d``, from the pairs of different samples."""
    squared = cdist(x, x, "sqeuclidean")
    pairs = np.exp(-squared / x.shape[1])[~np.eye(len(x), dtype=bool)]
    return -float(np.log(pairs.mean()))
