r"""Checkpoints that cannot run code: tensors in safetensors, everything else in JSON, and a manifest of sha256 sums.

A checkpoint is a folder

    config.json          architecture by name, its options, process, parameterisation, training summary
    weights.safetensors  the tensors of the network
    manifest.json        sha256 of the other two

Loading verifies the sums before a byte is interpreted, builds the network from a fixed list of architectures, compares
every name, shape and type, and refuses NaN. There is no fallback to pickle. safetensors alone does not notice a flipped
bit; the manifest does. It guards against accidents and half-copied files, not against someone who can rewrite it too:
such a person can change the weights, but still not run code. The state of a training run, which is replaced again and
again, has the same form, but its files' names hold the beginning of their sums: a kill never leaves a mixture.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from ..errors import SfbenchError
from ..files import prepare_folder, write_atomically, write_json
from ..processes import ForwardProcess, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from .adapter import NetworkScore, check_finite
from .networks import build_network, describe_network

_FORMAT = 1
_LARGEST_CONFIG = 1 << 24
_PROCESSES = {kind.__name__: kind for kind in (OrnsteinUhlenbeck, VariancePreserving, VarianceExploding)}


class CheckpointError(SfbenchError):
    """A checkpoint is missing, damaged, or not what it should be."""


def save_checkpoint(
    folder: str | os.PathLike[str], score: NetworkScore, *, summary: Mapping[str, Any] | None = None
) -> Path:
    """Write a network and what is needed to use it; returns the folder.

    Parameters
    ----------
    folder : path
        Created if needed; files in it are replaced one by one, the manifest last.
    score : NetworkScore
        With a network of :func:`sfbench.nets.build_network`.
    summary : mapping, optional
        JSON values to keep beside it (losses, seeds, data).
    """
    architecture, options = describe_network(score.module)
    config = {
        "format": _FORMAT,
        "architecture": architecture,
        "options": options,
        "dim": score.dim,
        "process": describe_process(score.process),
        "parameterisation": score.parameterisation,
        "summary": dict(summary or {}),
    }
    check_finite(score.module)
    return write_files(folder, "weights", score.module.state_dict(), "config", config)


def load_checkpoint(
    folder: str | os.PathLike[str],
    *,
    process: ForwardProcess | None = None,
    device: str | torch.device = "cpu",
    batch: int = 4096,
) -> NetworkScore:
    """Read a network written by :func:`save_checkpoint`.

    Parameters
    ----------
    folder : path
    process : ForwardProcess, optional
        If given, a checkpoint trained under another process is refused.
    device : str or torch.device
    batch : int
        Points evaluated at a time.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged, of another format, or does not fit the architecture it names.
    """
    tensors, config = read_files(folder, "weights", "config")
    try:
        if config["format"] != _FORMAT:
            raise CheckpointError(f"checkpoint {str(folder)!r} has format {config['format']!r}; this version reads 1")
        own = build_process(config["process"])
        network = build_network(str(config["architecture"]), config["options"], process=own)
        dim, parameterisation = int(config["dim"]), config["parameterisation"]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"config.json of checkpoint {str(folder)!r} is incomplete: {error!r}") from None
    if process is not None and own != process:
        raise CheckpointError(f"checkpoint {str(folder)!r} was trained under {own!r}, not {process!r}")
    load_tensors(network, tensors, f"checkpoint {str(folder)!r}")
    check_finite(network)
    return NetworkScore(network.to(device), dim, own, parameterisation, batch)


def checkpoint_summary(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary stored with a checkpoint, verified."""
    return dict(read_files(folder, "weights", "config")[1].get("summary", {}))


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a network after comparing every name, shape and type."""
    expected = network.state_dict()
    missing, surplus = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or surplus:
        raise CheckpointError(f"{source} does not fit the network: missing {missing[:3]}, not expected {surplus[:3]}")
    for name, tensor in expected.items():
        found = tensors[name]
        if found.shape != tensor.shape or found.is_floating_point() != tensor.is_floating_point():
            raise CheckpointError(
                f"{source} does not fit the network: {name!r} has shape {tuple(found.shape)} and {found.dtype}, "
                f"expected {tuple(tensor.shape)} and {tensor.dtype}"
            )
    network.load_state_dict({name: tensors[name] for name in expected})


# ---------------------------------------------------------------------- files with a manifest
def write_files(
    folder: str | os.PathLike[str],
    tensors_name: str,
    tensors: Mapping[str, Tensor],
    json_name: str,
    record: Any,
    *,
    replaceable: bool = False,
) -> Path:
    """Write tensors and a JSON record, then a manifest with their sha256 sums, each atomically.

    With ``replaceable`` the names of the files hold the beginning of their sums, so that new files never overwrite
    those that the manifest names: a kill at any moment leaves the old set whole, or the new one. Older ones go last.
    """
    from safetensors.torch import save

    path = prepare_folder(folder)
    blob = save({name: t.detach().to("cpu").contiguous().clone() for name, t in tensors.items()})
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode()
    sums = {}
    for stem, suffix, content in ((tensors_name, ".safetensors", blob), (json_name, ".json", text)):
        digest = hashlib.sha256(content).hexdigest()
        name = f"{stem}-{digest[:16]}{suffix}" if replaceable else stem + suffix
        write_atomically(path / name, partial(_write, content), binary=True)
        sums[name] = digest
    write_json(path / "manifest.json", sums)
    if replaceable:
        for file in list(path.iterdir()):
            ours = _is_named(file.name, tensors_name, ".safetensors") or _is_named(file.name, json_name, ".json")
            if ours and file.name not in sums:
                file.unlink(missing_ok=True)
    return path


def _write(content: bytes, f: IO[bytes]) -> None:
    f.write(content)


def _is_named(name: str, stem: str, suffix: str) -> bool:
    """Whether :func:`write_files` may have given a file this name."""
    return re.fullmatch(rf"{re.escape(stem)}(-[0-9a-f]{{16}})?{re.escape(suffix)}", name) is not None


def read_files(
    folder: str | os.PathLike[str], tensors_name: str, json_name: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_files` wrote, verifying the sums first."""
    path = Path(folder)
    _require(path, "manifest.json")
    manifest = _json(path / "manifest.json")
    names = [
        next((name for name in manifest if _is_named(name, stem, suffix)), stem + suffix)
        for stem, suffix in ((tensors_name, ".safetensors"), (json_name, ".json"))
    ]
    contents = {}
    for name in names:
        _require(path, name)
        if name.endswith(".json") and (path / name).stat().st_size > _LARGEST_CONFIG:
            raise CheckpointError(f"{str(path / name)!r} is larger than {_LARGEST_CONFIG} bytes")
        contents[name] = (path / name).read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != manifest.get(name):
            raise CheckpointError(
                f"{str(path / name)!r} is damaged: its sha256 is not that of manifest.json; train it or copy it again"
            )
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(contents[names[0]])
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{str(path / names[0])!r} is not a valid safetensors file: {error}") from None
    return tensors, _json(path / names[1])


def _require(path: Path, name: str) -> None:
    if not (path / name).is_file():
        hint = " (pickled checkpoints such as .pt, .pth and .ckpt are not read, because they can run code)"
        raise CheckpointError(f"{str(path)!r} holds no {name}, so it is not a checkpoint of sfbench{hint}")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{str(path)!r} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{str(path)!r} must hold a JSON object, got a {type(value).__name__}")
    return value


# ---------------------------------------------------------------------- processes by name
def describe_process(process: ForwardProcess) -> dict[str, Any]:
    """JSON form of a forward process."""
    name = type(process).__name__
    if _PROCESSES.get(name) is not type(process):
        raise CheckpointError(f"{process!r} is not one of {', '.join(_PROCESSES)}, so a checkpoint cannot name it")
    parameters = asdict(process)
    if name == "VarianceExploding":
        parameters = {"sigma": parameters["base"]}
    return {"name": name, "parameters": parameters}


def build_process(record: Mapping[str, Any]) -> ForwardProcess:
    """The forward process behind its JSON form."""
    name = record["name"]
    if name not in _PROCESSES:
        raise CheckpointError(f"unknown process {name!r}; use one of {', '.join(_PROCESSES)}")
    kind: Any = _PROCESSES[name]
    built: ForwardProcess = kind(**record["parameters"])
    return built
