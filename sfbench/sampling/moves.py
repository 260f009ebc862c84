r"""Langevin moves that leave the pool of the noised laws (almost) invariant.

At time t the particles target ``prod_i p_{i,t}^{w_i}``, whose score is the fused score itself. Steps

    x' = x + epsilon/2 s_w(x, t) + sqrt(epsilon) z,        epsilon = size * sigma_t^2,

leave it invariant up to ``O(epsilon)``.
"""

from dataclasses import dataclass
from typing import final

from .._internal.aliases import Array
from .._internal.validation import as_count, as_positive
from .integrators import ReverseProcess, langevin


@final
@dataclass(frozen=True)
class LangevinMoves:
    """Moves applied at every time.

    Parameters
    ----------
    steps : int
        Moves per time; one score evaluation each.
    size : float
        ``epsilon / sigma_t^2``.
    """

    steps: int = 1
    size: float = 0.3

    def __post_init__(self) -> None:
        as_count("steps", self.steps)
        as_positive("size", self.size)

    def apply(self, reverse: ReverseProcess, x: Array, t: float) -> Array:
        """Move points x (n, d) at time t."""
        for _ in range(self.steps):
            x = langevin(reverse, x, t, self.size)
        return x
