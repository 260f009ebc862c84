"""What users pass to networks, as tensors: the one place where arrays become tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._internal.validation import as_count, as_number, as_real
from ..errors import GridError, ModelError
from .wiring import Times, Wiring


def as_tensor(x: Any, dim: int, device: torch.device) -> Tensor:
    """Points (n, d) as a tensor: tensors themselves, on the device; arrays on the host, copied only where needed."""
    if isinstance(x, Tensor):
        if x.requires_grad:
            raise ModelError("x records gradients; pass x.detach(), or use evaluate(x, t) to differentiate a score")
        if x.dtype not in (torch.float32, torch.float64) or x.layout != torch.strided:
            raise ModelError(
                f"x must be a dense tensor of float32 or float64, got {x.dtype} ({x.layout}); pass x.float() (what the "
                "network computes in is its own affair)"
            )
        if x.device != device:
            raise ModelError(
                f"x is on {x.device}, the network on {device}; use x.to(score.device) or score.to(device=...)"
            )
        points = x
    else:
        if device.type == "meta":
            raise ModelError("the network is on the device 'meta', where it has no weights; load them first")
        array = np.ascontiguousarray(as_real("x", x, ModelError))
        points = torch.from_numpy(array if array.flags.writeable else array.copy())  # torch warns of read-only memory
    if points.ndim != 2 or points.shape[1] != dim:
        hint = "; use x.reshape(len(x), -1)" if points.ndim > 2 and points[:1].numel() == dim else ""
        raise ModelError(f"x must have shape (n, {dim}), got {tuple(points.shape)}{hint}")
    return points


def as_times(t: Any, n: int) -> Times:
    """One time as a float, or times (n,) in float64 on the CPU."""
    if isinstance(t, float) and 0.0 <= t < np.inf:
        return float(t)
    if isinstance(t, Tensor):
        try:
            t = (t.detach().double() if t.is_floating_point() else t).cpu().numpy()
        except (RuntimeError, TypeError) as error:  # sparse, or on a device that holds no values
            raise GridError(f"t cannot be read: {str(error).splitlines()[0]}") from None
    values = as_real("t", t, GridError)
    if values.ndim == 1 and len(values) == n:
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise GridError(f"t must be finite and at least 0, got {values[~(values >= 0) | ~np.isfinite(values)][0]}")
        return torch.from_numpy(np.array(values, np.float64))
    if values.ndim != 0:
        raise GridError(f"t must be one time, or one for each of the {n} points, got shape {values.shape}")
    time = float(values)
    if not 0.0 <= time < np.inf:
        raise GridError(f"t must be finite and at least 0, got {t!r}")
    return time


def as_shape(shape: Any) -> tuple[int, ...]:
    """Sizes of one item."""
    if not isinstance(shape, tuple | list) or not shape:
        raise ModelError(f"shape must be the sizes of one item, such as (channels, height, width), got {shape!r}")
    return tuple(as_count("shape", size, error=ModelError) for size in shape)


def as_range(t_range: Any, module: nn.Module, wiring: Wiring) -> tuple[float, float] | None:
    """First and last time: those given, the module's own, those of a table of timesteps (negative before it)."""
    if t_range is None:
        t_range = getattr(module, "t_range", None)
    if t_range is None and wiring.time == "timestep":
        t_range = (1.0 / wiring.process.n_timesteps, wiring.process.horizon)  # type: ignore[attr-defined]  # just checked
    if t_range is None:
        return None
    if not isinstance(t_range, tuple | list) or len(t_range) != 2:
        raise ModelError(f"t_range must be (first time, last time), got {t_range!r}")
    low, high = (as_number("t_range", value, ModelError) for value in t_range)
    if not 0.0 <= low < high:
        raise ModelError(f"t_range must be 0 <= first < last, got {t_range!r}")
    return low, high


def as_condition(value: Any, n: int, device: torch.device, dtype: torch.dtype, *, one_for_all: bool) -> Tensor:
    """Conditions (n, ...) on the device; labels as integers, embeddings in the network's precision."""
    if isinstance(value, Tensor):
        tensor = value
    else:
        labels = np.asarray(value) if isinstance(value, int | list | np.ndarray | np.integer) else None
        whole = labels is not None and labels.dtype.kind in "iub" and not isinstance(value, np.ma.MaskedArray)
        numbers = np.array(labels, np.int64) if whole else np.array(as_real("condition", value, ModelError))
        tensor = torch.from_numpy(numbers)
    if tensor.is_complex() or tensor.layout != torch.strided or (tensor.device.type == "meta" != device.type):
        raise ModelError(f"condition must be a dense tensor of real numbers, got {tensor.dtype} on {tensor.device}")
    tensor = tensor.detach().to(device=device, dtype=dtype if tensor.is_floating_point() else torch.int64)
    if one_for_all or tensor.ndim == 0:
        return tensor.expand(n, *tensor.shape)
    if len(tensor) != n:
        raise ModelError(f"condition must have one row for each of the {n} points, got {len(tensor)}")
    return tensor
