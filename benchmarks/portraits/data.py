"""Drawn faces of two homogeneous groups, of the two groups between them, and of the rest, from which a base is trained.

Pictures are 3 x 32 x 32 in [0, 1]; networks see ``2 (x - mean)``, with the mean face of the base, folded into
48 x 8 x 8 (every 4 x 4 pixels become channels). That is a shift, a scaling and a rotation of coordinates, so fused laws
and barycenters are the same, at a fraction of the price; and noise is what is left where there is no signal.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sfbench.data import load_data

GENDERS, TONES = ("female", "male"), ("asian", "black", "brown", "white")
CLASSES = tuple(f"{gender}/{tone}" for gender in GENDERS for tone in TONES)
GROUPS = ("female/white", "male/black")  # of the two auxiliaries
CROSSED = ("female/black", "male/white")  # what lies between them: each shares one attribute with either
BASE = tuple(name for name in CLASSES if name not in GROUPS + CROSSED)
PATCH = 4  # pixels that become channels
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


@final
@dataclass(frozen=True, eq=False)
class Coordinates:
    """Between pictures (n, 3, 32, 32) in [0, 1] and what networks see (n, 48, 8, 8)."""

    mean: Tensor

    @classmethod
    def of(cls, x: np.ndarray) -> "Coordinates":
        """Centred at the mean of pictures."""
        return cls(torch.from_numpy(x.mean(axis=0, dtype=np.float64).astype(np.float32)))

    def fold(self, x: np.ndarray) -> Tensor:
        """What networks see."""
        return functional.pixel_unshuffle(2.0 * (torch.from_numpy(x) - self.mean), PATCH)

    def as_vae(self) -> Any:
        """What a pipeline asks of its VAE: pixels (n, 3, 32, 32) in [-1, 1] to what networks see."""

        def encode(pixels: Tensor) -> Any:
            z = self.fold((pixels / 2.0 + 0.5).numpy())
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

        return SimpleNamespace(encode=encode, dtype=torch.float32, device="cpu", config=SimpleNamespace())

    def unfold(self, z: Tensor) -> np.ndarray:
        """The pictures again, cut to [0, 1]."""
        x = functional.pixel_shuffle(z.float(), PATCH) / 2.0 + self.mean
        return np.asarray(x.clamp(0.0, 1.0).numpy())
