r"""Total variation and KL of a sample to a known law, by a witness fitted on some of the points and judged on others.

For any set W, ``S(W) - A(W) <= TV(S, A)``, with equality for ``W = {s > p_A}``; for any function T (Donsker-Varadhan),
``E_S T - log E_A e^T <= KL(S || A)``, with equality for ``T = log s / p_A``. Logistic regression between the sample and
draws of A estimates that T. Its features are the log densities of all known laws (so T is exact where S is one of them,
or a pool of some), and, if these do not do, bins of each coordinate (for whatever else S may be). On a quarter that did
not fit it, both expressions are means, with standard errors; what the fit misses enters them in second order, from
below. Of KL, whose own standard error is small where it is small, that part counts: it is as large, with the other
sign, on the points that did fit, so the two are averaged. The quarters take turns.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use

from synthetic import Estimate

from .._internal.aliases import Float64Array

_RIDGE = 1.0  # of standardised features, in units of one observation
_ITERATIONS = 12
_MOST_FITTED, _MOST_JUDGED = 10_000, 30_000  # reference draws
_FOLDS = 4
_ENTRY = 1e-3  # level of the test that lets bins into a witness
_BINS = {1: 24, 2: 16}  # of a coordinate, by rank
_FEWER_BINS = 6
_LARGEST_LOGIT = 30.0
_SURE = 4.0  # standard errors


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


def fit_logits(x: Float64Array, w: Float64Array, reference: Float64Array, n_ratios: int) -> Float64Array:
    """Coefficients (f,) of the log ratio sample over reference: logistic regression with a ridge, by Newton's method.

    Both sides weigh the same in all, as much as the sample's effective number of points. Bins, the features after the
    constant and ``n_ratios`` others, enter if a score test finds that the ratios alone do not do: a witness that knows
    less misses less by chance.
    """
    effective, r = 1.0 / float(w @ w), 1 + n_ratios
    features = np.concatenate([x, reference])
    labels = np.concatenate([np.ones(len(x)), np.zeros(len(reference))])
    shares = effective * np.concatenate([w, np.full(len(reference), 1.0 / len(reference))])
    beta = np.zeros(features.shape[1])
    beta[:r] = _newton(features[:, :r], labels, shares, beta[:r])
    residual = labels - _chance(features @ beta)
    score = features[:, r:].T @ (shares * residual)
    curvature = (features * (shares * (np.abs(residual) * (1.0 - np.abs(residual))))[:, None]).T @ features
    projection = np.linalg.lstsq(curvature[:r, :r], curvature[:r, r:], rcond=None)[0]
    efficient = features[:, r:] - features[:, :r] @ projection
    spread = (efficient * ((shares * residual) ** 2)[:, None]).T @ efficient
    statistic = float(score @ np.linalg.lstsq(spread, score, rcond=None)[0])
    if scipy.stats.chi2.sf(statistic, len(score)) < _ENTRY:
        beta = _newton(features, labels, shares, beta)
    return beta


def _newton(features: Float64Array, labels: Float64Array, shares: Float64Array, beta: Float64Array) -> Float64Array:
    ridge = np.full(features.shape[1], _RIDGE)
    ridge[0] = 1e-6
    for _ in range(_ITERATIONS):
        p = _chance(features @ beta)
        gradient = features.T @ (shares * (labels - p)) - ridge * beta
        hessian = (features * (shares * p * (1.0 - p))[:, None]).T @ features + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-6:
            break
    return beta


def _chance(logits: Float64Array) -> Float64Array:
    return np.asarray(scipy.special.expit(np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))


@final
class Witness:
    """Tells samples from one law of a problem, and by how much they differ from it: from draws (N, r) of the law, the
    log densities (L, N) of all known laws there, and its row among them.
    """

    def __init__(self, row: int, draws: Any, log_p: Float64Array) -> None:
        self.features, self.n_ratios = Features.of(row, draws, log_p), len(log_p) - 1
        few, more = slice(0, _MOST_FITTED), slice(_MOST_FITTED, _MOST_FITTED + _MOST_JUDGED)
        self.fitted = self.features(draws[few], log_p[:, few])
        self.judged = self.features(draws[more], log_p[:, more])

    def distances(
        self, y: Any, log_p: Float64Array, w: Float64Array, effective: float, rng: np.random.Generator
    ) -> tuple[Estimate, Estimate]:
        """Estimates of ``TV(S, A)`` and ``KL(S || A)`` in nats, from points (n, r), log densities (L, n) of the known
        laws there, normalised weights (n,), and the number of independent points that they are worth.
        """
        parts, points = np.array_split(rng.permutation(len(y)), _FOLDS), self.features(y, log_p)
        found, share = [], effective / _FOLDS
        for i in range(_FOLDS):
            a, b = np.concatenate(parts[:i] + parts[i + 1 :]), parts[i]
            w_a, w_b = w[a] / w[a].sum(), w[b] / w[b].sum()
            beta = fit_logits(points[a], w_a, self.fitted, self.n_ratios)
            tv, kl = _judge(points[b] @ beta, w_b, share, self.judged @ beta)
            kl_fitted = _judge(points[a] @ beta, w_a, effective - share, self.fitted @ beta)[1]
            found.append([[*tv], [0.5 * (kl[0] + kl_fitted[0]), *kl[1:]]])
        values, of_points, of_draws = np.moveaxis(np.array(found), 2, 0)  # each (folds, 2); all folds share the draws
        errors = np.sqrt(of_points.mean(axis=0) / _FOLDS + of_draws.mean(axis=0)).tolist()
        tv_, kl_ = (
            Estimate(value, error, len(y), "cross-fitted witness")
            for value, error in zip(values.mean(axis=0).tolist(), errors, strict=True)
        )
        return tv_, _at_least(kl_, max(0.0, tv_.value - _SURE * tv_.stderr))


def _at_least(kl: Estimate, tv: float) -> Estimate:
    """Raised to what a total variation implies: Vajda's ``log((1 + v) / (1 - v)) - 2 v / (1 + v)``.

    The witness of KL is bounded and continuous: of samples with many equal points, say, it may see nothing.
    """
    tv = min(tv, 1.0 - 1e-9)
    implied = math.log((1.0 + tv) / (1.0 - tv)) - 2.0 * tv / (1.0 + tv)
    return kl if kl.value >= implied else replace(kl, value=implied, method="implied by total variation")


def _judge(
    logits: Float64Array, w: Float64Array, effective: float, reference: Float64Array
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """TV and KL witnesses at logits of a judged part and of draws; each with its variances by the two."""
    inside, outside = float(w @ (logits > 0)), float((reference > 0).mean())
    tv = (inside - outside, inside * (1.0 - inside) / effective, outside * (1.0 - outside) / len(reference))
    logits, reference = (np.clip(part, -_LARGEST_LOGIT, _LARGEST_LOGIT) for part in (logits, reference))
    top, mean = float(reference.max()), float(w @ logits)
    grown = np.exp(reference - top)
    value = mean - top - float(np.log(grown.mean()))
    relative = float(grown.var() / grown.mean() ** 2) / len(grown)
    return tv, (value, float(w @ (logits - mean) ** 2) / effective, relative)
