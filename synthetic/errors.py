"""Exceptions raised for bad input; each message names the argument, the value and the repair."""


class SyntheticError(ValueError):
    """Base class of every input error of this package."""


class ShapeError(SyntheticError):
    """An array has the wrong number of axes or a mismatched length."""


class NotFiniteError(SyntheticError):
    """An array holds NaN, an infinity, or values too large to square."""


class DataTypeError(NotFiniteError):
    """What should be real numbers is not: masked, complex, text, dates, objects, truth values, a tensor on a device."""


class SimplexError(SyntheticError):
    """Weights are negative or do not sum to one."""


class CovarianceError(SyntheticError):
    """A covariance is not symmetric positive definite."""


class UnknownNameError(SyntheticError):
    """A name is not in a registry; the message lists close matches."""


class IntractableError(SyntheticError):
    """No exact method applies at this size; the message says what would be needed."""


class EffectiveSampleSizeError(ArithmeticError):
    """A Monte Carlo estimate rests on too few effective samples to be reported."""
