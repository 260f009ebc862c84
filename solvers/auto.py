"""Choose a solver, judge its answer by the duality gap, fall back; and say what was done.

An answer above the tolerance becomes the start of the next solver, so the exact active set polishes what an
interior-point method leaves. The best answer seen is returned: auto is never worse than any solver it tried.

The order follows ``python -m benchmarks.solver_speed``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .active_set import ActiveSet
from .base import Candidate, Requirement, Seed, SimplexSolver
from .certificates import onto_simplex
from .errors import SolverFailureError
from .problem import SimplexObjective, SimplexQP, Vector
from .registry import get_solver, is_available

_BATCHED = ActiveSet()
_ROUNDING = 1e-14


class Judged(NamedTuple):
    """A candidate on the simplex with its gradient, the slack ``gradient - min`` and the duality gap."""

    solver: SimplexSolver
    candidate: Candidate
    weights: Vector
    gradient: Vector
    slack: Vector
    gap: float
    trail: tuple[str, ...]


@dataclass(frozen=True)
class Auto:
    """Solver choice by dimension, rank and what is installed, with fallback."""

    name: ClassVar[str] = "auto"
    requires: ClassVar[Requirement] = "gradient"

    def choices(self, objective: SimplexObjective, tol: float, warm: bool) -> Iterable[SimplexSolver]:
        """The solvers to try, in order, imported when their turn comes; `warm` says that there is a starting point."""
        return map(get_solver, _order(objective, tol, warm))

    def solve(self, objective: Any, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed) -> Candidate:
        """See `SimplexSolver.solve`."""
        best = first_certified(
            self.choices(objective, tol, start is not None),
            objective, tol=tol, max_iter=max_iter, start=start, rng=rng, exacting=True,
        )  # fmt: skip
        made = best.candidate
        return Candidate(best.weights, made.n_iter, made.exhausted, made.build_s, best.trail)

    def block_size(self, k: int) -> int:
        """See `BatchSolver.block_size`."""
        return _BATCHED.block_size(k)

    def solve_block(
        self, P: NDArray[np.float64], q: NDArray[np.float64], *, tol: float, max_iter: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """See `BatchSolver.solve_block`; batches go to the exact active set."""
        return _BATCHED.solve_block(P, q, tol=tol, max_iter=max_iter)


def judge(solver: SimplexSolver, candidate: Candidate, objective: SimplexObjective) -> Judged:
    """Put the candidate on the simplex and compute its duality gap."""
    w = onto_simplex(candidate.weights, objective.dim, solver.name)
    gradient = objective.gradient(w)
    slack = gradient - gradient[gradient.argmin()]  # on a few numbers min() takes several times longer
    return Judged(solver, candidate, w, gradient, slack, float(w.dot(slack)), candidate.trail)


def first_certified(
    solvers: Iterable[SimplexSolver],
    objective: Any,
    *,
    tol: float,
    max_iter: int | None,
    start: Vector | None,
    rng: Seed,
    exacting: bool = False,
) -> Judged:
    """The first answer with gap at most ``tol * scale``, or the best of all.

    An `exacting` search measures the scale of a quadratic on the auxiliaries in use too, so that one hopeless auxiliary
    with a huge ``P_ii`` does not loosen the tolerance for the others.

    Raises
    ------
    SolverFailureError
        If every solver broke down.
    """
    limit, rounding = tol * objective.scale, _ROUNDING * objective.scale
    trail: list[str] = []
    best: Judged | None = None
    failure: Exception | None = None
    for solver in solvers:
        try:
            candidate = solver.solve(objective, tol=tol, max_iter=max_iter, start=start, rng=rng)
            judged = judge(solver, candidate, objective)
        except Exception as error:  # whatever a library raises, the next solver may do
            trail.append(f"{solver.name} failed: {error}")
            failure = error
            continue
        if judged.gap <= limit and (not exacting or judged.gap <= rounding or _exact_enough(judged, objective, tol)):
            return judged if not trail else judged._replace(trail=(*trail, f"{solver.name} certified"))
        trail.append(f"{solver.name} stopped at gap {judged.gap / objective.scale:.1e} of scale")
        if best is None or judged.gap < best.gap:
            best, start = judged, judged.weights
    if best is None:
        if len(trail) == 1 and isinstance(failure, ValueError | TypeError | ImportError):
            raise failure  # the caller's own choice of solver or options
        raise SolverFailureError("; ".join(trail) or "no solver was tried") from failure
    return best._replace(trail=(*best.candidate.trail, *(trail if len(trail) > 1 else ())))


def _exact_enough(judged: Judged, objective: SimplexObjective, tol: float) -> bool:
    if not isinstance(objective, SimplexQP):
        return True
    diagonal = objective.P.reshape(-1)[:: objective.dim + 1]
    return judged.gap <= tol * float(judged.weights.dot(diagonal))


def _order(objective: SimplexObjective, tol: float, warm: bool) -> tuple[str, ...]:
    if not isinstance(objective, SimplexQP):
        if hasattr(objective, "hessian"):
            return ("newton", "exponentiated_gradient", "projected_gradient", "frank_wolfe")
        return ("projected_gradient", "exponentiated_gradient", "frank_wolfe")
    # For k = 2 the own solver is a closed form, above 40 it is the fastest, and from a starting point it takes a round
    # or two; between, compiled code wins. On singular P the libraries stop at a gap of 1e-12 to 1e-10 of the scale.
    exact_wanted = tol < (1e-13 if objective.definite else 1e-9)
    if warm or exact_wanted or not 3 <= objective.dim <= 40:
        return _installed("active_set", "piqp", "cvxpy")
    return _installed("daqp", "piqp", "active_set", "cvxpy")


@functools.cache
def _installed(*names: str) -> tuple[str, ...]:
    return tuple(filter(is_available, names))
