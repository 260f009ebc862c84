r"""cvxpy: any of its solvers, and any extra convex constraint on the weights.

The objective writes itself as a cvxpy expression (`ConicObjective.conic`): a quadratic form, an exponential cone, ...

With extra constraints the feasible set is C, a convex subset of the simplex, and the duality gap becomes
:math:`\langle g, w \rangle - \min_{v \in C} \langle g, v \rangle`; the minimum is one more conic problem.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import AbstractLibrarySolver, Requirement, Run
from .errors import SolverFailureError
from .problem import ConicObjective, Matrix, Vector

_TIGHT: dict[str, dict[str, Any]] = {
    "CLARABEL": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    "SCS": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iters": 100_000},
    "OSQP": {"eps_abs": 1e-10, "eps_rel": 1e-10, "polishing": True, "max_iter": 100_000},
    "HIGHS": {"time_limit": 60.0},
    "PROXQP": {"eps_abs": 1e-11, "eps_rel": 0.0},
    "PIQP": {"eps_abs": 1e-12, "eps_rel": 1e-12},
}
_ITERATION_OPTION = {"SCS": "max_iters", "HIGHS": "simplex_iteration_limit"}


@dataclass(frozen=True)
class Cvxpy(AbstractLibrarySolver):
    """Conic modelling with `cvxpy`.

    Parameters
    ----------
    cvxpy_solver : str
        Any name in ``cvxpy.installed_solvers()``.
    constraints : callable, optional
        Given the cvxpy variable w (k,), returns a sequence of cvxpy constraints, for example
        ``lambda w: [w <= 0.5, cvxpy.sum(cvxpy.entr(w)) >= 0.7]``; or a single one.
    solver_options : dict
        Passed to ``cvxpy.Problem.solve``, over tight defaults.
    """

    cvxpy_solver: str = "CLARABEL"
    constraints: Callable[[Any], Sequence[Any]] | None = None
    solver_options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "cvxpy"
    requires: ClassVar[Requirement] = "conic"

    def prepared(self, objective: ConicObjective, tol: float, max_iter: int | None, start: Vector | None) -> Run:
        """See `AbstractLibrarySolver.prepared`."""
        import cvxpy

        installed = cvxpy.installed_solvers()
        if str(self.cvxpy_solver).upper() not in installed:
            raise ValueError(f"cvxpy finds the solvers {installed}, not {self.cvxpy_solver!r}; install it first")
        w = cvxpy.Variable(objective.dim, nonneg=True)
        problem = cvxpy.Problem(cvxpy.Minimize(objective.conic(cvxpy, w)), [cvxpy.sum(w) == 1, *self._extra(w)])
        if not problem.is_dcp():
            raise ValueError("cvxpy cannot verify that the constraints are convex; write them by its DCP rules")

        def run() -> tuple[Vector, int, bool]:
            n_iter = self._run(problem, max_iter)
            return _value(w, problem), n_iter, problem.status != "optimal"

        return run

    @property
    def linear_minimum(self) -> Callable[[Vector], float] | None:
        """Minimum of ``<gradient, v>`` over the constrained set; None without extra constraints."""
        return None if self.constraints is None else self._linear_minimum

    def _linear_minimum(self, gradient: Vector) -> float:
        import cvxpy

        v = cvxpy.Variable(len(gradient), nonneg=True)
        problem = cvxpy.Problem(cvxpy.Minimize(gradient @ v), [cvxpy.sum(v) == 1, *self._extra(v)])
        self._run(problem, None)
        return float(gradient @ _value(v, problem))

    def _extra(self, w: Any) -> Sequence[Any]:
        if self.constraints is None:
            return ()
        extra = self.constraints(w)
        return extra if isinstance(extra, Sequence) else (extra,)

    def _run(self, problem: Any, max_iter: int | None) -> int:
        import cvxpy

        name = self.cvxpy_solver.upper()
        options = {**_TIGHT.get(name, {}), **self.solver_options}
        if max_iter is not None:
            options[_ITERATION_OPTION.get(name, "max_iter")] = max_iter
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "may be inaccurate": the certificate says by how much
                problem.solve(solver=name, **options)
        except (cvxpy.error.SolverError, ValueError) as error:
            raise SolverFailureError(f"cvxpy with {name} failed: {error}") from error
        return int(problem.solver_stats.num_iters or 0)


def smoothed_over_time(P: NDArray[np.float64], q: Matrix, amount: float) -> tuple[Matrix, Matrix, int]:
    """Weights (B, k) of ``sum_b f_b(w_b) + amount * sum_b |w_{b+1} - w_b|_1``, multipliers (B-1, k), iterations.

    `P` (B, k, k), `q` (B, k); see `solvers.over_time`.
    """
    import cvxpy

    B, k = q.shape
    w = cvxpy.Variable((B, k), nonneg=True)
    jump = cvxpy.Variable((B - 1, k))
    cost = sum(0.5 * cvxpy.quad_form(w[b], P[b], assume_PSD=True) + q[b] @ w[b] for b in range(B))
    tie = jump == w[1:] - w[:-1]
    problem = cvxpy.Problem(
        cvxpy.Minimize(cost + amount * cvxpy.sum(cvxpy.abs(jump))), [cvxpy.sum(w, axis=1) == 1, tie]
    )
    n_iter = Cvxpy()._run(problem, None)
    return _value(w, problem), np.asarray(tie.dual_value), n_iter


def _value(w: Any, problem: Any) -> Vector:
    if w.value is None:
        raise SolverFailureError(
            f"cvxpy reports {problem.status!r}; with extra constraints, check that some point of the simplex meets them"
        )
    return np.asarray(w.value, dtype=np.float64)
