"""Images side by side."""

from typing import Any

import numpy as np

from .._internal.arrays import to_host
from .._internal.validation import as_count, as_real
from ..errors import NotFiniteError, SfbenchError
from .axes import as_axes


def plot_images(
    x: Any,
    shape: tuple[int, ...] | None = None,
    *,
    columns: int = 8,
    value_range: tuple[float, float] | None = None,
    ax: Any = None,
) -> Any:
    """A grid of images, read row by row.

    Parameters
    ----------
    x : SampleResult, array or tensor of shape (n, C, H, W), (n, H, W), or (n, d) with ``shape``
        One channel is drawn in grey, three in colour.
    shape : (C, H, W) or (H, W), optional
        Of images that are given as vectors.
    columns : int
    value_range : (float, float), optional
        Values of black and white, such as (-1, 1); by default the least and the largest.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    SfbenchError
        For shapes that are none of images, or empty ranges.
    NotFiniteError
    """
    given = to_host(x.items if shape is None else x.x) if hasattr(x, "log_weights") else x
    images = as_real("x", given)
    wanted = "x must have shape (n, C, H, W) or (n, H, W) with C = 1 or 3, or (n, d) with shape=(C, H, W)"
    if shape is not None:
        try:
            images = images.reshape(len(images), *shape)
        except (TypeError, ValueError):
            raise SfbenchError(f"{wanted}; got {np.shape(given)} with shape={shape!r}") from None
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise SfbenchError(f"{wanted}; got {np.shape(given)}")
    if not np.all(np.isfinite(images)):
        raise NotFiniteError("x holds pixels that are not finite")
    low, high = (float(images.min()), float(images.max())) if value_range is None else _range(value_range)
    across = min(as_count("columns", columns), len(images))
    down = -(-len(images) // across)
    _, channels, height, width = images.shape
    sheet = np.ones((down * (height + 1) + 1, across * (width + 1) + 1, channels))  # white, a pixel between images
    for i, image in enumerate(images):
        row, column = divmod(i, across)
        place = np.s_[row * (height + 1) + 1 :, column * (width + 1) + 1 :]
        scaled = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
        sheet[place][:height, :width] = np.moveaxis(scaled, 0, -1)
    ax = as_axes(ax, min(8.0, 0.8 * across + 0.2), min(8.0, 0.8 * down * height / width + 0.2))
    ax.imshow(sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _range(value_range: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high or not np.isfinite(high - low):
        raise SfbenchError(f"value_range must be two finite numbers, the lower first, got {value_range!r:.80}")
    return low, high
