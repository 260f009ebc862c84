r"""Drawn faces of eight known groups: two genders times four skin tones, 500 each, in colour.

The npm package facesjs composes a face from parts; resvg rasterises it; both run in Node.js, from the verified packages
in the cache, with ``Math.random`` replaced by a seeded generator. Image j of every class starts from the same random
numbers: counterfactual pairs that share most of their parts. Both packages compute alike on every machine of one kind,
so the arrays carry a sha256; resvg is compiled code, and the one for Linux on x86-64 (glibc) is pinned.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np

from .catalogue import CATALOGUE
from .entry import Arrays, Files
from .errors import DataError, DataUnavailable

_SIDE, _PER_CLASS = 32, 500
_LARGEST = 1 << 25
_TIMEOUT = 1800.0
_ENTRY = CATALOGUE["faces"]
_FOLDERS = {file: archive.package for archive in _ENTRY.archives for file in archive.members}
_SCRIPT = Path(__file__).with_name("faces.mjs")


def draw_faces(packages: Files, count: int, classes: tuple[str, ...] = _ENTRY.classes, side: int = _SIDE) -> np.ndarray:
    """Faces (len(classes) count, 3 side^2) of uint8: rows, columns, colours; sorted by class, then number.

    Classes are "gender/race" each. Without Node.js, or on another platform, they are unavailable.
    """
    node = shutil.which("node")
    if node is None:
        raise DataUnavailable("faces are drawn by Node.js, and 'node' is not installed: apt-get install nodejs")
    if not _is_supported():
        raise DataUnavailable(
            f"faces are drawn by code compiled for Linux on x86-64 with glibc; this is {sys.platform} on "
            f"{platform.machine()}. Copy the cache from a machine on which `sfbench data fetch faces` ran"
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in packages.items():
            unpack(content, Path(folder, "node_modules", *_FOLDERS[name].split("/")), name)
        script = Path(folder, _SCRIPT.name)
        script.write_bytes(_SCRIPT.read_bytes())
        try:
            done = subprocess.run(
                [node, str(script), str(side), str(count), *classes],
                cwd=folder,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DataUnavailable(f"Node.js did not draw the faces within {_TIMEOUT:.0f} s") from None
    if done.returncode != 0 or len(done.stdout) != len(classes) * count * side * side * 3:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if "Error" in line]
        raise DataUnavailable(f"Node.js could not draw the faces: {said[0] if said else f'exit {done.returncode}'}")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, side * side * 3)


def _is_supported() -> bool:
    return (sys.platform, platform.machine(), platform.libc_ver()[0]) == ("linux", "x86_64", "glibc")


def unpack(content: bytes, folder: Path, name: str) -> None:
    """Write the plain files of an npm package, which names neither other places nor too much, below a folder.

    Its own first folder and links are left out.
    """
    total = 0
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\\" in member.name or len(path.parts) < 2:
                raise DataError(f"{name} holds a file called {member.name!r}")
            handle = tar.extractfile(member) if member.isreg() else None
            if handle is None:
                continue
            total += member.size
            if total > _LARGEST:
                raise DataError(f"{name} holds more than {_LARGEST} bytes")
            target = folder.joinpath(*path.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(handle.read())


def decode(files: Files, split: str) -> Arrays:
    """All classes."""
    images = draw_faces(files, _PER_CLASS)
    return images, np.repeat(np.arange(len(_ENTRY.classes)), _PER_CLASS)
