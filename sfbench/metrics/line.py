r"""1-D Wasserstein distance ``W_1(p, q) = int |F_p - F_q|`` between samples or laws."""

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate, GaussianMixture, as_gaussian_mixture

from ..errors import ModelError
from .law_pairs import breakpoints, cdf, crossings, panel_rule


def wasserstein_1d(p: ArrayLike | GaussianMixture, q: ArrayLike | GaussianMixture) -> Estimate:
    """``W_1`` between two 1-D mixtures (exact quadrature) or two samples (exact order statistics).

    Parameters
    ----------
    p, q : GaussianMixture with d = 1, or array_like of shape (n,) or (n, 1)
        Both laws or both samples.

    Returns
    -------
    Estimate
        For samples, the distance between the empirical laws; it has a bias of order ``n^{-1/2}`` as an estimate of the
        distance between the laws behind them.

    Raises
    ------
    ModelError
        For a law and a sample, a law not on the line, or a sample that is empty, not finite or not of shape (n,).
    """
    law_p, law_q = as_gaussian_mixture(p), as_gaussian_mixture(q)
    if law_p is not None and law_q is not None:
        return _between_laws(law_p, law_q)
    if law_p is not None or law_q is not None:
        raise ModelError("give two laws or two samples; draw from the law first (law.sample(n, rng=...))")
    samples = []
    for name, value in (("p", p), ("q", q)):
        try:
            x = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{name} must be a sample of real numbers: {error}") from None
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 1 or x.size == 0 or not np.all(np.isfinite(x)):
            raise ModelError(f"{name} must be a non-empty finite sample of shape (n,) or (n, 1), got shape {x.shape}")
        samples.append(x)
    value = float(scipy.stats.wasserstein_distance(*samples))
    return Estimate(value, 0.0, sum(len(x) for x in samples), "empirical laws")


def _between_laws(p: GaussianMixture, q: GaussianMixture) -> Estimate:
    if p.dim != 1 or q.dim != 1:
        raise ModelError(f"wasserstein_1d needs 1-D laws, got dimensions {p.dim} and {q.dim}")
    points = breakpoints([p, q])
    roots = crossings(lambda y: cdf(p, y) - cdf(q, y), points)
    nodes, weights = panel_rule(np.unique(np.concatenate([points, roots])))
    gap = np.abs(cdf(p, nodes.ravel()) - cdf(q, nodes.ravel()))
    return Estimate(float(gap @ weights.ravel()), 1e-12, nodes.size, "quadrature")
