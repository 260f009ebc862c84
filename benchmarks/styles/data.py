r"""Images of the style study: a target seen through few images, and auxiliaries with a share of it in other styles.

Every setting supplies four kinds of images, which share no image: ``own`` (the target's style, for auxiliaries and for
the reference network), ``shown`` (what the methods see of the target), ``held_out`` (what judges them), and one pool of
a foreign style for each auxiliary. A :class:`Level` says which share of an auxiliary's images is in the target's style;
the rest are its foreign style. The farthest level permutes the pixels of the foreign images, by one permutation: data
with the same pixel values that have nothing to do with the target.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench._internal.aliases import Float64Array
from sfbench.data import data_entry, load_data, load_items
from sfbench.experiments import StudyError, study_folder
from sfbench.files import write_atomically, write_json

_FILE, _RECIPE = "images.npz", "images.json"
_VERSION = 1  # of what the functions below make of the data
FONTS = (
    ("architects-daughter", "caveat", "gloria-hallelujah"),
    ("gochi-hand", "indie-flower", "kalam"),
    ("patrick-hand", "reenie-beanie", "shadows-into-light"),
)
_SPLITS: tuple[Any, Any] = ("train", "test")
SHOES, TOPS, LONG, BULKY = (5, 7, 9), (0, 2, 6), (1, 3), (4, 8)


@final
@dataclass(frozen=True)
class Level:
    """How far the auxiliaries' data are from the target: the share of images in its style; pixels shuffled or not."""

    cell_name = "styles/Level"

    name: str
    own: float
    shuffled: bool = False

    @property
    def slug(self) -> str:
        """Its name as part of a file name."""
        return "_".join("".join(c if c.isalnum() else " " for c in self.name).split())


@final
@dataclass(frozen=True, eq=False)
class Images:
    """Images (m, d) in [-1, 1]."""

    own: Float64Array
    shown: Float64Array
    held_out: Float64Array
    foreign: tuple[Float64Array, ...]


def write_images(folder: Path, setting: str, side: int, held_out: int, seed: int) -> str:
    """Put the images of a setting, in an order fixed by the seed, into a study's folder; returns their sha256.

    Those that are there already, of the same recipe and intact, are taken as they are.

    Parameters
    ----------
    folder : path
    setting : {"digits8", "digits", "clothes"}
    side : int
        Sides of the images; larger ones are averaged over squares.
    held_out : int
        Images that judge.
    seed : int

    Raises
    ------
    DataUnavailable
        If the data are not on this machine; says how to get them.
    """
    recipe = {"name": setting, "side": side, "held_out": held_out, "seed": seed, "version": _VERSION}
    if (known := _known(folder, recipe)) is not None:
        return known
    makers = {"digits8": _digits8, "digits": _digits, "clothes": _clothes}
    images = makers[setting](side, held_out, np.random.default_rng([seed, 1]))
    arrays = {"own": images.own, "shown": images.shown, "held_out": images.held_out}
    arrays |= {f"foreign_{i}": pool for i, pool in enumerate(images.foreign)}
    kept = {name: array.astype(np.float32) for name, array in arrays.items()}
    write_atomically(folder / _FILE, lambda f: np.savez_compressed(f, **kept), binary=True)  # type: ignore[arg-type]
    write_json(folder / _RECIPE, recipe | {"sha256": _digest(kept)})
    return _digest(kept)


def _known(folder: Path, recipe: dict[str, Any]) -> str | None:
    """The sha256 of the images in a folder, if they are of this recipe and intact."""
    try:
        found = json.loads((folder / _RECIPE).read_text(encoding="utf-8"))
        sha256 = found.pop("sha256")
        _load(str(folder / _FILE), sha256)
    except (OSError, ValueError, KeyError, AttributeError):  # StudyError is a ValueError
        return None
    return str(sha256) if found == recipe else None


def load_images(sha256: str) -> Images:
    """The images in the folder of the study that is running.

    Raises
    ------
    StudyError
        If they are missing, damaged or others.
    """
    return _load(str(study_folder() / _FILE), sha256)


@lru_cache(maxsize=2)
def _load(path: str, sha256: str) -> Images:
    advice = "run the study's command again, which writes them"
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StudyError(f"cannot read the images in {path!r} ({error}); {advice}") from None
    if _digest(kept) != sha256:
        raise StudyError(f"{path!r} holds other images than this cell is about (sha256 {sha256[:12]}...); {advice}")
    arrays = {name: np.asarray(array, np.float64) for name, array in kept.items()}
    foreign = tuple(arrays[f"foreign_{i}"] for i in range(len(arrays) - 3))
    return Images(arrays["own"], arrays["shown"], arrays["held_out"], foreign)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name], "<f4").tobytes())
    return digest.hexdigest()


def auxiliary_images(images: Images, level: Level, index: int, n: int, seed: int) -> Float64Array:
    """The n images (n, d) of one auxiliary; no image of the target's style is in two auxiliaries.

    Raises
    ------
    StudyError
        If there are too few images.
    """
    count, start = round(level.own * n), index * n
    own = images.own[start : start + count]
    pool = images.foreign[index]
    if len(own) < count or len(pool) < n - count:
        raise StudyError(
            f"auxiliary {index} needs {count} own and {n - count} foreign images, there are "
            f"{max(len(images.own) - start, 0)} and {len(pool)}"
        )
    foreign = pool[: n - count]
    if level.shuffled:
        foreign = foreign[:, np.random.default_rng([seed, 2]).permutation(foreign.shape[1])]
    mixed = np.concatenate([own, foreign])
    return np.asarray(mixed[np.random.default_rng([seed, 3, index]).permutation(n)])


def shown_images(images: Images, n: int, draw: int, largest: int) -> Float64Array:
    """The first n target images (n, d) of a draw; draws share no image.

    Raises
    ------
    StudyError
        If there are too few images.
    """
    start = draw * largest
    if start + largest > len(images.shown):
        raise StudyError(
            f"draw {draw} of {largest} images needs {start + largest} target images, there are {len(images.shown)}; "
            "take fewer draws or smaller sizes"
        )
    return images.shown[start : start + n]


# ---------------------------------------------------------------------- settings
def _digits(side: int, held_out: int, rng: np.random.Generator) -> Images:
    """MNIST, auxiliaries from its train writers, target from its test writers; foreign: three fonts each."""
    fonts, names = load_items("font_digits"), data_entry("font_digits").groups
    foreign = []
    for group in FONTS:
        chosen = np.isin(fonts.groups, [names.index(font) for font in group])
        foreign.append(_scaled(rng.permutation(fonts.x[chosen]), 28, side, 255.0))
    own, target = (_scaled(rng.permutation(load_data("mnist", split)[0]), 28, side, 255.0) for split in _SPLITS)
    return Images(own, target[held_out:], target[:held_out], tuple(foreign))


def _clothes(side: int, held_out: int, rng: np.random.Generator) -> Images:
    """Shoes; foreign: T-shirts, pullovers, shirts | trousers, dresses | coats, bags."""
    x, y = load_data("fashion_mnist", "train")
    shoes = _of(x, y, SHOES, rng)
    cut = len(shoes) * 2 // 3
    judged = _of(*load_data("fashion_mnist", "test"), SHOES, rng)[:held_out]
    foreign = [_of(x, y, classes, rng) for classes in (TOPS, LONG, BULKY)]
    own, shown, held, *pools = (_scaled(v, 28, side, 255.0) for v in (shoes[:cut], shoes[cut:], judged, *foreign))
    return Images(own, shown, held, tuple(pools))


def _digits8(side: int, held_out: int, rng: np.random.Generator) -> Images:
    """The 8 x 8 digits of scikit-learn; foreign: slanted to the left, to the right, written with a broad pen."""
    x, _ = load_data("digits8")
    x = _scaled(rng.permutation(x), 8, side, 16.0)
    judged, rest = x[:held_out], x[held_out:]
    cut = len(rest) // 2
    own, shown = rest[:cut], rest[cut:]
    foreign = tuple(_restyled(own, side, style) for style in ("left", "right", "broad"))
    return Images(own, shown, judged, foreign)


def _restyled(images: Float64Array, side: int, style: str) -> Float64Array:
    """The same images slanted by moving rows sideways, or broadened by a maximum over neighbours."""
    from scipy.ndimage import grey_dilation

    grid = images.reshape(-1, side, side)
    if style == "broad":
        return np.asarray(grey_dilation(grid, (1, 2, 2)).reshape(len(images), -1))
    shifts = np.round(np.linspace(-2.0, 2.0, side)).astype(int) * (1 if style == "left" else -1)
    moved = np.full_like(grid, -1.0)
    for row, shift in enumerate(shifts):
        kept = slice(max(shift, 0), side + min(shift, 0))
        source = slice(max(-shift, 0), side + min(-shift, 0))
        moved[:, row, kept] = grid[:, row, source]
    return moved.reshape(len(images), -1)


def _of(x: Float64Array, y: np.ndarray, classes: tuple[int, ...], rng: np.random.Generator) -> Float64Array:
    """Images of these classes in random order."""
    return np.asarray(rng.permutation(x[np.isin(y, classes)]))


def _scaled(raw: Float64Array, found: int, side: int, top: float) -> Float64Array:
    """Integer levels (m, found^2) averaged over squares to (m, side^2), in [-1, 1]."""
    if found % side:
        raise StudyError(f"images of side {found} cannot be averaged to side {side}; it must divide {found}")
    block = found // side
    image: Any = raw.reshape(-1, side, block, side, block).mean(axis=(2, 4))
    return np.asarray(image.reshape(-1, side * side) / (0.5 * top) - 1.0)
