"""ProxQP: a proximal augmented-Lagrangian method (Bambade, El-Kazdadi, Taylor and Carpentier 2022), dense, with boxes.

Its default tolerance misses by 1e-3 on these problems and it can hang on bad input; tolerances are set and the input is
checked before it gets here.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class Proxqp:
    """Solver of the `proxsuite` library. Default `max_iter` is 1000 outer iterations."""

    name: ClassVar[str] = "proxqp"
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
        from proxsuite import proxqp

        began = perf_counter()
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
        built = perf_counter() - began
        if start is None:
            qp.solve()
        else:
            qp.solve(start, None, None)
        limited = qp.results.info.status == proxqp.PROXQP_MAX_ITER_REACHED
        return Candidate(np.array(qp.results.x), int(qp.results.info.iter), exhausted=limited, build_s=built)
