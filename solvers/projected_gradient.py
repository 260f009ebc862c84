r"""Accelerated projected gradient with backtracking and adaptive restart, in a diagonal metric.

.. math:: w^+ = \Pi_D(y - D^{-1} \nabla f(y) / L), \qquad y^+ = w^+ + \frac{t - 1}{t^+} (w^+ - w)

(Beck and Teboulle 2009); the momentum is dropped whenever it points uphill (O'Donoghue and Candes 2015), which gives
linear convergence when f is strongly convex. L is found by backtracking on the curvature along the step,
``<grad f(w+) - grad f(y), w+ - y> <= L |w+ - y|_D^2``, which unlike a comparison of values is immune to cancellation.

The metric D of a quadratic is the diagonal of P, with a floor: auxiliaries in units ten orders of magnitude apart cost
150 steps instead of 20,000. For other objectives it is the identity.
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
from .projections import euclidean, scaled, uniform

FLOOR = 1e-4  # of the scale; lower, and rounding in the projection would show in the gap


@dataclass(frozen=True)
class ProjectedGradient:
    """First-order solver for any smooth convex objective. Default `max_iter` is 20,000 steps."""

    name: ClassVar[str] = "projected_gradient"
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
        budget = Budget(20_000 if max_iter is None else max_iter, time_limit)
        scale, target = objective.scale, 0.5 * tol * objective.scale
        w = uniform(objective.dim) if start is None else start
        quadratic = isinstance(objective, SimplexQP)
        d = np.full(objective.dim, scale)
        if isinstance(objective, SimplexQP):
            d = np.maximum(objective.P.diagonal(), FLOOR * scale)
        flat = bool(d.min() == d.max())
        y, t, lipschitz = w, 1.0, 1.0
        slope = previous = objective.gradient(y)
        for n in budget:
            while True:
                # A constant added to the gradient changes nothing; without its mean the sums stay small.
                downhill = (slope - (slope / d).sum() / (1.0 / d).sum()) / (lipschitz * d)
                new = euclidean(y - downhill) if flat else scaled(y - downhill, d)
                step = new - y
                g = objective.gradient(new)
                if (g - slope) @ step <= lipschitz * (step @ (d * step)) * (1.0 + 1e-12) or lipschitz > 1e18:
                    break
                lipschitz *= 2.0
            if duality_gap(new, g) <= target:
                return Candidate(new, n)
            if (d * (y - new)) @ (new - w) > 0.0:
                t = 1.0
            t_next = 0.5 * (1.0 + (1.0 + 4.0 * t * t) ** 0.5)
            y = new + ((t - 1.0) / t_next) * (new - w)
            if quadratic:  # the gradient is affine: extrapolated with y, it saves a product with P
                slope = g + ((t - 1.0) / t_next) * (g - previous)
            else:  # off the simplex the objective may not be defined: extrapolate only as far as the boundary
                y = euclidean(y) if y.min() < 0.0 else y
                slope = g if t == 1.0 else objective.gradient(y)
            w, t, previous = new, t_next, g
            lipschitz *= 0.98
        return budget.spent(w)
