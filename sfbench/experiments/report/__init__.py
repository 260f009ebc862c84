"""Reports drawn from a store: an interactive page that needs no network, and figures for papers."""

from .aggregate import Summary, summarise
from .claims import read_claims
from .figures import draw_figures
from .page import write_page
from .slopes import loglog_slope

__all__ = ["Summary", "draw_figures", "loglog_slope", "read_claims", "summarise", "write_page"]
