"""Drawn faces of two homogeneous groups, of the two groups between them, and of the rest, from which a base is trained.

Pictures are 3 x 32 x 32; networks see them folded into 12 x 16 x 16 (every 2 x 2 pixels become channels). Folding is a
rotation of coordinates, so scores, fused laws and barycenters are the same, at a quarter of the price.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor
from torch.nn import functional

from sfbench.data import load_data

GENDERS, TONES = ("female", "male"), ("asian", "black", "brown", "white")
CLASSES = tuple(f"{gender}/{tone}" for gender in GENDERS for tone in TONES)
GROUPS = ("female/white", "male/black")  # of the two auxiliaries
CROSSED = ("female/black", "male/white")  # what lies between them: each shares one attribute with either
BASE = tuple(name for name in CLASSES if name not in GROUPS + CROSSED)
_TRAIN = 400  # of 500 of a class; pictures of one number share most parts in all classes, so numbers are split


@final
@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures (n, 3, 32, 32) in [0, 1] and their classes (n,)."""

    x: np.ndarray
    labels: np.ndarray

    def of(self, *names: str) -> np.ndarray:
        """Pictures of some classes."""
        return np.asarray(self.x[np.isin(self.labels, [CLASSES.index(name) for name in names])])


def load_faces() -> tuple[Faces, Faces]:
    """Pictures to train on, and held-out ones."""
    levels, labels = load_data("faces")
    x = np.ascontiguousarray((levels / 255.0).astype(np.float32).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
    number = np.arange(len(x)) % (len(x) // len(CLASSES))
    first = number < _TRAIN
    return Faces(x[first], labels[first]), Faces(x[~first], labels[~first])


def fold(x: Tensor) -> Tensor:
    """Pictures (n, 3, 2h, 2w) as (n, 12, h, w)."""
    return functional.pixel_unshuffle(x, 2)


def unfold(x: Tensor) -> Tensor:
    """The pictures again."""
    return functional.pixel_shuffle(x, 2)
