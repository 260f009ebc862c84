"""Choose a solver, check its answer, fall back; and say so.

Each answer is judged by the same duality gap as the facade's; one above the tolerance becomes the start of the next
solver. The best answer seen is returned, so auto is never worse than any solver it tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .active_set_batched import MAX_ROUNDS, block_size, solve_block
from .base import Candidate, Requirement
from .certificates import duality_gap, onto_simplex
from .errors import MissingExtraError, SolverFailureError
from .problem import SimplexQP, Vector
from .registry import get_solver


@dataclass(frozen=True)
class Auto:
    """Solver choice by dimension, with polish and fallback; the result's `trail` says what was done."""

    name: ClassVar[str] = "auto"
    requires: ClassVar[Requirement] = "gradient"

    def solve(
        self, objective: Any, *, tol: float, max_iter: int | None, start: Vector | None, rng: np.random.Generator
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        trail: list[str] = []
        best: Candidate | None = None
        lowest = np.inf
        for name in _order(objective):
            try:
                candidate = get_solver(name).solve(objective, tol=tol, max_iter=max_iter, start=start, rng=rng)
                w = onto_simplex(candidate.weights, name)
                gap = duality_gap(w, objective.gradient(w)) / objective.scale
            except (SolverFailureError, MissingExtraError, ArithmeticError, RuntimeError) as error:
                trail.append(f"{name}: {error}")
                continue
            if gap <= tol:
                trail.append(f"{name}: certified")
                return Candidate(w, candidate.n_iter, False, candidate.build_s, tuple(trail))
            trail.append(f"{name}: gap {gap:.1e} of scale, above tol")
            if gap < lowest:
                best, lowest = Candidate(w, candidate.n_iter, candidate.exhausted, candidate.build_s), gap
            start = w
        if best is None:
            raise SolverFailureError("every solver failed: " + "; ".join(trail))
        return Candidate(best.weights, best.n_iter, best.exhausted, best.build_s, tuple(trail))

    def block_size(self, k: int) -> int:
        """See `BatchSolver.block_size`."""
        return block_size(k)

    def solve_block(
        self, P: NDArray[np.float64], q: NDArray[np.float64], *, tol: float, max_iter: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """See `BatchSolver.solve_block`."""
        return solve_block(P, q, MAX_ROUNDS if max_iter is None else min(max_iter, MAX_ROUNDS))


def _order(objective: Any) -> tuple[str, ...]:
    if isinstance(objective, SimplexQP):
        return ("active_set", "piqp", "cvxpy")
    first = ("newton",) if hasattr(objective, "hessian") else ()
    return (*first, "projected_gradient", "frank_wolfe")
