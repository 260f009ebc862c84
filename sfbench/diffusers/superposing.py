r"""Composition by densities estimated along the path (in the manner of SuperDiff, Skreta et al. 2024).

Rule OR: expert i has the share ``kappa_i = w_i p_i(x_t) / sum_j w_j p_j(x_t)`` of the score, so that the law is the
arithmetic mixture ``sum_i w_i p_i``. Ratios of densities follow from the path. In coordinates ``y = x / alpha`` with
``nu = sigma / alpha`` the reverse kernel of an expert with predicted data D_i, held over a step from nu to nu', is

    q_i(y' | y) = N(r y + (1 - r) D_i, nu'^2 (1 - r)),      r = nu'^2 / nu^2,

and the forward kernel is the same for all, so by Bayes ``log p_i(y') - log p_i(y) = log q_i(y' | y)`` plus what experts
share: no divergence, and no smaller steps than the scheduler's. Where the path starts all densities count as equal.

Rule AND: shares that sum to one, some of them negative, for which all ``log p_i`` are to be equal after the step,

    log p_i + (1 - r) / nu'^2 (<sum_j kappa_j D_j, D_i> - |D_i|^2 / 2) = the same for all i.

The noise of a step is met in the next one, whose r is taken to be that of the last. Where experts agree shares are not
determined, and far from all of them they can be large: they are bounded. The law has no closed form and ignores w.
"""

from collections.abc import Mapping
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice
from ..nets.parameterisation import input_scale, noise_coefficients
from ..statistics.gram import tangent_basis
from .errors import DiffusersError, NoiseScheduleError
from .experts import Forward
from .handle import Handle
from .outputs import prediction_of, with_prediction
from .schedules import Schedule, dynamics_of, from_scheduler

RULES: Mapping[str, Literal["or", "and"]] = {"superdiff": "or", "superdiff_and": "and"}  # ways of comparing
_LARGEST = 10.0  # length of the shares' way from equal ones, under AND


@final
class Superposition:
    """What a hook does in place of averaging, for one run of n images: ``hook.intercept = Superposition(...)``."""

    def __init__(self, handle: Handle, weights: Float64Array, n: int, rule: Literal["or", "and"] = "or") -> None:
        self.handle, self.n, self.rule = handle, n, as_choice("rule", rule, ("or", "and"), DiffusersError)
        self.schedule: Schedule = check_steps(handle.pipe.scheduler)
        self.active = np.flatnonzero(weights).tolist()
        before = torch.log(torch.as_tensor(weights[self.active])) * (self.rule == "or")
        self.log_shares = before[:, None].repeat(1, n)  # (active, n); the log densities under AND
        self.shares = torch.softmax(self.log_shares, dim=0)  # of the score, (active, n)
        self._before: tuple[float, Tensor, Tensor] | None = None  # nu, y (n, d), predicted data (active, n, d)

    def __call__(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One output of the network, each image with shares of its own."""
        hook, predicts = self.handle.hook, self.schedule.prediction
        level = hook.level(args, kwargs)
        given: Tensor = args[0] if args else next(v for v in kwargs.values() if isinstance(v, Tensor) and v.ndim > 1)
        if len(given) != self.n:
            raise DiffusersError(
                f"the network is given {len(given)} rows for {self.n} images, as under guidance, whose fields are no "
                "scores: pass guidance_scale=1.0, or leave 'superdiff' out"
            )
        alpha, nu = level.alpha, level.noise / level.alpha
        outputs = hook.evaluate(own, args, kwargs, self.active)
        predictions = [prediction_of(output) for output in outputs]
        for i, prediction in zip(self.active, predictions, strict=True):
            hook.watch(i, prediction)
        x = given.double().cpu().flatten(1) / input_scale(alpha, level.noise, predicts)
        y = x / alpha
        gain = 0.0
        if self._before is not None:
            before, last, data = self._before
            r = (nu / before) ** 2
            error = y - r * last - (1.0 - r) * data
            self.log_shares = self.log_shares - error.square().sum(-1) / (2.0 * nu**2 * (1.0 - r))
            gain = nu**2 * r / (1.0 - r)
        a, b = noise_coefficients(alpha, level.noise, predicts)
        means = [hook.mean_of(prediction).double().cpu().flatten(1) for prediction in predictions]
        clean = torch.stack([y - nu * (a * x + b * mean) for mean in means])
        self._before = nu, y, clean
        self.shares = _equalising(clean, gain * self.log_shares) if self.rule == "and" else self.log_shares.softmax(0)
        shape = (self.n, *[1] * (given.ndim - 1))
        shares = [share.reshape(shape).to(given.device, torch.float32) for share in self.shares]
        total = sum(share * prediction for share, prediction in zip(shares, predictions, strict=True))
        assert isinstance(total, Tensor)
        return with_prediction(outputs[0], total.to(predictions[0].dtype))


def _equalising(data: Tensor, ahead: Tensor) -> Tensor:
    """Shares (k, n) with equal ``<sum_j kappa_j D_j, D_i> - |D_i|^2 / 2 + ahead_i``, for data D (k, n, d)."""
    k = len(data)
    basis = torch.as_tensor(tangent_basis(k), dtype=data.dtype)  # of shares that sum to zero
    gram = torch.einsum("ind,jnd->nij", data, data)
    system = basis.T @ gram @ basis
    target = (gram.diagonal(dim1=1, dim2=2) / 2 - gram.mean(dim=2) - ahead.T) @ basis
    ridge = 1e-8 * system.diagonal(dim1=1, dim2=2).sum(dim=1) + 1e-12
    identity = torch.eye(k - 1, dtype=data.dtype)
    solution = torch.linalg.solve(system + ridge[:, None, None] * identity, target)
    solution = solution * (_LARGEST / solution.norm(dim=1, keepdim=True).clamp(min=_LARGEST))
    shares: Tensor = 1.0 / k + basis @ solution.T
    return shares


def check_steps(scheduler: Any) -> Schedule:
    """The schedule of a scheduler that follows the reverse SDE with one call of the network a step; refuses others."""
    schedule, (dynamics, why) = from_scheduler(scheduler), dynamics_of(scheduler)
    name = type(scheduler).__name__
    if dynamics != "sde" or getattr(scheduler, "order", 1) != 1 or "Singlestep" in name:
        raise NoiseScheduleError(
            f"densities are followed along steps of the reverse SDE, one call each, and {name} makes others ({why}); "
            "pass scheduler=sfbench.diffusers.sde_scheduler(pipe), or leave 'superdiff' out"
        )
    return schedule
