r"""A Gaussian-mixture envelope of a log-linear pool of Gaussian mixtures.

For exponents ``0 < w_i <= 1``, subadditivity of ``a -> a^w`` gives, with ``c_ij N_ij`` the weighted components of p_i,

    prod_i p_i^{w_i} = prod_i (sum_j c_ij N_ij)^{w_i}  <=  sum over tuples (j_1..j_k) of  prod_i (c_ij_i N_ij_i)^{w_i},

a Gaussian mixture with known mass ``M``: the precision of a tuple is ``sum_i w_i S_ij_i^{-1}``. Its density needs no
sum over tuples: the sum of products is the product of sums ``prod_i sum_j (c_ij N_ij)^{w_i}``, each of which is a
mixture with the components of p_i and their covariances divided by w_i. The ratio pool/envelope lies in
``[prod_i m_i^{w_i - 1}, 1]`` (power means), so rejection from the envelope draws exact i.i.d. samples with an
acceptance rate bounded below whatever the dimension and separation, and ``log Z`` lies between
``log M + sum_i (w_i - 1) log m_i`` and ``log M``. A pool of Gaussians is its own envelope.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy  # submodules load on first use

from ._covariance import Spectrum
from ._typing import Float64Array
from .errors import IntractableError
from .gaussian_mixture import GaussianMixture
from .quadrature import GridLaw

_LARGEST_SIZE = 1 << 24  # numbers held by the tuple mixture
_MOST_TUPLES = 1 << 12  # beyond, evaluating the envelope costs more than its acceptance rate gains


@final
@dataclass(frozen=True, eq=False)
class Envelope:
    """``exp(log_mass) * mixture`` bounds the pool from above; log(pool/envelope) is at least ``log_floor``.

    ``factors``, if given, are mixtures whose product times ``exp(log_scale)`` is the same function, and cheaper.
    """

    mixture: GaussianMixture | GridLaw
    log_mass: float
    log_floor: float
    factors: tuple[GaussianMixture, ...] = ()
    log_scale: float = 0.0

    def log_bound(self, y: Float64Array) -> Float64Array:
        """Log of the bound at points (n, r), shape (n,)."""
        if not self.factors:
            return np.asarray(self.log_mass + self.mixture.log_prob(y), dtype=np.float64)
        return np.asarray(self.log_scale + sum(factor.log_prob(y) for factor in self.factors), dtype=np.float64)


def product_envelope(mixtures: Sequence[GaussianMixture], weights: Float64Array) -> Envelope:
    """Envelope of the pool of mixtures with positive weights.

    Costs ``prod_i m_i`` Gaussian products; zero-weight components are left out.

    Raises
    ------
    IntractableError
        If the tuples would need more memory than is reasonable.
    """
    d = mixtures[0].dim
    alive = [np.flatnonzero(p.weights > 0) for p in mixtures]
    n_tuples = math.prod(len(a) for a in alive)
    layouts = {p.spectrum.layout for p in mixtures}
    width = d * d if "full" in layouts else d
    if n_tuples > _MOST_TUPLES or n_tuples * width > _LARGEST_SIZE:
        raise IntractableError(
            f"the Gaussian-product envelope needs 10^{math.log10(n_tuples):.1f} tuples of {width} numbers "
            f"(limits {_MOST_TUPLES} and {_LARGEST_SIZE} in all); "
            "fewer auxiliaries, fewer components or sparser weights make it exact"
        )
    index = np.array(list(itertools.product(*alive)), dtype=np.intp)  # (T, k)
    if "full" in layouts:
        mean, spectrum, distance = _full_products(mixtures, weights, index)
    else:
        mean, spectrum, distance = _axis_products(mixtures, weights, index)
    log_c = 0.5 * spectrum.log_det() - 0.5 * distance
    for i, (p, w) in enumerate(zip(mixtures, weights, strict=True)):
        with np.errstate(divide="ignore"):
            log_c += w * (np.log(p.weights) - 0.5 * p.spectrum.log_det())[index[:, i]]
    log_mass = float(scipy.special.logsumexp(log_c))
    counts = np.array([len(a) for a in alive], dtype=np.float64)
    factors, log_scales = zip(
        *(_tempered(p, float(w), a) for p, w, a in zip(mixtures, weights, alive, strict=True)), strict=True
    )
    return Envelope(
        GaussianMixture(_normalised(log_c), mean, spectrum),
        log_mass,
        float(((weights - 1.0) * np.log(counts)).sum()),
        factors,
        float(sum(log_scales)),
    )


def _tempered(mixture: GaussianMixture, power: float, alive: np.ndarray) -> tuple[GaussianMixture, float]:
    """``sum_j (c_j N_j)^power`` over the given components, as a mixture and the log of its mass."""
    spectrum, d = mixture.spectrum.subset(alive), mixture.dim
    log_c = power * np.log(mixture.weights[alive]) - 0.5 * d * np.log(power)
    log_c += 0.5 * (1.0 - power) * (spectrum.log_det() + d * np.log(2 * np.pi))
    wide = Spectrum(spectrum.values / power, d, spectrum.basis)
    return GaussianMixture(_normalised(log_c), mixture.means[alive], wide), float(scipy.special.logsumexp(log_c))


def _normalised(log_c: Float64Array) -> Float64Array:
    probabilities = np.exp(log_c - log_c.max())
    return np.asarray(probabilities / probabilities.sum())


def _axis_products(
    mixtures: Sequence[GaussianMixture], weights: Float64Array, index: np.ndarray
) -> tuple[Float64Array, Spectrum, Float64Array]:
    """Means, spectrum and weighted squared distances of the tuples when all covariances are axis-aligned."""
    d = mixtures[0].dim
    precisions = [w / p.spectrum.values for p, w in zip(mixtures, weights, strict=True)]
    total = sum(precision[index[:, i]] for i, precision in enumerate(precisions))
    mean = sum(
        (precision * p.means)[index[:, i]] for i, (precision, p) in enumerate(zip(precisions, mixtures, strict=True))
    )
    mean = np.asarray(mean / total)
    distance = np.zeros(len(index))
    for i, (precision, p) in enumerate(zip(precisions, mixtures, strict=True)):
        distance += (precision[index[:, i]] * (p.means[index[:, i]] - mean) ** 2).sum(axis=1)
    return mean, Spectrum(np.asarray(1.0 / total), d), distance


def _full_products(
    mixtures: Sequence[GaussianMixture], weights: Float64Array, index: np.ndarray
) -> tuple[Float64Array, Spectrum, Float64Array]:
    d = mixtures[0].dim
    precisions = [w * np.linalg.inv(p.spectrum.dense()) for p, w in zip(mixtures, weights, strict=True)]
    total = np.zeros((len(index), d, d))
    pulled = np.zeros((len(index), d))
    for i, (precision, p) in enumerate(zip(precisions, mixtures, strict=True)):
        total += precision[index[:, i]]
        pulled += np.einsum("mde,me->md", precision, p.means)[index[:, i]]
    values, basis = np.linalg.eigh(total)
    mean = np.einsum("tde,te,tfe,tf->td", basis, 1.0 / values, basis, pulled, optimize=True)
    distance = np.zeros(len(index))
    for i, (precision, p) in enumerate(zip(precisions, mixtures, strict=True)):
        residual = p.means[index[:, i]] - mean
        distance += np.einsum("td,tde,te->t", residual, precision[index[:, i]], residual, optimize=True)
    return mean, Spectrum(1.0 / values, d, basis), distance
