r"""Where the files of a data set are looked for.

Order: the local cache, then files of an installed package, read by path (importing those is slow or impossible), then
what is computed from nothing. What is missing is one :class:`DataUnavailable` at once, with the commands. Every file is
verified by sha256 before anything else sees it. No pickle anywhere.
"""

import os
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from ..files import prepare_folder, read_regular, write_bytes
from .entry import DataSet, Files, Requirement, verify
from .errors import DataError, DataUnavailable

LARGEST_FILE = 1 << 28  # bytes


def cache_folder() -> Path:
    """``$SFBENCH_DATA``, or ``sfbench`` in the user's cache folder."""
    chosen = os.environ.get("SFBENCH_DATA")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sfbench"


def find_files(entry: DataSet) -> tuple[Files, str]:
    """Verified files of an entry and where they were found.

    Raises
    ------
    DataUnavailable
        If no place holds them; lists the places and the commands.
    DataError
        If a file is there but has the wrong sha256, or is too large to be it.
    """
    if not entry.files:
        return {}, "generator"
    tried: list[str] = []
    for place, folder, names in _places(entry):
        if folder is None or not all((folder / names[name]).is_file() for name in entry.files):
            tried.append(place)
            continue
        files = {name: read_regular(folder / names[name], LARGEST_FILE, DataError) for name in entry.files}
        for name, content in files.items():
            verify(content, entry.files[name], str(folder / names[name]))
        return files, place
    raise DataUnavailable(_missing(entry, tried))


def check_modules(entry: DataSet) -> None:
    """Refuse at once if a module is missing that decoding imports.

    Raises
    ------
    DataUnavailable
        With the `pip install` line.
    """
    absent = missing_module(entry)
    if absent is not None:
        raise DataUnavailable(
            f"data set {entry.name!r} needs the Python module {absent.module!r}, which is not installed: "
            f"pip install {absent.install}"
        )


def missing_module(entry: DataSet) -> Requirement | None:
    """The first module that decoding imports and that is not installed; None if all are."""
    return next((r for r in entry.requires if find_spec(r.module) is None), None)


def _places(entry: DataSet) -> list[tuple[str, Path | None, dict[str, str]]]:
    own = {name: name for name in entry.files}
    places: list[tuple[str, Path | None, dict[str, str]]] = [
        (f"cache {str(cache_folder() / entry.name)!r}", cache_folder() / entry.name, own)
    ]
    if entry.installed is not None:
        package, paths = entry.installed
        try:
            root: Path | None = Path(str(distribution(package).locate_file("")))
        except PackageNotFoundError:
            root = None
        places.append((f"installed package {package!r}", root, paths))
    if entry.system is not None:
        places.append((f"folder {entry.system!r}", Path(entry.system), own))
    return places


def _missing(entry: DataSet, tried: list[str]) -> str:
    commands = []
    if entry.archives:
        runs = ", ".join(f"`{archive.command}`" for archive in entry.archives)
        commands.append(f"sfbench data fetch {entry.name}   (which runs {runs})")
    if entry.installed is not None:
        commands.append(f"pip install {entry.installed[0]}")
    if entry.system is not None:
        commands.extend(f"apt-get install {archive.package}" for archive in entry.archives)
    return (
        f"data set {entry.name!r} is not on this machine; looked in {', '.join(tried)}. "
        f"Get it with one of: {'; '.join(commands)}. Offline, copy {', '.join(entry.files)} to "
        f"{str(cache_folder() / entry.name)!r}"
    )


def store(entry: DataSet, files: Files) -> Path:
    """Verify files and put them into the cache, each atomically; returns the folder."""
    for name, sha256 in entry.files.items():
        verify(files[name], sha256, name)
    folder = prepare_folder(cache_folder() / entry.name)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return folder
