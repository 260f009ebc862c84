r"""Pairwise Frank-Wolfe: move weight from the worst auxiliary in use to the best one.

With s = argmin_i grad_i and a = argmax over the support, the direction is :math:`e_s - e_a` and the step at most w_a
(Lacoste-Julien and Jaggi 2015: linear convergence on polytopes). The line search finds a zero of the directional
derivative by safeguarded secants, which is exact in one evaluation when f is quadratic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .limits import Budget
from .problem import SimplexObjective, SimplexQP, Vector
from .projections import uniform


@dataclass(frozen=True)
class FrankWolfe:
    """Pairwise Frank-Wolfe for any smooth convex objective. Default `max_iter` is ``20,000 + 100 k`` steps."""

    name: ClassVar[str] = "frank_wolfe"
    requires: ClassVar[Requirement] = "gradient"

    def solve(
        self,
        objective: SimplexObjective,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        budget = Budget(20_000 + 100 * objective.dim if max_iter is None else max_iter, time_limit)
        target = 0.5 * tol * objective.scale
        P = objective.P if isinstance(objective, SimplexQP) else None
        w = (uniform(objective.dim) if start is None else start).copy()
        g = objective.gradient(w)
        for n in budget:
            best = int(g.argmin())
            worst = int(np.where(w > 0.0, g, -np.inf).argmax())
            room, slope = float(w[worst]), float(g[best] - g[worst])
            if P is not None:  # the gradient is updated from two columns: O(k) a step
                curvature = float(P[best, best] - 2.0 * P[best, worst] + P[worst, worst])
                step = room if -slope >= room * curvature else -slope / curvature
                g = g + step * (P[best] - P[worst])
                _move(w, best, worst, step)
                if n % 100 == 0:  # rounding accumulates in an updated gradient
                    w /= w.sum()
                    g = objective.gradient(w)
            else:
                g = _line_search(objective, w, best, worst, room, slope)
            if duality_gap(w, g) <= target:
                return Candidate(w, n)
        return budget.spent(w)


def _move(w: Vector, best: int, worst: int, step: float) -> None:
    w[best] += step
    w[worst] = max(w[worst] - step, 0.0)


def _line_search(objective: SimplexObjective, w: Vector, best: int, worst: int, room: float, slope: float) -> Vector:
    """Move `w` in place to about the minimum along the pair; returns the gradient there."""
    low, slope_low, high, slope_high = 0.0, slope, room, np.inf
    step = room
    for _ in range(30):
        trial = w.copy()
        _move(trial, best, worst, step)
        g = objective.gradient(trial)
        here = float(g[best] - g[worst])
        if abs(here) <= 0.1 * abs(slope) or (here <= 0.0 and step == room):
            break
        if here > 0.0:
            high, slope_high = step, here
        else:
            low, slope_low = step, here
        secant = low - slope_low * (high - low) / (slope_high - slope_low)
        step = min(max(secant, low + 0.01 * (high - low)), high - 0.01 * (high - low))
    w[:] = trial
    return g
