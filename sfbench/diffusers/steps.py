r"""Log weights at the steps of any diffusers scheduler: the correction without knowing the scheduler.

For every linear SDE the weight of a path of the fused process against the pool is ``-1/2 int V_D d(snr)``, with
``snr = alpha^2 / sigma^2`` and ``V_D = sum_i w_i |D_i|^2 - |sum_i w_i D_i|^2`` the dispersion of predicted data
``D_i``: this is ``-int V_eps dlambda`` (``lambda = log(alpha / sigma)``) in coordinates where nothing is infinite but
the end. Between two steps the integral is taken as

    1/2 (snr_1 - snr_0) sqrt(V_D(0) V_D(1)),

which is exact, at any length of the step, for laws that differ as Gaussians of one covariance ``s^2``:
there ``V_D = C / (1 + s^2 snr)^2``. The last step runs to ``snr = infinity`` and is taken from the same curve, with
``s^2`` from the last two steps. On mixtures this rule needs about a tenth of the steps of the rule of left ends.

What the scheduler gets is compared with what the network returned: the two must be related linearly with coefficients
that sum to one, as guidance does it. Rescaled guidance and clipped predictions are found out here.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from .._internal.aliases import Float64Array
from ..errors import NotFiniteError
from ..sampling.particles import Blocks, Particles
from ..sampling.resampling import Scheme
from .errors import DiffusersError, NotFusedError
from .hook import Call, FusionHook
from .outputs import weighted_sum
from .schedules import Schedule, final_sigma, present_index, present_sigma

_STEEPEST = 1.0 / 7.0  # smallest s^2 snr that is believed at the last step: it may weigh up to 4 V_eps
_TOLERANCES = {torch.float16: 2e-2, torch.bfloat16: 5e-2, torch.float32: 1e-3, torch.float64: 1e-6}


@final
@dataclass(eq=False)
class WatchedSteps:
    """The steps of one run of a pipeline for n images: log weights, resampling, guidance, final latents.

    Log weights are computed if asked to ``weigh``; images are resampled when their effective share falls below the
    threshold (0: never). ``eta`` is given to every step where the scheduler takes it.
    """

    hook: FusionHook
    schedule: Schedule
    n: int
    weigh: bool = False
    threshold: float = 0.0
    scheme: Scheme | None = None
    rng: np.random.Generator | None = None
    eta: float | None = None
    particles: Particles = field(init=False)
    latents: Tensor | None = field(init=False, default=None)
    guidance: Float64Array | None = field(init=False, default=None)
    n_steps: int = field(init=False, default=0)
    extrapolated: Float64Array = field(init=False)
    _before: tuple[float, Float64Array] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.particles = Particles.start(np.arange(float(self.n))[:, None], 1)
        self.extrapolated = np.zeros(self.n)

    @contextmanager
    def on(self, scheduler: Any) -> Iterator[None]:
        """Watch a scheduler's ``step`` inside the block."""
        original = scheduler.step

        @functools.wraps(original)  # pipelines look at its signature
        def step(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
            model_output, sample = self._before_step(scheduler, model_output, float(timestep), sample)
            if self.eta is not None:
                kwargs["eta"] = self.eta
            result = original(model_output, timestep, sample, *args, **kwargs)
            self.latents = (result[0] if isinstance(result, tuple) else result.prev_sample)[: self.n]
            return result

        scheduler.step = step
        self.hook.collect = True
        try:
            yield
        finally:
            self.hook.collect = False
            self.hook.since_step.clear()
            del scheduler.step

    def _before_step(
        self, scheduler: Any, model_output: Tensor, timestep: float, sample: Tensor
    ) -> tuple[Tensor, Tensor]:
        calls, self.hook.since_step = self.hook.since_step, []
        if not calls:
            raise NotFusedError("the scheduler was given a prediction that no fused call made")
        first = self.n_steps == 0
        self.n_steps += 1
        if not (first or self.weigh):
            return model_output, sample
        coefficients = self._guidance(calls, model_output)
        if first:
            self.guidance = coefficients
        if not self.weigh or not getattr(scheduler, "state_in_first_order", True):
            return model_output, sample
        spread = self._data_dispersion(calls, coefficients)
        if not np.all(np.isfinite(spread)):
            raise NotFiniteError(f"the dispersion of the experts is not finite at step {self.n_steps - 1}")
        level = self.schedule.level(present_sigma(scheduler, timestep))
        spread = spread * self.schedule.data_scale(level) ** 2
        last = self._is_last(scheduler, timestep)
        self._add_weights(level.snr, spread, last, self.schedule.level(final_sigma(scheduler)).snr)
        self._before = level.snr, spread
        if last or self.threshold == 0.0:
            self.particles.note_ess()
            return model_output, sample
        return self._resample(scheduler, model_output, sample)

    def _is_last(self, scheduler: Any, timestep: float) -> bool:
        if getattr(scheduler, "sigmas", None) is None:
            return timestep == float(scheduler.timesteps[-1])
        return present_index(scheduler, timestep) == len(scheduler.timesteps) - 1

    # ------------------------------------------------------------------------------------------------ weights
    def _add_weights(self, snr: float, spread: Float64Array, last: bool, end: float) -> None:
        tilt = np.zeros(self.n)
        decay = np.inf  # s^2 snr, of the curve through the last two steps
        if self._before is not None:
            snr_before, spread_before = self._before
            tilt += 0.5 * (snr - snr_before) * np.sqrt(spread_before * spread)
            before, now = np.sqrt(spread_before.mean()), np.sqrt(spread.mean())
            bend = snr * now - snr_before * before
            decay = snr * (before - now) / bend if bend > 0 else 0.0
        if last and end > snr:
            decay = max(float(decay), _STEEPEST)
            ratio = end / snr
            rest = (1.0 + decay) / decay if np.isinf(ratio) else (ratio - 1.0) * (1.0 + decay) / (1.0 + decay * ratio)
            self.extrapolated = 0.5 * snr * spread * (rest if np.isfinite(decay) else 1.0 - 1.0 / ratio)
            tilt += self.extrapolated
        self.particles.log_weights[0] -= tilt

    def _data_dispersion(self, calls: Sequence[Call], coefficients: Float64Array) -> Float64Array:
        """``sum_i w_i |G_i|^2 - |sum_i w_i G_i|^2`` per image (n,), of the experts' guided outputs G_i."""
        weights = calls[0].weights
        active = [i for i, prediction in enumerate(calls[0].predictions) if prediction is not None]
        total, mean, first = 0.0, None, None
        for i in active:
            parts = [chunk for call in calls for chunk in _chunks(call.predictions[i], self.n)]
            guided = weighted_sum(parts, coefficients.tolist())
            if first is None:
                first = guided  # differences to one expert, not a difference of squares
                continue
            difference = guided - first
            total = total + weights[i] * _square_norms(difference)
            mean = weights[i] * difference if mean is None else mean.add_(difference, alpha=float(weights[i]))
        if mean is None:
            return np.zeros(self.n)
        out = np.asarray((total - _square_norms(mean)).double().cpu())
        return np.maximum(out, 0.0) if np.all(np.isfinite(out)) else out

    def _guidance(self, calls: Sequence[Call], model_output: Tensor) -> Float64Array:
        """Coefficients by which the scheduler's input is made of the network's outputs."""
        parts = [chunk for call in calls for chunk in _chunks(call.fused, self.n)]
        target = model_output[: self.n]
        if target.ndim > 1 and target.shape[1] == 2 * parts[0].shape[1]:
            target = target[:, : parts[0].shape[1]]  # the other half is a variance
        if target.shape != parts[0].shape:
            raise DiffusersError(
                f"between the network and the scheduler the prediction changes from shape {tuple(parts[0].shape)} to "
                f"{tuple(target.shape)}; this pipeline cannot be watched (plain calls of the fused pipeline still work)"
            )
        columns = torch.stack([part.flatten() for part in parts], dim=1).double()
        wanted = target.flatten().double()
        solution = torch.linalg.pinv(columns.T @ columns, hermitian=True) @ (columns.T @ wanted)
        misfit = float(torch.linalg.vector_norm(columns @ solution - wanted) / torch.linalg.vector_norm(wanted))
        tolerance = _TOLERANCES.get(target.dtype, 5e-2)
        total = float(solution.sum())
        if not (misfit <= tolerance and abs(abs(total) - 1.0) <= 10 * tolerance):
            raise DiffusersError(
                f"the scheduler's input is not a linear guidance of what the network predicted (misfit {misfit:.2g}, "
                f"coefficients of sum {total:.4g}): averaging experts does not commute with it. Switch "
                "guidance_rescale and dynamic guidance off"
            )
        return np.asarray(solution.cpu())

    # ------------------------------------------------------------------------------------------------ resampling
    def _resample(self, scheduler: Any, model_output: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        particles, slots = self.particles, np.arange(self.n)
        assert self.scheme is not None
        assert self.rng is not None
        particles.x[:, 0] = slots
        particles.resample(Blocks(None), self.threshold, self.scheme, self.rng, [])
        ancestors = particles.x[:, 0].astype(np.intp)
        if np.array_equal(ancestors, slots):
            return model_output, sample
        assert self._before is not None
        self._before = self._before[0], self._before[1][ancestors]
        rows = np.concatenate([ancestors + start for start in range(0, len(sample), self.n)])
        index = torch.from_numpy(rows).to(sample.device)
        shape = sample.shape
        for name, value in vars(scheduler).items():  # multistep schedulers remember outputs and samples
            setattr(scheduler, name, _permuted(value, shape, index))
        return model_output[index], sample[index]


def _permuted(value: Any, shape: torch.Size, index: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[index.to(value.device)] if value.shape == shape else value
    return [_permuted(entry, shape, index) for entry in value] if isinstance(value, list) else value


def _chunks(prediction: Tensor | None, n: int) -> Sequence[Tensor]:
    """The rows of a guided batch, n at a time."""
    assert prediction is not None
    if len(prediction) % n:
        raise DiffusersError(f"the network was given {len(prediction)} rows for {n} images")
    return [prediction[start : start + n] for start in range(0, len(prediction), n)]


def _square_norms(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    return (flat * flat).sum(dim=1)
