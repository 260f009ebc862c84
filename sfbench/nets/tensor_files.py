r"""Tensors and a JSON record in a folder, with a manifest of their sha256 sums; nothing in it can run code.

    config.json          the record
    weights.safetensors  the tensors
    manifest.json        sha256 of the other two

Sizes are looked at before anything is read. The record, the names and shapes of the tensors come first
(:func:`open_files`), so that a reader can refuse them before it takes memory; the tensors themselves, and with them the
sum of their file, come on request (:meth:`StoredFiles.tensors`). There is no fallback to pickle. safetensors alone does
not notice a flipped bit; the manifest does. It guards against accidents and half-copied files, not against someone who
can rewrite it too: such a person can change the weights, but still not run code.
"""

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, final

from torch import Tensor

from ..errors import SfbenchError
from ..files import open_regular, prepare_folder, read_regular, write_atomically, write_json

_LARGEST_JSON = 1 << 24
_LARGEST_MANIFEST = 1 << 16
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_BYTES |= {"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
Layout = dict[str, tuple[str, tuple[int, ...]]]
"""Kind of number (the letter of safetensors: F, I, U, B or C) and shape, by name."""


class CheckpointError(SfbenchError):
    """A checkpoint is missing, damaged, or not what it should be."""


@final
@dataclass(frozen=True, eq=False)
class StoredFiles:
    """What a folder holds, before its tensors are read."""

    path: Path
    file: str
    size: int
    sha256: str
    record: dict[str, Any]
    layout: Layout

    def tensors(self) -> dict[str, Tensor]:
        """The tensors, after their sum has been compared with the manifest."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        content = _verified(self.path / self.file, self.size, self.sha256)
        try:
            return load(content)
        except (SafetensorError, KeyError, ValueError, RuntimeError, AttributeError) as error:
            _refuse_tensors(self.path / self.file, error)


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

    try:
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{json_name} of a checkpoint must hold finite JSON values: {error}") from None
    path = prepare_folder(folder)
    blob = save({name: t.detach().to("cpu").contiguous().clone() for name, t in tensors.items()})
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


def open_files(folder: str | os.PathLike[str], tensors_name: str, json_name: str) -> StoredFiles:
    """Read what :func:`write_files` wrote, but for the tensors.

    Raises
    ------
    CheckpointError
        If a file is missing, too large, damaged, or not of its kind.
    """
    path = Path(folder)
    _require(path, "manifest.json")
    manifest = _json(path / "manifest.json", read_regular(path / "manifest.json", _LARGEST_MANIFEST, CheckpointError))
    names = [
        next((name for name in manifest if _is_named(name, stem, suffix)), stem + suffix)
        for stem, suffix in ((tensors_name, ".safetensors"), (json_name, ".json"))
    ]
    for name in names:
        _require(path, name)
    sums = [str(manifest.get(name)) for name in names]
    record = _json(path / names[1], _verified(path / names[1], _LARGEST_JSON, sums[1]))
    layout, size = _layout(path / names[0])
    return StoredFiles(path, names[0], size, sums[0], record, layout)


def _layout(path: Path) -> tuple[Layout, int]:
    """Names, kinds and shapes of a safetensors file, from its header alone; refused unless its size is theirs."""
    with open_regular(path, CheckpointError) as (f, size):
        start = f.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _LARGEST_JSON):
            _refuse_tensors(path, f"its header would have {length} of its {size} bytes")
        header = _json(path, f.read(length))
    header.pop("__metadata__", None)
    layout: Layout = {}
    total = 0
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            bits = _BYTES[dtype] * math.prod(shape)
            wrong = not all(type(v) is int and v >= 0 for v in (*shape, begin, end)) or end - begin != bits
        except (KeyError, TypeError, ValueError):
            wrong = True
        if wrong:
            _refuse_tensors(path, f"its header has no sense at {name[:80]!r}")
        layout[name] = (dtype[0], tuple(shape))
        total += bits
    if 8 + length + total != size:
        _refuse_tensors(path, f"its header promises {total} bytes of tensors, {size - 8 - length} are there")
    return layout, size


def _refuse_tensors(path: Path, reason: object) -> NoReturn:
    raise CheckpointError(f"{str(path)!r} is damaged, or not a valid safetensors file: {reason}") from None


def _verified(path: Path, largest: int, sha256: str) -> bytes:
    content = read_regular(path, largest, CheckpointError)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(
            f"{str(path)!r} is damaged: its sha256 is not that of manifest.json; train it or copy it again"
        )
    return content


def _write(content: bytes, f: IO[bytes]) -> None:
    f.write(content)


def _is_named(name: str, stem: str, suffix: str) -> bool:
    """Whether :func:`write_files` may have given a file this name."""
    return re.fullmatch(rf"{re.escape(stem)}(-[0-9a-f]{{16}})?{re.escape(suffix)}", name) is not None


def _require(path: Path, name: str) -> None:
    if not os.path.lexists(path / name):
        hint = " (pickled checkpoints such as .pt, .pth and .ckpt are not read, because they can run code)"
        raise CheckpointError(f"{str(path)!r} holds no {name}, so it is not a checkpoint of sfbench{hint}")


def _json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        kind = "is damaged, or not a valid safetensors file" if path.suffix == ".safetensors" else "is not valid JSON"
        raise CheckpointError(f"{str(path)!r} {kind}: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{str(path)!r} must hold a JSON object, got a {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
