"""A number together with what is known about its error."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from ._validation import show
from .errors import NotFiniteError


@final
@dataclass(frozen=True)
class Estimate:
    """A computed quantity with its standard error and origin.

    Parameters
    ----------
    value : float
        The estimate.
    stderr : float
        Standard error of a Monte Carlo ``value``; the numerical error bound for quadrature; 0 for closed forms.
    n : int
        Number of samples or quadrature nodes used; 0 for closed forms.
    method : str
        How it was computed, for example ``"closed form"`` or ``"cdf crossings"``.
    """

    value: float
    stderr: float = 0.0
    n: int = 0
    method: str = "closed form"

    def __post_init__(self) -> None:
        for name in ("value", "stderr"):
            number = getattr(self, name)
            real = isinstance(number, int | float | np.floating | np.integer)
            if not real or isinstance(number, bool | np.timedelta64):
                raise NotFiniteError(f"{name} must be a number, got {show(number)}")
            try:
                object.__setattr__(self, name, float(number))
            except OverflowError:
                raise NotFiniteError(f"{name} is {show(number)}, more than a float holds") from None
        if not (math.isfinite(self.value) and math.isfinite(self.stderr)):
            raise NotFiniteError(f"estimate by {self.method} is {self.value} +- {self.stderr}; it must be finite")
        if self.stderr < 0:
            raise NotFiniteError(f"stderr must be at least 0, got {self.stderr!r}")

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Return ``value -+ z * stderr``."""
        return self.value - z * self.stderr, self.value + z * self.stderr

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        error = f" +- {self.stderr:.2g}" if self.stderr else ""
        return f"{self.value:.6g}{error} ({self.method}{f', n={self.n}' if self.n else ''})"
