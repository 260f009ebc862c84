"""ProxQP: a proximal augmented-Lagrangian method (Bambade, El-Kazdadi, Taylor and Carpentier 2022), dense, with boxes.

Its default tolerance misses by 1e-3 on these problems and it can hang on bad input; tolerances are set and the input is
checked before it gets here. The library has no time limit; its limits of outer and inner iterations are what end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class Proxqp(AbstractLibrarySolver):
    """Solver of the `proxsuite` library. Default `max_iter` is 1000 outer iterations."""

    name: ClassVar[str] = "proxqp"
    interior: ClassVar[bool] = True

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        from proxsuite import proxqp

        k = objective.dim
        qp = proxqp.dense.QP(k, 1, 0, True)
        qp.settings.eps_abs = min(0.01 * tol, 1e-11)
        qp.settings.eps_rel = 0.0
        # Small residuals alone leave a gap of 1e-9 on singular P.
        qp.settings.check_duality_gap = True
        qp.settings.eps_duality_gap_abs = min(0.01 * tol, 1e-11)
        qp.settings.eps_duality_gap_rel = 0.0
        qp.settings.max_iter = 1000 if max_iter is None else max_iter
        qp.init(objective.P, objective.q, np.ones((1, k)), np.ones(1), None, None, None, np.zeros(k), np.ones(k))

        def run() -> tuple[Vector, int, bool]:
            if start is None:
                qp.solve()
            else:
                qp.solve(start, None, None)
            info = qp.results.info
            return np.array(qp.results.x), int(info.iter), info.status == proxqp.PROXQP_MAX_ITER_REACHED

        return run
