"""Real data by name, verified, never downloaded implicitly; and populations with exact class counts."""

from .errors import DataError, DataUnavailable, PopulationError
from .fetch import fetch_data
from .populations import make_populations
from .registry import DataSet, cache_folder, data_entry, known_data, load_data

__all__ = [
    "DataError",
    "DataSet",
    "DataUnavailable",
    "PopulationError",
    "cache_folder",
    "data_entry",
    "fetch_data",
    "known_data",
    "load_data",
    "make_populations",
]
