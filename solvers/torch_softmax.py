r"""The published way: softmax logits and a stochastic gradient optimiser.

The weights are :math:`w = \mathrm{softmax}(\theta)`, and theta follows Adam or SGD on f(w(theta)) with, by the chain
rule, :math:`\nabla_\theta = w \odot (g - \langle g, w \rangle)`. The gradient g comes from the whole objective, or from
``minibatch_gradient`` when the objective offers it; then, unless told otherwise, the iterates of the second half are
averaged (Polyak and Juditsky 1992). Kept as a reference: exact gradients reach a gap of about 1e-8 of the scale,
minibatches the accuracy of stochastic optimisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from .base import Candidate, Requirement, Seed
from .problem import Vector


@dataclass(frozen=True)
class TorchSoftmax:
    """Softmax logits and a `torch` optimiser.

    Parameters
    ----------
    optimizer : {"adam", "sgd"}
    lr : float
        Learning rate for the logits, objective normalised to scale 1; cosine decay to zero.
    device : str
        Where the logits live, and the quadratic objective with them. A general `SimplexObjective` is evaluated
        wherever it lives.
    stochastic : bool, optional
        Use ``minibatch_gradient``; by default whenever the objective has it.
    average : bool
        With minibatches, return the average of the iterates of the second half instead of the last one.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 0.1
    device: str = "cpu"
    stochastic: bool | None = None
    average: bool = True

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be 'adam' or 'sgd', got {self.optimizer!r}")
        if not 0.0 < self.lr < np.inf:
            raise ValueError(f"lr must be positive and finite, got {self.lr}")

    name: ClassVar[str] = "torch"
    requires: ClassVar[Requirement] = "gradient"

    def solve(self, objective: Any, *, tol: float, max_iter: int | None, start: Vector | None, rng: Seed) -> Candidate:
        """See `SimplexSolver.solve`; default `max_iter` is 3000 steps."""
        import torch

        k, scale = objective.dim, objective.scale
        steps = 3000 if max_iter is None else max_iter
        noisy = hasattr(objective, "minibatch_gradient") if self.stochastic is None else self.stochastic
        initial = np.zeros(k) if start is None else np.log(np.maximum(start, 1e-6))
        logits = torch.tensor(initial, dtype=torch.float64, device=self.device, requires_grad=True)
        optimiser: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimiser = torch.optim.SGD([logits], lr=self.lr)
        elif noisy:
            optimiser = torch.optim.Adam([logits], lr=self.lr)
        else:
            # The gradient of a weight going to zero vanishes with it; a short memory keeps Adam's steps of full length.
            optimiser = torch.optim.Adam([logits], lr=self.lr, betas=(0.9, 0.95), eps=1e-20)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        on_device = not noisy and hasattr(objective, "P")
        if on_device:
            P = torch.tensor(objective.P, device=self.device)
            q = torch.tensor(objective.q, device=self.device)
        generator = np.random.default_rng(rng)
        total, count = np.zeros(k), 0
        done = 0
        for done in range(1, steps + 1):
            w = torch.softmax(logits, 0)
            with torch.no_grad():
                if on_device:
                    g = P @ w + q
                else:
                    at = w.detach().cpu().numpy()
                    slope = objective.minibatch_gradient(at, generator) if noisy else objective.gradient(at)
                    g = torch.as_tensor(np.asarray(slope, dtype=np.float64), device=self.device)
                mean = g @ w
                logits.grad = w * (g - mean) / scale
                if not noisy and done % 20 == 0 and float(mean - g.min()) <= tol * scale:
                    break
            optimiser.step()
            decay.step()
            if noisy and self.average and 2 * done > steps:
                total += torch.softmax(logits.detach(), 0).cpu().numpy()
                count += 1
        final = total / count if count else torch.softmax(logits.detach(), 0).cpu().numpy()
        return Candidate(np.asarray(final), done, exhausted=done == steps)
