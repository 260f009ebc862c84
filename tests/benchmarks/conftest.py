"""Studies draw many figures with the same numbers on their axes."""

from collections.abc import Iterator
from functools import wraps
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _formulas_are_set_once() -> Iterator[None]:
    """Every figure has a parser of formulas of its own; here all share what has been parsed."""
    from matplotlib.mathtext import MathTextParser

    parse, parsed = MathTextParser._parse_cached.__wrapped__, {}

    def shared(self: Any, *formula: Any) -> Any:
        key = (self._output_type, *formula)
        if key not in parsed:
            parsed[key] = parse(self, *formula)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MathTextParser, "_parse_cached", shared)
        yield


@pytest.fixture(scope="package", autouse=True)
def _figures_are_drawn_once() -> Iterator[None]:
    """Figures of studies are drawn once, as PNG; other drawings, for what overlaps, for edges and as PDF, are left out.

    ``test_frame.py`` draws one as the studies do.
    """
    from matplotlib.figure import Figure

    save = Figure.savefig

    @wraps(save)
    def once(self: Figure, file: Any, **options: Any) -> None:
        if options.get("format") == "pdf":
            file.write(b"%PDF-")
        else:
            save(self, file, **options | {"bbox_inches": None})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", once)
        patch.setattr(Figure, "tight_layout", lambda self, **options: None)
        yield
