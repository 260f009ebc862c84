"""Fits whose warnings a study expects: they stay in ``result.warnings``, of which it records what it asks about."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from sfbench.errors import FitWarning

Fit = TypeVar("Fit")


def quietly(fit: Callable[..., Fit], *args: Any, **options: Any) -> Fit:
    """``fit(*args, **options)`` without :class:`sfbench.FitWarning`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return fit(*args, **options)
