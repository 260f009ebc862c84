r"""Total variation ``TV(p, q) = 1/2 int |p - q|`` between laws.

Methods, in the order ``"auto"`` tries them:

- ``closed form``: Gaussians with one covariance, ``TV = 2 Phi(||a - b||_S / 2) - 1`` in any dimension;
- ``cdf crossings``: 1-D mixtures; p - q changes sign at finitely many points, between which ``int |p - q|`` is a
  difference of distribution functions: exact to rounding;
- ``quadrature``: other laws of intrinsic rank 1 (panels split at the crossings) and 2 (tensor grid; its error, about
  1e-5, is estimated by halving the grid);
- ``monte carlo``: ``TV = E_{(p+q)/2} |tanh((log p - log q)/2)|``, a mean of numbers in [0, 1]; unknown normalising
  constants cancel (:mod:`sfbench.metrics.density_ratio`).

Laws that share a complement are reduced to their cores first, so all but the last work at any dimension.
"""

from typing import Literal, get_args

import numpy as np
import scipy  # submodules load on first use

from synthetic import Estimate, GaussianMixture, IntractableError, Law, UnknownNameError, as_gaussian_mixture
from synthetic.quadrature import can_cover, gaussian_components

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_choice, as_generator
from .density_ratio import density_ratios
from .law_pairs import as_gaussian, breakpoints, cdf, crossings, grid_integral, panel_rule, reduced_pair, survival

Method = Literal["auto", "closed form", "cdf crossings", "quadrature", "monte carlo"]


def total_variation(p: Law, q: Law, *, method: Method = "auto", n: int = 20_000, rng: SeedLike = 0) -> Estimate:
    """Total variation distance, in [0, 1].

    Parameters
    ----------
    p, q : Law
        Laws on one space.
    method : {"auto", "closed form", "cdf crossings", "quadrature", "monte carlo"}
    n : int
        Draws from each law for ``monte carlo``.
    rng : Generator, int or None
        Randomness of ``monte carlo``.

    Returns
    -------
    Estimate
        ``stderr`` is the numerical error of quadrature, or the standard error of Monte Carlo (including what an
        estimated normalising constant adds to it).

    Raises
    ------
    ModelError
        If an argument is not a law, or dimensions differ.
    UnknownNameError, IntractableError
        If there is no such method, or it does not apply to these laws.
    EffectiveSampleSizeError
        If a normalising constant is too uncertain for the answer to mean anything.
    """
    as_choice("method", method, get_args(Method), UnknownNameError)
    p, q = reduced_pair(p, q)
    if method in ("auto", "closed form"):
        exact = _between_gaussians(p, q)
        if exact is not None:
            return exact
        if method == "closed form":
            raise IntractableError("total variation has a closed form for Gaussians with one covariance only")
    if method in ("auto", "cdf crossings"):
        a, b = as_gaussian_mixture(p), as_gaussian_mixture(q)
        if p.dim == 1 and a is not None and b is not None:
            return _by_crossings(a, b)
        if method == "cdf crossings":
            raise IntractableError("cdf crossings need 1-D mixtures (after reduction); use 'quadrature'")
    if method in ("auto", "quadrature"):
        if can_cover(p, q):
            return _by_panels(p, q) if p.dim == 1 else _on_grid(p, q)
        if method == "quadrature":
            raise IntractableError(f"quadrature needs intrinsic rank at most 2, got {p.dim}; use 'monte carlo'")
    return _by_sampling(p, q, n, as_generator(rng))


def _between_gaussians(p: Law, q: Law) -> Estimate | None:
    a, b = as_gaussian(p), as_gaussian(q)
    if a is None or b is None or a.spectrum.layout != b.spectrum.layout:
        return None
    if not np.allclose(a.covariances, b.covariances, rtol=1e-13, atol=0.0):
        return None
    distance = float(np.linalg.norm(a.spectrum.whiten(a.means - b.means, 0)))
    return Estimate(float(scipy.special.erf(distance / np.sqrt(8.0))))


def _log_ratio_1d(p: Law, q: Law, y: Float64Array) -> Float64Array:
    return np.asarray(p.log_prob(y[:, None]) - q.log_prob(y[:, None]), dtype=np.float64)


def _by_crossings(p: GaussianMixture, q: GaussianMixture) -> Estimate:
    points = breakpoints([p, q])
    roots = crossings(lambda y: _log_ratio_1d(p, q, y), points)
    if roots.size == 0:
        return Estimate(0.0, 0.0, 0, "cdf crossings")
    middle = float(np.median(roots))
    lower, upper = roots[roots <= middle], roots[roots > middle]
    # Differences of distribution functions below the middle, of survival functions above: no cancellation in tails.
    left = np.concatenate([[0.0], cdf(p, lower) - cdf(q, lower)])
    right = np.concatenate([survival(p, upper) - survival(q, upper), [0.0]])
    across = abs(-right[0] - left[-1])
    total = np.abs(np.diff(left)).sum() + np.abs(np.diff(right)).sum() + across
    return Estimate(float(min(1.0, 0.5 * total)), 0.0, len(roots), "cdf crossings")


def _by_panels(p: Law, q: Law) -> Estimate:
    points = breakpoints([*gaussian_components(p), *gaussian_components(q)])
    roots = crossings(lambda y: _log_ratio_1d(p, q, y), points)
    nodes, weights = panel_rule(np.unique(np.concatenate([points, roots])))
    flat = nodes.ravel()[:, None]
    difference = np.abs(np.exp(p.log_prob(flat)) - np.exp(q.log_prob(flat)))
    return Estimate(float(min(1.0, 0.5 * difference @ weights.ravel())), 1e-13, nodes.size, "quadrature")


def _on_grid(p: Law, q: Law) -> Estimate:
    total, error, nodes = grid_integral(p, q, lambda log_p, log_q: np.abs(np.exp(log_p) - np.exp(log_q)))
    return Estimate(min(1.0, 0.5 * total), 0.5 * error, nodes, "quadrature")


def _by_sampling(p: Law, q: Law, n: int, rng: np.random.Generator) -> Estimate:
    ratios = density_ratios(p, q, n, rng)
    tanh_p, tanh_q = np.tanh(0.5 * ratios.at_p), np.tanh(0.5 * ratios.at_q)
    terms = 0.5 * np.abs(tanh_p), 0.5 * np.abs(tanh_q)
    value = float(terms[0].mean() + terms[1].mean())
    # d|T|/dc = -sign(T) (1 - T^2) / 2
    slope = -0.25 * float(sum((np.sign(t) * (1.0 - t**2)).mean() for t in (tanh_p, tanh_q)))
    return Estimate(min(value, 1.0), ratios.standard_error(*terms, slope), 2 * n, "monte carlo")
