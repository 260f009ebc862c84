"""How the studies draw: one style, each figure written as PNG and PDF without half-written files."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sfbench.files import write_atomically

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw(folder: Path, figures: Callable[[], Mapping[str, Any]]) -> list[Path]:
    """Draw the figures that a function builds under the common style; return the PNG paths by sorted name."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    drawn = []
    with plt.rc_context(rc=_STYLE):  # type: ignore[arg-type,unused-ignore]  # keys are checked at run time
        for name, figure in sorted(figures().items()):
            for kind in ("png", "pdf"):
                save = partial(figure.savefig, format=kind, dpi=150, bbox_inches="tight")
                write_atomically(folder / f"{name}.{kind}", save, binary=True)
            drawn.append(folder / f"{name}.png")
            plt.close(figure)
    return drawn


def redraw(module: str, draw_figures: Callable[[Path], list[Path]]) -> int:
    """Draw the figures of a finished study again: ``python -m MODULE DIR``."""
    if len(sys.argv) != 2:
        print(f"usage: python -m {module} DIR", file=sys.stderr)
        return 2
    try:
        for path in draw_figures(Path(sys.argv[1])):
            print(path)
    except (OSError, ValueError) as error:
        print(f"{module}: {error}", file=sys.stderr)
        return 2
    return 0
