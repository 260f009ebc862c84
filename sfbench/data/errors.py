"""Errors of data sets and populations."""

from ..errors import SfbenchError


class DataError(SfbenchError):
    """A data file is damaged or not what it should be."""


class DataUnavailable(SfbenchError):
    """A data set is not on this machine; lists what was tried and the exact commands that fetch it."""


class PopulationError(SfbenchError):
    """Populations of the wanted sizes cannot be drawn; names the largest feasible size."""
