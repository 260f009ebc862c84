"""What was fitted on what: sha256 sums of data and models by content, the same in every process.

Of arrays and tensors the dtype, shape and bytes count; of networks the state and how it is called; of other objects the
class and the state that copying would copy. Devices and batch sizes do not count.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import FunctionType, MethodType
from typing import Any, final

import numpy as np

from .._internal.validation import as_real
from ..errors import GramError, ModelError
from ..processes import ForwardProcess
from ..scores import ScoreModel
from ..statistics.rows import is_frame

_DEEPEST = 12
_NOT_CONTENT = {"batch"}


@final
@dataclass(frozen=True)
class DataIdentity:
    """The data of a fit.

    Attributes
    ----------
    sha256 : str
        Of dtype, shape and values, as float32 or float64 of the shape in which they were given, (n, ...).
    shape : tuple of int
    dtype : str
    """

    sha256: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, x: Any) -> "DataIdentity | None":
        """Of an array, tensor or data frame (n, ...), read once; None for files, loaders and what is not an array."""
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            x = x.float().numpy() if str(x.dtype) == "torch.bfloat16" else x.numpy()
        elif not (isinstance(x, np.ndarray | list | tuple) or is_frame(x)):
            return None
        array = as_real("data", x, GramError)
        hashed = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
        rows = max(1, (1 << 22) // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            hashed.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
        return cls(hashed.hexdigest(), tuple(int(size) for size in array.shape), str(array.dtype))


@final
@dataclass(frozen=True, eq=False)
class DetachedModel:
    """Stands in for a model of a fit that was loaded without it; knows its name, dimension and sha256, and no score."""

    name: str
    kind: str
    dim: int
    process: ForwardProcess
    sha256: str | None
    t_range: tuple[float, float] | None = None

    def score(self, x: Any, t: float) -> Any:
        """Refuse, and say how to go on."""
        raise ModelError(
            f"this fit was loaded without its models; result.attach([...]) gives it {self.name!r} (a {self.kind}) again"
        )


def model_sha256(model: ScoreModel) -> str | None:
    """The sum of a model's content, None for an object whose content cannot be told."""
    if isinstance(model, DetachedModel):
        return model.sha256
    hashed = hashlib.sha256()
    try:
        _add(hashed, model, _DEEPEST)
    except (_UnknownContentError, TypeError, ValueError, RuntimeError):
        return None
    return hashed.hexdigest()


def model_kind(model: ScoreModel) -> str:
    """The class of a model, with the class of the network or law that it wraps."""
    if isinstance(model, DetachedModel):
        return model.kind
    inner = next((getattr(model, name) for name in ("module", "law", "factor") if hasattr(model, name)), None)
    return type(model).__name__ + ("" if inner is None else f" of {type(inner).__name__}")


class _UnknownContentError(Exception): ...


def _add(hashed: Any, value: Any, depth: int) -> None:
    """Feed a value's content to a sum."""
    if depth == 0:
        raise _UnknownContentError
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.dtype | type):
        hashed.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise _UnknownContentError
        hashed.update(f"array {value.dtype.str} {value.shape};".encode())
        hashed.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        hashed.update(f"mapping {len(value)};".encode())
        for key in sorted(value, key=str):
            _add(hashed, str(key), depth - 1)
            _add(hashed, value[key], depth - 1)
    elif isinstance(value, tuple | list):
        hashed.update(f"sequence {len(value)};".encode())
        for item in value:
            _add(hashed, item, depth - 1)
    elif isinstance(value, FunctionType | MethodType):
        code = getattr(value, "__code__", None)
        hashed.update(f"function {value.__module__}.{value.__qualname__};".encode() + (code.co_code if code else b""))
    else:
        _add_object(hashed, value, depth)


def _add_object(hashed: Any, value: Any, depth: int) -> None:
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported it
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        hashed.update(f"tensor {plain.dtype} {tuple(plain.shape)};".encode())
        hashed.update(plain.flatten().view(torch.uint8).numpy().tobytes())
        return
    if torch is not None and isinstance(value, torch.device | torch.dtype):
        hashed.update(f"{value};".encode())
        return
    hashed.update(f"object {type(value).__qualname__};".encode())
    if torch is not None and isinstance(value, torch.nn.Module):
        _add(hashed, dict(value.state_dict()), depth - 1)
    elif is_dataclass(value):
        _add(hashed, {f.name: getattr(value, f.name) for f in fields(value) if _counts(f)}, depth - 1)
    else:
        state = value.__getstate__()
        if not state:
            raise _UnknownContentError
        _add(hashed, state, depth - 1)


def _counts(field: Any) -> bool:
    return bool(field.init and not field.name.startswith("_") and field.name not in _NOT_CONTENT)
