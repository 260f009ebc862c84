"""What the figures share: axes, colours, and a legend that never lies over data."""

from typing import Any

from ..errors import SfbenchError

# Okabe-Ito, without its yellow: distinguishable with every common colour vision. Dashes repeat them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
REFERENCE = {"color": "0.5", "linewidth": 1.0, "linestyle": "--"}


def as_axes(ax: Any, width: float = 6.0, height: float = 3.6) -> Any:
    """The caller's axes, or those of a new figure of this size in inches.

    Raises
    ------
    SfbenchError
        If ``ax`` is not the axes of a figure, but an array of them, say.
    """
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    if not (hasattr(ax, "plot") and hasattr(ax, "figure")):
        raise SfbenchError(f"ax must be matplotlib axes, got a {type(ax).__name__}; pass one axes, or leave it out")
    return ax


def style(i: int) -> dict[str, Any]:
    """Colour and dashes of line ``i``; no two of 28 are equal."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}


def finished(ax: Any) -> Any:
    """The axes with a legend beside them, and no frame above and to the right of the data."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
