"""Every exception of the package. Each message names the argument, the value found and the mend.

Wrong input derives from `ValueError`, a missing library from `ImportError`, and a solver that returned nothing usable
from `RuntimeError`, so callers who know only the built-in classes still catch the right thing.
"""

from __future__ import annotations


class InvalidProblemError(ValueError):
    """The data do not define a convex problem on the simplex."""


class ShapeError(InvalidProblemError):
    """An array has the wrong shape; the message gives the expected one and the one received."""


class DataTypeError(InvalidProblemError):
    """An array is complex, of objects or of text, where real numbers are needed."""


class NonFiniteError(InvalidProblemError):
    """An array holds NaN or infinity; the message gives the first bad index."""


class AsymmetricMatrixError(InvalidProblemError):
    """``P`` differs from its transpose by more than rounding."""


class NotPositiveSemidefiniteError(InvalidProblemError):
    """``P`` has an eigenvalue below what rounding explains, so the problem is not convex."""


class UnknownSolverError(ValueError):
    """No solver has this name; the message lists close matches."""


class UnsupportedObjectiveError(ValueError):
    """The solver needs more structure (quadratic, Hessian, minibatches) than the objective offers."""


class MissingExtraError(ImportError):
    """The library behind a known solver is not installed; the message is the ``pip install`` line."""


class SolverFailureError(RuntimeError):
    """The solver raised, or returned weights that are not finite or cannot be put on the simplex."""
