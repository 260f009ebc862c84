"""Distances computed without the package: adaptive quadrature, dense linear algebra, brute sums."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from synthetic import GaussianMixture, LogLinearPool

P_VALUE = 1e-6


def density(law: Any) -> Callable[[float], float]:
    """Density of a 1-D mixture or pool written out."""
    if isinstance(law, LogLinearPool):
        parts = [density(p) for p in law.components]

        def pooled(x: float) -> float:
            values = [part(x) for part in parts]
            # A law of weight zero takes no part, nor does a density that underflows.
            return float(np.exp(sum(w * np.log(v) for w, v in zip(law.weights, values, strict=True) if w > 0)))

        scale = _integral(pooled, law)
        return lambda x: pooled(x) / scale
    means, std = law.means[:, 0], np.sqrt(law.spectrum.dense()[:, 0, 0])
    heights = law.weights / (std * np.sqrt(2 * np.pi))
    return lambda x: float(heights @ np.exp(-0.5 * ((x - means) / std) ** 2))


def _points(*laws: Any) -> np.ndarray:
    mixtures = [m for law in laws for m in (law.components if isinstance(law, LogLinearPool) else (law,))]
    means = np.concatenate([m.means[:, 0] for m in mixtures])
    std = np.concatenate([np.sqrt(m.spectrum.dense()[:, 0, 0]) for m in mixtures])
    return np.unique((means[:, None] + std[:, None] * np.arange(-9, 9.01, 0.75)).ravel())


def _integral(f: Callable[[float], float], *laws: Any) -> float:
    edges = _points(*laws)
    return float(sum(quad(f, a, b, epsabs=1e-11, epsrel=1e-9)[0] for a, b in pairwise(edges)))


def total_variation_1d(p: Any, q: Any) -> float:
    """``1/2 int |p - q|`` by adaptive quadrature between many break points."""
    f, g = density(p), density(q)
    return 0.5 * _integral(lambda x: abs(f(x) - g(x)), p, q)


def brute_force_1d(p: GaussianMixture, q: GaussianMixture) -> float:
    """TV of mixtures on the line by a plain sum: good to about 1e-8."""
    x = np.linspace(*_points(p, q)[[0, -1]], 200_001)
    densities = [np.exp(log_density(law, x[:, None])) for law in (p, q)]
    return float(0.5 * np.abs(densities[0] - densities[1]).sum() * (x[1] - x[0]))


def kl_1d(p: Any, q: Any) -> float:
    """``int p log(p/q)`` by adaptive quadrature."""
    f, g = density(p), density(q)

    def integrand(x: float) -> float:
        value = f(x)
        return value * np.log(value / g(x)) if value > 1e-280 else 0.0

    return _integral(integrand, p, q)


def log_density(law: GaussianMixture, x: np.ndarray) -> np.ndarray:
    """Log density of a mixture in any dimension written out."""
    terms = [
        np.log(w) + multivariate_normal(mean, cov).logpdf(x).reshape(-1)
        for w, mean, cov in zip(law.weights, law.means, law.spectrum.dense(), strict=True)
    ]
    return np.asarray(np.logaddexp.reduce(terms, axis=0))


def brute_force_2d(p: GaussianMixture, q: GaussianMixture, n: int = 700) -> tuple[float, float]:
    """TV and KL of planar mixtures by a plain sum over a wide square."""
    reach = max(np.abs(law.means).max() + 8 * np.sqrt(law.spectrum.values.max()) for law in (p, q))
    axis = np.linspace(-reach, reach, n)
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_p, log_q = log_density(p, x), log_density(q, x)
    cell = (axis[1] - axis[0]) ** 2
    tv = 0.5 * np.abs(np.exp(log_p) - np.exp(log_q)).sum() * cell
    return float(tv), float((np.exp(log_p) * (log_p - log_q)).sum() * cell)


def gaussian_kl(p: GaussianMixture, q: GaussianMixture) -> float:
    """The textbook formula with dense matrices."""
    (a, S), (b, R) = ((law.means[0], law.spectrum.dense()[0]) for law in (p, q))
    inverse = np.linalg.inv(R)
    trace = np.trace(inverse @ S)
    return float(0.5 * (trace - len(a) + (b - a) @ inverse @ (b - a) + np.log(np.linalg.det(R) / np.linalg.det(S))))
