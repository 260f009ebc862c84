"""Colour patches of scikit-learn's two photographs, split by region: no two parts of the data share a pixel.

The left half of a photo is what networks are trained on. Its right half has four quarters, and patches to fit to are
of one diagonal, those that judge of the other, so that both see top and bottom. Judging patches do not overlap.
"""

from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
from sklearn.datasets import load_sample_images

from sfbench.data.photos import photo_patches

PHOTOS = ("china", "flower")
_DIAGONALS = ((0, 3), (1, 2))
_OWN = 4000  # patches of a photo to train on, at most


@final
@dataclass(frozen=True, eq=False)
class Patches:
    """Patches (n, 3 px^2) in [-1, 1] of one photo, channels first: to train on, to fit to, and to judge by."""

    own: np.ndarray
    shown: np.ndarray
    held_out: np.ndarray


@cache
def patches_of(photo: int, px: int) -> Patches:
    """The patches of one photo, in an order of their own."""
    pixels = load_sample_images().images[photo]
    middle = pixels.shape[1] // 2
    rng = np.random.default_rng([photo, px])
    parts = [rng.permutation(photo_patches(pixels[:, :middle], px, px // 4)[0])[:_OWN]]
    for diagonal, step in zip(_DIAGONALS, (px // 4, px), strict=True):
        found, quarters = photo_patches(pixels[:, middle:], px, step)
        parts.append(rng.permutation(found[np.isin(quarters, diagonal)]))
    return Patches(*(_scaled(part, px) for part in parts))


def target(name: str, px: int, n: int, draw: int) -> np.ndarray:
    """n patches to fit to: of one photo, or (``mixture``) half of each."""
    photos = [PHOTOS.index(name)] if name in PHOTOS else range(len(PHOTOS))
    rng = np.random.default_rng([px, n, draw])
    return np.concatenate([rng.permutation(patches_of(i, px).shown)[: n // len(photos)] for i in photos])


def judges(name: str, px: int, n: int) -> np.ndarray:
    """At most n patches of each photo of the target, as many of each, to judge by."""
    photos = [PHOTOS.index(name)] if name in PHOTOS else range(len(PHOTOS))
    return np.concatenate([patches_of(i, px).held_out[:n] for i in photos])


def _scaled(rows: np.ndarray, px: int) -> np.ndarray:
    images = rows.reshape(-1, px, px, 3).transpose(0, 3, 1, 2)
    return np.asarray(images.reshape(len(rows), -1) / 127.5 - 1.0)
