"""The command line: ``sfbench ...`` and ``python -m sfbench ...``."""

from .app import main

__all__ = ["main"]
