r"""Newton's method on the simplex: a sequence of quadratic problems solved exactly by the active set.

.. math:: v = \arg\min_{v \in \Delta} \langle g, v - w \rangle + \tfrac12 (v - w)' H (v - w),
          \qquad w^+ = w + \gamma(v - w)

with g and H the gradient and Hessian at w, and gamma halved until the directional derivative at the new point says that
f fell (a curvature rule on the gradient, which does not cancel as values do). Quadratic convergence near the solution,
and the support is identified in finitely many steps. An entropy has its own way, `solvers.log_newton`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .active_set import ActiveSet
from .base import Candidate, Requirement, Seed
from .certificates import duality_gap, onto_simplex
from .limits import Budget
from .log_newton import log_newton
from .problem import SimplexQP, TwiceDifferentiableObjective, Vector
from .projections import uniform
from .regularisation import EntropyRegularised


@dataclass(frozen=True)
class Newton:
    """Newton / active-set solver for objectives with a Hessian. Default `max_iter` is 100 steps."""

    name: ClassVar[str] = "newton"
    requires: ClassVar[Requirement] = "hessian"

    def solve(
        self,
        objective: TwiceDifferentiableObjective,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        budget = Budget(100 if max_iter is None else max_iter, time_limit)
        w = uniform(objective.dim) if start is None else start
        if isinstance(objective, EntropyRegularised) and objective.strength > 0.0:
            return log_newton(objective, tol, w, budget)
        target = 0.01 * tol * objective.scale
        inner = ActiveSet()
        g = objective.gradient(w)
        lowest, rounding = np.inf, 1e-14 * objective.scale
        for n in budget:
            H = objective.hessian(w)
            model = SimplexQP(H, g - H @ w).normalised()
            found = inner.solve(model, tol=tol, max_iter=None, start=w, rng=rng, time_limit=budget.seconds)
            v = onto_simplex(found.weights, len(w), self.name)
            d = v - w
            slope = float((g - g @ w) @ d)
            gamma = 1.0
            for _ in range(40):
                new = w + gamma * d
                g_new = objective.gradient(new)
                # Still falling, or turned by less than half of the slope: the value has decreased enough. Centred,
                # because d sums to zero only up to rounding.
                if float((g_new - g_new @ w) @ d) <= -0.5 * slope + rounding * float(np.abs(d).sum()):
                    break
                gamma *= 0.5
            w, g = new, g_new
            gap = duality_gap(w, g)
            # Quadratic convergence ends at rounding: stop when the gap is small and no longer falls.
            if gap <= target or (gap <= tol * objective.scale and gap >= 0.5 * lowest):
                return Candidate(w, n)
            lowest = min(lowest, gap)
        return budget.spent(w)
