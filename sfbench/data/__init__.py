"""Real data by name, verified, never downloaded implicitly; and populations with exact class counts."""

from .entry import DataSet, Items
from .errors import DataError, DataUnavailable, PopulationError
from .fetch import fetch_data
from .places import cache_folder
from .populations import make_populations
from .registry import data_entry, known_data, load_data, load_items

__all__ = [
    "DataError",
    "DataSet",
    "DataUnavailable",
    "Items",
    "PopulationError",
    "cache_folder",
    "data_entry",
    "fetch_data",
    "known_data",
    "load_data",
    "load_items",
    "make_populations",
]
