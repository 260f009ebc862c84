r"""Accelerated projected gradient for many quadratic problems at once, on any torch device.

The iteration of `solvers.projected_gradient`, vectorised over the batch; each problem keeps its own momentum and
restarts on its own. The metric is the same diagonal D; the step is 1/L with L the largest row sum of
``|D^{-1/2} P D^{-1/2}|``, a bound on the largest eigenvalue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Candidate, Requirement, Seed
from .limits import Budget
from .problem import SimplexQP, Vector
from .projected_gradient import FLOOR


@dataclass(frozen=True)
class TorchProjected:
    """Batched first-order solver on `device`. Default `max_iter` is 20,000 steps."""

    device: str = "cpu"

    name: ClassVar[str] = "torch_projected"
    requires: ClassVar[Requirement] = "quadratic"

    def solve(
        self,
        objective: SimplexQP,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        budget = Budget(20_000 if max_iter is None else max_iter, time_limit)
        first = None if start is None else start[:, None]
        w, steps = self._run(objective.P[:, :, None], objective.q[:, None], tol, budget, first)
        if int(steps[0]) == budget.n and (budget.late or budget.n == budget.steps):
            return budget.spent(w[:, 0])
        return Candidate(w[:, 0], int(steps[0]))

    def block_size(self, k: int) -> int:
        """How many problems of dimension `k` to send at once (about 256 MB)."""
        return max(2**25 // (k * k), 1)

    def solve_block(
        self, P: NDArray[np.float64], q: NDArray[np.float64], *, tol: float, max_iter: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """See `BatchSolver.solve_block`."""
        return self._run(P, q, tol, Budget(20_000 if max_iter is None else max_iter, math.inf), None)

    def _run(
        self,
        P: NDArray[np.float64],
        q: NDArray[np.float64],
        tol: float,
        budget: Budget,
        start: NDArray[np.float64] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        import torch

        matrices = torch.tensor(P.transpose(2, 0, 1), device=self.device)
        linear = torch.tensor(q.T, device=self.device)
        B, k = linear.shape
        d = matrices.diagonal(dim1=1, dim2=2).clamp_min(FLOOR)
        lipschitz = _bound(matrices, d)
        w = torch.full_like(linear, 1.0 / k)
        if start is not None:
            w = torch.tensor(start.T, device=self.device)
        y, t = w, torch.ones_like(lipschitz)
        steps = torch.full((B,), budget.steps, device=self.device)
        alive = torch.arange(B, device=self.device)
        answer = w.clone()
        for n in budget:
            slope = torch.bmm(matrices, y[:, :, None])[:, :, 0] + linear
            slope = slope - (slope / d).sum(1, keepdim=True) / (1.0 / d).sum(1, keepdim=True)
            new = _project(y - slope / (lipschitz * d), d, torch)
            restart = (d * (y - new) * (new - w)).sum(1, keepdim=True) > 0.0
            t = torch.where(restart, torch.ones_like(t), t)
            t_next = 0.5 * (1.0 + (1.0 + 4.0 * t * t).sqrt())
            y = new + (t - 1.0) / t_next * (new - w)
            w, t = new, t_next
            if n % 10 and n != budget.steps:
                continue
            answer[alive], steps[alive] = w, n
            g = torch.bmm(matrices, w[:, :, None])[:, :, 0] + linear
            gap = (w * (g - g.amin(1, keepdim=True))).sum(1)
            going = gap > 0.5 * tol
            if not bool(going.any()):
                break
            if not bool(going.all()):
                alive, matrices, linear = alive[going], matrices[going], linear[going]
                w, y, t, lipschitz, d = w[going], y[going], t[going], lipschitz[going], d[going]
        else:
            answer[alive], steps[alive] = w, budget.n
        return answer.T.cpu().numpy(), steps.cpu().numpy().astype(np.intp)


def _bound(matrices: Any, d: Any) -> Any:
    """A bound (B, 1) on the largest eigenvalue of each problem in the metric d (B, k).

    Along the simplex the constant part of P does nothing; removing it helps unless the scales differ widely.
    """
    centred = matrices - matrices.mean(dim=1, keepdim=True)
    centred = centred - centred.mean(dim=2, keepdim=True)
    root = d.sqrt()
    bounds = [
        (m.abs() / (root[:, :, None] * root[:, None, :])).sum(dim=2).amax(dim=1, keepdim=True)
        for m in (matrices, centred)
    ]
    return bounds[0].minimum(bounds[1]).clamp_min(1e-3)


def _project(v: Any, d: Any, torch: Any) -> Any:
    """Projection onto the simplex along the last axis in the metric `d`; see `solvers.projections`."""
    heights = v * d
    order = heights.argsort(dim=-1, descending=True)
    thresholds = (v.gather(-1, order).cumsum(-1) - 1.0) / (1.0 / d).gather(-1, order).cumsum(-1)
    last = (heights.gather(-1, order) > thresholds).sum(-1, keepdim=True) - 1
    w = (v - thresholds.gather(-1, last) / d).clamp_min(0.0)
    return w / w.sum(-1, keepdim=True)
