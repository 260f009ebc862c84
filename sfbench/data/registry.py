r"""Data sets by name, and the places in which their files are looked for.

Order of :func:`load_data`: the local cache, then files of an installed package, read by path (importing those is slow
or impossible), then what is computed from nothing. Nothing is downloaded unless :func:`fetch_data` is called; what is
missing is one :class:`DataUnavailable` at once, with the commands. Every file is verified by sha256 before it is
decoded, and the decoded arrays once more, so that a changed decoder is noticed too. No pickle anywhere.
"""

import difflib
import os
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np

from ..files import prepare_folder, write_atomically
from . import fonts, index_returns, mnist1d, photos, scanned, temperatures
from .entry import Arrays, DataSet, Files, Items, Split, verify
from .errors import DataError, DataUnavailable

_MODULES = (scanned, fonts, photos, index_returns, mnist1d, temperatures)
_REGISTRY: dict[str, DataSet] = {entry.name: entry for module in _MODULES for entry in module.ENTRIES}


def known_data() -> dict[str, DataSet]:
    """The registry."""
    return dict(_REGISTRY)


def data_entry(name: str) -> DataSet:
    """The entry of that name."""
    if name not in _REGISTRY:
        close = difflib.get_close_matches(name, _REGISTRY)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise DataUnavailable(f"unknown data set {name!r}; {hint}known: {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


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
        If a file is there but has the wrong sha256.
    """
    if not entry.files:
        return {}, "generator"
    tried: list[str] = []
    for place, folder, names in _places(entry):
        if folder is None or not all((folder / names[name]).is_file() for name in entry.files):
            tried.append(place)
            continue
        files = {name: (folder / names[name]).read_bytes() for name in entry.files}
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
    absent = [r for r in entry.requires if find_spec(r.module) is None]
    if absent:
        raise DataUnavailable(
            f"data set {entry.name!r} needs the Python module {absent[0].module!r}, which is not installed: "
            f"pip install {absent[0].install}"
        )


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


def load_data(name: str, split: Split | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Items (n, d) as float64 (pixels are whole levels), and labels (n,) as int64.

    Parameters
    ----------
    name : str
        A name of :func:`known_data`.
    split : {"train", "test", "all"}, optional
        May be left out if there is only one.

    Raises
    ------
    DataUnavailable, DataError
        If the data are missing or damaged.
    """
    items = load_items(name, split)
    return items.x, items.y


def load_items(name: str, split: Split | None = None) -> Items:
    """As :func:`load_data`, with the group of every item (its writer, asset, photo, ...; see `DataSet.groups`)."""
    entry = data_entry(name)
    if entry.kind == "model":
        raise DataUnavailable(f"{name!r} is a model, it holds no items; {entry.description}")
    chosen = next(iter(entry.splits)) if split is None and len(entry.splits) == 1 else split
    if chosen not in entry.splits:
        raise DataUnavailable(f"data set {name!r} has the splits {', '.join(entry.splits)}; got {split!r}")
    check_modules(entry)
    files, _ = find_files(entry)
    return checked(entry, chosen, entry.decode(files, chosen))


def checked(entry: DataSet, split: str, arrays: Arrays) -> Items:
    """Decoded arrays as :class:`Items`, refused if they are not what the entry promises."""
    items = np.ascontiguousarray(arrays[0], np.float64)
    labels, *groups = (np.ascontiguousarray(a, np.int64) for a in arrays[1:])
    where = f"{entry.name!r} ({split})"
    lengths = {len(items), len(labels), *map(len, groups)}
    if items.shape != (len(labels), int(np.prod(entry.shape))) or len(lengths) > 1 or not len(items):
        raise DataError(f"{where} decoded to items {items.shape} and labels {labels.shape}")
    if bool(entry.groups) != bool(groups):
        raise DataError(f"{where} decoded to {len(groups)} arrays of groups, but names {len(entry.groups)} groups")
    if not np.isfinite(items).all():
        raise DataError(f"{where} decoded to numbers that are not finite")
    expected = entry.splits[split]
    found = Items(items, labels, groups[0] if groups else np.zeros(len(labels), np.int64))
    if expected is not None and found.digest != expected:
        raise DataError(f"{where} decoded to other arrays than expected; the decoder has changed")
    return found


def store(entry: DataSet, files: Files) -> Path:
    """Verify files and put them into the cache, each atomically; returns the folder."""
    for name, sha256 in entry.files.items():
        verify(files[name], sha256, name)
    folder = prepare_folder(cache_folder() / entry.name)
    for name, content in files.items():

        def write(f: IO[bytes], blob: bytes = content) -> None:
            f.write(blob)

        write_atomically(folder / name, write, binary=True)
    return folder
