r"""The facade: one verb, `solve`, and its forms for many problems.

Whatever the solver, a solve is: validate; normalise by a power of two; ask the solver for weights; clip and
renormalise in float64; break ties by minimum norm; compute the Frank-Wolfe gap from the problem alone. The gap is the
certificate that judges every solver alike: ``converged`` means ``gap <= tol * scale`` and nothing else.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import SimplexSolver, SolverResult, Status
from .certificates import duality_gap, kkt_residual, null_directions, onto_simplex
from .errors import NonFiniteError, ShapeError, SolverFailureError, UnsupportedObjectiveError
from .minimum_norm import minimum_norm
from .problem import SimplexObjective, SimplexQP, Vector
from .registry import get_solver

_NO_DIRECTIONS = np.empty((0, 0))


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
    backend = get_solver(solver, **options) if isinstance(solver, str) else solver
    if not 0.0 < tol < math.inf:
        raise ValueError(f"tol must be positive and finite, got {tol}")
    if max_iter is not None and max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")
    quadratic = isinstance(problem, SimplexQP)
    k = problem.dim
    if k == 1:
        w = np.ones(1)
        return SolverResult(
            w, problem.value(w), 0.0, 0.0, Status.CERTIFIED, 0, 0.0, perf_counter() - began, backend.name,
            problem.scale, tol, np.empty((1, 0)),
        )  # fmt: skip
    scale = problem.scale
    if not quadratic:
        _check_supported(backend, problem)
        if not 0.0 < scale < math.inf:
            raise NonFiniteError(f"problem.scale must be positive and finite, got {scale}")
    first = None if start is None else _starting_point(start, k)
    work = problem.normalised() if isinstance(problem, SimplexQP) else problem
    try:
        candidate = backend.solve(
            work, tol=tol, max_iter=max_iter, start=first, rng=np.random.default_rng(0 if rng is None else rng)
        )
    except (ArithmeticError, RuntimeError, np.linalg.LinAlgError) as error:
        if isinstance(error, SolverFailureError):
            raise
        raise SolverFailureError(f"solver {backend.name!r} failed: {error}; use solver='auto'") from error
    w = onto_simplex(candidate.weights, backend.name)
    if w.shape != (k,):
        raise SolverFailureError(f"solver {backend.name!r} returned weights of shape {w.shape}, expected ({k},)")
    trail = candidate.trail
    gradient = work.gradient(w)
    limit = tol * work.scale
    constrained = getattr(backend, "linear_minimum", None)
    if constrained is None:
        gap = duality_gap(w, gradient)
        directions = _NO_DIRECTIONS
        if gap <= limit and (quadratic or hasattr(work, "hessian")):
            w, gradient, gap, directions, trail = _break_ties(work, w, gradient, gap, limit, trail)
    else:
        gap = max(float(w @ gradient) - constrained(gradient), 0.0)
        directions = _NO_DIRECTIONS
    if not math.isfinite(gap):
        raise SolverFailureError(f"the objective is not finite at the weights {w} of solver {backend.name!r}")
    short = Status.ITERATION_LIMIT if candidate.exhausted else Status.INACCURATE
    status = Status.CERTIFIED if gap <= limit else short
    w.flags.writeable = False
    value = problem.value(w)
    return SolverResult(
        w, value, gap * (scale / work.scale), kkt_residual(w, gradient, work.scale), status, candidate.n_iter,
        candidate.build_s, perf_counter() - began - candidate.build_s, backend.name, scale, tol,
        directions if directions.size else np.empty((k, 0)), trail,
    )  # fmt: skip


def _break_ties(
    work: Any, w: Vector, gradient: Vector, gap: float, limit: float, trail: tuple[str, ...]
) -> tuple[Vector, Vector, float, Any, tuple[str, ...]]:
    """Replace a non-unique minimiser by the shortest one, unless that would spoil the certificate."""
    factor = work.scale
    directions = null_directions(w, work.hessian(w) / factor, gradient / factor)
    if not directions.shape[1]:
        return w, gradient, gap, directions, trail
    shorter = onto_simplex(minimum_norm(w, directions), "the tie-break")
    moved = work.gradient(shorter)
    moved_gap = duality_gap(shorter, moved)
    if moved_gap <= max(limit, gap):
        note = f"the minimiser is not unique ({directions.shape[1]} flat direction(s)): minimum-norm weights"
        return shorter, moved, moved_gap, directions, (*trail, note)
    return w, gradient, gap, directions, (*trail, "the minimiser is nearly not unique: the tie-break was not applied")


def _check_supported(backend: SimplexSolver, problem: SimplexObjective) -> None:
    needs = {"quadratic": "normalised", "hessian": "hessian", "minibatch": "minibatch_gradient"}
    attribute = needs.get(backend.requires)
    if attribute is not None and not hasattr(problem, attribute):
        raise UnsupportedObjectiveError(
            f"solver {backend.name!r} needs a {backend.requires} objective, got {type(problem).__name__}; "
            "use 'auto', 'projected_gradient' or 'frank_wolfe'"
        )


def _starting_point(start: ArrayLike, k: int) -> Vector:
    point = np.array(start, dtype=np.float64)
    if point.shape != (k,):
        raise ShapeError(f"start must have shape ({k},), got {point.shape}")
    if not np.isfinite(point).all():
        raise NonFiniteError(f"start must be finite, got {point}")
    from .projections import project_simplex

    return project_simplex(point)
