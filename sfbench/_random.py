"""Random generators from what users pass as ``rng``."""

import numpy as np

from ._typing import SeedLike
from .errors import SfbenchError


def as_generator(rng: SeedLike) -> np.random.Generator:
    """Return the generator itself, or a new one from a seed; None draws a seed from the system."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise SfbenchError(f"rng must be a Generator, a non-negative integer seed or None, got {rng!r}") from None
