"""Data sets by name: loading them, verified twice.

Every file is verified by sha256 before it is decoded, and the decoded arrays once more, so that a changed decoder is
noticed too. Nothing is downloaded unless :func:`fetch_data` is called; where files are looked for says `places`.
"""

import numpy as np

from .._internal.lazy import did_you_mean
from .catalogue import CATALOGUE
from .decoded import keep, recall
from .entry import Arrays, DataSet, Items, Split
from .errors import DataError, DataUnavailable
from .places import cache_folder, check_modules, find_files

_REGISTRY: dict[str, DataSet] = dict(CATALOGUE)


def known_data() -> dict[str, DataSet]:
    """The registry."""
    return dict(_REGISTRY)


def data_entry(name: str) -> DataSet:
    """The entry of that name."""
    if name not in _REGISTRY:
        raise DataUnavailable(
            f"unknown data set {name!r}{did_you_mean(name, _REGISTRY)}; known: {', '.join(_REGISTRY)}"
        )
    return _REGISTRY[name]


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
    if entry.decode is None:
        raise DataUnavailable(f"{name!r} is a {entry.kind}, which holds no items: {entry.description}")
    chosen = next(iter(entry.splits)) if split is None and len(entry.splits) == 1 else split
    if chosen not in entry.splits:
        raise DataUnavailable(f"data set {name!r} has the splits {', '.join(entry.splits)}; got {split!r}")
    folder = cache_folder() / name / "decoded"
    kept = recall(entry, chosen, folder) if entry.slow else None
    if kept is not None:
        return kept
    check_modules(entry)
    files, _ = find_files(entry)
    items = checked(entry, chosen, entry.decode(files, chosen))
    if entry.slow:
        keep(entry, chosen, items, folder)
    return items


def checked(entry: DataSet, split: Split, arrays: Arrays) -> Items:
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
