"""What a solver is, and what the facade gives back.

A solver is a frozen dataclass whose fields are its options, with the two class attributes and the method of the
protocol `SimplexSolver`. It returns a `Candidate`: weights it believes in. It has no say on whether they are right:
the facade computes the certificate from the problem alone and builds the `SolverResult`.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .problem import Vector

Requirement = Literal["quadratic", "gradient", "hessian", "conic"]
"""The structure a solver needs of the objective."""


Seed = np.random.Generator | int
"""Where random numbers come from: what ``np.random.default_rng`` takes."""


Run = Callable[[], tuple[Vector, int, bool]]
"""A library ready to solve: its weights (k,), iterations, and whether it stopped at the iteration limit."""


class Status(StrEnum):
    """How a solve ended; the value is a sentence saying what to do."""

    CERTIFIED = "certified: the duality gap is within the tolerance"
    TIME_LIMIT = "time limit: the duality gap exceeds the tolerance; raise time_limit, or use solver='auto'"
    ITERATION_LIMIT = "iteration limit: the duality gap exceeds the tolerance; raise max_iter, or use solver='auto'"
    INACCURATE = "inaccurate: the solver stopped above the tolerance; loosen tol, or use solver='auto'"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solver's raw answer, not yet judged.

    Attributes
    ----------
    weights : (k,) float64
        Nearly on the simplex; the facade clips and renormalises.
    n_iter : int
    exhausted : bool
        Whether a limit, of iterations or time, stopped it.
    build_s : float
        Seconds spent translating the problem for the library behind the solver.
    trail : tuple of str
        What was tried, in plain words, oldest first.
    late : bool
        Whether that limit was the time.
    duals : tuple of arrays
        With extra constraints: multipliers (k,) of ``w >= 0``, of ``sum(w) = 1``, and of each constraint.
    """

    weights: Vector
    n_iter: int
    exhausted: bool = False
    build_s: float = 0.0
    trail: tuple[str, ...] = ()
    late: bool = False
    duals: tuple[Any, ...] = ()


@runtime_checkable
class SimplexSolver(Protocol):
    """The contract of a solver; see ``solvers.testing`` for the suite that checks it.

    `requires` is the structure needed of the objective. The quadratic solvers always receive a problem normalised to a
    scale in [1, 2) with ``min(q) = 0``; the others should use ``objective.scale`` for step sizes and tolerances.

    A class attribute ``interior = True`` says that unused auxiliaries keep tiny weights, which the facade then zeroes.

    A solver whose `solve` has a parameter `time_limit` is told how many seconds it has; either way a foreign solver
    that is not back by then is given up (`solvers.limits`).
    """

    name: ClassVar[str]
    requires: ClassVar[Requirement]

    def solve(self, objective: Any, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed) -> Candidate:
        """Minimise `objective` over the simplex to a duality gap of about ``tol * objective.scale``.

        `max_iter` None means the solver's own default; `start` (k,) is a point of the simplex to start from, which
        may be ignored; every random number comes from ``np.random.default_rng(rng)``.
        """
        ...


class AbstractLibrarySolver(abc.ABC):
    """A solver that translates the problem for a library and lets it run; building and solving are timed apart."""

    name: ClassVar[str]
    requires: ClassVar[Requirement] = "quadratic"

    def solve(
        self,
        objective: Any,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`; these libraries draw no random numbers."""
        began = perf_counter()
        run = self.prepared(objective, tol, max_iter, start, time_limit)
        built = perf_counter() - began
        weights, n_iter, exhausted = run()
        return Candidate(
            weights, n_iter, exhausted, built, late=exhausted and perf_counter() - began >= 0.99 * time_limit
        )

    @abc.abstractmethod
    def prepared(
        self, objective: Any, tol: float, max_iter: int | None, start: Vector | None, time_limit: float
    ) -> Run:
        """Hand `objective` over to the library and return the call that solves it; arguments as in `solve`."""


@runtime_checkable
class ConstrainedSolver(SimplexSolver, Protocol):
    """A solver over a convex subset of the simplex, which must say what the smallest linear value there is."""

    constraints: Any

    def linear_minimum(self, gradient: Vector) -> float:
        """Minimum of ``<gradient, v>`` over the feasible set, needed for the duality gap."""
        ...


@runtime_checkable
class BatchSolver(SimplexSolver, Protocol):
    """A solver that also takes many quadratic problems of one dimension in one call; used by `solve_many`."""

    def block_size(self, k: int) -> int:
        """How many problems of dimension `k` to pass at once; 0 when batching does not pay at this size."""
        ...

    def solve_block(
        self, P: NDArray[np.float64], q: NDArray[np.float64], *, tol: float, max_iter: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Weights (k, c) and iterations (c,) for `P` (k, k, c), `q` (k, c), each normalised to scale in [1, 2).

        Weights may be NaN where the solver gives up; those problems then go through `solve` one by one.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SolverResult:
    """Weights and the certificate that goes with them.

    Attributes
    ----------
    weights : (k,) float64
        Non-negative, sum 1 to rounding. When the minimiser is not unique, the one of smallest Euclidean norm.
    value : float
        Objective at `weights`.
    gap : float
        Frank-Wolfe duality gap ``<grad, w> - min_i grad_i >= value - minimum``, in the units of the objective,
        computed by the facade in float64 at exactly these weights.
    dual_bounds : (k,) float64
        Multipliers of ``w >= 0``, never negative: ``grad_i - min_j grad_j``, how much the objective rises for each
        unit of weight forced upon an unused auxiliary. Units of the objective.
    dual_sum : float
        Multiplier of ``sum(w) = 1``: ``min_i grad_i``, how much the minimum rises for each unit added to the sum. The
        Lagrangian is ``f(w) - <dual_bounds, w> - dual_sum (sum(w) - 1)``.
    status : Status
        A sentence; it is `Status.CERTIFIED` exactly when ``gap <= tol * scale``.
    n_iter : int
    build_s, solve_s : float
        Wall seconds: translating for the library behind the solver; everything else in the call.
    solver : str
        Name of the solver that produced the weights.
    scale, tol : float
        What the gap was compared with.
    null_directions : (k, m) float64
        Orthonormal directions along which the weights can move without changing the objective (m = 0: the minimiser
        is unique). For score matching the fused score does not change along them either.
    trail : tuple of str
        What was tried, in plain words: fallbacks, polishing, tie-breaking.
    constraints : callable, optional
        The extra constraints within which the weights are best, as given to ``Cvxpy(constraints=...)``: whoever
        solves again (intervals, resampling) must pass them on. None for the whole simplex.
    dual_constraints : tuple
        Multipliers of the extra constraints in their order, in the library's sign. With them `dual_bounds` and
        `dual_sum` are the library's too, and only the gap is certified.
    """

    weights: Vector
    value: float
    gap: float
    dual_bounds: Vector
    dual_sum: float
    status: Status
    n_iter: int
    build_s: float
    solve_s: float
    solver: str
    scale: float = 1.0
    tol: float = 1e-9
    null_directions: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    trail: tuple[str, ...] = ()
    constraints: Callable[[Any], Any] | None = None
    dual_constraints: tuple[Any, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether the certificate meets the tolerance."""
        return self.status is Status.CERTIFIED

    @property
    def is_unique(self) -> bool:
        """Whether the minimiser is unique, as far as float64 can tell."""
        return not self.null_directions.shape[1]

    @property
    def slack(self) -> Vector:
        """``dual_bounds / scale`` (k,): how far an unused auxiliary is from being of use. NaN with constraints."""
        if self.constraints is not None:
            return np.full(len(self.weights), np.nan)
        return self.dual_bounds / self.scale

    @property
    def support(self) -> NDArray[np.bool_]:
        """Which auxiliaries are in use (k,): their weight exceeds their ``dual_bounds / scale``.

        Safer than ``weights > 0``, because an interior-point method leaves a little on every auxiliary.
        """
        return np.asarray(self.weights > self.dual_bounds / self.scale)

    @property
    def kkt(self) -> float:
        """``max_i min(w_i, slack_i)``: zero exactly at a minimiser, no units; NaN with extra constraints."""
        return float(np.minimum(self.weights, self.slack).max())

    @property
    def relative_gap(self) -> float:
        """``gap / scale``, the number compared with ``tol``."""
        return self.gap / self.scale

    def __repr__(self) -> str:
        shown = np.array2string(self.weights, precision=4, suppress_small=True, threshold=12, max_line_width=88)
        lines = [
            f"SolverResult({self.solver}, k = {len(self.weights)})",
            f"  weights  {shown}",
            f"  value    {self.value:.10g}",
            f"  gap      {self.gap:.2e} ({self.relative_gap:.1e} of scale {self.scale:.3g}), kkt {self.kkt:.1e}",
            f"  status   {self.status.value}",
            f"  work     {self.n_iter} iterations, build {self.build_s:.2e} s, solve {self.solve_s:.2e} s",
        ]
        if self.constraints is not None:
            lines.append("  within   extra constraints on the weights")
        if not self.is_unique:
            lines.append(
                f"  unique   no: {self.null_directions.shape[1]} flat direction(s); these are the shortest weights"
            )
        lines.extend(f"  note     {note}" for note in self.trail)
        return "\n".join(lines)


_Draft: Any = make_dataclass("_Draft", [field.name for field in fields(SolverResult)], slots=True, eq=False)


def quick_result(*values: Any) -> SolverResult:
    """``SolverResult(*values)``, every field given, in a third of the time.

    The constructor of a frozen dataclass goes through ``object.__setattr__`` for each field, which takes as long as
    the rest of a certificate; here the fields are set while the object is still of an open class of the same layout.
    """
    draft = _Draft(*values)
    draft.__class__ = SolverResult
    return draft  # type: ignore[no-any-return]
