r"""How a module is called, and what its output means: the border between networks of any origin and scores.

A network sees images or vectors, times on some scale, perhaps a condition; it returns a tensor, or something that holds
one. Here points (n, d) become what it sees, and what it returns becomes predicted noise or a score (n, d), in at least
single precision. Both training and evaluation go through :meth:`Wiring.noise` and :meth:`Wiring.score`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .._internal.arrays import moved
from .._internal.lazy import did_you_mean
from ..errors import GridError, ModelError, SfbenchError
from ..processes import ForwardProcess
from ..processes.base import as_process
from .parameterisation import (
    EDM,
    Parameterisation,
    as_parameterisation,
    input_scale,
    is_singular,
    to_noise,
    to_score,
)

TimeName = Literal["t", "scaled", "timestep", "log_snr", "sigma", "c_noise"]
TimeArgument = TimeName | Callable[[Tensor], Tensor]
_TIMES: dict[str, Callable[[Any, Any], Any]] = {
    "t": lambda process, t: t,
    "scaled": lambda process, t: 1000.0 * t,
    "timestep": lambda process, t: process.timestep(t),
    "log_snr": lambda process, t: process.log_snr(t),
    "sigma": lambda process, t: process.sigma(t),
    "c_noise": lambda process, t: process.log_snr(t) / -8.0,
}
Times = float | Tensor
"""One time, or times (n,) in float64 on the CPU, where the coefficients of the process are computed."""


@final
@dataclass(frozen=True)
class Wiring:
    """How to call a module; the fields are those of :class:`sfbench.nets.NetworkScore`."""

    process: ForwardProcess
    parameterisation: Parameterisation
    shape: tuple[int, ...] | None = None
    time: TimeArgument = "t"
    condition_name: str | None = None
    channels_last: bool = False

    def score(self, module: nn.Module, x: Tensor, t: Times, condition: Tensor | None = None) -> Tensor:
        """Score at points x (n, d) on the module's device, (n, d), differentiable in x."""
        alpha, sigma = self.coefficients(x, t)
        output = self._output(module, x, t, alpha, sigma, condition)
        result: Tensor = to_score(output, x, alpha, sigma, self.parameterisation)
        return result

    def noise(self, module: nn.Module, x: Tensor, t: Times, condition: Tensor | None = None) -> Tensor:
        """Predicted noise ``-sigma score`` at points x (n, d), (n, d), differentiable in x and the weights."""
        alpha, sigma = self.coefficients(x, t)
        output = self._output(module, x, t, alpha, sigma, condition)
        result: Tensor = to_noise(output, x, alpha, sigma, self.parameterisation)
        return result

    def coefficients(self, x: Tensor, t: Times) -> tuple[Any, Any]:
        """``alpha`` and ``sigma``: two floats for one time, tensors (n, 1) like x for many."""
        if isinstance(t, float):
            alpha, sigma = float(self.process.alpha(t)), float(self.process.sigma(t))
            if is_singular(alpha, sigma):
                raise GridError(f"at t = {t:g} alpha is {alpha:g} and sigma {sigma:g}; a score needs noise (t > 0)")
            return alpha, sigma
        values = [np.asarray(f(t.numpy()))[:, None] for f in (self.process.alpha, self.process.sigma)]
        if not all(np.isfinite(v).all() for v in values) or not (values[1] > 0).all():
            raise GridError("some times have no noise, or no finite alpha and sigma; a score needs noise (t > 0)")
        alphas, sigmas = (moved(torch.from_numpy(v), x.device, x.dtype) for v in values)
        return alphas, sigmas

    def _output(
        self, module: nn.Module, x: Tensor, t: Times, alpha: Any, sigma: Any, condition: Tensor | None
    ) -> Tensor:
        """What the module returns, (n, d) in the dtype of x; every fault is an error that says how it was called."""
        dtype = dtype_of(module) or x.dtype
        times = self._times(module, len(x), t, x.device, dtype)
        scale = input_scale(alpha, sigma, self.parameterisation)
        points = (x if isinstance(scale, float) and scale == 1.0 else x * scale).to(dtype)
        if self.shape is not None:
            points = points.reshape(len(x), *self.shape)
            if self.channels_last and points.ndim == 4:
                points = points.contiguous(memory_format=torch.channels_last)
        named = {} if condition is None or self.condition_name is None else {self.condition_name: condition}
        try:
            returned = module(points, times, **named)
        except (SfbenchError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            kept = "".join(f", {key}={_described(value)}" for key, value in named.items())
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            way = "NetworkScore(dim=(C, H, W)) gives images, time= other times, condition_name= a condition"
            if self.condition_name is not None and condition is None:
                way = f"its {self.condition_name!r} was not given: pass condition=, one for each row"
            raise ModelError(
                f"{_name(module)} failed, called with x = {_described(points)}, t = {_described(times)}{kept}: "
                f"{type(error).__name__}: {reason} ({way})"
            ) from error
        output = returned if isinstance(returned, Tensor) else _tensor_in(returned, _name(module))
        if output.shape != points.shape:
            hint = ""
            if output.ndim == points.ndim > 2 and output.shape[1] == 2 * points.shape[1]:
                hint = "; if half of the channels are a learned variance, wrap the module and return the first half"
            raise ModelError(
                f"{_name(module)} returned shape {tuple(output.shape)} for points of shape {tuple(points.shape)}{hint}"
            )
        if not output.is_floating_point() or output.layout != torch.strided:
            kind = f"{output.dtype}" if output.layout == torch.strided else f"a tensor of layout {output.layout}"
            raise ModelError(f"{_name(module)} returned {kind}; a score is real: dense and floating point")
        if output.device != x.device:
            raise ModelError(
                f"{_name(module)} returned a tensor on {output.device} for points on {x.device}; keep all of "
                "it on one device: score.to(device=...)"
            )
        return output.reshape(x.shape).to(x.dtype)

    def _times(self, module: nn.Module, n: int, t: Times, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Times (n,) as the module wants them; one time as (1,) where it takes that."""
        if getattr(module, "broadcasts_time", False):
            n = 1
        given = torch.full((n,), t, dtype=torch.float64) if isinstance(t, float) else t
        if callable(self.time):
            found = self.time(given)
            if not isinstance(found, Tensor) or found.shape != given.shape:
                raise ModelError(
                    f"time= must map times (n,) to a tensor (n,), got {_described(found)} for {_described(given)}"
                )
            times: Tensor = moved(found, device, dtype if found.is_floating_point() else found.dtype)
            return times
        if self.time == "t" and getattr(module, "host_times", False):
            return given
        value = np.asarray(_TIMES[self.time](self.process, t if isinstance(t, float) else t.numpy()))
        if not np.all(np.abs(value) <= torch.finfo(dtype).max):
            raise GridError(f"times of {np.max(value):g} do not fit into the {dtype} in which the network takes them")
        if value.ndim == 0:  # no copy from the host, for which a device would have to wait
            return torch.full((n,), float(value), dtype=dtype, device=device)
        values: Tensor = moved(torch.from_numpy(value), device, dtype)
        return values


def as_wiring(
    module: nn.Module,
    process: ForwardProcess,
    parameterisation: object,
    *,
    shape: tuple[int, ...] | None = None,
    time: object = None,
    condition_name: str | None = None,
) -> Wiring:
    """Checked fields; times default to ``c_noise`` for EDM, else to t, as for all networks with ``host_times``."""
    what = as_parameterisation(parameterisation)
    if time is None:
        time = "c_noise" if isinstance(what, EDM) and not getattr(module, "host_times", False) else "t"
    if not callable(time) and not (isinstance(time, str) and time in get_args(TimeName)):
        raise ModelError(
            f"unknown time {time!r}{did_you_mean(time, get_args(TimeName))}; use one of "
            f"{', '.join(map(repr, get_args(TimeName)))} or a function of times (n,)"
        )
    if time == "timestep" and not hasattr(process, "timestep"):
        raise ModelError(
            f"time='timestep' needs a process with numbered steps, such as processes.from_betas(betas), not {process!r}"
        )
    if condition_name is None:
        condition_name = getattr(module, "condition_name", None)
    if condition_name is not None and not (isinstance(condition_name, str) and condition_name.isidentifier()):
        raise ModelError(f"condition_name must be the name of an argument of the module, got {condition_name!r}")
    return Wiring(as_process(process, ModelError), what, shape, time, condition_name)  # type: ignore[arg-type]  # just checked


def dtype_of(module: nn.Module) -> torch.dtype | None:
    """Precision of a module: that of its first floating-point weight or buffer."""
    first = first_tensor(module)
    if first is None or first.is_floating_point():
        return None if first is None else first.dtype
    kinds = (tensor.dtype for tensor in chain(module.parameters(), module.buffers()) if tensor.is_floating_point())
    return next(kinds, None)


def first_tensor(module: nn.Module) -> Tensor | None:
    """The first weight of a module, or its first buffer if it has none.

    Asked at every call, where ``next(module.parameters())``, which looks for duplicates, takes longer than a layer.
    """
    for weight in module._parameters.values():
        if weight is not None:
            return weight
    for child in module._modules.values():
        found = None if child is None else first_tensor(child)
        if isinstance(found, nn.Parameter):
            return found
    return next(chain(module.parameters(), module.buffers()), None)


def device_of(module: nn.Module) -> torch.device:
    """Where a module lives.

    Raises
    ------
    ModelError
        If it lies on several devices; names them.
    """
    found = {tensor.device for tensor in chain(module.parameters(), module.buffers())}
    if len(found) > 1:
        raise ModelError(
            f"the tensors of this {type(module).__name__} lie on several devices "
            f"({', '.join(sorted(map(str, found)))}); move them to one: module.to(device)"
        )
    return found.pop() if found else torch.device("cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a device or on the host."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )


def _name(module: nn.Module) -> str:
    return type(getattr(module, "_orig_mod", module)).__name__  # of what was compiled


def _tensor_in(returned: Any, name: str) -> Tensor:
    """The tensor in what a module returned: itself, the first of a tuple or list, ``.sample`` or ``.logits``."""
    found = returned
    if isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        found = getattr(found, "sample", getattr(found, "logits", None))
    if not isinstance(found, Tensor):
        raise ModelError(
            f"{name} returned a {type(returned).__name__}; it must return a tensor, a tuple that begins with one, or "
            "an object with a tensor `.sample` or `.logits`"
        )
    return found


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
