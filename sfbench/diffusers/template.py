"""How a pipeline calls its network: seen once, and repeated at other points and noise levels.

What a network needs besides points and a noise level (embedded prompts, sizes, image positions, classes) only its
pipeline knows. So the pipeline is run, its first call of the network is taken as a template, and experts are evaluated
through the same hook with the points and the timestep replaced.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .._internal.aliases import FloatArray
from ..errors import NotFiniteError
from ..nets.parameterisation import input_scale, noise_coefficients, to_score
from ..processes import ForwardProcess
from .batching import WITHOUT_BATCH_AXIS
from .calling import accepted, run
from .errors import DiffusersError
from .experts import Forward
from .handle import Handle
from .outputs import prediction_of
from .schedules import Schedule


@final
@dataclass(frozen=True, eq=False)
class NetworkCall:
    """The call of a network that a pipeline made for a batch of prompts."""

    handle: Handle
    schedule: Schedule
    own: Forward  # of the pipeline's network, without the hook
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    first: str  # name of the argument that holds the points
    time_scale: float  # what the network is given for one timestep of the scheduler: 1, or one over their number

    @property
    def points(self) -> Tensor:
        """The points that the pipeline passed, (rows, ...)."""
        found: Tensor = self.kwargs[self.first] if self.first in self.kwargs else self.args[0]
        return found

    def at(self, x: Tensor, t: float) -> list[Tensor]:
        """Raw predictions of every expert at points x (rows, ...) and time t of the process, in float32 or better."""
        hook, schedule = self.handle.hook, self.schedule
        alpha, sigma = float(schedule.process.alpha(t)), float(schedule.process.sigma(t))
        like = self.points
        scaled = x * input_scale(alpha, sigma, schedule.prediction)
        assert hook.timestep_at is not None
        position, name = hook.timestep_at
        held = self.kwargs[name] if name in self.kwargs else self.args[position]
        points = scaled.to(dtype=like.dtype, device=like.device)
        timestep = _like(held, self.time_scale * schedule.timestep(t))
        args, kwargs = list(self.args), dict(self.kwargs)
        for key, place, value in ((self.first, 0, points), (name, position, timestep)):
            if key in kwargs:
                kwargs[key] = value
            else:
                args[place] = value
        outputs = hook.evaluate(self.own, tuple(args), kwargs, range(len(hook.experts)))
        found = [hook.mean_of(prediction_of(output)) for output in outputs]
        found = [p.to(torch.promote_types(p.dtype, torch.float32)) for p in found]
        for expert, prediction in zip(hook.experts, found, strict=True):
            if not bool(torch.isfinite(prediction.sum())) and not bool(torch.isfinite(prediction).all()):
                raise NotFiniteError(
                    f"expert {expert.name!r} predicted NaN or infinities at t = {t:.4g} (in float16, take bfloat16 or "
                    "float32)"
                )
        return found

    def noise_factors(self, t: float) -> tuple[float, float]:
        """``(a, b)`` of the predicted noise ``a x + b output`` at time t."""
        process = self.schedule.process
        a, b = noise_coefficients(float(process.alpha(t)), float(process.sigma(t)), self.schedule.prediction)
        return float(a), float(b)

    def only(self, row: int, n: int) -> "NetworkCall":
        """The call with the conditions of one row, n times."""
        rows = len(self.points)
        index = torch.full((n,), row)
        args = tuple(_rows(value, rows, index) for value in self.args)
        kwargs = {k: v if k in WITHOUT_BATCH_AXIS else _rows(v, rows, index) for k, v in self.kwargs.items()}
        return NetworkCall(self.handle, self.schedule, self.own, args, kwargs, self.first, self.time_scale)


@final
@dataclass(frozen=True, eq=False)
class ExpertScore:
    """The expert of a number as a score model of flattened latents, under the prompt of a call of one row."""

    call: NetworkCall
    number: int

    @property
    def dim(self) -> int:
        """Numbers in the latents of an image."""
        return int(self.call.points[0].numel())

    @property
    def process(self) -> ForwardProcess:
        """The pipeline's."""
        return self.call.schedule.process

    def score(self, x: FloatArray, t: float) -> FloatArray:
        """Score at latents x (n, d) and time t, shape (n, d); all experts are evaluated, so this costs k calls."""
        call = self.call.only(0, len(x))
        points = torch.from_numpy(np.ascontiguousarray(x)).reshape(len(x), *call.points.shape[1:])
        alpha, sigma = float(self.process.alpha(t)), float(self.process.sigma(t))
        with torch.no_grad():
            output = call.at(points.float(), t)[self.number].cpu()
        score = to_score(output, points, alpha, sigma, call.schedule.prediction)
        return np.asarray(score.reshape(len(x), -1).numpy())


def visit(
    handle: Handle,
    schedule: Schedule,
    prompts: Sequence[Any] | None,
    n: int,
    options: dict[str, Any],
    look: Callable[[NetworkCall], None],
) -> None:
    """Run a fused pipeline for n images, one for each prompt, and look at its first call of the network.

    Guidance is switched off, and calls with other rows than one for each image are refused. What ``look`` evaluates
    inside keeps to the pipeline's device, dtype and offloading.
    """
    pipe, hook = handle.pipe, handle.hook
    known = accepted(pipe)
    wanted = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "latent"}
    if type(pipe).__name__ in ("DDPMPipeline", "DDIMPipeline", "DiTPipeline"):
        wanted["output_type"] = "np"  # they know no latents
    given = {key: value for key, value in wanted.items() if key in known} | options
    returned: list[Any] = []

    def intercept(own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not returned:
            call = _as_call(handle, schedule, own, args, kwargs)
            if len(call.points) != n:
                raise DiffusersError(
                    f"the {type(pipe).__name__} calls its network with {len(call.points)} rows for {n} images, as "
                    "under guidance; weights are learned without guidance: pass guidance_scale=1.0"
                )
            look(call)
            returned.append(hook.evaluate(own, args, kwargs, [0])[0])  # something for the pipeline to go on with
        return returned[0]

    bars = getattr(pipe, "_progress_bar_config", None)
    hook.intercept, pipe._progress_bar_config = intercept, {"disable": True}  # its steps are not the work
    try:
        run(pipe, None if prompts is None else list(prompts), n, torch.Generator().manual_seed(0), given)
    finally:
        hook.intercept = None
        if bars is None:
            del pipe._progress_bar_config
        else:
            pipe._progress_bar_config = bars


def _as_call(
    handle: Handle, schedule: Schedule, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> NetworkCall:
    hook = handle.hook
    if hook.timestep_at is None:
        raise DiffusersError(f"the {type(handle.module).__name__} takes no timestep, so it has no score to fit")
    first = next(name for name in inspect.signature(type(handle.module).forward).parameters if name != "self")
    passed = hook.timestep(args, kwargs)
    planned = float(handle.pipe.scheduler.timesteps[0])
    # Some pipelines give their network timesteps of [0, 1].
    scale = 1.0 / schedule.n_timesteps if abs(passed * schedule.n_timesteps - planned) < abs(passed - planned) else 1.0
    return NetworkCall(handle, schedule, own, args, kwargs, first, scale)


def _like(held: Any, value: float) -> Any:
    """A timestep in the shape and type of the one that the pipeline passed; integers only where it is whole."""
    whole = abs(value - round(value)) < 1e-6
    if isinstance(held, Tensor):
        return torch.full_like(held, value, dtype=held.dtype if whole or held.is_floating_point() else torch.float32)
    return round(value) if whole and isinstance(held, int | np.integer) else value


def _rows(tree: Any, rows: int, index: Tensor) -> Any:
    """The rows of these numbers, of everything in a nest that has one for every row of the batch."""

    def chosen(leaf: Any) -> Any:
        return leaf[index.to(leaf.device)] if isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == rows else leaf

    return tree_map(chosen, tree)
