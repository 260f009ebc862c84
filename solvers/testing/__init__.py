"""Conformance suite for simplex solvers, usable from any distribution.

Either in one go,

>>> from solvers.testing import check_solver
>>> check_solver("active_set").failures
{}

or one pytest case a check::

    @pytest.mark.parametrize("check", list(CHECKS))
    def test_conformance(check):
        run_check("my_solver", check)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..base import SimplexSolver
from ..registry import get_solver
from .arguments import assert_untouched, check_functions
from .checks import CHECKS
from .problems import SoftMaximum, duplicated, grid_minimum, random_qp, separable_qp, tangent_modulus

__all__ = [
    "CHECKS",
    "ConformanceError",
    "ConformanceReport",
    "SoftMaximum",
    "assert_untouched",
    "check_functions",
    "check_solver",
    "duplicated",
    "grid_minimum",
    "random_qp",
    "run_check",
    "separable_qp",
    "tangent_modulus",
]

SUITE_TOL = 1e-6


class ConformanceError(AssertionError):
    """The solver failed checks that it was not expected to fail, or passed some that it was."""


@dataclass(frozen=True)
class ConformanceReport:
    """Outcome of the suite: what passed, and the message of each failure."""

    solver: str
    passed: tuple[str, ...]
    failures: Mapping[str, str]


def run_check(solver: str | SimplexSolver, check: str, *, tol: float = SUITE_TOL) -> None:
    """Run one check of `CHECKS`; raises `AssertionError` with the reason."""
    CHECKS[check](get_solver(solver) if isinstance(solver, str) else solver, tol)


def check_solver(
    solver: str | SimplexSolver, *, expected_failures: Collection[str] = (), tol: float = SUITE_TOL
) -> ConformanceReport:
    """Run the whole suite.

    Parameters
    ----------
    solver : str or SimplexSolver
    expected_failures : collection of str
        Names of checks the solver is known to fail. One that passes after all is an error too, so the list stays true.
    tol : float
        Duality gap, relative to the scale, that the solver must reach.

    Raises
    ------
    ConformanceError
        Lists every surprise.
    """
    unknown = sorted(set(expected_failures) - set(CHECKS))
    if unknown:
        raise ValueError(f"expected_failures has unknown checks {unknown}; known: {', '.join(CHECKS)}")
    instance = get_solver(solver) if isinstance(solver, str) else solver
    failures: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            check(instance, tol)
        except Exception as error:  # any exception of a foreign solver is a failed check
            failures[name] = f"{type(error).__name__}: {error}"
    surprises = [f"{name}: {failures[name]}" for name in failures if name not in expected_failures]
    surprises += [f"{name}: passed unexpectedly" for name in expected_failures if name not in failures]
    if surprises:
        raise ConformanceError(f"solver {instance.name!r}:\n  " + "\n  ".join(surprises))
    return ConformanceReport(instance.name, tuple(name for name in CHECKS if name not in failures), failures)
