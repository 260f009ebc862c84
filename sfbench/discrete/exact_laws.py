r"""Laws of jump chains by Kolmogorov's equation on all states, and the certificate of one fit.

Forward in lambda, ``dP(y) = ( sum_x P(x) r(x -> y) - P(y) e(y) ) d lambda``, with e the total rate of the chain; for
corrected particles e is ``A_w``, and P loses mass: its total at the end is ``Z``.

**Certificate** (Girsanov for jump processes, and data processing): for any weights, models, target and start pi,

    KL(q_high || P_high) <= KL(q_low || pi) + int E_{q} sum_y [ r_w - r_q + r_q log(r_q / r_w) ] d lambda,

both ends in log-odds. The integral is the score entropy J(w) of :mod:`sfbench.discrete.terms`.
"""

from typing import Literal

import numpy as np
import scipy  # submodules load on first use

from synthetic.discrete import DiscreteLaw, all_states
from synthetic.discrete.law import numbers_of

from .._internal.aliases import Float64Array
from ..bounds import Bound
from .models import FusedRates
from .noise import DiscreteNoise, MaskedNoise
from .terms import population_terms

Window = tuple[float, float]


def start_law(noise: DiscreteNoise, length: int, log_odds: float) -> Float64Array:
    """Noise with nothing of the data in it, (symbols^L,): kept sites hold uniform values, so no state is impossible."""
    alpha = float(scipy.special.expit(log_odds)) if isinstance(noise, MaskedNoise) else 1.0
    site = np.full(noise.symbols, alpha / noise.alphabet)
    if isinstance(noise, MaskedNoise):
        site[-1] = 1.0 - alpha
    out = np.ones(1)
    for _ in range(length):
        out = np.outer(out, site).ravel()
    return out


def noised_law(law: DiscreteLaw, noise: DiscreteNoise, log_odds: float) -> Float64Array:
    """``p_t`` of every noised state, (symbols^L,)."""
    states = all_states(noise.symbols, law.length)
    return np.exp(law.infer(noise.evidence(states, log_odds))[0])


def chain_law(
    fused: FusedRates,
    window: Window,
    law: Literal["fused", "switched", "corrected"] = "fused",
    *,
    start: Float64Array | None = None,
    tol: float = 1e-9,
) -> Float64Array:
    """Law (symbols^L,) of a chain at the upper end of a window of log-odds, started at the lower end.

    Parameters
    ----------
    law : {"fused", "switched", "corrected"}
        Rates ``r_w``; ``sum_i w_i r_i``; or r_w with loss of mass ``V``: the result then sums to Z's ratio over the
        window.
    start : array (symbols^L,), optional
        Law at the lower end; without, :func:`start_law`.
    tol : float
        Tolerance of the integration, relative and absolute.
    """
    noise = fused.noise
    states = all_states(noise.symbols, fused.length)
    place = noise.symbols ** np.arange(fused.length - 1, -1, -1)
    shift = (np.arange(noise.alphabet) - states[:, :, None]) * place[:, None]
    targets = (numbers_of(states, noise.symbols)[:, None, None] + shift).ravel()
    weights = fused.weights[fused.active]

    def change(odds: float, p: Float64Array) -> Float64Array:
        rates = fused.rates(states, odds)
        jumps = np.einsum("a,anls->nls", weights, rates.each) if law == "switched" else rates.fused
        leaving = rates.mean if law == "corrected" else jumps.sum(axis=(1, 2))
        arriving = np.bincount(targets, (p[:, None, None] * jumps).ravel(), len(p))
        return np.asarray(arriving - p * leaving)

    p0 = start_law(noise, fused.length, window[0]) if start is None else start
    return np.asarray(scipy.integrate.solve_ivp(change, window, p0, "DOP853", rtol=tol, atol=tol * 1e-3).y[:, -1])


def certificate(fused: FusedRates, target: DiscreteLaw, window: Window, n_nodes: int = 64) -> Bound:
    """Bound on ``KL(q || P_w)`` at the upper end of a window of log-odds, by enumeration.

    **Guarantee**: upper. **Assumptions**: the chain starts from :func:`start_law`; the target has full support.
    """
    noise = fused.noise
    low = noised_law(target, noise, window[0])
    mismatch = float(scipy.special.rel_entr(low, start_law(noise, fused.length, window[0])).sum())
    j = population_terms(fused.models, target, window, n_nodes).score_entropy().value(fused.weights)
    assumptions = ("exact posteriors of the target", f"{n_nodes} Gauss-Legendre nodes in the log-odds")
    return Bound(max(mismatch + j, 0.0), "KL(q || fused jump law) by Girsanov's theorem", "upper", assumptions)
