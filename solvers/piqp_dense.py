"""PIQP: a proximal interior-point method (Schwan, Jiang, Kuhn and Jones 2023), through its dense interface.

Called directly: modelling layers route PIQP through its sparse interface, which is slower on dense P. The library has
no time limit; its iteration limit, of one factorisation each, is what ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class Piqp(AbstractLibrarySolver):
    """Interior-point solver of the `piqp` library. Default `max_iter` is 250; `start` is not used."""

    name: ClassVar[str] = "piqp"
    interior: ClassVar[bool] = True

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import piqp

        k = objective.dim
        solver = piqp.DenseSolver()
        settings = solver.settings
        settings.eps_abs = settings.eps_rel = settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = min(
            0.01 * tol, 1e-9
        )
        settings.max_iter = 250 if max_iter is None else max_iter
        # Symmetric, so the transpose is the same matrix in the column order that the library wants, without a copy.
        P, ones, lower = objective.P.T, np.ones((1, k)), np.zeros(k)
        solver.setup(P, objective.q, ones, np.ones(1), None, None, None, lower, None)

        def run() -> tuple[Vector, int, bool]:
            status = solver.solve()
            found = solver.result
            return np.array(found.x), int(found.info.iter), status == piqp.PIQP_MAX_ITER_REACHED

        return run
