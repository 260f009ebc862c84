r"""Sequential minimal optimisation (Platt 1998) for quadratic problems on the simplex.

Each step moves weight between the pair of auxiliaries that most violates optimality:
:math:`i = \arg\min g`, :math:`j = \arg\max \{ g_j : w_j > 0 \}`, by the exact minimiser along :math:`e_i - e_j`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from solvers import Candidate, Requirement, SimplexQP


@dataclass(frozen=True)
class CoordinatePairs:
    """Pairwise coordinate descent. Default `max_iter` is 100,000 steps."""

    name: ClassVar[str] = "coordinate_pairs"
    requires: ClassVar[Requirement] = "quadratic"

    def solve(
        self,
        objective: SimplexQP,
        *,
        tol: float,
        max_iter: int | None,
        start: np.ndarray | None,
        rng: np.random.Generator | int,
    ) -> Candidate:
        P, k = objective.P, objective.dim
        limit = 100_000 if max_iter is None else max_iter
        w = np.full(k, 1.0 / k) if start is None else start.copy()
        for n in range(1, limit + 1):
            g = P @ w + objective.q
            i, j = int(g.argmin()), int(np.where(w > 0.0, g, -np.inf).argmax())
            if w @ (g - g[i]) <= 0.5 * tol * objective.scale:
                return Candidate(w, n)
            curvature = P[i, i] - 2.0 * P[i, j] + P[j, j]
            step = w[j] if curvature * w[j] <= g[j] - g[i] else (g[j] - g[i]) / curvature
            w[i] += step
            w[j] = max(w[j] - step, 0.0)
        return Candidate(w, limit, exhausted=True)
