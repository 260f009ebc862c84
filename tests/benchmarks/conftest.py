"""Studies draw many figures with the same numbers on their axes."""

from collections.abc import Iterator
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
