r"""Patches of two photographs, in colour, with the quarter of the photo that each comes from.

A photo of 427 x 640 pixels is cut into four quarters; patches lie on a grid inside one quarter and never share a pixel
with another quarter. So auxiliaries and target can be patches of different quarters, or of different photos. Neighbours
inside a quarter overlap (the step is half a patch).
"""

import io

import numpy as np

from .catalogue import CATALOGUE
from .entry import Arrays, Files
from .errors import DataError

_SIDE, _STEP = 16, 8


def photo_patches(photo: np.ndarray, side: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of the four quarters of one photo.

    Parameters
    ----------
    photo : ndarray (h, w, 3)
    side, step : int
        Side of a patch, and distance between neighbours.

    Returns
    -------
    patches : ndarray (n, 3 side^2)
        Rows, then columns, then colours.
    quarters : ndarray (n,)
        0 ... 3: top left, top right, bottom left, bottom right.
    """
    if photo.ndim != 3 or min(photo.shape[:2]) < 2 * side or side < 1 or step < 1:
        raise DataError(f"quarters of a photo of shape {photo.shape} hold no patches of side {side} at steps of {step}")
    height, width = photo.shape[0] // 2, photo.shape[1] // 2
    patches, quarters = [], []
    for quarter in range(4):
        down, right = divmod(quarter, 2)
        region = photo[down * height : (down + 1) * height, right * width : (right + 1) * width]
        windows = np.lib.stride_tricks.sliding_window_view(region, (side, side), axis=(0, 1))[::step, ::step]
        found = windows.transpose(0, 1, 3, 4, 2).reshape(-1, side * side * photo.shape[2])
        patches.append(found)
        quarters.append(np.full(len(found), quarter))
    return np.concatenate(patches), np.concatenate(quarters)


def decode(files: Files, split: str) -> Arrays:
    """Patches of both photos."""
    from PIL import Image

    parts = []
    for label, name in enumerate(CATALOGUE["photos"].classes):
        with Image.open(io.BytesIO(files[f"{name}.jpg"]), formats=["JPEG"]) as image:
            patches, quarters = photo_patches(np.asarray(image.convert("RGB")), _SIDE, _STEP)
        parts.append((patches, np.full(len(patches), label), 4 * label + quarters))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
