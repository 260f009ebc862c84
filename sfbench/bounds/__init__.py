"""Guarantees, computed from a problem's own quantities and checked with no slack of our own.

Each function returns a :class:`Bound` that states its guarantee kind and assumptions; :func:`check` holds an
observation against it, and :func:`check_bounds` everything that applies to one run, registered bounds of one's own
among it.
"""

from ..laws.affine import gaussian_fused_law
from .aggregation import aggregation_rate
from .bound import Bound, BoundCheck, Guarantee, check
from .checks import CheckedBound, Run, check_bounds, known_bounds, register_bound
from .girsanov import (
    certificate,
    instance_certificate,
    objective_integral,
    prior_mismatch,
    total_variation_certificate,
)
from .rates import ErrorTerms, error_terms, fast_rate, slow_rate

__all__ = [
    "Bound",
    "BoundCheck",
    "CheckedBound",
    "ErrorTerms",
    "Guarantee",
    "Run",
    "aggregation_rate",
    "certificate",
    "check",
    "check_bounds",
    "error_terms",
    "fast_rate",
    "gaussian_fused_law",
    "instance_certificate",
    "known_bounds",
    "objective_integral",
    "prior_mismatch",
    "register_bound",
    "slow_rate",
    "total_variation_certificate",
]
