"""Writing results so that nothing half-written is ever left behind, and what produced them."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from .errors import OutputError

_REPORTED = ("numpy", "scipy", "cvxpy", "torch", "matplotlib", "piqp", "joblib")


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
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write to output folder {str(path)!r}: {reason}; choose another with --out") from None
    return path


def write_atomically(path: Path, write: Callable[[IO[Any]], object], *, binary: bool = False) -> None:
    """Write a file through a temporary one in the same folder and rename it; on failure nothing is left.

    Raises
    ------
    OutputError
        If the file cannot be written; names the path.
    """
    handle = None
    try:
        mode, encoding = ("wb", None) if binary else ("w", "utf-8")
        newline = None if binary else ""
        with tempfile.NamedTemporaryFile(mode, dir=path.parent, delete=False, encoding=encoding, newline=newline) as f:
            handle = f.name
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(handle, 0o666 & ~_umask())  # temporary files are private; results are not
        os.replace(handle, path)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    finally:
        if handle is not None and os.path.exists(handle):
            os.unlink(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_json(path: Path, value: object) -> None:
    """Write one JSON document."""
    write_atomically(path, lambda f: json.dump(value, f, indent=1, sort_keys=True))


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Versions, BLAS kernel, command and source revision behind a set of results."""
    from threadpoolctl import threadpool_info

    versions = {}
    for name in ("sfbench", *_REPORTED):
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
        "command": " ".join(["python", "-m", _module_name(), *sys.argv[1:]]),
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
    return spec.name if spec is not None else Path(sys.argv[0]).stem


def _revision() -> str | None:
    """Source revision of the checkout, with a mark for uncommitted changes; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
