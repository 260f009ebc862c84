r"""Log density ratios at draws of two laws, without their normalising constants.

A pool without quadrature knows its density up to ``Z`` only, and estimating each ``log Z`` by itself leaves an error
that does not shrink as the laws approach each other. The draws of both laws determine the *difference* of the two: with
``l`` the unnormalised log ratio and c the unknown constant,

    E_{(p+q)/2} tanh((l - c)/2) = 1/2 int (p - q) = 0,

whose root over the n draws of each law is the bridge estimate of c (Bennett's acceptance ratio), of least variance
among estimates from these draws. Its influence function is ``T / D`` with ``T = tanh((l - c)/2)``,
``D = E (1 - T^2) / 2``, so its error is of the size of the distance between the laws over sqrt(n).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy  # submodules load on first use

from synthetic import EffectiveSampleSizeError, Law

from .._internal.aliases import Float64Array, FloatArray
from .._internal.validation import as_count
from ..errors import ModelError, NotFiniteError

_LARGEST_LOG_Z_ERROR = 0.05
_MOST_DRAWS = 1 << 26


@final
@dataclass(frozen=True, eq=False)
class DensityRatios:
    """``log p/q`` at n draws of p and of q (n,).

    ``bridged`` says that the normalisation was estimated from these draws; otherwise ``constant_error`` is the standard
    error of an independent estimate of it (0 if it is known).
    """

    at_p: Float64Array
    at_q: Float64Array
    bridged: bool
    constant_error: float

    def standard_error(self, at_p: FloatArray | float, at_q: FloatArray | float, slope: float) -> float:
        """Standard error of ``mean(at_p) + mean(at_q)``, terms (n,), whose derivative by the constant c is ``slope``.

        An error of a bridged constant is a mean over the same draws, to which it adds its influence on the terms.
        """
        n = len(self.at_p)
        if self.bridged:
            tanh_p, tanh_q = np.tanh(0.5 * self.at_p), np.tanh(0.5 * self.at_q)
            curvature = _curvature(tanh_p, tanh_q)
            at_p = at_p + slope * 0.5 * tanh_p / curvature
            at_q = at_q + slope * 0.5 * tanh_q / curvature
        variance = sum(float(np.var(terms, ddof=1)) / n for terms in (at_p, at_q) if np.ndim(terms))
        return float(np.hypot(np.sqrt(variance), slope * self.constant_error))


def density_ratios(p: Law, q: Law, n: int, rng: np.random.Generator) -> DensityRatios:
    """Draw n points of each law and compare the densities there; EffectiveSampleSizeError if a normalising constant is
    needed that these draws leave too uncertain.
    """
    as_count("n", n, at_least=2, at_most=_MOST_DRAWS, error=ModelError)  # two, or there is no standard error
    numerator, denominator = unnormalised(p), unnormalised(q)
    draws = (law.sample(n, rng=rng) for law in (p, q))
    at_p, at_q = (np.asarray(numerator(x) - denominator(x), np.float64) for x in draws)
    if np.isnan(at_p).any() or np.isnan(at_q).any():
        raise NotFiniteError("a log density is NaN, or both are infinite, at a point drawn from one of the laws")
    if is_normalised(p) and is_normalised(q):
        return DensityRatios(at_p, at_q, False, 0.0)
    constant, error = bridge_constant(at_p, at_q)
    if error <= _LARGEST_LOG_Z_ERROR:
        return DensityRatios(at_p - constant, at_q - constant, True, 0.0)
    # Laws without overlap: their own constants are all there is, and matter less.
    constant, error = 0.0, 0.0
    for law, sign in ((p, 1.0), (q, -1.0)):
        if not is_normalised(law):
            log_z = law.log_partition()  # type: ignore[attr-defined]  # a pool
            constant, error = constant + sign * log_z.value, float(np.hypot(error, log_z.stderr))
    if error > _LARGEST_LOG_Z_ERROR:
        raise EffectiveSampleSizeError(
            f"log Z of a pool is known to +-{error:.2g} only; a distance between these laws would mean nothing"
        )
    return DensityRatios(at_p - constant, at_q - constant, False, error)


def is_normalised(law: Law) -> bool:
    """Whether the law's log density is known with its constant: anything but a pool that needs the envelope."""
    return getattr(law, "partition_method", None) != "envelope"


def unnormalised(law: Law) -> Callable[[Float64Array], FloatArray]:
    """The law's log density, up to a constant where that is not known."""
    if not is_normalised(law):
        return lambda x: law.log_prob(x, normalized=False)  # type: ignore[call-arg]  # a pool
    return law.log_prob


def bridge_constant(at_p: Float64Array, at_q: Float64Array) -> tuple[float, float]:
    """Constant by which unnormalised log ratios (n,) at draws of p and q are off, and its standard error."""

    def imbalance(c: float) -> float:
        return float(np.tanh(0.5 * (at_p - c)).mean() + np.tanh(0.5 * (at_q - c)).mean())

    both = np.concatenate([at_p, at_q])
    both = both[np.isfinite(both)]
    if both.size == 0:
        return 0.0, float("inf")
    low, high = float(both.min()), float(both.max())
    constant = (
        low if low == high else float(scipy.optimize.brentq(imbalance, low - 1.0, high + 1.0, xtol=1e-13, rtol=1e-14))
    )
    tanh_p, tanh_q = np.tanh(0.5 * (at_p - constant)), np.tanh(0.5 * (at_q - constant))
    curvature = _curvature(tanh_p, tanh_q)
    if curvature < 10.0 / len(at_p):  # a handful of draws hold all the overlap
        return constant, float("inf")
    spread = np.sqrt((tanh_p.var(ddof=1) + tanh_q.var(ddof=1)) / (4.0 * len(at_p)))
    return constant, float(spread / curvature)


def _curvature(tanh_p: Float64Array, tanh_q: Float64Array) -> float:
    """``D = E_{(p+q)/2} (1 - T^2) / 2``: the overlap of the laws, at most 1/2."""
    return 0.25 * float((1.0 - tanh_p**2).mean() + (1.0 - tanh_q**2).mean())
