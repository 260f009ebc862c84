"""Every known solver passes the whole suite; a solver whose library is not installed fails here, it is not skipped."""

import pytest

from solvers import available_solvers, known_solvers
from solvers.testing import CHECKS, run_check


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("solver", known_solvers())
def test_conformance(solver: str, check: str) -> None:
    run_check(solver, check)


def test_every_known_solver_is_installed() -> None:
    assert set(available_solvers()) == set(known_solvers())
