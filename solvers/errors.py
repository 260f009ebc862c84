"""Every exception of the package. Each message names the argument, the value found and what to do.

All derive from `SolversError`. Each derives from a built-in class too: wrong values from `ValueError`, wrong types also
from `TypeError`, a missing library from `ImportError`, a solver that returned nothing usable from `RuntimeError`; so
callers who know only the built-in classes still catch the right thing.
"""

from __future__ import annotations


class SolversError(Exception):
    """Base of every exception that this package raises on purpose."""


class InvalidArgumentError(SolversError, ValueError):
    """An argument besides the problem (a tolerance, a limit, an option) has a value that cannot be used."""


class ArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument besides the problem has the wrong type."""


class InvalidProblemError(SolversError, ValueError):
    """The data do not define a convex problem on the simplex."""


class ShapeError(InvalidProblemError):
    """An array has the wrong shape or too many entries; the message gives what is expected and what was received."""


class DataTypeError(InvalidProblemError, TypeError):
    """An array or number is masked, complex, a date, an object or text, where real numbers are needed."""


class NonFiniteError(InvalidProblemError):
    """An array holds NaN or infinity; the message gives the first bad index."""


class AsymmetricMatrixError(InvalidProblemError):
    """``P`` differs from its transpose by more than rounding."""


class NotPositiveSemidefiniteError(InvalidProblemError):
    """``P`` has an eigenvalue below what rounding explains, so the problem is not convex."""


class UnknownSolverError(InvalidArgumentError):
    """No solver has this name; the message lists close matches."""


class UnsupportedObjectiveError(InvalidArgumentError, TypeError):
    """The problem is not an objective, or lacks structure that the solver needs (quadratic, Hessian, minibatches)."""


class MissingExtraError(SolversError, ImportError):
    """The library behind a known solver is not installed; the message is the ``pip install`` line."""


class SolverFailureError(SolversError, RuntimeError):
    """The solver raised, or returned weights that are not finite or cannot be put on the simplex."""


class SolverTimeoutError(SolverFailureError, TimeoutError):
    """The solver gave no answer within ``time_limit``."""
