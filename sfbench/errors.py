"""Exceptions raised for bad input; each message names the argument, the value and the repair."""


class SfbenchError(ValueError):
    """Base class of every input error of this package."""


class ModelError(SfbenchError):
    """A score model has the wrong interface, dimension or output."""


class ProcessMismatchError(ModelError):
    """Score models of different forward processes were combined; the message names both."""


class NotFiniteError(SfbenchError):
    """Data or scores hold NaN or an infinity; the message names the array, model, time and index."""


class GridError(SfbenchError):
    """A time window or grid is unusable."""


class GramError(SfbenchError):
    """Gram statistics are inconsistent or cannot be merged, or the data for them cannot be read."""


class InexactError(ArithmeticError):
    """No solver certified the requested tolerance."""


class OutputError(OSError):
    """Results cannot be written where they were asked for."""


class FitWarning(UserWarning):
    """A fit, a model or data look wrong; the message says what and what to do. Also in ``result.warnings``."""
