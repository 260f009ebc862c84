r"""Exponentiated gradient: mirror descent with the entropy, on the logits.

.. math:: w^+_i \propto w_i \exp(-\eta\, \nabla_i f(w))

(Kivinen and Warmuth 1997; Beck and Teboulle 2003). The step :math:`\eta` grows while
``f(w+) <= f(w) + <grad, w+ - w> + KL(w+ || w) / eta`` holds and is halved otherwise; by convexity the test is made with
``<grad f(w+) - grad f(w), w+ - w> <= KL / eta``, which does not cancel. Weights reach zero only in the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .limits import Budget
from .problem import SimplexObjective, Vector
from .projections import uniform

_FLOOR = 1e-300


@dataclass(frozen=True)
class ExponentiatedGradient:
    """Mirror descent for any smooth convex objective. Default `max_iter` is 20,000 steps."""

    name: ClassVar[str] = "exponentiated_gradient"
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
        target = 0.5 * tol * objective.scale
        k = objective.dim
        # A zero start could never grow, so a starting point is mixed with a little of the centre.
        w = uniform(k) if start is None else 0.999 * start + 0.001 / k
        logits = np.log(w)
        g = objective.gradient(w)
        eta = 1.0 / objective.scale
        for n in budget:
            while True:
                moved = logits - eta * (g - g.min())
                moved -= moved.max()
                new = np.exp(moved)
                total = float(new.sum())
                new /= total
                moved -= np.log(total)
                np.maximum(moved, np.log(_FLOOR), out=moved)
                g_new = objective.gradient(new)
                divergence = float(new @ (moved - logits))
                if (g_new - g) @ (new - w) <= max(divergence, 0.0) / eta + 1e-15 * objective.scale or eta < 1e-18:
                    break
                eta *= 0.5
            w, logits, g = new, moved, g_new
            eta *= 1.5
            if duality_gap(w, g) <= target:
                return Candidate(w, n)
            eta = min(eta, 1e12 / objective.scale)
        return budget.spent(w)
