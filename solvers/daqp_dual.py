"""DAQP: a dual active-set method (Arnstrom, Bemporad and Axehill 2022), called directly.

It may raise or report infeasibility on singular P; its proximal-point mode then helps, and the certificate judges.
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

_EQUALITY = 5
_ITERATION_LIMIT = -4


@dataclass(frozen=True)
class Daqp(AbstractLibrarySolver):
    """Dual active-set solver of the `daqp` library. Default `max_iter` is ``1000 + 10 k``; `start` is not used."""

    name: ClassVar[str] = "daqp"

    def prepared(self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import daqp

        k = objective.dim
        ones, upper, lower, sense = _simplex(k)
        limit = 1000 + 10 * k if max_iter is None else max_iter
        P, q = objective.P.copy(), objective.q.copy()  # the library may write to its inputs

        def run() -> tuple[Vector, int, bool]:
            x, _, flag, info = daqp.solve(
                P, q, ones, upper, lower, sense.copy(), primal_tol=1e-12, dual_tol=1e-12, iter_limit=limit
            )
            limited = flag == _ITERATION_LIMIT
            if flag < 1 and not limited:
                raise SolverFailureError(f"daqp stopped with exit flag {flag}; use solver='auto'")
            if limited and not x.any():  # stopped before it had an iterate
                x = np.full(k, 1.0 / k)
            return x, info["iterations"], limited

        return run


@functools.lru_cache(maxsize=16)
def _simplex(k: int) -> tuple[Matrix, Vector, Vector, NDArray[np.int32]]:
    """The row of the sum, upper and lower bounds, and kinds of constraint: the same for every problem of one size."""
    upper, lower = np.ones(k + 1), np.zeros(k + 1)
    lower[k] = 1.0
    sense = np.zeros(k + 1, dtype=np.int32)
    sense[k] = _EQUALITY
    return np.ones((1, k)), upper, lower, sense
