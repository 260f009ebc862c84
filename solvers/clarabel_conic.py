"""Clarabel: a homogeneous interior-point method (Goulart and Chen 2024), called directly without a modelling layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class Clarabel(AbstractLibrarySolver):
    """Solver of the `clarabel` library. Default `max_iter` is 200; `start` is not used."""

    name: ClassVar[str] = "clarabel"
    interior: ClassVar[bool] = True

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import clarabel
        from scipy import sparse

        k = objective.dim
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_iter = 200 if max_iter is None else max_iter
        settings.time_limit = time_limit
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = min(0.01 * tol, 1e-12)
        # A x + s = b: one zero-cone row for the sum, k non-negative rows for w = s.
        A = sparse.vstack([np.ones((1, k)), -sparse.identity(k)], format="csc")
        b = np.zeros(k + 1)
        b[0] = 1.0
        cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(k)]
        upper = sparse.csc_matrix(np.triu(objective.P))
        solver = clarabel.DefaultSolver(upper, objective.q, A, b, cones, settings)

        def run() -> tuple[Vector, int, bool]:
            found = solver.solve()
            limited = found.status in (clarabel.SolverStatus.MaxIterations, clarabel.SolverStatus.MaxTime)
            return np.array(found.x), int(found.iterations), limited

        return run
