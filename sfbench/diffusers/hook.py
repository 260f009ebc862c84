r"""The hook on a pipeline's network: one call of the network becomes one call of every expert, averaged.

It hands on ``*args, **kwargs`` untouched, so it knows nothing of prompts, ControlNets or image positions, and the
network stays what it is to everybody else: its config, dtype, loaders and savers. What is averaged:

- of a denoiser the prediction ``sum_i w_i f_i``; all usual predictions are affine in the score with coefficients that
  experts share, so this is the fused score;
- of a denoiser that also predicts a variance (twice the channels) the mean half; the other half is that of the
  heaviest expert;
- of a language model ``sum_i w_i log softmax(logits_i)``: the geometric mean of the probabilities, up to its norm.

An expert of weight zero is not run, and the output of a single expert is handed on as it is.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, final

import numpy as np
import torch
from diffusers.hooks import ModelHook
from torch import Tensor, nn

from .._internal.aliases import Float64Array
from ..errors import NotFiniteError
from .alternatives import count, pick
from .batching import BatchedAdapters
from .errors import DiffusersError, NoiseScheduleError
from .experts import AbstractExpert, AdapterExpert, Forward
from .outputs import average, has_logits, prediction_of, with_prediction
from .schedules import Level, kind_of, level_of, present_index, present_sigma
from .weights import AbstractWeights

F = TypeVar("F", bound=Callable[..., Any])
# torch.compile skips the first kind of function and compiles what it calls (the experts); the second it leaves alone.
_TRANSPARENT: Callable[[F], F] = torch.compiler.disable(recursive=False)  # type: ignore[no-untyped-call]
_OPAQUE: Callable[[F], F] = torch.compiler.disable
Method = Literal["sequential", "batched", "switched"]


@final
@dataclass(frozen=True, eq=False)
class Call:
    """One call of the network: raw predictions by expert (None where an expert was not run), and their average."""

    predictions: tuple[Tensor | None, ...]
    fused: Tensor
    weights: Float64Array


@final
class FusionHook(ModelHook):  # type: ignore[misc]  # diffusers has no types
    """Averages experts at every call of the network (module) of a pipeline, or of a network without one.

    The pipeline's scheduler is looked up when weights change with the noise.
    """

    def __init__(
        self,
        pipe: Any,
        module: nn.Module,
        experts: Sequence[AbstractExpert],
        weights: AbstractWeights,
        method: Method,
        keep: bool,
    ) -> None:
        super().__init__()
        self.pipe, self.experts, self.weights, self.method = pipe, list(experts), weights, method
        self.batched = BatchedAdapters(module, experts) if method == "batched" else None
        self.mean_channels = _mean_channels(pipe, module)
        names = list(inspect.signature(module.forward).parameters)
        held = next((name for name in ("timestep", "timesteps", "t") if name in names), None)
        self.timestep_at = None if held is None else (names.index(held), held)  # among the network's arguments
        self.on, self.keep, self._inside = True, keep, False
        self.last: Call | None  # if predictions are kept
        self.since_step: list[Call] = []  # calls that a sampler has not yet looked at
        self.collect = False
        self.intercept: Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any] | None = None  # in place of fusing
        self.start()

    def start(self) -> None:
        """Forget the last image."""
        self.calls, self.last = 0, None
        self.since_step.clear()
        self._credits = np.zeros(len(self.experts))
        self._step: Any = None
        self._chosen = 0
        self._finite: list[tuple[int, Tensor]] = []

    @_TRANSPARENT
    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """What runs in place of the network's forward."""
        own: Forward = self.fn_ref.original_forward
        if not self.on or self._inside:
            return own(*args, **kwargs)
        if getattr(module, "is_cache_enabled", False):
            raise DiffusersError(
                f"the {type(module).__name__} reuses features of its last call (enable_cache), which experts would "
                "share; call disable_cache() on it before fusing"
            )
        self._inside = True
        try:
            if self.intercept is not None:
                self.calls += 1
                return self.intercept(own, args, kwargs)
            weights = self._present_weights(args, kwargs)
            return self._finish(weights, self.evaluate(own, args, kwargs, np.flatnonzero(weights).tolist()))
        finally:
            self._inside = False

    @_TRANSPARENT
    def evaluate(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], active: Sequence[int]) -> list[Any]:
        """Raw outputs of the experts of these numbers; ``own`` is the forward of the pipeline's network."""
        differ = count((args, kwargs)) > 0
        inputs = [(pick(args, i), pick(kwargs, i)) if differ else (args, kwargs) for i in active]
        switch = next((expert.switch for expert in self.experts if isinstance(expert, AdapterExpert)), None)
        with nullcontext() if switch is None else switch.restored():
            if self.batched is not None and len(active) > 1:
                return self.batched.evaluate(own, active, inputs)
            outputs: dict[int, Any] = {}
            # The network as it stands comes first, before anything is switched.
            for i, given in sorted(zip(active, inputs, strict=True), key=lambda pair: self.experts[pair[0]].switches):
                outputs[i] = self.experts[i].evaluate(own, *given)
            return [outputs[i] for i in active]

    @_OPAQUE
    def _finish(self, weights: Float64Array, outputs: list[Any]) -> Any:
        """One output of the outputs of all experts with a positive weight."""
        active = np.flatnonzero(weights).tolist()
        self.calls += 1
        predictions = [prediction_of(output) for output in outputs]
        for i, prediction in zip(active, predictions, strict=True):
            self.watch(i, prediction)
        heaviest = int(np.argmax(weights[active]))
        output = outputs[heaviest]
        fused = predictions[0]
        if len(active) > 1:
            if has_logits(output):
                predictions = [torch.log_softmax(p.float(), dim=-1) for p in predictions]
            fused = self._average(predictions, weights[active], predictions[heaviest])
            output = with_prediction(output, fused)
        if self.keep or self.collect:
            by_expert: list[Tensor | None] = [None] * len(self.experts)
            for i, prediction in zip(active, predictions, strict=True):
                by_expert[i] = self.mean_of(prediction)
            call = Call(tuple(by_expert), self.mean_of(fused), weights)
            self.last = call if self.keep else None
            if self.collect:
                self.since_step.append(call)
        return output

    def _average(self, predictions: list[Tensor], weights: Float64Array, heaviest: Tensor) -> Tensor:
        fused = average([self.mean_of(p) for p in predictions], weights.tolist())
        if self.mean_channels is None or heaviest.shape[1] == self.mean_channels:
            return fused
        return torch.cat([fused, heaviest[:, self.mean_channels :]], dim=1)

    def mean_of(self, prediction: Tensor) -> Tensor:
        """The half of a prediction that is a mean; all of it if there is no other."""
        return prediction if self.mean_channels is None else prediction[:, : self.mean_channels]

    # ------------------------------------------------------------------------------------------------ weights
    @_OPAQUE
    def _present_weights(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Float64Array:
        if self.weights.constant and self.method != "switched":
            return self.weights.at(None)
        timestep = self.timestep(args, kwargs)
        weights = self.weights.at(None if self.weights.constant else self._level(timestep))
        if self.method != "switched":
            return weights
        step = self._step_of(timestep)
        if step != self._step:  # the order with the least discrepancy: whoever lags most behind its weight is next
            self._step = step
            self._credits += weights
            self._chosen = int(np.argmax(np.where(weights > 0, self._credits, -np.inf)))
            self._credits[self._chosen] -= 1.0
        return np.asarray(np.eye(len(weights))[self._chosen])

    def timestep(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        """The timestep in the arguments of a call of the network."""
        if self.timestep_at is None:
            raise DiffusersError("the network takes no timestep, so weights cannot change with the noise")
        position, name = self.timestep_at
        value = kwargs[name] if name in kwargs else args[position]
        return float(value.flatten()[0]) if isinstance(value, Tensor) else float(value)

    def level(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Level:
        """The noise level of a call of the network."""
        return self._level(self.timestep(args, kwargs))

    def _level(self, timestep: float) -> Level:
        scheduler = getattr(self.pipe, "scheduler", None)
        if scheduler is None:
            raise NoiseScheduleError("weights that change with the noise need a pipeline with a scheduler")
        return level_of(kind_of(scheduler), present_sigma(scheduler, timestep))

    def _step_of(self, timestep: float) -> Any:
        scheduler = getattr(self.pipe, "scheduler", None)
        if getattr(scheduler, "sigmas", None) is None:
            return timestep
        return present_index(scheduler, timestep)

    # ------------------------------------------------------------------------------------------------ watching
    def watch(self, i: int, prediction: Tensor) -> None:
        """Note whether the prediction is finite, without waiting for the device."""
        total = prediction.sum(dtype=torch.promote_types(prediction.dtype, torch.float32))
        self._finite.append((i, torch.isfinite(total)))

    def check_finite(self) -> None:
        """Refuse an image of which an expert predicted a NaN or an infinity; names the first."""
        if self._finite and not bool(
            torch.stack([fine.to(self._finite[0][1].device) for _, fine in self._finite]).all()
        ):
            i = next(i for i, fine in self._finite if not bool(fine))
            raise NotFiniteError(
                f"expert {self.experts[i].name!r} predicted NaN or infinities (in float16, take bfloat16 or float32)"
            )


def _mean_channels(pipe: Any, module: nn.Module) -> int | None:
    """Channels of the mean where a network predicts a variance too."""
    config = getattr(module, "config", None)
    given, returned = getattr(config, "in_channels", None), getattr(config, "out_channels", None)
    if not isinstance(given, int) or not isinstance(returned, int):
        return None
    scheduler = getattr(pipe, "scheduler", None)
    learned = scheduler is not None and str(scheduler.config.get("variance_type")).startswith("learned")
    return returned // 2 if returned == 2 * given or (learned and returned % 2 == 0) else None
