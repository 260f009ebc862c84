r"""The facade: one verb, `solve`.

Whatever the solver, a solve is: normalise by a power of two; ask the solver for weights; clip and renormalise in
float64; compute the Frank-Wolfe gap from the problem alone; break ties by minimum norm. The gap is the certificate that
judges every solver alike: ``converged`` means ``gap <= tol * scale`` and nothing else.
"""

from __future__ import annotations

import functools
import math
import operator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .auto import Auto, Judged, first_certified, judge
from .base import Candidate, SimplexSolver, SolverResult, Status
from .certificates import null_directions
from .errors import NonFiniteError, ShapeError, SolverFailureError, UnsupportedObjectiveError
from .minimum_norm import minimum_norm
from .problem import Matrix, SimplexObjective, SimplexQP, Vector, finite_range, real_array
from .projections import project_simplex
from .registry import resolve_solver


def solve(
    problem: SimplexObjective,
    solver: str | SimplexSolver = "auto",
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    start: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
    **options: Any,
) -> SolverResult:
    """Minimise a convex objective over the simplex.

    Parameters
    ----------
    problem : SimplexQP or SimplexObjective
    solver : str or SimplexSolver
        A name from `known_solvers()`, or a solver object such as ``Cvxpy(constraints=...)``.
    tol : float
        Largest accepted duality gap, relative to ``problem.scale``.
    max_iter : int, optional
        The solver's own default when omitted.
    start : (k,) array, optional
        Where to start, e.g. the weights of a neighbouring problem; projected onto the simplex.
    rng : Generator or int, optional
        Source of every random number; 0 when omitted, so that calls repeat bit for bit.
    **options
        Fields of the solver's dataclass, when `solver` is a name.

    Returns
    -------
    SolverResult
        Always with the certificate; check ``result.converged``. A gap above the tolerance is reported, not raised.

    Raises
    ------
    ValueError
        Invalid data, an unknown solver name, an objective the solver cannot handle.
    ImportError
        The solver's library is not installed.
    SolverFailureError
        The solver broke down and gave no usable weights.
    """
    began = perf_counter()
    backend = resolve_solver(solver, options)
    check_limits(tol, max_iter)
    work: Any = problem
    unique = False
    if isinstance(problem, SimplexQP):
        work = problem.normalised()
        unique = problem.definite
    else:
        _check_supported(backend, problem)
    scale, k = problem.scale, problem.dim
    if k == 1:
        judged = judge(backend, Candidate(np.ones(1), 0), work)
    else:
        first = None if start is None else _starting_point(start, k)
        judged = first_certified(
            backend.choices(work, tol, first is not None) if isinstance(backend, Auto) else (backend,),
            work,
            tol=tol,
            max_iter=max_iter,
            start=first,
            rng=0 if rng is None else rng,
            exacting=isinstance(backend, Auto),
        )
    limit = tol * work.scale
    directions = _no_directions(k)
    linear_minimum = getattr(judged.solver, "linear_minimum", None)
    if linear_minimum is not None:
        gap = float(judged.weights @ judged.gradient) - linear_minimum(judged.gradient)
        # The residual below knows nothing of the extra constraints.
        judged = judged._replace(gap=max(gap, 0.0), slack=np.full(k, np.nan))
    elif not unique and k > 1 and judged.gap <= limit and hasattr(work, "hessian"):
        judged, directions = _break_ties(work, judged, limit)
    if not math.isfinite(judged.gap):
        raise SolverFailureError(f"the objective is not finite at the weights found by solver {judged.solver.name!r}")
    w, candidate = judged.weights, judged.candidate
    w.setflags(write=False)
    if judged.gap <= limit:
        status = Status.CERTIFIED
    else:
        status = Status.ITERATION_LIMIT if candidate.exhausted else Status.INACCURATE
    return SolverResult(
        w,
        problem.value(w),
        judged.gap * (scale / work.scale),
        judged.slack / work.scale,
        status,
        candidate.n_iter,
        candidate.build_s,
        perf_counter() - began - candidate.build_s,
        judged.solver.name,
        scale,
        tol,
        directions,
        judged.trail,
    )


@functools.lru_cache(maxsize=8)
def _no_directions(k: int) -> Matrix:
    return np.empty((k, 0))


def _break_ties(work: Any, judged: Judged, limit: float) -> tuple[Judged, Matrix]:
    """Replace a non-unique minimiser by the shortest one, unless that would spoil the certificate."""
    w, factor = judged.weights, work.scale
    directions = null_directions(w, work.hessian(w) / factor, judged.gradient / factor)
    if not directions.shape[1]:
        return judged, directions
    shorter = judge(judged.solver, Candidate(minimum_norm(w, directions), 0), work)
    if shorter.gap <= max(limit, judged.gap):
        note = f"the minimiser is not unique ({directions.shape[1]} flat direction(s)): minimum-norm weights"
        return shorter._replace(candidate=judged.candidate, trail=(*judged.trail, note)), directions
    note = "the minimiser is nearly not unique: breaking the tie would exceed the tolerance"
    return judged._replace(trail=(*judged.trail, note)), directions


def check_limits(tol: float, max_iter: int | None) -> None:
    """Raise `ValueError` unless ``0 < tol < inf`` and `max_iter` is None or a whole number from 1."""
    try:
        if 0.0 < tol < math.inf and (max_iter is None or operator.index(max_iter) >= 1):
            return
    except TypeError:
        pass
    if isinstance(tol, int | float | np.number) and 0.0 < tol < math.inf:
        raise ValueError(f"max_iter must be at least 1, a whole number, got {max_iter!r}")
    raise ValueError(f"tol must be positive and finite, got {tol!r}")


def _check_supported(backend: SimplexSolver, problem: SimplexObjective) -> None:
    missing = [name for name in ("dim", "scale", "value", "gradient") if not hasattr(problem, name)]
    if missing:
        raise TypeError(
            f"problem must be a SimplexQP or have dim, scale, value and gradient; {type(problem).__name__} lacks "
            f"{', '.join(missing)}"
        )
    if not 0.0 < problem.scale < math.inf:
        raise NonFiniteError(f"problem.scale must be positive and finite, got {problem.scale}")
    needs = {"quadratic": "normalised", "hessian": "hessian", "conic": "conic"}
    attribute = needs.get(backend.requires)
    if attribute is not None and not hasattr(problem, attribute):
        raise UnsupportedObjectiveError(
            f"solver {backend.name!r} needs a {backend.requires} objective, got {type(problem).__name__}; "
            "use 'auto', 'projected_gradient' or 'frank_wolfe'"
        )


def _starting_point(start: ArrayLike, k: int) -> Vector:
    point = real_array(start, "start")[0].copy()
    if point.shape != (k,):
        raise ShapeError(f"start must have shape ({k},), got {point.shape}")
    low, high = finite_range(point, "start")
    # A point already on the simplex keeps its zeros, which tell an active-set method where to start.
    if low >= 0.0 and high <= 1.0 and abs(point.sum() - 1.0) <= 1e-12:
        return point
    with np.errstate(over="ignore"):
        return project_simplex(point)
