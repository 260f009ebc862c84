"""qpsolvers: a bridge to every QP library that package finds (LGPL, hence an optional extra)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .errors import SolverFailureError
from .problem import SimplexQP, Vector

_TIGHT: dict[str, dict[str, Any]] = {
    # HiGHS can cycle on some rank-deficient problems, so it never runs without a time limit.
    "highs": {"time_limit": 60.0, "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    "clarabel": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    "osqp": {"eps_abs": 1e-10, "eps_rel": 0.0, "polishing": True, "max_iter": 50_000},
    "proxqp": {"eps_abs": 1e-11, "eps_rel": 0.0},
    "piqp": {"eps_abs": 1e-12, "eps_rel": 1e-12},
    "scs": {"eps_abs": 1e-10, "eps_rel": 0.0, "max_iters": 100_000},
}
_ITERATION_OPTION = {"highs": "qp_iteration_limit", "scs": "max_iters", "daqp": "iter_limit"}


@dataclass(frozen=True)
class Qpsolvers(AbstractLibrarySolver):
    """Bridge to `qpsolvers`.

    Parameters
    ----------
    backend : str
        A name in ``qpsolvers.available_solvers``.
    backend_options : dict
        Passed on, over tight defaults.
    """

    backend: str = "clarabel"
    backend_options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "qpsolvers"

    def prepared(self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import qpsolvers

        k = objective.dim
        if self.backend not in qpsolvers.available_solvers:
            raise ValueError(f"qpsolvers finds {qpsolvers.available_solvers}, not {self.backend!r}; install it first")
        # Copies: the libraries behind the bridge may write to their inputs.
        problem = qpsolvers.Problem(
            objective.P.copy(), objective.q.copy(), A=np.ones((1, k)), b=np.ones(1), lb=np.zeros(k), ub=np.ones(k)
        )
        options = {**_TIGHT.get(self.backend, {}), **self.backend_options}
        if max_iter is not None:
            options[_ITERATION_OPTION.get(self.backend, "max_iter")] = max_iter

        def run() -> tuple[Vector, int, bool]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = qpsolvers.solve_problem(problem, self.backend, initvals=start, **options)
            if found.x is None:
                if max_iter is not None:  # most bridges keep no iterate when stopped early
                    return np.full(k, 1.0 / k), max_iter, True
                raise SolverFailureError(f"qpsolvers with {self.backend!r} returned no solution: {found.extras}")
            info = found.extras.get("info")
            return np.array(found.x), int(info.get("iter", 0)) if isinstance(info, dict) else 0, not found.found

        return run
