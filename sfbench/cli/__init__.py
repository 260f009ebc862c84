"""The command line: ``sfbench ...`` and ``python -m sfbench ...``."""

from .app import app, main

__all__ = ["app", "main"]
