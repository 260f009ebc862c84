"""Two laws moved to the coordinates in which they differ, and what is known exactly there."""

from collections.abc import Callable

import numpy as np
import scipy  # submodules load on first use

from synthetic import GaussianMixture, Law, as_gaussian_mixture, common_subspace
from synthetic.quadrature import cover

from .._internal.aliases import Float64Array, FloatArray
from ..errors import ModelError

_PANEL_NODES = 16
_ROOT_GRID = 8  # points per smallest standard deviation when looking for density crossings


def reduced_pair(p: Law, q: Law) -> tuple[Law, Law]:
    """The cores of two laws that share a complement; the laws themselves if they do not.

    Total variation, KL and every other f-divergence of the cores equal those of the laws.
    """
    for name, law in (("p", p), ("q", q)):
        if not (hasattr(law, "dim") and hasattr(law, "log_prob")):
            raise ModelError(
                f"{name} is a {type(law).__name__}; a law needs `dim`, `log_prob(x)` and `sample(n, rng=)`"
            )
    if p.dim != q.dim:
        raise ModelError(f"laws must live in one dimension, got {p.dim} and {q.dim}")
    subspace = common_subspace([p, q])
    return (p, q) if subspace is None else (subspace.core_of(p), subspace.core_of(q))


def as_gaussian(law: Law) -> GaussianMixture | None:
    """The law as a single Gaussian, if it is one."""
    mixture = as_gaussian_mixture(law)
    return mixture if mixture is not None and mixture.n_components == 1 else None


def cdf(mixture: GaussianMixture, x: Float64Array) -> Float64Array:
    """Distribution function of a 1-D mixture at x (n,), shape (n,)."""
    return np.asarray(scipy.special.ndtr((x[:, None] - mixture.means[:, 0]) / _stds(mixture)) @ mixture.weights)


def survival(mixture: GaussianMixture, x: Float64Array) -> Float64Array:
    """``1 - cdf`` without cancellation in the upper tail."""
    return np.asarray(scipy.special.ndtr((mixture.means[:, 0] - x[:, None]) / _stds(mixture)) @ mixture.weights)


def breakpoints(laws: list[GaussianMixture]) -> Float64Array:
    """Sorted points that resolve 1-D mixtures: every component in steps of its own half standard deviation."""
    reach = np.linspace(-12, 12, 49)
    return np.unique(np.concatenate([(law.means + _stds(law)[:, None] * reach).ravel() for law in laws]))


def _stds(mixture: GaussianMixture) -> Float64Array:
    return np.sqrt(mixture.spectrum.dense()[:, 0, 0])


def crossings(difference: Callable[[Float64Array], Float64Array], points: Float64Array) -> Float64Array:
    """Sign changes of a function between consecutive points, refined on a finer grid and by Brent's method."""
    fine = np.unique(np.concatenate([points[:-1] + f * np.diff(points) for f in np.arange(_ROOT_GRID) / _ROOT_GRID]))
    values = difference(fine)
    change = np.flatnonzero(np.signbit(values[:-1]) != np.signbit(values[1:]))
    roots = [_root(difference, fine[i], fine[i + 1]) for i in change]
    return np.asarray(roots, dtype=np.float64)


def _root(difference: Callable[[Float64Array], Float64Array], low: float, high: float) -> float:
    """Place of a sign change, to 1e-9 of the bracket.

    An integral of |difference| is stationary in its split points: brackets follow the local scale, so that this leaves
    an error of order 1e-18.
    """

    def at(y: float) -> float:
        return float(difference(np.array([y]))[0])

    if np.signbit(at(low)) == np.signbit(at(high)):  # the change was one of rounding: the laws are equal here
        return 0.5 * (low + high)
    return float(scipy.optimize.brentq(at, low, high, xtol=1e-9 * (high - low)))


def panel_rule(points: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Composite Gauss-Legendre nodes and weights, (panels, 16) each, on the intervals between points."""
    nodes, weights = np.polynomial.legendre.leggauss(_PANEL_NODES)
    half = 0.5 * np.diff(points)[:, None]
    return points[:-1, None] + half * (nodes + 1.0), half * weights


def grid_integral(p: Law, q: Law, term: Callable[[FloatArray, FloatArray], FloatArray]) -> tuple[float, float, int]:
    """Integral of a function of both log densities in rank 1 or 2, its change on half the grid, and the nodes."""
    grid = cover([p, q])
    values = term(p.log_prob(grid.nodes), q.log_prob(grid.nodes)).reshape(grid.shape)
    fine = float(values.sum()) * grid.cell
    coarse = float(values[(slice(None, None, 2),) * values.ndim].sum()) * grid.cell * 2**values.ndim
    return fine, abs(fine - coarse), values.size
