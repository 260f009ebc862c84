"""Reports drawn from a store: an interactive page that needs no network, and figures for papers."""

from .aggregate import Summary, loglog_slope, summarise
from .figures import draw_figures
from .page import read_claims, write_page

__all__ = ["Summary", "draw_figures", "loglog_slope", "read_claims", "summarise", "write_page"]
