r"""Free energies of solvents on the line ``U_w = U_0 + w V``, ``V = U_water - U_vacuum`` (in units of kT).

Everything here is a function of samples of V: the states differ by a multiple of one number.

*Reference.* The multistate Bennett acceptance ratio of samples at weights ``w_k`` (N_k of them; Shirts and Chodera
2008), ``f_k = -log Z(w_k)``:

    exp(-f_k) = sum_n exp(-w_k V_n) / sum_j N_j exp(f_j - w_j V_n),

which also gives every other state of the line, and weights that turn all samples into samples of it.

*Annealed sampler.* Particles of the vacuum law are led along the line: at noise level zero the score of the pool is the
fused score, and what is left of the correction of the corrected sampler is the change of the weights: a step from w to
w + h multiplies a particle's weight by ``exp(-h V(x))``, whose mean is ``Z(w + h) / Z(w)`` without bias; resampling;
moves that leave the law at w + h as it is. The free energy of the pool of the two normalised laws is

    log Z_w = log int p_vacuum^(1 - w) p_water^w = A(w) - w A(1),       A(w) = log Z(w) - log Z(0) <= w A(1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from scipy.special import logsumexp

from sfbench._internal.aliases import Float64Array
from sfbench.sampling.resampling import effective_size, normalised, systematic

__all__ = ["Annealed", "Line", "anneal", "bennett", "normalised"]

_ROUNDS, _TOLERANCE = 10_000, 1e-10


@final
@dataclass(frozen=True)
class Line:
    """Samples of V at states of the line, with the free energies that make them consistent.

    Attributes
    ----------
    v : array (n,)
        Of all samples, state after state.
    log_density : array (n,)
        ``log sum_k N_k exp(f_k - w_k V_n)``.
    """

    v: Float64Array
    log_density: Float64Array

    def log_partition(self, w: float) -> float:
        """``log Z(w)`` up to one constant."""
        return float(logsumexp(self.log_weights(w)))

    def log_weights(self, w: float) -> Float64Array:
        """Log weights (n,), not normalised, that turn all samples into samples of the state at w."""
        return np.asarray(-w * self.v - self.log_density)

    def pool(self, w: float) -> float:
        """``log int p_vacuum^(1 - w) p_water^w``."""
        return self.log_partition(w) - (1 - w) * self.log_partition(0.0) - w * self.log_partition(1.0)


def bennett(samples: Sequence[Float64Array], weights: Sequence[float]) -> Line:
    """The states' free energies from samples of V at each; by fixed-point iteration."""
    v = np.concatenate(samples)
    w, log_n = np.asarray(weights, np.float64), np.log([len(s) for s in samples])
    f = np.zeros(len(w))
    for _ in range(_ROUNDS):
        log_density = logsumexp(log_n + f - v[:, None] * w, axis=1)
        new = -logsumexp(-v[:, None] * w - log_density[:, None], axis=0)
        new -= new[0]
        done = np.abs(new - f).max() < _TOLERANCE
        f = new
        if done:
            break
    return Line(v, np.asarray(logsumexp(log_n + f - v[:, None] * w, axis=1)))


@final
@dataclass(frozen=True)
class Annealed:
    """A run along the line.

    Attributes
    ----------
    levels : array (s + 1,)
        Weights from 0 to 1.
    log_partition : array (s + 1,)
        ``A`` at the levels.
    halfway, log_weights : arrays (n, d), (n,)
        Particles at w = 1/2.
    ess : array (s,)
        Effective share after each weighting.
    undone : float
        Share of moves that left the region and were undone.
    """

    levels: Float64Array
    log_partition: Float64Array
    halfway: Float64Array
    log_weights: Float64Array
    ess: Float64Array
    undone: float


def anneal(
    x: Float64Array,
    difference: Callable[[Float64Array], Float64Array],
    move: Callable[[Float64Array, float, np.random.Generator], Float64Array],
    inside: Callable[[Float64Array], "np.ndarray"],
    *,
    n_levels: int,
    threshold: float = 0.5,
    rng: np.random.Generator,
) -> Annealed:
    """Lead particles from w = 0 to w = 1.

    Parameters
    ----------
    x : array (n, d)
        Points of the law at w = 0.
    difference : function
        V at points (n, d), shape (n,).
    move : function ``(x, w, rng) -> x``
        Leaves the law at w invariant.
    inside : function
        Whether points lie in the region that all laws are conditioned on; a move out of it is undone.
    n_levels : int
        Even.
    threshold : float
        Resample when the effective share falls below.
    rng : Generator
    """
    levels = np.linspace(0.0, 1.0, n_levels + 1)
    log_weights, total, curve, ess, out = np.zeros(len(x)), 0.0, [0.0], [], 0
    halfway, at_half = x, log_weights
    for i, (before, w) in enumerate(pairwise(levels), start=1):
        log_weights = log_weights - (w - before) * difference(x)
        curve.append(total + float(logsumexp(log_weights)) - np.log(len(x)))
        ess.append(effective_size(log_weights))
        if ess[-1] < threshold:
            x = x[systematic(normalised(log_weights), rng, None)]
            total, log_weights = curve[-1], np.zeros(len(x))
        moved = move(x, float(w), rng)
        stay = ~inside(moved)
        out += int(stay.sum())
        x = np.where(stay[:, None], x, moved)
        if 2 * i == n_levels:
            halfway, at_half = x, log_weights
    return Annealed(levels, np.array(curve), halfway, at_half, np.array(ess), out / (n_levels * len(x)))
