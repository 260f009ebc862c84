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

from .entry import WHOLE, Archive, Arrays, DataSet, Files
from .errors import DataError, DataUnavailable

_SIDE, _PER_CLASS = 32, 500
_LARGEST = 1 << 25
_TIMEOUT = 1800.0
_CLASSES = tuple(f"{gender}/{race}" for gender in ("female", "male") for race in ("asian", "black", "brown", "white"))
_SCRIPT = Path(__file__).with_name("faces.mjs")


def draw_faces(packages: Files, count: int, classes: tuple[str, ...] = _CLASSES, side: int = _SIDE) -> np.ndarray:
    """Draw faces.

    Parameters
    ----------
    packages : mapping of str to bytes
        The npm packages, as fetched.
    count : int
        Images of one class.
    classes : tuple of str
        "gender/race" each.
    side : int
        Pixels.

    Returns
    -------
    ndarray (len(classes) count, 3 side^2) of uint8
        Rows, then columns, then colours; sorted by class, then number.

    Raises
    ------
    DataUnavailable
        Without Node.js, or on another platform.
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
    return sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"


def unpack(content: bytes, folder: Path, name: str) -> None:
    """Write the plain files of an npm package below a folder, leaving out its first folder.

    Raises
    ------
    DataError
        If a name points elsewhere, or the files are too large; links are left out.
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


def _decode(files: Files, split: str) -> Arrays:
    images = draw_faces(files, _PER_CLASS)
    return images, np.repeat(np.arange(len(_CLASSES)), _PER_CLASS)


_PACKAGES = {
    # package: version, sha256
    "facesjs": ("5.0.3", "5dcd38542f674a7df9d85dae2bade41dc99bdb317f6f723f1b4923aa0d0e4dda"),
    "dlv": ("1.1.3", "7c316193a4d49e70b3f552e4d52573ecb5b8154075f049cb30c9c2dc9ebb7c90"),
    "dset": ("3.1.4", "ea5753352be6a2416c35f0f23831db3a9986c6d9183c339fbb3f11f94d4c8357"),
    "svg-path-bbox": ("2.1.0", "da7b6b61601dbb9613407ea39e87c955c52434f9604990529e3d5de79f4fa45b"),
    "svgpath": ("2.6.0", "800acf61f8659853d6f46c133a2a0c056943572840407c3db63fdaf731f12f81"),
    "@resvg/resvg-js": ("2.6.2", "5b4c67c32d593a42bca6d97320b57465cf340bee441f4cb6bf250b1086872a43"),
    "@resvg/resvg-js-linux-x64-gnu": ("2.6.2", "ead221101ab0c8f27821c6ad4e65259ff6796d49978831b2992abb0ecdbaf96a"),
}
_FOLDERS = {f"{package.split('/')[-1]}.tgz": package for package in _PACKAGES}
_ENTRY = DataSet(
    name="faces",
    description="drawn faces, 32 x 32 in colour, 500 each of two genders and four skin tones, paired by number",
    licence="Apache 2.0 (facesjs); resvg MPL 2.0",
    redistributable=True,
    shape=(_SIDE, _SIDE, 3),
    levels=255,
    splits={"all": "8e856cbc7e5497e7cda2c2b8fcbe40c0025bb1dcfe3636935150ec0dcd32ba26"},
    files={file: _PACKAGES[package][1] for file, package in _FOLDERS.items()},
    decode=_decode,
    classes=_CLASSES,
    archives=tuple(Archive("npm", package, *_PACKAGES[package], {file: WHOLE}) for file, package in _FOLDERS.items()),
    slow=True,
)
ENTRIES = (_ENTRY,)
