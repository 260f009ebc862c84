r"""Regularised problems, for Gram matrices that the data barely determine.

*Ridge* towards a reference: :math:`f(w) + \tfrac{\rho s}{2} \|w - v\|^2`, again quadratic. As rho falls to zero its
minimiser tends to the minimiser of f closest to v.

*Entropy*: :math:`f(w) + \rho s\, KL(w \| v)`, which keeps every weight of v's support positive.

The strength rho has no units: s is the scale of the problem. v is the uniform weight by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from .api import solve
from .base import SimplexSolver, SolverResult
from .errors import ArgumentTypeError, InvalidArgumentError, NonFiniteError, ShapeError, UnsupportedObjectiveError
from .problem import Matrix, SimplexQP, Vector
from .validation import frozen, one_of, real_array, real_number, require_finite

_FLOOR = 1e-200  # below this log(w) is not followed further
_LARGEST = 1e280  # curvatures are divided by weights down to 1e-12


def ridge(problem: SimplexQP, strength: float, reference: ArrayLike | None = None) -> SimplexQP:
    """The problem plus ``strength * scale / 2 * |w - reference|^2``.

    Parameters
    ----------
    problem : SimplexQP
    strength : float
        Relative to ``problem.scale``; at least 0.
    reference : (k,) array, optional
        A point of the simplex; equal weights by default, which favours the minimum-norm solution.
    """
    _check_problem(problem)
    v = _reference(reference, problem.dim)
    amount = _checked_strength(strength, problem.scale) * problem.scale
    P = problem.P + amount * np.eye(problem.dim)
    return SimplexQP(P, problem.q - amount * v, problem.r + 0.5 * amount * float(v @ v))


@dataclass(frozen=True, slots=True, init=False, eq=False)
class EntropyRegularised:
    """The problem plus ``strength * scale * KL(w || reference)``, a `SimplexObjective` with a Hessian.

    Parameters
    ----------
    problem : SimplexQP
    strength : float
        Relative to ``problem.scale``; at least 0.
    reference : (k,) array, optional
        Positive weights; equal ones by default.
    """

    problem: SimplexQP
    strength: float
    reference: Vector

    def __init__(self, problem: SimplexQP, strength: float, reference: ArrayLike | None = None) -> None:
        _check_problem(problem)
        v = _reference(reference, problem.dim)
        if v.min() <= 0.0:
            raise ShapeError(f"reference must be positive for the entropy, got {v}; drop the auxiliaries it excludes")
        object.__setattr__(self, "problem", problem)
        object.__setattr__(self, "strength", _checked_strength(strength, problem.scale))
        object.__setattr__(self, "reference", v)

    @property
    def dim(self) -> int:
        """Number of weights, k."""
        return self.problem.dim

    @property
    def scale(self) -> float:
        """Scale of the problem, times ``1 + strength``: the sum varies that much more over the simplex."""
        return self.problem.scale * (1.0 + self.strength)

    def value(self, w: Vector) -> float:
        """Objective at `w` (k,)."""
        return self.problem.value(w) + self._amount * float(w @ self._log_ratio(w))

    def gradient(self, w: Vector) -> Vector:
        """Gradient (k,) at `w` (k,)."""
        out: Vector = self.problem.gradient(w) + self._amount * (1.0 + self._log_ratio(w))
        return out

    def hessian(self, w: Vector) -> Matrix:
        """Hessian (k, k) at `w` (k,), with weights below 1e-12 held there."""
        return self.problem.P + np.diag(self._amount / np.maximum(w, 1e-12))

    def conic(self, cvxpy: Any, w: Any) -> Any:
        """The objective as a cvxpy expression of the variable `w`."""
        divergence = cvxpy.sum(cvxpy.kl_div(w, self.reference))
        return self.problem.conic(cvxpy, w) + self._amount * divergence

    @property
    def _amount(self) -> float:
        return self.strength * self.problem.scale

    def _log_ratio(self, w: Vector) -> Vector:
        out: Vector = np.log(np.maximum(w, _FLOOR) / self.reference)
        return out


def solve_path(
    problem: SimplexQP,
    strengths: Iterable[float],
    *,
    regulariser: Literal["ridge", "entropy"] = "ridge",
    reference: ArrayLike | None = None,
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    time_limit: float | None = None,
) -> tuple[SolverResult, ...]:
    """Solve along a grid of regularisation strengths, each from the weights of the one before.

    Parameters
    ----------
    problem : SimplexQP
    strengths : sequence of float
        Finite, at least 0.
    regulariser, reference
        See `ridge` and `EntropyRegularised`.
    solver, tol, time_limit
        As in `solve`, for each strength.

    Returns
    -------
    tuple of SolverResult
        In the order of `strengths`; go from strong to weak for the best warm starts. `value` and `gap` are those of the
        regularised problem.
    """
    one_of(regulariser, ("ridge", "entropy"), "regulariser")
    _check_problem(problem)
    if hasattr(strengths, "__array__"):
        strengths = real_array(cast(ArrayLike, strengths), "strengths", ("n",))[0].tolist()
    elif not isinstance(strengths, Iterable) or isinstance(strengths, Set | Mapping | str | bytes):
        raise ArgumentTypeError(f"strengths must be a sequence of numbers, got a {type(strengths).__name__}")
    make = ridge if regulariser == "ridge" else EntropyRegularised
    results: list[SolverResult] = []
    for strength in strengths:
        start = results[-1].weights if results else None
        regularised = make(problem, strength, reference)
        results.append(solve(regularised, solver, tol=tol, time_limit=time_limit, start=start))
    return tuple(results)


def _check_problem(problem: SimplexQP) -> None:
    if not isinstance(problem, SimplexQP):
        raise UnsupportedObjectiveError(f"problem must be a SimplexQP, got a {type(problem).__name__}")


def _checked_strength(strength: float, scale: float) -> float:
    number = real_number(strength, "strength")
    if number < 0.0:
        raise InvalidArgumentError(f"strength must be finite and at least 0, got {number}")
    if number * scale > _LARGEST:
        raise NonFiniteError(f"strength {number:.3g} times scale {scale:.3g} is near overflow; lower it")
    return number


def _reference(reference: ArrayLike | None, k: int) -> Vector:
    if reference is None:
        return np.full(k, 1.0 / k)
    v = frozen(real_array(reference, "reference", ("k",))[0])
    if v.shape != (k,):
        raise ShapeError(f"reference must have shape ({k},), got {v.shape}")
    require_finite(v, "reference")
    if v.min() < 0.0 or abs(v.sum() - 1.0) > 1e-8:
        raise ShapeError(f"reference must lie on the simplex, got {v} with sum {v.sum()}")
    return v
