"""What numpy arrays and torch tensors do not share: one algorithm for both needs operators, methods, and these few.

Arrays keep their kind, device and dtype. Methods and operators that both libraries spell alike are written as usual
(``x.sum(axis=1)``, ``x * 2.0``, ``x[rows]``, ``out[...] = x``), functions that they spell alike come from
:func:`library`, and the rest is here. torch is imported only where a tensor or a device is at hand.

A reduction that the host must see (an array of k x k, k or n numbers) leaves the device as float64 numpy by
:func:`to_host`, which waits for the device; nothing else here waits.
"""

import math
import sys
from typing import Any, cast

import numpy as np

from ..errors import SfbenchError
from .aliases import Array, Float64Array, FloatArray

_LARGE_BLOCK = 1 << 24


def is_tensor(x: object) -> bool:
    """Whether x is a torch tensor; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def library(x: Array) -> Any:
    """numpy or torch, for functions of one name and meaning: ``einsum``, ``stack``, ``exp``, ``where`` ..."""
    return sys.modules["torch"] if is_tensor(x) else np


def device_of(x: Array) -> Any:
    """The device of a tensor, None for a numpy array."""
    return x.device if is_tensor(x) else None


def is_accelerator(device: Any) -> bool:
    """Whether a torch device (or None, for numpy) computes beside the host."""
    return device is not None and device.type not in ("cpu", "meta")


def to_host(x: Array) -> FloatArray:
    """A numpy array of the same numbers; shares memory where x is on the host already, in a dtype that numpy has."""
    if not is_tensor(x):
        return np.asarray(x)
    tensor = x.detach().cpu()
    return cast("FloatArray", (tensor.float() if dtype_name(tensor) == "bfloat16" else tensor).numpy())


def to_kind(values: Array, like: Array) -> Array:
    """Values as an array of the kind, device and dtype of ``like``."""
    if is_tensor(like):
        given = values if is_tensor(values) else library(like).from_numpy(np.ascontiguousarray(values))
        return moved(given, like.device, like.dtype)
    return to_host(values).astype(like.dtype, copy=False)


def on_device(values: Array, device: Any) -> Array:
    """Values on a torch device, or as numpy for None; the dtype stays."""
    if device is None:
        return to_host(values)
    import torch

    if not is_tensor(values):  # torch warns of read-only memory
        array = np.ascontiguousarray(values)
        values = torch.from_numpy(array if array.flags.writeable else array.copy())
    return moved(values, device, values.dtype)


def moved(tensor: Array, device: Any, dtype: Any) -> Array:
    """A tensor on a device in a torch dtype. Does not wait for work that an accelerator has to do; that memory may be
    read before it was written holds for copies to the host only, which wait.
    """
    return tensor.to(device=device, dtype=dtype, non_blocking=is_accelerator(device))


def dtype_name(x: Array) -> str:
    """``"float32"``, ``"float64"`` ... of an array of either kind."""
    return str(x.dtype).removeprefix("torch.")


def astype(x: Array, name: str) -> Array:
    """The array in a dtype given by name; itself if it has that already."""
    return x.to(getattr(library(x), name)) if is_tensor(x) else x.astype(name, copy=False)


def zeros(shape: tuple[int, ...], like: Array, dtype: str | None = None) -> Array:
    """Zeros of the kind and device of ``like``, in its dtype or another."""
    kind = getattr(library(like), dtype) if dtype else like.dtype
    return like.new_zeros(shape, dtype=kind) if is_tensor(like) else np.zeros(shape, kind)


def all_finite(x: Array) -> bool:
    """Whether every entry is finite; one reduction in the usual case. Waits for a device."""
    if is_tensor(x):
        return math.isfinite(float(x.sum())) or bool(x.isfinite().all())
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum(dtype=np.float64))) or bool(np.all(np.isfinite(x)))


def take(x: Array, rows: Any) -> Array:
    """Rows of x, chosen by a numpy array of indices or truth values."""
    return x[on_device(np.asarray(rows), x.device)] if is_tensor(x) else x[rows]


class Normals:
    """Standard normals of one kind: of the host from the generator itself, on an accelerator from the accelerator's own
    generator, which the host's seeds. CPU tensors get the numbers that numpy arrays get.
    """

    def __init__(self, rng: np.random.Generator, device: Any = None) -> None:
        self.rng, self.device, self._own = rng, device, None
        if is_accelerator(device):
            import torch

            self._own = torch.Generator(device).manual_seed(int(rng.integers(1 << 62)))
        self._start: Any = rng.bit_generator.state if self._own is None else self._own.get_state()

    def restart(self) -> None:
        """Draw again what was drawn since the beginning."""
        if self._own is None:
            self.rng.bit_generator.state = self._start
        else:
            self._own.set_state(self._start)

    def fill(self, out: Array) -> Array:
        """Standard normals into ``out``, which is on the device."""
        if self._own is None:
            self.rng.standard_normal(dtype=np.dtype(dtype_name(out)).type, out=to_host(out))  # shares memory
            return out
        return out.normal_(generator=self._own)

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Uniform numbers of float64, as a tensor on the device."""
        if self._own is None:
            return on_device(self.rng.random(shape), self.device)
        torch = sys.modules["torch"]
        return torch.rand(shape, generator=self._own, dtype=torch.float64, device=self.device)

    def __call__(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Normals of a shape, in float32 or float64."""
        if self._own is None:
            drawn: FloatArray = self.rng.standard_normal(shape, dtype=np.dtype(dtype).type)
            return on_device(drawn, self.device)
        torch = sys.modules["torch"]
        return torch.randn(shape, generator=self._own, dtype=getattr(torch, dtype), device=self.device)


def keep_freed_memory() -> None:
    """Make glibc keep blocks of some megabytes for reuse, by freeing a larger one.

    Else the arrays of a step, or the activations of a network, are returned to the kernel and faulted in again by the
    next, which took a third of the time of small problems.
    """
    np.empty(_LARGE_BLOCK, dtype=np.uint8)


def as_device(device: Any, error: type[SfbenchError] = SfbenchError, *, may_be_empty: bool = False) -> Any:
    """A torch device that is there, None for None, "meta" where it may be empty; the error names those that are."""
    if device is None:
        return None
    import torch

    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and ":" not in str(chosen) and torch.cuda.is_available():
            chosen = torch.device("cuda", torch.cuda.current_device())
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError, ImportError) as failure:
        present = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        reason = (str(failure) or repr(failure)).splitlines()[0]
        raise error(f"device {device!r} is not there ({reason}); this machine has {', '.join(present)}") from None
    if chosen.type == "meta" and not may_be_empty:
        raise error("device 'meta' holds no numbers; use 'cpu' or an accelerator")
    return chosen


def as_tensor_points(name: str, x: Array, error: type[SfbenchError]) -> Array:
    """A tensor of points that can be computed with: dense, float32 or float64, without gradients."""
    torch = sys.modules["torch"]
    if x.requires_grad:
        raise error(f"{name} records gradients; pass {name}.detach()")
    if x.layout != torch.strided or x.device.type == "meta":
        way = f"pass {name}.to_dense()" if x.device.type != "meta" else "its device holds no numbers: load them first"
        raise error(f"{name} must be a dense tensor with values, got {x.layout} on {x.device}; {way}")
    if x.dtype not in (torch.float32, torch.float64):
        raise error(
            f"{name} must hold real numbers in float32 or float64, got {x.dtype}; pass "
            f"{name}.{'real' if x.is_complex() else 'float()'} (a network computes in its own precision whatever its "
            "points have)"
        )
    return x


def common_device(models: Any, error: type[SfbenchError], x: Array = None) -> Any:
    """The one device on which models (and points x) live: None if none of them says (attribute ``device``)."""
    found: Any = None
    first = 0
    for i, model in enumerate(models):
        own = getattr(model, "device", None)
        if own is None:
            continue
        if found is not None and own != found:
            raise error(
                f"models[{first}] is on {found} and models[{i}] on {own}; move them to one device: "
                f"models[{i}].to(device={str(found)!r})"
            )
        found, first = own, i if found is None else first
    if found is not None and is_tensor(x) and x.device != found:
        raise error(f"the points are on {x.device} and the models on {found}; pass x.to({str(found)!r})")
    return found


def float64_on_host(x: Array) -> Float64Array:
    """A numpy array of float64."""
    return np.asarray(to_host(x), dtype=np.float64)
