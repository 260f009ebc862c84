"""OSQP: operator splitting (Stellato, Banjac, Goulart, Bemporad and Boyd 2020), with polishing.

Its default tolerance of 1e-3 is far too loose for weights; it is tightened and the polishing step is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .problem import SimplexQP, Vector

_LONGEST = 1e9  # seconds; the library takes no infinity


@dataclass(frozen=True)
class Osqp(AbstractLibrarySolver):
    """Solver of the `osqp` library. Default `max_iter` is 50,000."""

    name: ClassVar[str] = "osqp"
    interior: ClassVar[bool] = True

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import osqp
        from scipy import sparse

        k = objective.dim
        bounds = sparse.vstack([np.ones((1, k)), sparse.identity(k)], format="csc")
        lower, upper = np.zeros(k + 1), np.ones(k + 1)
        lower[0] = 1.0
        solver = osqp.OSQP()
        solver.setup(
            sparse.csc_matrix(np.triu(objective.P)),
            objective.q,
            bounds,
            lower,
            upper,
            verbose=False,
            eps_abs=min(0.01 * tol, 1e-10),
            eps_rel=0.0,
            polishing=True,
            max_iter=50_000 if max_iter is None else max_iter,
            time_limit=min(time_limit, _LONGEST),
        )
        if start is not None:
            solver.warm_start(x=start)

        def run() -> tuple[Vector, int, bool]:
            found = solver.solve(raise_error=False)
            limits = (osqp.SolverStatus.OSQP_MAX_ITER_REACHED, osqp.SolverStatus.OSQP_TIME_LIMIT_REACHED)
            limited = found.info.status_val in limits
            return np.array(found.x), int(found.info.iter), limited

        return run
