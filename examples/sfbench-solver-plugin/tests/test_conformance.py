import pytest

from solvers.testing import CHECKS, run_check


@pytest.mark.parametrize("check", list(CHECKS))
def test_conformance(check: str) -> None:
    run_check("coordinate_pairs", check)
