"""SLSQP of scipy (Kraft 1988): a general sequential quadratic programming code, kept as an independent reference.

Dense BFGS with one least-squares problem a step: fine for tens of weights, cubic in k. It stops on changes of the
value, so its gap is often far above its `ftol`; it is restarted from its own answer a few
times, and the certificate tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .problem import SimplexObjective, Vector
from .projections import project_simplex, uniform

_RESTARTS = 8


@dataclass(frozen=True)
class ScipySlsqp:
    """``scipy.optimize.minimize(method="SLSQP")`` for any smooth objective. Default `max_iter` is 500."""

    name: ClassVar[str] = "scipy_slsqp"
    requires: ClassVar[Requirement] = "gradient"

    def solve(
        self, objective: SimplexObjective, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        from scipy.optimize import minimize

        k, scale = objective.dim, objective.scale
        w = uniform(k) if start is None else start
        ones = np.ones(k)
        limit = 500 if max_iter is None else max_iter
        steps = 0
        for _ in range(_RESTARTS):
            with np.errstate(all="ignore"):
                found = minimize(
                    lambda v: objective.value(v) / scale,
                    w,
                    jac=lambda v: objective.gradient(v) / scale,
                    method="SLSQP",
                    bounds=[(0.0, 1.0)] * k,
                    constraints={"type": "eq", "fun": lambda v: v.sum() - 1.0, "jac": lambda v: ones},
                    options={"ftol": 1e-16, "maxiter": limit - steps},
                )
            w = project_simplex(found.x)
            steps += max(int(found.nit), 1)
            if steps >= limit or duality_gap(w, objective.gradient(w)) <= tol * scale:
                break
        return Candidate(w, steps, exhausted=steps >= limit)
