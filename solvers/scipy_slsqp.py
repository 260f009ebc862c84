"""SLSQP of scipy (Kraft 1988): a general sequential quadratic programming code, kept as an independent reference.

Dense BFGS with one least-squares problem a step: fine for tens of weights, cubic in k. It stops on changes of the
value, so its gap is often far above its `ftol`; it is restarted from its own answer a few
times, and the certificate tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import numpy as np

from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .problem import SimplexObjective, Vector
from .projections import euclidean, uniform

_RESTARTS = 8


class _LateError(Exception):
    """The time is over; raised through scipy's loop."""


@dataclass(frozen=True)
class ScipySlsqp:
    """``scipy.optimize.minimize(method="SLSQP")`` for any smooth objective. Default `max_iter` is 500."""

    name: ClassVar[str] = "scipy_slsqp"
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
        """See `SimplexSolver.solve`; the clock is read after each of scipy's steps."""
        from scipy.optimize import minimize

        k, scale = objective.dim, objective.scale
        w = uniform(k) if start is None else start
        ones = np.ones(k)
        limit = 500 if max_iter is None else max_iter
        ends = perf_counter() + time_limit

        made: list[Vector] = []

        def watch(x: Vector) -> None:
            made.append(x.copy())
            del made[:-1]
            if perf_counter() >= ends:
                raise _LateError

        steps = 0
        for _ in range(_RESTARTS):
            try:
                with np.errstate(all="ignore"):
                    found = minimize(
                        lambda v: objective.value(v) / scale,
                        w,
                        jac=lambda v: objective.gradient(v) / scale,
                        method="SLSQP",
                        bounds=[(0.0, 1.0)] * k,
                        constraints={"type": "eq", "fun": lambda v: v.sum() - 1.0, "jac": lambda v: ones},
                        options={"ftol": 1e-16, "maxiter": limit - steps},
                        callback=watch,
                    )
            except _LateError:
                return Candidate(euclidean(made[-1]), steps + 1, exhausted=True, late=True)
            w = euclidean(np.asarray(found.x))
            steps += max(int(found.nit), 1)
            if steps >= limit or duality_gap(w, objective.gradient(w)) <= tol * scale:
                break
        return Candidate(w, steps, exhausted=steps >= limit)
