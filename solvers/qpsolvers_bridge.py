"""qpsolvers: a bridge to every QP library that package finds (LGPL, hence an optional extra)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .base import AbstractLibrarySolver, Run
from .errors import ArgumentTypeError, InvalidArgumentError, SolverFailureError
from .problem import SimplexQP, Vector

_TIGHT: dict[str, dict[str, Any]] = {
    "highs": {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    "clarabel": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    "osqp": {"eps_abs": 1e-10, "eps_rel": 0.0, "polishing": True, "max_iter": 50_000},
    "proxqp": {"eps_abs": 1e-11, "eps_rel": 0.0},
    "piqp": {"eps_abs": 1e-12, "eps_rel": 1e-12},
    "scs": {"eps_abs": 1e-10, "eps_rel": 0.0, "max_iters": 100_000},
}
# HiGHS, OSQP, Clarabel and DAQP count in seconds; the others are ended by their iteration limits.
_TIME_OPTION = {"highs": "time_limit", "osqp": "time_limit", "clarabel": "time_limit", "daqp": "time_limit"}
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
    interior: ClassVar[bool] = True

    def prepared(
        self, objective: SimplexQP, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import qpsolvers

        k = objective.dim
        if not isinstance(self.backend_options, dict):
            raise ArgumentTypeError(f"backend_options must be a dict, got a {type(self.backend_options).__name__}")
        if not isinstance(self.backend, str) or self.backend not in qpsolvers.available_solvers:
            raise InvalidArgumentError(
                f"backend: qpsolvers finds {qpsolvers.available_solvers}, not {self.backend!r}; install it first"
            )
        # Copies: the libraries behind the bridge may write to their inputs.
        problem = qpsolvers.Problem(
            objective.P.copy(), objective.q.copy(), A=np.ones((1, k)), b=np.ones(1), lb=np.zeros(k), ub=np.ones(k)
        )
        options = dict(_TIGHT.get(self.backend, {}))
        if self.backend in _TIME_OPTION:
            options[_TIME_OPTION[self.backend]] = min(time_limit, 1e9)
        options.update(self.backend_options)
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
