r"""1-D Wasserstein distance ``W_1(p, q) = int |F_p - F_q|`` between laws, or between (weighted) samples."""

import numpy as np
from numpy.typing import ArrayLike

from synthetic import Estimate, GaussianMixture, as_gaussian_mixture

from .._internal.aliases import Float64Array
from ..errors import ModelError
from .from_samples import weighted_points
from .law_pairs import breakpoints, cdf, crossings, panel_rule


def wasserstein_1d(
    p: ArrayLike | GaussianMixture,
    q: ArrayLike | GaussianMixture,
    *,
    x_log_weights: ArrayLike | None = None,
    y_log_weights: ArrayLike | None = None,
) -> Estimate:
    """``W_1`` between two 1-D mixtures (exact quadrature) or two samples (monotone coupling), in the units of x.

    Parameters
    ----------
    p, q : GaussianMixture with d = 1, or array_like of shape (n,) or (n, 1)
        Both laws or both samples.
    x_log_weights, y_log_weights : array_like (n,), optional
        Log weights of the samples p and q, each up to a constant.

    Returns
    -------
    Estimate
        For samples, the distance between the empirical laws, with the standard error of its dual potential; it has a
        bias of order ``n^{-1/2}`` as an estimate of the distance between the laws behind them.

    Raises
    ------
    ModelError, SfbenchError, NotFiniteError
        For a law and a sample, a law not on the line, or a sample that is empty, not finite or not on the line.
    """
    law_p, law_q = as_gaussian_mixture(p), as_gaussian_mixture(q)
    if law_p is not None and law_q is not None:
        return _between_laws(law_p, law_q)
    if law_p is not None or law_q is not None:
        raise ModelError("give two laws or two samples; draw from the law first (law.sample(n, rng=...))")
    a, v = weighted_points(p, x_log_weights, "p")  # type: ignore[arg-type]  # no law
    b, w = weighted_points(q, y_log_weights, "q")  # type: ignore[arg-type]
    if a.shape[1] != 1 or b.shape[1] != 1:
        raise ModelError(f"samples must be on the line, got dimensions {a.shape[1]} and {b.shape[1]}")
    value, fx, fy = on_the_line(a[:, 0], v, b[:, 0], w)
    return Estimate(value, potential_error(fx, v, fy, w), len(a) + len(b), "monotone coupling")


wasserstein1_1d = wasserstein_1d


def _between_laws(p: GaussianMixture, q: GaussianMixture) -> Estimate:
    if p.dim != 1 or q.dim != 1:
        raise ModelError(f"wasserstein_1d needs 1-D laws, got dimensions {p.dim} and {q.dim}")
    points = breakpoints([p, q])
    roots = crossings(lambda y: cdf(p, y) - cdf(q, y), points)
    nodes, weights = panel_rule(np.unique(np.concatenate([points, roots])))
    gap = np.abs(cdf(p, nodes.ravel()) - cdf(q, nodes.ravel()))
    return Estimate(float(gap @ weights.ravel()), 1e-12, nodes.size, "quadrature")


def on_the_line(
    a: Float64Array, v: Float64Array, b: Float64Array, w: Float64Array
) -> tuple[float, Float64Array, Float64Array]:
    """W1 on the line and the dual potential at both samples: its slope is ``sign(G - F)``."""
    points = np.concatenate([a, b])
    order = np.argsort(points, kind="stable")
    signed = np.concatenate([v, -w])[order]
    gap = np.cumsum(signed)[:-1]
    lengths = np.diff(points[order])
    potential = np.empty(len(points))
    potential[order] = np.concatenate([[0.0], np.cumsum(-np.sign(gap) * lengths)])
    return float(np.abs(gap) @ lengths), potential[: len(a)], potential[len(a) :]


def potential_error(fx: Float64Array, v: Float64Array, fy: Float64Array, w: Float64Array) -> float:
    """Standard error of ``E f(X) - E f(Y)`` from potentials and weights of both samples."""
    return float(np.sqrt(v**2 @ (fx - v @ fx) ** 2 + w**2 @ (fy - w @ fy) ** 2))
