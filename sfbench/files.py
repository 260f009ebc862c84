"""Writing results so that nothing half-written is ever left behind, and what produced them."""

import json
import os
import platform
import secrets
import shlex
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from .errors import OutputError

_REPORTED = ("numpy", "scipy", "cvxpy", "torch", "matplotlib", "piqp", "joblib")
_GIT_SECONDS = 20.0


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """Create an output folder and check that it can be written, before anything is computed.

    Raises
    ------
    OutputError
        If it cannot be created or written; names the path.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write to output folder {str(path)!r}: {reason}; choose another (--out)") from None
    return path


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[Any]], object], *, binary: bool = False) -> None:
    """Write a file through a temporary one in the same folder and rename it: readers see the old content or the new.

    A failure leaves nothing behind; a kill at most a hidden ``.NAME.*.tmp``. A symbolic link is followed: the file it
    points to is replaced, the link stays.

    Raises
    ------
    OutputError
        If the file cannot be written, or is a folder or a device; names the path.
    """
    temporary: Path | None = None
    try:
        final = _regular(path)
        encoding, newline = (None, None) if binary else ("utf-8", "")
        candidate = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        with open(candidate, "xb" if binary else "x", encoding=encoding, newline=newline) as f:
            temporary = candidate
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, final)
        temporary = None
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _regular(path: str | os.PathLike[str]) -> Path:
    """The file behind any links, refused if it is something that a rename would destroy (/dev/null, for one)."""
    final = Path(path).resolve()
    if final.exists() and not final.is_file():
        kind = "a folder" if final.is_dir() else "not a regular file"
        raise OutputError(f"cannot write {str(path)!r}: it is {kind}; name a file")
    return final


@contextmanager
def open_regular(path: str | os.PathLike[str], refuse: type[Exception]) -> Iterator[tuple[IO[bytes], int]]:
    """Open a plain file for reading; yields it and its size, before anything is read.

    Links are followed; what is not a plain file behind them (a folder, device, pipe or socket) is never opened.

    Raises
    ------
    refuse
        The exception class given, for files that are missing, unreadable, or not plain; names the path.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: opening a device or a pipe has effects
            raise refuse(f"{str(path)!r} is not a plain file")
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as f:
            yield f, os.fstat(f.fileno()).st_size
    except (OSError, ValueError) as error:
        if isinstance(error, refuse):
            raise
        raise refuse(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None


def read_regular(path: str | os.PathLike[str], largest: int, refuse: type[Exception]) -> bytes:
    """Contents of a plain file of at most ``largest`` bytes, as :func:`open_regular`; larger ones are not read."""
    with open_regular(path, refuse) as (f, size):
        if size > largest:
            raise refuse(f"{str(path)!r} holds {size} bytes, more than the {largest} that it may")
        content = f.read(largest + 1)
        if len(content) > largest:
            raise refuse(f"{str(path)!r} holds more than the {largest} bytes that it may")
    return content


@contextmanager
def file_lock(path: str | os.PathLike[str], timeout: float, on_wait: Callable[[], object]) -> Iterator[None]:
    """Hold a lock file that no other process holds; the file is removed afterwards.

    The lock belongs to the open file (``flock``): it ends with the process that holds it, however that ends. Without
    ``fcntl`` (outside POSIX) nothing is locked. ``on_wait`` is called once if there is another process to wait for,
    and TimeoutError raised after so many seconds.
    """
    deadline, told = time.monotonic() + timeout, False
    while (handle := _locked_file(path)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has held {str(path)!r} for {timeout:g} s")
        if not told:
            on_wait()
        told = True
        time.sleep(0.05)
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)
        os.close(handle)


def _locked_file(path: str | os.PathLike[str]) -> int | None:
    """An open file that this process alone has locked, or None while another one holds it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except ImportError:
        return handle
    except (BlockingIOError, FileNotFoundError):
        pass  # held by another process; or its holder has just removed it, which makes this another file
    os.close(handle)
    return None


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write one file of these bytes."""
    write_atomically(path, lambda f: f.write(content), binary=True)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write one JSON document."""
    write_atomically(path, lambda f: json.dump(value, f, indent=1, sort_keys=True))


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Versions, BLAS kernel, command and source revision behind a set of results."""
    from threadpoolctl import threadpool_info

    from . import __version__

    versions = {"sfbench": __version__}  # metadata of an editable installation are as old as the installation
    for name in _REPORTED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    blas = [
        {key: pool.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
        for pool in threadpool_info()
        if pool.get("user_api") == "blas"
    ]
    return {
        "command": shlex.join(["python", "-m", _module_name(), *sys.argv[1:]]),
        "seed": seed,
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "blas": blas,
        "revision": _revision(),
    }


def _module_name() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name.removesuffix(".__main__") if spec is not None else Path(sys.argv[0]).stem


def _revision() -> str | None:
    """Source revision of the checkout, with a mark for uncommitted changes; None outside a checkout.

    A virtual environment inside somebody else's repository is not a checkout of ours.
    """
    folder = Path(__file__).resolve().parent
    try:
        known = _git("rev-parse", "--show-toplevel", "HEAD", folder=folder).split("\n")
        if Path(known[0]).resolve() != folder.parent:
            return None
        dirty = _git("status", "--porcelain", folder=folder)
    except (OSError, subprocess.SubprocessError):
        return None
    return known[1] + ("+changes" if dirty else "")


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
    )
    return done.stdout.strip()
