r"""The facade: one verb, `solve`.

Whatever the solver, a solve is: normalise by a power of two; ask the solver for weights; clip and renormalise in
float64; compute the Frank-Wolfe gap from the problem alone; break ties by minimum norm. The gap is the certificate that
judges every solver alike: ``converged`` means ``gap <= tol * scale`` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .auto import Auto, Judged, first_certified, judge
from .base import Candidate, SimplexSolver, SolverResult, Status, quick_result
from .certificates import null_directions
from .daqp_dual import Daqp
from .errors import (
    NonFiniteError,
    ShapeError,
    SolverFailureError,
    SolverTimeoutError,
    UnsupportedObjectiveError,
)
from .limits import default_time_limit
from .minimum_norm import minimum_norm
from .problem import Matrix, SimplexObjective, SimplexQP, Vector
from .projections import project_simplex, uniform
from .quick import quick_solve
from .registry import resolve_solver
from .validation import finite_range, limits, positive_number, real_array, real_number, require_finite, seconds, seed


def solve(
    problem: SimplexObjective,
    solver: str | SimplexSolver = "auto",
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    time_limit: float | None = None,
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
    time_limit : float, optional
        Seconds, wall clock; infinity allowed. When omitted ``10 + 1e-7 k^3``, and 20,000 evaluations of the gradient
        where the objective is not quadratic; none for an objective with minibatches. A solver of this package that
        meets it returns its best weights with `Status.TIME_LIMIT`. A foreign solver that has not answered by then is
        given up and "auto" answers in its place, as the result's `trail` says.
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
        Invalid data, an unknown solver name, an objective the solver cannot handle (classes of `solvers.errors`, some
        of which are a `TypeError` too).
    ImportError
        The solver's library is not installed.
    SolverFailureError
        The solver broke down and gave no usable weights.
    SolverTimeoutError
        A foreign solver with extra constraints, for which nobody else can answer, hangs.
    """
    began = perf_counter()
    backend = resolve_solver(solver, options)
    tol, max_iter = limits(tol, max_iter)
    allowed = None if time_limit is None else seconds(time_limit)
    source = seed(rng)
    if max_iter is None and start is None and isinstance(problem, SimplexQP) and type(backend) in (Auto, Daqp):
        answer = quick_solve(problem, tol, began, type(backend) is Auto)
        if answer is not None:
            return answer
    work: Any = problem
    evaluation = 0.0
    if isinstance(problem, SimplexQP):
        work = problem.normalised()
    else:
        evaluation = _check_objective(backend, problem)
    scale, k = float(problem.scale), problem.dim
    first = None if start is None else _starting_point(start, k)

    def search(backend: SimplexSolver) -> Judged:
        automatic = isinstance(backend, Auto)
        chosen: Iterable[SimplexSolver] = (backend,)
        if isinstance(backend, Auto):
            chosen = backend.choices(work, tol, first is not None)
        spare = default_time_limit(problem, evaluation) if allowed is None else allowed
        return first_certified(
            chosen, work, tol=tol, max_iter=max_iter, start=first, rng=source, time_limit=spare, exacting=automatic
        )

    if k == 1:
        judged = judge(backend, Candidate(np.ones(1), 0), work)
    else:
        try:
            judged = search(backend)
        except SolverTimeoutError as error:
            if getattr(backend, "linear_minimum", None) is not None:
                raise
            judged = search(resolve_solver("auto"))
            judged = judged._replace(trail=(str(error), *judged.trail, f"{judged.solver.name} answers in its place"))
    return _certified(problem, work, judged, tol, began, scale)


def _certified(
    problem: SimplexObjective, work: Any, judged: Judged, tol: float, began: float, scale: float
) -> SolverResult:
    """The result: gap, tie-break, status, multipliers."""
    k, limit = len(judged.weights), tol * work.scale
    linear_minimum: Callable[[Vector], float] | None = getattr(judged.solver, "linear_minimum", None)
    directions = np.empty((k, 0))
    factor = scale / work.scale
    if linear_minimum is not None:
        gap = float(judged.weights @ judged.gradient) - linear_minimum(judged.gradient)
        judged = judged._replace(gap=max(gap, 0.0) if math.isfinite(gap) else gap)
    elif not getattr(work, "definite", False) and k > 1 and judged.gap <= limit and hasattr(work, "hessian"):
        judged, directions = _break_ties(work, judged, limit)
    w, candidate = judged.weights, judged.candidate
    w.setflags(write=False)
    value = float(problem.value(w))
    if not (math.isfinite(judged.gap) and math.isfinite(value)):
        raise SolverFailureError(f"the objective is not finite at the weights found by solver {judged.solver.name!r}")
    if judged.gap <= limit:
        status = Status.CERTIFIED
    elif candidate.late:
        status = Status.TIME_LIMIT
    else:
        status = Status.ITERATION_LIMIT if candidate.exhausted else Status.INACCURATE
    # The gradient of the normalised problem lacks the constant that was taken from q.
    constant = problem.lowest if isinstance(problem, SimplexQP) else 0.0
    bounds, total = judged.slack, judged.gradient.item(judged.gradient.argmin())
    extra: tuple[Any, ...] = ()
    if linear_minimum is not None:
        bounds, total, extra = candidate.duals or (np.full(k, np.nan), math.nan, ())
    return quick_result(
        w,
        value,
        judged.gap * factor,
        np.asarray(bounds) * factor,
        float(total) * factor + constant,
        status,
        candidate.n_iter,
        candidate.build_s,
        perf_counter() - began - candidate.build_s,
        judged.solver.name,
        scale,
        tol,
        directions,
        judged.trail,
        None if linear_minimum is None else getattr(judged.solver, "constraints", linear_minimum),
        tuple(None if dual is None else np.asarray(dual) * factor for dual in extra),
    )


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


def _check_objective(backend: SimplexSolver, problem: SimplexObjective) -> float:
    """Refuse what is not an objective, or not one for `backend`; seconds that one gradient takes."""
    missing = [name for name in ("dim", "scale", "value", "gradient") if not hasattr(problem, name)]
    if missing:
        raise UnsupportedObjectiveError(
            f"problem must be a SimplexQP or have dim, scale, value and gradient; {type(problem).__name__} lacks "
            f"{', '.join(missing)}"
        )
    k = problem.dim
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise UnsupportedObjectiveError(f"problem.dim must be a whole number from 1, got {k!r}")
    try:
        positive_number(problem.scale, "problem.scale")
    except ValueError as error:
        raise NonFiniteError(str(error)) from None
    needs = {"quadratic": "normalised", "hessian": "hessian", "conic": "conic"}
    attribute = needs.get(backend.requires)
    if attribute is not None and not hasattr(problem, attribute):
        raise UnsupportedObjectiveError(
            f"solver {backend.name!r} needs a {backend.requires} objective, got {type(problem).__name__}; "
            "use 'auto', 'projected_gradient' or 'frank_wolfe'"
        )
    if hasattr(problem, "minibatch_gradient"):  # the whole gradient may take as long as the run
        return 0.0
    centre = uniform(int(k))
    began = perf_counter()
    try:
        slope, value = problem.gradient(centre), problem.value(centre)
    except Exception as error:  # the caller's own code
        raise SolverFailureError(f"the problem fails at equal weights: {type(error).__name__}: {error}") from error
    took = perf_counter() - began
    gradient = real_array(slope, "problem.gradient(w)", ("k",))[0]
    if len(gradient) != k:
        raise ShapeError(f"problem.gradient(w) must have shape ({k},), got {gradient.shape}")
    require_finite(gradient, "problem.gradient(w)")
    real_number(value, "problem.value(w)")
    return took


def _starting_point(start: ArrayLike, k: int) -> Vector:
    point = real_array(start, "start", ("k",))[0].copy()
    if point.shape != (k,):
        raise ShapeError(f"start must have shape ({k},), got {point.shape}")
    low, high = finite_range(point, "start")
    # A point already on the simplex keeps its zeros, which tell an active-set method where to start.
    if low >= 0.0 and high <= 1.0 and abs(point.sum() - 1.0) <= 1e-12:
        return point
    return project_simplex(point)
