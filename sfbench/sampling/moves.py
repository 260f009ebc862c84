r"""Langevin moves that leave the pool of the noised laws (almost) invariant.

At time t the particles target ``prod_i p_{i,t}^{w_i}``, whose score is the fused score itself. Unadjusted steps

    x' = x + epsilon/2 s_w(x, t) + sqrt(epsilon) z,        epsilon = size * sigma_t^2,

leave it invariant up to ``O(epsilon)``; adjusted ones (MALA) exactly, but need densities.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from .._arrays import Normals, device_of, library, on_device, to_host
from .._typing import Array, Float64Array
from .._validation import as_count, as_flag, as_positive
from ..errors import ModelError
from ..scores import AnalyticScore, FusedScore
from .integrators import Noise, ReverseProcess, Score, langevin


@final
@dataclass(frozen=True)
class LangevinMoves:
    """Moves applied at every time.

    Parameters
    ----------
    steps : int
        Moves per time; one score evaluation each (adjusted moves: two, and two densities).
    size : float
        ``epsilon / sigma_t^2``.
    adjusted : bool
        Accept or reject by Metropolis-Hastings; every active model must be an :class:`AnalyticScore`.
    """

    steps: int = 1
    size: float = 0.3
    adjusted: bool = False

    def __post_init__(self) -> None:
        as_count("steps", self.steps)
        as_positive("size", self.size)
        as_flag("adjusted", self.adjusted)

    def apply(self, score: Score, fused: FusedScore, x: Array, t: float, noise: Noise, normals: Normals) -> Array:
        """Move points x (n, d) at time t."""
        for _ in range(self.steps):
            x = (
                self._adjusted(score, fused, x, t, noise, normals)
                if self.adjusted
                else langevin(ReverseProcess(score, fused.process, noise), x, t, self.size)
            )
        return x

    def _adjusted(self, score: Score, fused: FusedScore, x: Array, t: float, noise: Noise, normals: Normals) -> Array:
        step = self.size * float(fused.process.sigma(t)) ** 2
        s = score(x, t)
        proposal = x + 0.5 * step * s + math.sqrt(step) * noise(x)
        back = score(proposal, t)
        xp, device = library(x), device_of(x)
        there = xp.einsum("nd,nd->n", *(2 * [proposal - x - 0.5 * step * s]))
        home = xp.einsum("nd,nd->n", *(2 * [x - proposal - 0.5 * step * back]))
        log_ratio = on_device(pool_log_density(fused, proposal, t) - pool_log_density(fused, x, t), device)
        log_ratio += (there - home) / (2 * step)
        accepted = xp.log(normals.uniform((len(x),))) < log_ratio
        moved: Array = xp.where(accepted[:, None], proposal, x)
        return moved


def pool_log_density(fused: FusedScore, x: Array, t: float) -> Float64Array:
    """Unnormalised log density ``sum_i w_i log p_{i,t}`` at x (n, d), shape (n,), on the host."""
    x = to_host(x)
    total = np.zeros(len(x))
    weights = fused.weights_at(t)
    for i in np.flatnonzero(weights):
        model = fused.models[i]
        if not isinstance(model, AnalyticScore):
            raise ModelError(
                f"adjusted moves need densities, and models[{i}] is a {type(model).__name__} with a score only; "
                "use LangevinMoves(adjusted=False)"
            )
        total += weights[i] * model.marginal(t).log_prob(x)
    return total
