r"""Checkpoints that cannot run code: a network by name and options, its weights, and how it is called.

A checkpoint is a folder of :mod:`sfbench.nets.tensor_files`. Its config.json names an architecture of one table (see
:mod:`sfbench.nets.architectures`), its options, process and wiring. Loading compares every name, shape and kind with
the header of the weights before any weight is read, and stops building a network as soon as it has more weights than
the file; NaN is refused. So no config makes loading take more memory than its weights are worth.
"""

import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from .._internal.arrays import as_device
from ..errors import ModelError, NotFiniteError
from ..processes import ForwardProcess, build_process, describe_process
from .adapter import NetworkScore
from .architectures import ScoreMLP, ScoreUNet, build_network, describe_network
from .parameterisation import EDM, Parameterisation, as_parameterisation
from .tensor_files import CheckpointError, Layout, open_files, write_files
from .wiring import Wiring

_FORMATS = (1, 2)  # 2 says more of the wiring, and is written only where there is more to say
_SPARE_TENSORS, _SPARE_NUMBERS = 256, 1 << 20  # made and thrown away while a network is built


def save_checkpoint(
    folder: str | os.PathLike[str], score: NetworkScore, *, summary: Mapping[str, Any] | None = None
) -> Path:
    """Write a network and what is needed to use it; returns the folder.

    Parameters
    ----------
    folder : path
        Created if needed; files in it are replaced one by one, the manifest last.
    score : NetworkScore
        With a network of :func:`build_network`, or of a class given to :func:`register_architecture`.
    summary : mapping, optional
        JSON values to keep beside it (losses, seeds, data).

    Raises
    ------
    ModelError, CheckpointError, NotFiniteError
        If a checkpoint cannot hold the network; nothing is written.
    """
    if not isinstance(score, NetworkScore):
        raise ModelError(f"score must be a NetworkScore (training's is result.score), got a {type(score).__name__}")
    architecture, options = describe_network(score.module)
    wiring = describe_wiring(score.wiring)
    if score.t_range is not None:
        wiring["t_range"] = list(score.t_range)
    if score.condition is not None:
        raise CheckpointError("a checkpoint holds no condition; save replace(score, condition=None)")
    config = {
        "format": 1 if list(wiring) == ["parameterisation"] else 2,
        "architecture": architecture,
        "options": options,
        "dim": score.dim,
        "process": describe_process(score.process, CheckpointError),
        "summary": dict(summary or {}),
        **wiring,
    }
    check_finite(score.module)
    state = score.module.state_dict()
    if not isinstance(score.module, ScoreMLP | ScoreUNet):
        try:
            rebuilt = build_network(architecture, json.loads(json.dumps(options)), process=score.process)
            check_layout(rebuilt, _layout_of(state), "this network")
        except Exception as error:
            raise CheckpointError(
                f"architecture {architecture!r} does not rebuild this network from its options: {error}"
            ) from error
    return write_files(folder, "weights", state, "config", config)


def load_checkpoint(
    folder: str | os.PathLike[str],
    *,
    module: nn.Module | None = None,
    process: ForwardProcess | None = None,
    device: str | torch.device = "cpu",
    batch: int = 4096,
) -> NetworkScore:
    """Read a network written by :func:`save_checkpoint`.

    Parameters
    ----------
    folder : path
    module : nn.Module, optional
        Takes the weights, instead of one that is built: needed where its architecture is not registered.
    process : ForwardProcess, optional
        If given, a checkpoint trained under another process is refused.
    device : str or torch.device
    batch : int
        Points evaluated at a time.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged, of another format, or does not fit the architecture it names.
    ModelError
        If the device is not there.
    """
    source = f"checkpoint {str(folder)!r}"
    place = as_device(device, ModelError)
    stored = open_files(folder, "weights", "config")
    config = stored.record
    if _field(config, "format", source, lambda value: value) not in _FORMATS:
        raise CheckpointError(f"{source} has format {config['format']!r:.100}; this version reads 1 and 2")
    own = _field(config, "process", source, build_process)
    if process is not None and own != process:
        raise CheckpointError(f"{source} was trained under {own!r}, not {process!r}")
    dim = _field(config, "dim", source, _as_dim)
    wiring = {name: _field(config, name, source, read) for name, read in _WIRING.items() if name in config}
    if "parameterisation" not in wiring:
        raise CheckpointError(f"config.json of {source} is incomplete: it has no 'parameterisation'")
    if module is None:
        name = _field(config, "architecture", source, _as_text)
        options = _field(config, "options", source, _as_object)
        try:
            with _no_more_than(stored.layout):
                module = build_network(name, options, process=own)
        except ImportError:
            raise
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise CheckpointError(f"{source} cannot be built from its architecture and options: {reason}") from error
    check_layout(module, stored.layout, source)
    module.load_state_dict(stored.tensors())
    check_finite(module)
    if isinstance(module, ScoreMLP | ScoreUNet):
        module.parameterisation = wiring["parameterisation"]
    try:
        return NetworkScore(module.to(place), dim, own, batch=batch, **wiring)
    except ValueError as error:
        raise CheckpointError(f"config.json of {source} does not fit its network: {error}") from None


def checkpoint_summary(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary stored with a checkpoint; its sum is verified, and so is the header of the weights."""
    stored = open_files(folder, "weights", "config")
    if "summary" not in stored.record:
        return {}
    found: dict[str, Any] = _field(stored.record, "summary", f"checkpoint {str(folder)!r}", _as_object)
    return found


def check_layout(network: nn.Module, layout: Layout, source: str) -> None:
    """Compare every name, shape and kind of number of a network with those of a file."""
    expected = _layout_of(network.state_dict())
    missing, surplus = sorted(set(expected) - set(layout)), sorted(set(layout) - set(expected))
    if missing or surplus:
        raise CheckpointError(f"{source} does not fit the network: missing {missing[:3]}, not expected {surplus[:3]}")
    for name, wanted in expected.items():
        if layout[name] != wanted:
            raise CheckpointError(
                f"{source} does not fit the network: {name!r} has shape {layout[name][1]} and kind {layout[name][0]}, "
                f"expected {wanted[1]} and {wanted[0]}"
            )


def check_finite(network: nn.Module) -> None:
    """Refuse a network that holds NaN or infinities."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(f"weight {name!r} of the network holds NaN or infinities")


def _layout_of(state: Mapping[str, Tensor]) -> Layout:
    return {name: (_kind(tensor), tuple(tensor.shape)) for name, tensor in state.items()}


def _kind(tensor: Tensor) -> str:
    if tensor.is_floating_point() or tensor.is_complex():
        return "F" if tensor.is_floating_point() else "C"
    return {torch.bool: "B", torch.uint8: "U"}.get(tensor.dtype, "I")


@contextmanager
def _no_more_than(layout: Layout) -> Iterator[None]:
    """Refuse to build a network that has more weights than a file, at the first one that is too many."""
    tensors = 4 * len(layout) + _SPARE_TENSORS
    numbers = 2 * sum(math.prod(shape) for _, shape in layout.values()) + _SPARE_NUMBERS
    thread = threading.get_ident()

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal tensors, numbers
        if tensor is None or threading.get_ident() != thread:
            return
        tensors, numbers = tensors - 1, numbers - tensor.numel()
        if tensors < 0 or numbers < 0:
            raise CheckpointError(f"it asks for more weights than its file holds, at {name!r} {tuple(tensor.shape)}")

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------------- values of config.json
def _field(config: Mapping[str, Any], name: str, source: str, read: Any) -> Any:
    """A value of config.json, read by a function."""
    if name not in config:
        raise CheckpointError(f"config.json of {source} is incomplete: it has no {name!r}")
    value = config[name]
    try:
        return read(value)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise CheckpointError(
            f"{name!r} in config.json of {source} cannot be used: {error} (it is {value!r:.100})"
        ) from None


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it must be a string")
    return value


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("it must be an object")
    return value


def _as_dim(value: Any) -> int:
    if type(value) is not int or not 1 <= value < 1 << 31:
        raise ValueError("a dimension must be a whole number of at least 1")
    return value


def _as_sizes(value: Any) -> tuple[int, ...]:
    return tuple(_as_dim(size) for size in value)


def _as_times(value: Any) -> tuple[float, float]:
    low, high = (float(v) for v in value)
    return low, high


def describe_wiring(wiring: Wiring) -> dict[str, Any]:
    """JSON form of how a network is called, without the process and without what is the default."""
    default = Wiring(wiring.process, wiring.parameterisation)
    record: dict[str, Any] = {"parameterisation": _describe_parameterisation(wiring.parameterisation)}
    if callable(wiring.time):
        raise CheckpointError("a checkpoint cannot hold time= as a function; let the network itself scale its times")
    for name in ("shape", "time", "condition_name"):
        value = getattr(wiring, name)
        if value != getattr(default, name):
            record[name] = list(value) if isinstance(value, tuple) else value
    return record


def _describe_parameterisation(value: Parameterisation) -> Any:
    return {"edm": asdict(value)} if isinstance(value, EDM) else value


def _build_parameterisation(value: Any) -> Parameterisation:
    return EDM(**value["edm"]) if isinstance(value, dict) else as_parameterisation(value)


_WIRING = {
    "parameterisation": _build_parameterisation,
    "shape": _as_sizes,
    "time": _as_text,
    "condition_name": _as_text,
    "t_range": _as_times,
}
