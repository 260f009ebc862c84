r"""The published way: softmax logits and a stochastic gradient optimiser.

The weights are :math:`w = \mathrm{softmax}(\theta)`, and theta follows Adam or SGD on f(w(theta)) with, by the chain
rule, :math:`\nabla_\theta = w \odot (g - \langle g, w \rangle)`. The gradient g comes from the whole objective, or from
``minibatch_gradient`` when the objective offers it; then, unless told otherwise, the iterates of the second half are
averaged (Polyak and Juditsky 1992). Kept as a reference: by themselves exact gradients reach a gap of 1e-9 to 1e-7 of
the scale, minibatches the accuracy of stochastic optimisation. On a quadratic with exact gradients the optimiser is
therefore asked from a gap of 1e-2 on, after every tenfold fall, whether the face that it has found is the right one:
whether polishing on it (`solvers.active_set.polish`) meets the tolerance. ``polish=False`` gives the iterate as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from .active_set import polish
from .base import Candidate, Requirement, Seed
from .certificates import duality_gap
from .limits import Budget
from .problem import SimplexQP, Vector
from .validation import one_of, positive_number

_COARSE = 1e-2  # gap, relative to the scale, from which on the face may be found


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
    polish : bool
        Make the answer exact on the face that was found; quadratic objectives without minibatches only.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 0.1
    device: str = "cpu"
    stochastic: bool | None = None
    average: bool = True
    polish: bool = True

    def __post_init__(self) -> None:
        one_of(self.optimizer, ("adam", "sgd"), "optimizer")
        positive_number(self.lr, "lr")

    name: ClassVar[str] = "torch"
    requires: ClassVar[Requirement] = "gradient"

    def solve(
        self,
        objective: Any,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`; default `max_iter` is 3000 steps."""
        import torch

        k, scale = objective.dim, objective.scale
        budget = Budget(3000 if max_iter is None else max_iter, time_limit)
        noisy = hasattr(objective, "minibatch_gradient") if self.stochastic is None else self.stochastic
        polishing = self.polish and not noisy and isinstance(objective, SimplexQP)
        target = max(tol, _COARSE) if polishing else tol
        initial = np.zeros(k) if start is None else np.log(np.maximum(start, 1e-6))
        logits = torch.tensor(initial, dtype=torch.float64, device=self.device, requires_grad=True)
        optimiser: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimiser = torch.optim.SGD([logits], lr=float(self.lr))
        elif noisy:
            optimiser = torch.optim.Adam([logits], lr=float(self.lr))
        else:
            # The gradient of a weight going to zero vanishes with it; a short memory keeps Adam's steps of full length.
            optimiser = torch.optim.Adam([logits], lr=float(self.lr), betas=(0.9, 0.95), eps=1e-20)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, budget.steps)
        on_device = not noisy and hasattr(objective, "P")
        if on_device:
            P = torch.tensor(objective.P, device=self.device)
            q = torch.tensor(objective.q, device=self.device)
        generator = np.random.default_rng(rng)
        total, count = np.zeros(k), 0
        for n in budget:
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
                if not noisy and n % 20 == 0 and float(mean - g.min()) <= target * scale:
                    if target <= tol:
                        return Candidate(w.detach().cpu().numpy(), n)
                    exact = _polished(objective, w.detach().cpu().numpy(), tol)
                    if exact is not None:
                        return Candidate(exact, n)
                    target = max(0.1 * target, tol)
            optimiser.step()
            decay.step()
            if noisy and self.average and 2 * n > budget.steps:
                total += torch.softmax(logits.detach(), 0).cpu().numpy()
                count += 1
        final = np.asarray(total / count if count else torch.softmax(logits.detach(), 0).cpu().numpy())
        exact = _polished(objective, final, tol) if polishing else None
        return budget.spent(final) if exact is None else Candidate(exact, budget.n)


def _polished(objective: SimplexQP, w: Vector, tol: float) -> Vector | None:
    """The exact weights on the face of `w`, if they meet the tolerance."""
    normal = objective.normalised()
    g = normal.gradient(w)
    better = polish(normal, w, g - g.min())
    met = not better.exhausted and duality_gap(better.weights, normal.gradient(better.weights)) <= tol * normal.scale
    return better.weights if met else None
