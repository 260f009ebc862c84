"""DAQP: a dual active-set method (Arnstrom, Bemporad and Axehill 2022), called directly.

The method needs P nonsingular, else it turns to proximal steps that stop at 1e-11 to 1e-7. On the simplex P may be
replaced by ``P + 11'`` (f changes by a constant), which is nonsingular whenever P is definite along the simplex: then
the answer is exact to rounding, also for a Gram matrix relative to one of its members, which has a row of zeros. Where
P is singular along the simplex too, the library may stop with an error; a heavier proximal term then helps, and the
certificate judges.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import AbstractLibrarySolver, Run
from .errors import SolverFailureError
from .problem import Matrix, SimplexQP, Vector

EQUALITY = 5
_LIMITS = (-4, -7)  # exit flags of the limits of iterations and of time
_PROXIMITIES = (None, 1e-3)  # None is the library's own choice
_LONGEST = 1e9  # seconds; the library takes no infinity


@dataclass(frozen=True)
class Daqp(AbstractLibrarySolver):
    """Dual active-set solver of the `daqp` library. Default `max_iter` is ``1000 + 10 k``; `start` is not used."""

    name: ClassVar[str] = "daqp"

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import daqp

        k = objective.dim
        ones, upper, lower, sense = simplex(k)
        border = objective.definite and not objective.nonsingular
        P = objective.P + 1.0 if border else objective.P
        settings = {
            "primal_tol": 1e-12,
            "dual_tol": 1e-12,
            "iter_limit": 1000 + 10 * k if max_iter is None else max_iter,
            "time_limit": min(time_limit, _LONGEST),
        }

        def run() -> tuple[Vector, int, bool]:
            for proximity in _PROXIMITIES:
                if proximity is not None:
                    settings["eps_prox"] = proximity
                # Copies: the library may write to its inputs.
                found, _, flag, info = daqp.solve(
                    P.copy(), objective.q.copy(), ones, upper, lower, sense.copy(), **settings
                )
                if flag >= 1:
                    return found, info["iterations"], False
                if flag in _LIMITS:  # perhaps before there was an iterate
                    return found if found.any() else np.full(k, 1.0 / k), info["iterations"], True
            raise SolverFailureError(f"daqp stopped with exit flag {flag}; use solver='auto'")

        return run


@functools.lru_cache(maxsize=16)
def simplex(k: int) -> tuple[Matrix, Vector, Vector, NDArray[np.int32]]:
    """The row of the sum, upper and lower bounds, and kinds of constraint: the same for every problem of one size."""
    upper, lower = np.ones(k + 1), np.zeros(k + 1)
    lower[k] = 1.0
    sense = np.zeros(k + 1, dtype=np.int32)
    sense[k] = EQUALITY
    return np.ones((1, k)), upper, lower, sense
