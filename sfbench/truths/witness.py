r"""Total variation and KL of a sample to a known law, by a witness that is fitted on one half and judged on the other.

For any set W, ``S(W) - A(W) <= TV(S, A)``, with equality for ``W = {s > p_A}``; for any function T (Donsker-Varadhan),
``E_S T - log E_A e^T <= KL(S || A)``, with equality for ``T = log s / p_A``. Logistic regression between the sample and
draws of A estimates that T. Its features are the log densities of all known laws (so T is exact where S is one of them,
or a pool of some), and bins of each coordinate (for whatever else S may be). On the half that did not fit it, both
expressions are means, with standard errors; what the fit misses enters them in second order, from below. Of KL, whose
own standard error is small where it is small, that part counts: it is as large, with the other sign, on the half that
did fit, so the two are averaged. The halves change roles and all is averaged again.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use

from synthetic import Estimate

from .._typing import Float64Array

_RIDGE = 1.0  # of standardised features, in units of one observation
_ITERATIONS = 12
_MOST_FITTED, _MOST_JUDGED = 10_000, 20_000  # reference draws
_BINS = {1: 24, 2: 16}  # of a coordinate, by rank
_FEWER_BINS = 6
_LARGEST_LOGIT = 30.0


@final
@dataclass(frozen=True, eq=False)
class Features:
    """Log density ratios to law A, standardised, and indicators of bins between quantiles of A."""

    row: int
    centre: Float64Array
    scale: Float64Array
    edges: tuple[Float64Array, ...]

    @classmethod
    def of(cls, row: int, y: Any, log_p: Float64Array) -> "Features":
        """Features for the law of that row of ``log_p`` (L, N), from its draws y (N, r)."""
        ratios = _bounded(log_p, row)
        count = _BINS.get(y.shape[1], _FEWER_BINS)
        edges = tuple(np.unique(np.quantile(column, np.linspace(0, 1, count + 1)[1:-1])) for column in y.T)
        return cls(row, ratios.mean(axis=0), ratios.std(axis=0) + 1e-9, edges)

    def __call__(self, y: Any, log_p: Float64Array) -> Float64Array:
        """Features (n, f) of points (n, r) at which the log densities of the laws are ``log_p`` (L, n)."""
        ratios = (_bounded(log_p, self.row) - self.centre) / self.scale
        parts = [np.ones((len(ratios), 1)), ratios]
        for column, edges in zip(y.T, self.edges, strict=True):
            parts.append(np.eye(len(edges) + 1)[np.searchsorted(edges, column, side="left")][:, 1:])
        return np.concatenate(parts, axis=1)


def _bounded(log_p: Float64Array, row: int) -> Float64Array:
    """Log ratios (n, L - 1) to a law, bounded."""
    return np.asarray(np.clip(np.delete(log_p, row, axis=0) - log_p[row], -_LARGEST_LOGIT, _LARGEST_LOGIT).T)


def fit_logits(x: Float64Array, w: Float64Array, reference: Float64Array) -> Float64Array:
    """Coefficients (f,) of the log ratio sample over reference: logistic regression with a ridge, by Newton's method.

    Both sides weigh the same in all, as much as the sample's effective number of points.
    """
    effective = 1.0 / float(w @ w)
    features = np.concatenate([x, reference])
    labels = np.concatenate([np.ones(len(x)), np.zeros(len(reference))])
    shares = effective * np.concatenate([w, np.full(len(reference), 1.0 / len(reference))])
    ridge = np.full(features.shape[1], _RIDGE)
    ridge[0] = 1e-6
    beta = np.zeros(features.shape[1])
    for _ in range(_ITERATIONS):
        p = scipy.special.expit(np.clip(features @ beta, -_LARGEST_LOGIT, _LARGEST_LOGIT))
        gradient = features.T @ (shares * (labels - p)) - ridge * beta
        hessian = (features * (shares * p * (1.0 - p))[:, None]).T @ features + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta += step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-6:
            break
    return beta


@final
class Witness:
    """Tells samples from one law of a problem, and by how much they differ from it.

    Parameters
    ----------
    row : int
        The law among those whose log densities are given.
    draws, log_p : arrays (N, r), (L, N)
        Draws of it, and the log densities of all known laws there.
    """

    def __init__(self, row: int, draws: Any, log_p: Float64Array) -> None:
        self.features = Features.of(row, draws, log_p)
        sides = np.array_split(np.arange(len(draws)), 2)
        self.fitted = [self.features(draws[side[:_MOST_FITTED]], log_p[:, side[:_MOST_FITTED]]) for side in sides]
        self.judged = [self.features(draws[side[:_MOST_JUDGED]], log_p[:, side[:_MOST_JUDGED]]) for side in sides]

    def distances(
        self, y: Any, log_p: Float64Array, w: Float64Array, effective: float, rng: np.random.Generator
    ) -> tuple[Estimate, Estimate]:
        """Estimates of ``TV(S, A)`` and ``KL(S || A)`` in nats.

        Parameters
        ----------
        y, log_p, w : arrays (n, r), (L, n), (n,)
            The sample, log densities of the known laws there, and normalised weights.
        effective : float
            Number of independent points that the sample is worth.
        rng : Generator
            Splits the sample.
        """
        halves, points = np.array_split(rng.permutation(len(y)), 2), self.features(y, log_p)
        found = []
        for i, j in ((0, 1), (1, 0)):
            a, b = halves[i], halves[j]
            w_a, w_b = w[a] / w[a].sum(), w[b] / w[b].sum()
            beta = fit_logits(points[a], w_a, self.fitted[i])
            tv, kl = _judge(points[b] @ beta, w_b, 0.5 * effective, self.judged[j] @ beta)
            kl_fitted = _judge(points[a] @ beta, w_a, 0.5 * effective, self.fitted[i] @ beta)[1]
            found.append([tv, (0.5 * (kl[0] + kl_fitted[0]), kl[1])])
        means = np.array(found).mean(axis=0)[:, 0].tolist()
        errors = (0.5 * np.sqrt((np.array(found) ** 2).sum(axis=0)[:, 1])).tolist()
        tv_, kl_ = (Estimate(v, e, len(y), "cross-fitted witness") for v, e in zip(means, errors, strict=True))
        return tv_, kl_


def _judge(
    logits: Float64Array, w: Float64Array, effective: float, reference: Float64Array
) -> tuple[tuple[float, float], tuple[float, float]]:
    """TV and KL witnesses with standard errors, at logits of the judged halves."""
    inside, outside = (logits > 0).astype(np.float64), reference > 0
    gap = float(w @ inside) - float(outside.mean())
    spread = float(w @ inside) * (1 - float(w @ inside)) / effective + float(outside.var()) / len(outside)
    logits, reference = (np.clip(part, -_LARGEST_LOGIT, _LARGEST_LOGIT) for part in (logits, reference))
    top = float(reference.max())
    grown = np.exp(reference - top)
    mean = float(w @ logits)
    value = mean - top - float(np.log(grown.mean()))
    variance = float(w @ (logits - mean) ** 2) / effective + float(grown.var() / grown.mean() ** 2) / len(grown)
    return (gap, float(np.sqrt(spread))), (value, float(np.sqrt(variance)))
