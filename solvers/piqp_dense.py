"""PIQP: a proximal interior-point method (Schwan, Jiang, Kuhn and Jones 2023), through its dense interface.

Called directly: modelling layers route PIQP through its sparse interface, which is slower on dense P.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class Piqp:
    """Interior-point solver of the `piqp` library. Default `max_iter` is 250; `start` is not used."""

    name: ClassVar[str] = "piqp"
    requires: ClassVar[Requirement] = "quadratic"

    def solve(
        self,
        objective: SimplexQP,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: np.random.Generator | int,
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        import piqp

        began = perf_counter()
        k = objective.dim
        solver = piqp.DenseSolver()
        settings = solver.settings
        settings.eps_abs = settings.eps_rel = settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = min(
            0.01 * tol, 1e-9
        )
        settings.max_iter = 250 if max_iter is None else max_iter
        lower = np.zeros(k)
        # Symmetric, so the transpose is the same matrix in the column order that the library wants, without a copy.
        solver.setup(objective.P.T, objective.q, np.ones((1, k)), np.ones(1), None, None, None, lower, None)
        built = perf_counter() - began
        status = solver.solve()
        limited = status == piqp.PIQP_MAX_ITER_REACHED
        return Candidate(np.array(solver.result.x), int(solver.result.info.iter), exhausted=limited, build_s=built)
