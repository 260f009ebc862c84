"""Every law obeys every check."""

import pytest

from .checks import CHECKS
from .examples import KINDS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", KINDS)
def test_law(kind: str, check: str) -> None:
    CHECKS[check](KINDS[kind]())
