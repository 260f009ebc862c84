"""The figure of faces: a row for each weight and way, on the same noise."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

ROWS = {
    "fused 0": "w = 0",
    "fused 0.2": "0.2",
    "fused 0.4": "0.4",
    "fused 0.5": "0.5",
    "fused 0.6": "0.6",
    "fused 0.8": "0.8",
    "fused 1": "w = 1",
    "merged 0.5": "merged",
    "one a step 0.5": "one a step",
}


def draw_faces(pictures: Path, path: Path, columns: int = 16) -> None:
    """The first pictures of every row, of those that a run keeps in its folder ``pictures``."""
    figure = Figure(figsize=(8.0, 8.0 * len(ROWS) / columns * 0.98), dpi=160)
    axes = figure.subplots(len(ROWS), 1)
    for axis, (name, label) in zip(axes, ROWS.items(), strict=True):
        with np.load(pictures / f"{name.replace(' ', '_')}.npz") as kept:
            levels = kept["levels"][:columns].transpose(2, 0, 3, 1)
        axis.imshow(levels.reshape(levels.shape[0], -1, 3), aspect="equal", interpolation="nearest")
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set_visible(False)
    figure.subplots_adjust(left=0.1, right=0.995, top=0.995, bottom=0.005, hspace=0.03)
    figure.savefig(path)
