r"""Accelerated projected gradient for many quadratic problems at once, on any torch device.

The iteration of `solvers.projected_gradient`, vectorised over the batch; each problem keeps its own momentum and
restarts on its own. The step is 1/L with L the largest row sum of |P|, a bound on the largest eigenvalue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Candidate, Requirement, Seed
from .problem import SimplexQP, Vector


@dataclass(frozen=True)
class TorchProjected:
    """Batched first-order solver on `device`. Default `max_iter` is 20,000 steps."""

    device: str = "cpu"

    name: ClassVar[str] = "torch_projected"
    requires: ClassVar[Requirement] = "quadratic"

    def solve(
        self, objective: SimplexQP, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        limit = 20_000 if max_iter is None else max_iter
        first = None if start is None else start[:, None]
        w, steps = self.solve_block(objective.P[:, :, None], objective.q[:, None], tol=tol, max_iter=limit, start=first)
        return Candidate(w[:, 0], int(steps[0]), exhausted=int(steps[0]) >= limit)

    def block_size(self, k: int) -> int:
        """How many problems of dimension `k` to send at once (about 256 MB)."""
        return max(2**25 // (k * k), 1)

    def solve_block(
        self,
        P: NDArray[np.float64],
        q: NDArray[np.float64],
        *,
        tol: float,
        max_iter: int | None = None,
        start: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """See `BatchSolver.solve_block`."""
        import torch

        limit = 20_000 if max_iter is None else max_iter
        matrices = torch.tensor(P.transpose(2, 0, 1), device=self.device)
        linear = torch.tensor(q.T, device=self.device)
        B, k = linear.shape
        # Along the simplex the constant part of P does nothing, so it may be removed before bounding the curvature.
        centred = matrices - matrices.mean(dim=1, keepdim=True)
        centred = centred - centred.mean(dim=2, keepdim=True)
        lipschitz = centred.abs().sum(dim=2).amax(dim=1, keepdim=True).clamp_min(1e-3)
        w = torch.full_like(linear, 1.0 / k)
        if start is not None:
            w = torch.tensor(start.T, device=self.device)
        y, t = w, torch.ones_like(lipschitz)
        steps = torch.full((B,), limit, device=self.device)
        alive = torch.arange(B, device=self.device)
        answer = w.clone()
        for n in range(1, limit + 1):
            slope = torch.bmm(matrices, y[:, :, None])[:, :, 0] + linear
            new = _project(y - slope / lipschitz, torch)
            restart = ((y - new) * (new - w)).sum(1, keepdim=True) > 0.0
            t = torch.where(restart, torch.ones_like(t), t)
            t_next = 0.5 * (1.0 + (1.0 + 4.0 * t * t).sqrt())
            y = new + (t - 1.0) / t_next * (new - w)
            w, t = new, t_next
            if n % 10 and n != limit:
                continue
            g = torch.bmm(matrices, w[:, :, None])[:, :, 0] + linear
            gap = (w * (g - g.amin(1, keepdim=True))).sum(1)
            answer[alive] = w
            steps[alive] = n
            going = gap > 0.5 * tol
            if not bool(going.any()):
                break
            if not bool(going.all()):
                alive, matrices, linear = alive[going], matrices[going], linear[going]
                w, y, t, lipschitz = w[going], y[going], t[going], lipschitz[going]
        return answer.T.cpu().numpy(), steps.cpu().numpy().astype(np.intp)


def _project(v: Any, torch: Any) -> Any:
    """Projection onto the simplex along the last axis; see `solvers.projections`."""
    ordered = v.sort(dim=-1, descending=True).values
    counts = torch.arange(1, v.shape[-1] + 1, device=v.device, dtype=v.dtype)
    thresholds = (ordered.cumsum(-1) - 1.0) / counts
    last = (ordered > thresholds).sum(-1, keepdim=True) - 1
    return (v - thresholds.gather(-1, last)).clamp_min(0.0)
