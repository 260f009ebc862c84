"""Laws with exact densities and scores, their KL barycenters, and named fusion problems.

A leaf of the project: it knows nothing of time, diffusion processes or solvers.
"""

from . import families as _families  # registers the named families
from .embedded_mixture import EmbeddedMixture
from .errors import (
    CovarianceError,
    DataTypeError,
    EffectiveSampleSizeError,
    IntractableError,
    NotFiniteError,
    ShapeError,
    SimplexError,
    SyntheticError,
    UnknownNameError,
)
from .estimate import Estimate
from .gaussian_mixture import GaussianMixture
from .law import DiffusableLaw, Law, as_gaussian_mixture, components_of
from .log_linear_pool import LogLinearPool, arithmetic_mixture
from .pool_sample import PoolSample
from .problems import SyntheticProblem
from .registry import family, known_problems, load_families, load_module, make_problem, problem_parameters
from .student import student_mixture
from .subspace import Subspace, common_subspace

__all__ = [
    "CovarianceError",
    "DataTypeError",
    "DiffusableLaw",
    "EffectiveSampleSizeError",
    "EmbeddedMixture",
    "Estimate",
    "GaussianMixture",
    "IntractableError",
    "Law",
    "LogLinearPool",
    "NotFiniteError",
    "PoolSample",
    "ShapeError",
    "SimplexError",
    "Subspace",
    "SyntheticError",
    "SyntheticProblem",
    "UnknownNameError",
    "arithmetic_mixture",
    "as_gaussian_mixture",
    "common_subspace",
    "components_of",
    "family",
    "known_problems",
    "load_families",
    "load_module",
    "make_problem",
    "problem_parameters",
    "student_mixture",
]
del _families
