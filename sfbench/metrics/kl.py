r"""Kullback-Leibler divergence ``KL(p || q) = int p log(p/q)`` between laws, in nats.

``closed form`` for Gaussians; ``quadrature`` for laws of intrinsic rank 1 and 2 (the integrand is smooth, so the
trapezoidal rule is exact to rounding); otherwise ``monte carlo`` under p with ``r = q/p``: the mean of ``-log r``, or
of ``r - 1 - log r`` (non-negative terms, of the same expectation as long as p sees all of q's mass, which draws of q
decide) where that has less variance, as for close laws.
Unknown normalising constants cancel (:mod:`sfbench.metrics.density_ratio`).
"""

from typing import Literal, get_args

import numpy as np

from synthetic import EffectiveSampleSizeError, Estimate, GaussianMixture, IntractableError, Law, UnknownNameError
from synthetic.quadrature import can_cover

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_choice, as_generator
from ..errors import NotFiniteError
from .density_ratio import DensityRatios, density_ratios
from .law_pairs import as_gaussian, grid_integral, reduced_pair

Method = Literal["auto", "closed form", "quadrature", "monte carlo"]
_SMALLEST_ESS = 100.0
_LEAST_LOG_RATIO = -5.0  # log p/q at a draw of q
_LARGEST_LOG = 300.0  # of a ratio that can still be squared and summed


def kl_divergence(p: Law, q: Law, *, method: Method = "auto", n: int = 20_000, rng: SeedLike = 0) -> Estimate:
    """``KL(p || q)`` in nats.

    Parameters
    ----------
    p, q : Law
        Laws on one space; the order matters.
    method : {"auto", "closed form", "quadrature", "monte carlo"}
    n : int
        Draws from each law for ``monte carlo``.
    rng : Generator, int or None
        Randomness of ``monte carlo``.

    Raises
    ------
    ModelError
        If an argument is not a law, or dimensions differ.
    UnknownNameError, IntractableError
        If there is no such method, or it does not apply to these laws.
    EffectiveSampleSizeError
        If too few draws from p carry the Monte Carlo estimate.
    """
    as_choice("method", method, get_args(Method), UnknownNameError)
    p, q = reduced_pair(p, q)
    a, b = as_gaussian(p), as_gaussian(q)
    if method in ("auto", "closed form"):
        if a is not None and b is not None:
            return Estimate(_between_gaussians(a, b))
        if method == "closed form":
            raise IntractableError("KL has a closed form for Gaussians only; use 'quadrature' or 'monte carlo'")
    if method in ("auto", "quadrature"):
        if can_cover(p, q):
            value, error, nodes = grid_integral(p, q, lambda log_p, log_q: np.exp(log_p) * (log_p - log_q))
            return Estimate(max(value, 0.0), error, nodes, "quadrature")
        if method == "quadrature":
            raise IntractableError(f"quadrature needs intrinsic rank at most 2, got {p.dim}; use 'monte carlo'")
    return _by_sampling(p, q, n, as_generator(rng))


def _between_gaussians(p: GaussianMixture, q: GaussianMixture) -> float:
    d = p.dim
    mean_term = float((q.spectrum.whiten(p.means - q.means, 0) ** 2).sum())
    if p.spectrum.basis is None and q.spectrum.basis is None:
        # Eigenvalue ratios minus one, and log1p: no cancellation between trace and log determinant of close laws.
        ratio = np.broadcast_to((p.spectrum.values[0] - q.spectrum.values[0]) / q.spectrum.values[0], (d,))
        return 0.5 * (mean_term + float((ratio - np.log1p(ratio)).sum()))
    precision = np.linalg.inv(q.spectrum.dense()[0])
    trace = float(np.trace(precision @ p.spectrum.dense()[0]))
    log_det = float(q.spectrum.log_det()[0] - p.spectrum.log_det()[0])
    return 0.5 * (trace - d + log_det + mean_term)


def _by_sampling(p: Law, q: Law, n: int, rng: np.random.Generator) -> Estimate:
    ratios = density_ratios(p, q, n, rng)
    log_r = -ratios.at_p
    if not np.all(np.isfinite(log_r)):
        raise NotFiniteError("KL is infinite or undefined: q has no finite log density at a point drawn from p")
    candidates = [(-log_r, ratios.standard_error(-log_r, 0.0, -1.0), _effective_draws(-log_r))]
    if _sees_all_of_q(ratios):
        terms = np.expm1(log_r) - log_r
        # The derivative of these terms by the constant is r - 1, of mean 0.
        error = float(np.hypot(ratios.standard_error(terms, 0.0, 0.0), ratios.constant_error))
        candidates.append((terms, error, _effective_draws(terms)))
    sound = [candidate for candidate in candidates if candidate[2] >= _SMALLEST_ESS]
    if not sound:
        ess = max(candidate[2] for candidate in candidates)
        raise EffectiveSampleSizeError(
            f"KL rests on {ess:.1f} effective draws of {n} (at least {_SMALLEST_ESS:.0f} needed); raise n, or "
            "use laws with a common subspace"
        )
    terms, error, _ = min(sound, key=lambda candidate: candidate[1])
    return Estimate(float(terms.mean()), error, n, "monte carlo")


def _sees_all_of_q(ratios: DensityRatios) -> bool:
    """Whether ``E_p[q/p] = 1`` may be relied on: no draw of q where p has next to nothing, and the mean agrees.

    A mode of q far from p carries mass that no draw of p sees; the shifted terms would miss just that mass, silently.
    """
    if float(ratios.at_q.min()) < _LEAST_LOG_RATIO or float(ratios.at_p.min()) < -_LARGEST_LOG:
        return False
    r = np.exp(-ratios.at_p)
    return bool(abs(r.mean() - 1.0) <= 4.0 * r.std() / np.sqrt(len(r)) + 1e-12)


def _effective_draws(terms: Float64Array) -> float:
    """Number of draws that a mean rests on: ``(sum |a|)^2 / sum a^2``."""
    # Equal laws have no terms at all.
    return float(np.abs(terms).sum() ** 2 / float((terms**2).sum())) if terms.any() else float(len(terms))
