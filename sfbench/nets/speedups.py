"""A module in another precision or memory layout, and whole batches for a compiled one."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .wiring import dtype_of

_PRECISIONS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def in_precision(module: nn.Module, dtype: torch.dtype | None, channels_last: bool) -> nn.Module:
    """The module, or a copy of it where precision or layout change.

    Raises
    ------
    ModelError
        For a precision in which networks do not compute, or a layout of channels for a module that has none.
    """
    if dtype is not None and dtype not in _PRECISIONS:
        raise ModelError(f"dtype must be one of {', '.join(map(str, _PRECISIONS))}, got {dtype!r}")
    kernels = [weight for weight in module.parameters() if weight.ndim == 4]
    if channels_last and not kernels:
        raise ModelError(f"channels_last=True is for convolutions of images, and this {type(module).__name__} has none")
    if dtype is not None and dtype != (dtype_of(module) or dtype):
        module = deepcopy(module).to(dtype=dtype)
    if channels_last and not all(w.is_contiguous(memory_format=torch.channels_last) for w in kernels):
        module = deepcopy(module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def as_backend(compile: Any) -> bool | str:
    """True, False, or the name of a backend of ``torch.compile``."""
    if isinstance(compile, bool) or (isinstance(compile, str) and compile in torch.compiler.list_backends(())):
        return compile
    raise ModelError(f"compile must be True, False or the name of a backend of torch.compile, got {compile!r}")


def compiled(module: nn.Module, compile: bool | str) -> nn.Module:
    """The module behind ``torch.compile``, for one shape of its input."""
    options = {} if compile is True else {"backend": compile}
    made: nn.Module = torch.compile(module, dynamic=False, **options)  # type: ignore[call-overload]
    return made


def filled(values: Any, rows: int) -> Any:
    """A tensor with its last row repeated until it has so many; anything else as it is."""
    if not isinstance(values, Tensor) or len(values) == rows:
        return values
    return torch.cat([values, values[-1:].expand(rows - len(values), *values.shape[1:])])
