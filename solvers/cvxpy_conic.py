r"""cvxpy: any of its solvers, and any extra convex constraint on the weights.

The objective writes itself as a cvxpy expression (`ConicObjective.conic`): a quadratic form, an exponential cone, ...

With extra constraints the feasible set is C, a convex subset of the simplex, and the duality gap becomes
:math:`\langle g, w \rangle - \min_{v \in C} \langle g, v \rangle`; the minimum is one more conic problem.

Translating a problem takes longer than solving it. `Cvxpy.compiled` translates once for all quadratic problems of one
dimension, with parameters in place of the numbers: :math:`\tfrac12 \|Lw\|^2 + q'w` with :math:`P = L'L`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Candidate, Requirement, Seed
from .errors import ArgumentTypeError, InvalidArgumentError, SolverFailureError
from .problem import ConicObjective, Matrix, SimplexQP, Vector

_TIGHT: dict[str, dict[str, Any]] = {
    "CLARABEL": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    "SCS": {"eps_abs": 1e-10, "eps_rel": 1e-10, "max_iters": 100_000},
    "OSQP": {"eps_abs": 1e-10, "eps_rel": 1e-10, "polishing": True, "max_iter": 100_000},
    "PROXQP": {"eps_abs": 1e-11, "eps_rel": 0.0},
    "PIQP": {"eps_abs": 1e-12, "eps_rel": 1e-12},
}
_ITERATION_OPTION = {"SCS": "max_iters", "HIGHS": "simplex_iteration_limit"}
# The others are ended by their iteration limits.
_TIME_OPTION = {"CLARABEL": "time_limit", "OSQP": "time_limit", "HIGHS": "time_limit", "SCS": "time_limit_secs"}
_LONGEST = 1e9  # seconds; the libraries take no infinity


@dataclass(frozen=True)
class Cvxpy:
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
    constraints: Callable[[Any], Any] | None = None
    solver_options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "cvxpy"
    interior: ClassVar[bool] = True
    requires: ClassVar[Requirement] = "conic"

    def __post_init__(self) -> None:
        if self.constraints is not None and not callable(self.constraints):
            raise ArgumentTypeError(
                f"constraints must be a function of the cvxpy variable w, got a {type(self.constraints).__name__}; "
                "write lambda w: [w <= 0.5]"
            )
        if not isinstance(self.solver_options, dict):
            raise ArgumentTypeError(f"solver_options must be a dict, got a {type(self.solver_options).__name__}")

    def solve(
        self,
        objective: ConicObjective,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`; `start` is not used."""
        began = perf_counter()
        import cvxpy

        model = _Model(self, objective.dim, lambda w: objective.conic(cvxpy, w))
        return model.candidate(max_iter, time_limit, began)

    def compiled(self, k: int) -> CompiledCvxpy:
        """The same solver for any number of quadratic problems of dimension `k`, translated once."""
        return CompiledCvxpy(self, k)

    @property
    def linear_minimum(self) -> Callable[[Vector], float] | None:
        """Minimum of ``<gradient, v>`` over the constrained set; None without extra constraints."""
        return None if self.constraints is None else lambda gradient: _LinearModel(self, len(gradient))(gradient)


class CompiledCvxpy:
    """`Cvxpy` with problems translated once; for one dimension, one thread."""

    name: ClassVar[str] = "cvxpy"
    interior: ClassVar[bool] = True
    requires: ClassVar[Requirement] = "quadratic"

    def __init__(self, solver: Cvxpy, k: int) -> None:
        import cvxpy

        self.constraints = solver.constraints
        self.linear_minimum = None if solver.constraints is None else _LinearModel(solver, k)
        self._root, self._q = cvxpy.Parameter((k, k)), cvxpy.Parameter(k)
        self._model = _Model(solver, k, lambda w: 0.5 * cvxpy.sum_squares(self._root @ w) + self._q @ w)

    def solve(
        self,
        objective: SimplexQP,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`; `start` is not used."""
        began = perf_counter()
        values, vectors = np.linalg.eigh(objective.P)
        self._root.value = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        self._q.value = objective.q
        return self._model.candidate(max_iter, time_limit, began)


class _Model:
    """A cvxpy problem over the weights, with the solver's extra constraints."""

    def __init__(self, solver: Cvxpy, k: int, cost: Callable[[Any], Any]) -> None:
        import cvxpy

        installed = cvxpy.installed_solvers()
        if str(solver.cvxpy_solver).upper() not in installed:
            raise InvalidArgumentError(
                f"cvxpy_solver: cvxpy finds the solvers {installed}, not {solver.cvxpy_solver!r}; install it first"
            )
        self.solver = solver
        self.w = cvxpy.Variable(k)
        self.extra = _extra(solver, self.w)
        self.bounds, self.total = self.w >= 0.0, cvxpy.sum(self.w) == 1.0
        self.problem = cvxpy.Problem(cvxpy.Minimize(cost(self.w)), [self.bounds, self.total, *self.extra])
        if not self.problem.is_dcp():
            raise InvalidArgumentError(
                "constraints: cvxpy cannot verify that the constraints are convex; write them by its DCP rules"
            )

    def candidate(self, max_iter: int | None, time_limit: float, began: float) -> Candidate:
        """Solve, with the multipliers if there are extra constraints; `began` is when the translation did."""
        solving = perf_counter()
        n_iter = run(self.problem, self.solver, max_iter, time_limit)
        duals: tuple[Any, ...] = ()
        if self.solver.constraints is not None and self.bounds.dual_value is not None:
            # In cvxpy's Lagrangian the multiplier of the sum is added, here it is subtracted.
            extra = tuple(constraint.dual_value for constraint in self.extra)
            duals = (np.asarray(self.bounds.dual_value), -float(self.total.dual_value), extra)
        limited = self.problem.status != "optimal"
        late = limited and perf_counter() - began >= 0.99 * time_limit
        w = value_of(self.w, self.problem)
        return Candidate(w, n_iter, limited, solving - began, late=late, duals=duals)


class _LinearModel:
    """``min <gradient, v>`` over the constrained part of the simplex, for any gradient (k,)."""

    def __init__(self, solver: Cvxpy, k: int) -> None:
        import cvxpy

        self._gradient = cvxpy.Parameter(k)
        self._model = _Model(solver, k, lambda v: self._gradient @ v)

    def __call__(self, gradient: Vector) -> float:
        # The multiple of the ones vector that makes the numbers small is added again at the end.
        lowest = float(gradient.min())
        self._gradient.value = gradient - lowest
        run(self._model.problem, self._model.solver, None, _LONGEST)
        return float((gradient - lowest) @ value_of(self._model.w, self._model.problem)) + lowest


def _extra(solver: Cvxpy, w: Any) -> tuple[Any, ...]:
    if solver.constraints is None:
        return ()
    extra = solver.constraints(w)
    return tuple(extra) if isinstance(extra, Sequence) else (extra,)


def run(problem: Any, solver: Cvxpy, max_iter: int | None, time_limit: float) -> int:
    """Solve a cvxpy problem by the library that `solver` names; iterations made."""
    import cvxpy

    name = str(solver.cvxpy_solver).upper()
    options = dict(_TIGHT.get(name, {}))
    if name in _TIME_OPTION:
        options[_TIME_OPTION[name]] = min(time_limit, _LONGEST)
    options.update(solver.solver_options)
    if max_iter is not None:
        options[_ITERATION_OPTION.get(name, "max_iter")] = max_iter
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "may be inaccurate": the certificate says by how much
            # From scratch each time: an answer does not depend on the problem solved before it.
            problem.solve(solver=name, warm_start=False, **options)
    except (cvxpy.error.SolverError, ValueError) as error:
        raise SolverFailureError(f"cvxpy with {name} failed: {error}") from error
    return int(problem.solver_stats.num_iters or 0)


def smoothed_over_time(
    P: NDArray[np.float64], q: Matrix, amount: float, time_limit: float = math.inf
) -> tuple[Matrix, Matrix, int]:
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
    n_iter = run(problem, Cvxpy(), None, time_limit)
    return value_of(w, problem), np.asarray(tie.dual_value), n_iter


def value_of(w: Any, problem: Any) -> Vector:
    """The value of a solved problem's variable."""
    if w.value is None:
        raise SolverFailureError(
            f"cvxpy reports {problem.status!r}; with extra constraints, check that some point of the simplex meets them"
        )
    return np.asarray(w.value, dtype=np.float64)
