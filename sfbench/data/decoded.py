r"""Decoded arrays in the cache, for entries whose decoding is slow (rendering, simulation, tables of 200 MB).

One npz file per split, without pickle, holding the arrays, their sha256 and the *recipe*: the sha256 of everything the
entry says about how they were made. Another recipe, or arrays of another sha256, are not used. What the file would
decompress to is known, and limited, before it is.
"""

import hashlib
import io
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..files import prepare_folder, read_regular, write_atomically
from .entry import DataSet, Items, Split
from .errors import DataError

_LARGEST = 1 << 27  # bytes; pixels are kept as one byte and become eight


def recall(entry: DataSet, split: Split, folder: Path) -> Items | None:
    """Kept items, or None if there are none of this recipe; what is damaged is reported and computed anew."""
    path = folder / f"{split}.npz"
    if not path.is_file():
        return None
    fault = "other arrays than were kept"
    items: Items | None = None
    try:
        stream = io.BytesIO(read_regular(path, _LARGEST, DataError))
        with zipfile.ZipFile(stream) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > _LARGEST:
            raise DataError(f"it would decompress to {size} bytes, more than the {_LARGEST} that it may")
        with np.load(stream, allow_pickle=False) as kept:
            if str(kept["recipe"]) != _recipe(entry):
                return None
            items = Items(kept["x"].astype(np.float64), kept["y"], kept["groups"])
            items = items if items.digest == str(kept["digest"]) else None
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        fault = str(error)
    if items is None:
        warnings.warn(f"kept arrays {str(path)!r} are damaged ({fault}); they are computed anew", stacklevel=3)
        return None
    expected = entry.splits[split]
    return items if expected is None or items.digest == expected else None


def keep(entry: DataSet, split: Split, items: Items, folder: Path) -> None:
    """Keep items for the next time; where the cache cannot be written nothing is kept."""
    small = entry.levels is not None and entry.levels <= 255
    try:
        prepare_folder(folder)
        write_atomically(
            folder / f"{split}.npz",
            lambda f: np.savez_compressed(
                f,
                x=items.x.astype(np.uint8) if small else items.x,
                y=items.y,
                groups=items.groups,
                digest=np.array(items.digest),
                recipe=np.array(_recipe(entry)),
            ),
            binary=True,
        )
    except OutputError:  # a read-only cache costs time, not the answer
        return


def _recipe(entry: DataSet) -> str:
    made_from = (entry.name, entry.version, sorted(entry.files.items()), [r.install for r in entry.requires])
    return hashlib.sha256(repr(made_from).encode()).hexdigest()
