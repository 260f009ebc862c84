"""The report of a store: an interactive page that needs no network."""

from .aggregate import Summary, summarise
from .page import read_claims, write_page

__all__ = ["Summary", "read_claims", "summarise", "write_page"]
