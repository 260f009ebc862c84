"""Another name of :mod:`sfbench.bounds.checks`."""

from .bounds.checks import CheckedBound, check_bounds

__all__ = ["CheckedBound", "check_bounds"]
