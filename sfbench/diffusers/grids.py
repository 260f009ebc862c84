"""Grids of pictures: one row for each setting, one column for each seed, the same noise down a column."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_real
from .calling import run
from .errors import DiffusersError
from .handle import Handle
from .recipe import as_picture

_MARGIN, _LINE = 4, 14


def weight_steps(k: int, count: int = 5) -> Float64Array:
    """Weights (count, 2) from one to the other of two experts; the vertices and the middle (k + 1, k) of more."""
    as_count("k", k, error=DiffusersError)
    as_count("count", count, at_least=2, error=DiffusersError)
    if k == 2:
        share = np.linspace(0.0, 1.0, count)
        return np.stack([1 - share, share], axis=1)
    return np.vstack([np.eye(k), np.full((1, k), 1.0 / k)])


def draw_grid(
    handle: Handle, weights: Any, prompt: Any = None, n: int = 4, *, rng: SeedLike = None, **options: Any
) -> dict[str, list[Any]]:
    """Draw with every row of weights (rows, k) from the same noise; the handle's own weights come back.

    Returns
    -------
    dict
        Pictures by label, n in each.
    """
    count = as_count("n", n, error=DiffusersError)
    if not isinstance(handle, Handle):
        raise DiffusersError(f"handle must be what sfbench.diffusers.fuse returns, got a {type(handle).__name__}")
    wanted = np.atleast_2d(as_real("weights", weights, DiffusersError))
    seed = int(as_generator(rng).integers(2**62))
    before, rows = handle.weights, {}
    try:
        for w in wanted:
            handle.weights = w
            rows[" ".join(f"{value:.2g}" for value in w)] = [
                run(handle.pipe, prompt, 1, torch.Generator().manual_seed(seed + j), dict(options))[0]
                for j in range(count)
            ]
    finally:
        handle.weights = before
    return rows


def tile(rows: Mapping[str, Sequence[Any]], *, least: int = 64) -> Any:
    """One picture of rows of pictures with their labels; small ones are enlarged to ``least`` pixels.

    Raises
    ------
    DiffusersError
        If there are none.
    """
    from PIL import Image, ImageDraw

    as_count("least", least, error=DiffusersError)
    if not isinstance(rows, Mapping) or not all(isinstance(images, list | tuple) for images in rows.values()):
        raise DiffusersError("a grid needs a mapping of labels to lists of pictures")
    pictures = {label: [as_picture(image).convert("RGB") for image in images] for label, images in rows.items()}
    if not pictures or not all(pictures.values()):
        raise DiffusersError("a grid needs at least one row with one picture")
    width, height = next(iter(pictures.values()))[0].size
    times = max(1, -(-least // max(width, 1)))
    width, height = width * times, height * times
    columns = max(map(len, pictures.values()))
    across, down = width + _MARGIN, height + _MARGIN + _LINE
    sheet = Image.new("RGB", (_MARGIN + columns * across, len(pictures) * down + _MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (label, images) in enumerate(pictures.items()):
        pen.text((_MARGIN, i * down), label, fill="black")
        for j, image in enumerate(images):
            sheet.paste(
                image.resize((width, height), Image.Resampling.NEAREST), (_MARGIN + j * across, i * down + _LINE)
            )
    return sheet
