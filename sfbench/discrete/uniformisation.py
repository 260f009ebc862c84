r"""Uniformisation: the chain without time steps. For masked noise this is the first-hitting sampler.

Candidate events come at a rate ``B(x)`` that bounds the total rate of every law (`DiscreteNoise.largest_rate`). At an
event the particle jumps to y with probability ``r(x -> y) / B``, else it stays: exactly the chain of rates r.

The Feynman-Kac semigroup of the KL barycenter has the generator ``sum_y r_w f(y) - A_w f(x)``, which is ``B (K - 1)``
with ``K f = sum_y r_w / B f(y) + (1 - A_w / B) f(x)`` of mass ``1 - V / B``: the particle moves by K normalised, and
its weight is multiplied by the mass. No error of time steps is left. For masked noise ``A_w = B``: every event fills
one mask, and the weight is the mean over masks of ``sum_v prod_i P_i(v)^{w_i}``.
"""

import math

import numpy as np

from synthetic.discrete.law import draw_columns

from .._internal.aliases import Float64Array
from ..errors import ModelError
from .models import FusedRates
from .noise import States

_ROUNDING = 1e-6


def uniformise(
    fused: FusedRates, x: States, here: float, there: float, law: str, rng: np.random.Generator
) -> tuple[States, Float64Array, int]:
    """States at log-odds ``there``, log weights (n,) of the way, and rows evaluated."""
    noise, weights = fused.noise, fused.weights[fused.active]
    x, log_weights, rows = x.copy(), np.zeros(len(x)), 0
    active, at = np.arange(len(x)), np.full(len(x), here)
    while True:
        at = noise.next_event(x[active], at, rng)
        going = at < there
        active, at = active[going], at[going]
        if not len(active):
            return x, log_weights, rows
        rows += len(active)
        present = x[active]
        rates, bound = fused.rates(present, at), noise.largest_rate(present, at)
        if not np.all(rates.mean <= bound * (1.0 + _ROUNDING)):
            raise ModelError("rates exceed those of any law, so the models' posteriors are not posteriors")
        jumps = rates.fused
        if law == "switched":
            jumps = rates.each[rng.choice(len(weights), size=len(active), p=weights), np.arange(len(active))]
        moving = jumps.sum(axis=(1, 2)) / bound
        if law == "corrected":
            rest = 1.0 - rates.mean / bound
            mass = moving + np.where(rest < _ROUNDING, 0.0, rest)
            with np.errstate(divide="ignore"):
                log_weights[active] += np.log(mass)
            moving = np.divide(moving, mass, out=np.zeros_like(mass), where=mass > 0)
            alive = mass > 0
            active, at, jumps, moving = active[alive], at[alive], jumps[alive], moving[alive]
        moved = np.flatnonzero(rng.random(len(active)) < moving)
        where = draw_columns(jumps[moved].reshape(len(moved), math.prod(jumps.shape[1:])), rng)
        x[active[moved], where // noise.alphabet] = where % noise.alphabet
