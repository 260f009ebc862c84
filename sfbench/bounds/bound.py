"""A bound with its grounds, and an observation held against it.

- ``upper``: holds for every run (certificate) or with the stated probability;
- ``asymptotic``: a limit as n grows, tight but without a rate of approach.
"""

from dataclasses import dataclass
from typing import Literal, final, get_args

import numpy as np

from synthetic import Estimate

from .._internal.validation import as_choice, as_kind, as_number
from ..errors import GramError

Guarantee = Literal["upper", "asymptotic"]


@final
@dataclass(frozen=True)
class Bound:
    """A number that something must not exceed, and on what grounds.

    Attributes
    ----------
    value : float
    label : str
        What it bounds and how it is derived.
    guarantee : {"upper", "asymptotic"}
    assumptions : tuple of str
    """

    value: float
    label: str
    guarantee: Guarantee
    assumptions: tuple[str, ...]

    def __post_init__(self) -> None:
        value = self.value
        if (
            not isinstance(value, int | float | np.floating)
            or not value >= 0
            or (isinstance(value, int) and value > 1e300)
        ):
            raise GramError(f"a bound must be a number of at least 0, got {value!r} ({self.label})")
        as_kind("the label of a bound", self.label, str, GramError)
        as_choice("guarantee", self.guarantee, get_args(Guarantee), GramError)
        if not isinstance(self.assumptions, tuple | list):
            raise GramError(f"assumptions must be a sequence of sentences, got {self.assumptions!r}")
        object.__setattr__(self, "value", float(value))
        object.__setattr__(self, "assumptions", tuple(self.assumptions))


@final
@dataclass(frozen=True)
class BoundCheck:
    """An observed quantity against its bound.

    ``slack`` is bound minus observation (less ``z`` standard errors of the latter); negative means violated.
    """

    observed: Estimate
    bound: Bound
    holds: bool
    slack: float

    def __repr__(self) -> str:
        if self.bound.guarantee == "upper":
            verdict = "holds" if self.holds else "is VIOLATED"
        else:  # a limit of means: one observation may lie above it
            verdict = "holds" if self.holds else "does not hold of this observation, which is above: not asserted"
        return f"{self.observed} <= {self.bound.value:.6g} {verdict} ({self.bound.label}, {self.bound.guarantee})"


def check(observed: Estimate | float, bound: Bound, *, z: float = 5.0) -> BoundCheck:
    """Compare an observation with a bound, allowing z standard errors of a Monte Carlo observation.

    Raises
    ------
    GramError, NotFiniteError
        For a negative z, or an observation that is not finite.
    """
    if as_number("z", z, GramError) < 0:
        raise GramError(f"z must be at least 0 standard errors, got {z!r}")
    as_kind("bound", bound, Bound, GramError)
    estimate = observed if isinstance(observed, Estimate) else Estimate(as_number("observed", observed))
    # Rounding of the observation itself: exact quantities may touch their bound.
    rounding = 1e-12 * max(1.0, abs(bound.value), abs(estimate.value))
    slack = bound.value - (estimate.value - z * estimate.stderr)
    return BoundCheck(estimate, bound, bool(slack >= -rounding), float(slack))
