"""Independent ways to the same numbers: scipy, torch autograd, arithmetic of 250 digits, brute-force quadrature."""

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import torch
from scipy import stats
from scipy.integrate import simpson
from scipy.special import logsumexp


def dense(covariances: Any, m: int, d: int) -> Any:
    """Covariances in any accepted form as (m, d, d)."""
    c = np.asarray(covariances, float)
    if c.ndim == 3:
        return c
    return np.broadcast_to(c if c.ndim == 2 else c.reshape(-1, 1), (m, d))[:, :, None] * np.eye(d)


def scipy_log_prob(weights: Any, means: Any, covariances: Any, x: Any) -> Any:
    """Log density from scipy's multivariate normal, (n,)."""
    covs = dense(covariances, *means.shape)
    logs = [stats.multivariate_normal(mu, cov).logpdf(x).reshape(len(x)) for mu, cov in zip(means, covs, strict=True)]
    return logsumexp(logs, b=np.asarray(weights)[:, None], axis=0)


def torch_score_and_divergence(weights: Any, means: Any, covariances: Any, x: Any) -> tuple[Any, Any]:
    """Score and its divergence from torch.distributions, by automatic differentiation once and twice."""
    law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor(weights)),
        torch.distributions.MultivariateNormal(
            torch.tensor(means), torch.tensor(np.array(dense(covariances, *means.shape)))
        ),
    )
    points = torch.tensor(x, requires_grad=True)
    (score,) = torch.autograd.grad(law.log_prob(points).sum(), points, create_graph=True)
    divergence = sum(
        torch.autograd.grad(score[:, e].sum(), points, retain_graph=True)[0][:, e] for e in range(x.shape[1])
    )
    return score.detach().numpy(), np.asarray(divergence)


def exact(weights: Any, means: Any, covariances: Any, x: Any) -> tuple[Any, Any, Any]:
    """Log density (n,), score (n, d) and divergence (n,) in 250-digit arithmetic, rounded once at the end."""
    with mpmath.workdps(250):
        parts = []
        for w, mu, cov in zip(weights, means, dense(covariances, *means.shape), strict=True):
            if w > 0:
                matrix = mpmath.matrix(cov.tolist())
                norm = mpmath.log(w) - mpmath.log(mpmath.det(2 * mpmath.pi * matrix)) / 2
                parts.append((norm, mpmath.matrix(mu.tolist()), mpmath.inverse(matrix)))
        rows = [_exact_at(parts, mpmath.matrix(point.astype(float).tolist())) for point in np.asarray(x)]
    return tuple(np.array([row[i] for row in rows], float) for i in range(3))  # type: ignore[return-value]


def _exact_at(parts: Sequence[Any], x: Any) -> tuple[Any, Any, Any]:
    pulls = [precision * (mu - x) for _, mu, precision in parts]
    logs = [norm - _dot(mu - x, u) / 2 for (norm, mu, _), u in zip(parts, pulls, strict=True)]
    top = max(logs)
    shares = [mpmath.exp(value - top) for value in logs]
    total = sum(shares)
    score = sum((share / total * u for share, u in zip(shares, pulls, strict=True)), mpmath.zeros(len(x), 1))
    curvature = sum(
        share / total * (_dot(u, u) - sum(precision[e, e] for e in range(len(x))))
        for share, u, (_, _, precision) in zip(shares, pulls, parts, strict=True)
    )
    return top + mpmath.log(total), list(score), curvature - _dot(score, score)


def _dot(a: Any, b: Any) -> Any:
    return sum(p * q for p, q in zip(a, b, strict=True))


def brute_log_z(laws: Sequence[Any], weights: Any) -> float:
    """Log of the integral of ``prod p_i^w_i`` over the line, by Simpson's rule on scipy's densities."""
    y = np.linspace(-60.0, 60.0, 120_001)
    logs = [scipy_log_prob(p.weights, p.means, p.covariances, y[:, None]) for p in laws]
    return float(np.log(simpson(np.exp(np.dot(weights, logs)), x=y)))
