r"""Accelerated projected gradient with backtracking and adaptive restart.

.. math:: w^+ = \Pi_\Delta(y - \nabla f(y) / L), \qquad y^+ = w^+ + \frac{t - 1}{t^+} (w^+ - w)

(Beck and Teboulle 2009); the momentum is dropped whenever it points uphill (O'Donoghue and Candes 2015), which gives
linear convergence when f is strongly convex. L is found by backtracking on the curvature along the step,
``<grad f(w+) - grad f(y), w+ - y> <= L |w+ - y|^2``, which unlike a comparison of values is immune to cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .problem import SimplexObjective, SimplexQP, Vector
from .projections import project_simplex, uniform


@dataclass(frozen=True)
class ProjectedGradient:
    """First-order solver for any smooth convex objective. Default `max_iter` is 20,000 steps."""

    name: ClassVar[str] = "projected_gradient"
    requires: ClassVar[Requirement] = "gradient"

    def solve(
        self, objective: SimplexObjective, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        limit = 20_000 if max_iter is None else max_iter
        target = 0.5 * tol * objective.scale
        w = uniform(objective.dim) if start is None else start
        y, t, lipschitz = w, 1.0, objective.scale
        slope = previous = objective.gradient(y)
        quadratic = isinstance(objective, SimplexQP)
        for n in range(1, limit + 1):
            while True:
                new = project_simplex(y - slope / lipschitz)
                step = new - y
                g = objective.gradient(new)
                if (g - slope) @ step <= lipschitz * (step @ step) * (
                    1.0 + 1e-12
                ) or lipschitz > 1e18 * objective.scale:
                    break
                lipschitz *= 2.0
            if duality_gap(new, g) <= target:
                return Candidate(new, n)
            if (y - new) @ (new - w) > 0.0:
                t = 1.0
            t_next = 0.5 * (1.0 + (1.0 + 4.0 * t * t) ** 0.5)
            y = new + ((t - 1.0) / t_next) * (new - w)
            if quadratic:  # the gradient is affine: extrapolated with y, it saves a product with P
                slope = g + ((t - 1.0) / t_next) * (g - previous)
            else:  # off the simplex the objective may not be defined: extrapolate only as far as the boundary
                y = project_simplex(y) if y.min() < 0.0 else y
                slope = g if t == 1.0 else objective.gradient(y)
            w, t, previous = new, t_next, g
            lipschitz *= 0.98
        return Candidate(w, limit, exhausted=True)
