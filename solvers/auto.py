"""Choose a solver, judge its answer by the duality gap, polish it, fall back; and say what was done.

An answer above the tolerance becomes the start of the next solver. One within it is made exact by a round of the
active set on the face that it names, unless it is exact already; the better of the two is kept. The best answer seen
is returned: auto is never worse than any solver it tried.

The order follows ``python -m benchmarks.solver_speed``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .active_set import ActiveSet, polish
from .base import Candidate, Requirement, Seed, SimplexSolver
from .certificates import DUST, onto_simplex
from .errors import SolverFailureError, SolversError
from .limits import run_within
from .problem import SimplexObjective, SimplexQP, Vector
from .registry import get_solver, is_available

LARGEST_FOR_DAQP = 40
"""Weights up to which compiled code beats our own active set."""
_BATCHED = ActiveSet()
_ROUNDING = 1e-14
_LEFT_OVER = 1e-8
WELL_DETERMINED = 1e-2
"""A smallest pivot, relative to the scale, above which rounding in the gap is rounding in the weights."""


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
    smallest_batch: ClassVar[int] = ActiveSet.smallest_batch

    def choices(self, objective: SimplexObjective, tol: float, warm: bool) -> Iterable[SimplexSolver]:
        """The solvers to try, in order, imported when their turn comes; `warm` says that there is a starting point."""
        return map(get_solver, _order(objective, tol, warm))

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
        """See `SimplexSolver.solve`."""
        best = first_certified(
            self.choices(objective, tol, start is not None),
            objective,
            tol=tol,
            max_iter=max_iter,
            start=start,
            rng=rng,
            time_limit=time_limit,
            exacting=True,
        )
        made = best.candidate
        return Candidate(best.weights, made.n_iter, made.exhausted, made.build_s, best.trail, made.late)

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
    # The weights of a quadratic are zero or not; an entropy makes each of them positive, however small.
    dust = DUST if isinstance(objective, SimplexQP) else 0.0
    w = onto_simplex(candidate.weights, objective.dim, solver.name, dust)
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
    time_limit: float = math.inf,
    exacting: bool = False,
) -> Judged:
    """The first answer with gap at most ``tol * scale``, or the best of all; one of several gets half the time left.

    An `exacting` search polishes, and measures the scale of a quadratic on the auxiliaries in use too, so that one
    hopeless auxiliary with a huge ``P_ii`` does not loosen the tolerance for the others.

    Raises
    ------
    SolverFailureError
        If every solver broke down.
    """
    limit = tol * objective.scale
    ends = perf_counter() + time_limit
    share = 1.0 if isinstance(solvers, tuple) and len(solvers) == 1 else 0.5
    trail: list[str] = []
    best: Judged | None = None
    failure: Exception | None = None
    for solver in solvers:
        left = ends - perf_counter()
        if trail and left <= 0.0:
            trail.append("the time is over")
            break
        try:
            candidate = run_within(
                solver, objective, tol=tol, max_iter=max_iter, start=start, rng=rng, time_limit=share * left
            )
            judged = judge(solver, candidate, objective)
            if not exacting and getattr(solver, "interior", False) and getattr(solver, "linear_minimum", None) is None:
                judged = _on_its_face(judged, objective, 0.1 * limit)
        except Exception as error:  # whatever a library raises, the next solver may do
            trail.append(f"{solver.name} failed: {error}")
            failure = error
            continue
        if exacting and isinstance(objective, SimplexQP) and judged.gap <= limit:
            judged = _polished(judged, objective)
        if judged.gap <= limit and (not exacting or _exact_enough(judged, objective, tol)):
            return judged if not trail else judged._replace(trail=(*trail, f"{solver.name} certified", *judged.trail))
        trail.append(f"{solver.name} stopped at gap {judged.gap / objective.scale:.1e} of scale")
        if best is None or judged.gap < best.gap:
            best, start = judged, judged.weights
    if best is None:
        # The caller's own choice of solver or options is told as it is.
        own = isinstance(failure, SolversError | ImportError) and type(failure) is not SolverFailureError
        if len(trail) == 1 and failure is not None and own:
            raise failure
        raise SolverFailureError("; ".join(trail) or "no solver was tried") from failure
    return best._replace(trail=(*best.candidate.trail, *(trail if len(trail) > 1 else ())))


def _on_its_face(judged: Judged, objective: SimplexObjective, harmless: float) -> Judged:
    """Zero what an interior-point method leaves on unused auxiliaries, if the gap falls or stays `harmless`."""
    share = 1e-3 / objective.scale
    weights, slack = judged.weights.tolist(), judged.slack.tolist()
    cleaned_weights = [
        0.0 if 0.0 < w < _LEFT_OVER and w < share * s else w for w, s in zip(weights, slack, strict=True)
    ]
    if cleaned_weights == weights:
        return judged
    cleaned = judge(judged.solver, Candidate(np.array(cleaned_weights), 0), objective)
    if cleaned.gap > max(judged.gap, harmless):
        return judged
    return cleaned._replace(candidate=judged.candidate, trail=judged.trail)


def _polished(judged: Judged, objective: SimplexQP) -> Judged:
    """The answer made exact on its face, unless it is exact to rounding already or would get worse."""
    rounding = _ROUNDING * objective.scale
    determined = objective.definite and objective.pivot >= WELL_DETERMINED
    if isinstance(judged.solver, ActiveSet) or (determined and judged.gap <= 0.1 * rounding):
        return judged
    made = polish(objective, judged.weights, judged.slack)
    if made.exhausted:
        return judged
    better = judge(judged.solver, made, objective)
    if better.gap <= judged.gap or (objective.definite and better.gap <= rounding):
        return better._replace(candidate=judged.candidate, trail=(*judged.trail, "made exact on its face"))
    return judged


def _exact_enough(judged: Judged, objective: SimplexObjective, tol: float) -> bool:
    if not isinstance(objective, SimplexQP) or judged.gap <= _ROUNDING * objective.scale:
        return True
    return judged.gap <= tol * float(judged.weights.dot(objective.P.diagonal()))


def _order(objective: SimplexObjective, tol: float, warm: bool) -> tuple[str, ...]:
    if not isinstance(objective, SimplexQP):
        if hasattr(objective, "hessian"):
            return ("newton", "exponentiated_gradient", "projected_gradient", "frank_wolfe")
        return ("projected_gradient", "exponentiated_gradient", "frank_wolfe")
    # For k = 2 the own solver is a closed form, above 40 it is the fastest, and from a starting point it takes a round
    # or two; between, DAQP is, and where it is missing the own one again unless P is singular along the simplex. There
    # the libraries stop at a gap of 1e-12 to 1e-10 of the scale, before polishing.
    exact_wanted = tol < (1e-13 if objective.definite else 1e-9)
    if warm or exact_wanted or not 3 <= objective.dim <= LARGEST_FOR_DAQP:
        return _installed("active_set", "piqp", "cvxpy")
    if objective.definite:
        return _installed("daqp", "active_set", "piqp", "cvxpy")
    return _installed("daqp", "piqp", "active_set", "cvxpy")


@functools.cache
def _installed(*names: str) -> tuple[str, ...]:
    return tuple(filter(is_available, names))
