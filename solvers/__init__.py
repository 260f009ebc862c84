r"""Convex optimisation on the probability simplex, with a certificate for every answer.

.. math:: \min_{w \in \Delta} \tfrac12 w'Pw + q'w + r, \qquad \Delta = \{ w \in R^k : w \ge 0,\ 1'w = 1 \}

>>> from solvers import SimplexQP, solve
>>> result = solve(SimplexQP([[2.0, 0.0], [0.0, 2.0]], [0.0, -1.0]))
>>> result.weights
array([0.25, 0.75])
>>> result.converged
True
"""

from .api import solve
from .base import BatchSolver, Candidate, ConstrainedSolver, Requirement, SimplexSolver, SolverResult, Status
from .batch import SimplexQPBatch
from .errors import (
    ArgumentTypeError,
    AsymmetricMatrixError,
    DataTypeError,
    InvalidArgumentError,
    InvalidProblemError,
    MissingExtraError,
    NonFiniteError,
    NotPositiveSemidefiniteError,
    ShapeError,
    SolverFailureError,
    SolversError,
    SolverTimeoutError,
    UnknownSolverError,
    UnsupportedObjectiveError,
)
from .exponential_sum import ExponentialSumObjective
from .log_partition import LogPartitionObjective
from .log_partition_sum import LogPartitionSumObjective
from .many import SolverResults, solve_many
from .over_time import TimeWeights, solve_over_time
from .problem import (
    ConicObjective,
    SimplexObjective,
    SimplexQP,
    StochasticObjective,
    TwiceDifferentiableObjective,
)
from .projections import project_simplex
from .registry import available_solvers, describe_solver, get_solver, known_solvers, resolve_solver
from .regularisation import EntropyRegularised, ridge, solve_path
from .spectrum import TangentSpectrum, tangent_spectrum

__all__ = [
    "ArgumentTypeError",
    "AsymmetricMatrixError",
    "BatchSolver",
    "Candidate",
    "ConicObjective",
    "ConstrainedSolver",
    "DataTypeError",
    "EntropyRegularised",
    "ExponentialSumObjective",
    "InvalidArgumentError",
    "InvalidProblemError",
    "LogPartitionObjective",
    "LogPartitionSumObjective",
    "MissingExtraError",
    "NonFiniteError",
    "NotPositiveSemidefiniteError",
    "Requirement",
    "ShapeError",
    "SimplexObjective",
    "SimplexQP",
    "SimplexQPBatch",
    "SimplexSolver",
    "SolverFailureError",
    "SolverResult",
    "SolverResults",
    "SolverTimeoutError",
    "SolversError",
    "Status",
    "StochasticObjective",
    "TangentSpectrum",
    "TimeWeights",
    "TwiceDifferentiableObjective",
    "UnknownSolverError",
    "UnsupportedObjectiveError",
    "available_solvers",
    "describe_solver",
    "get_solver",
    "known_solvers",
    "project_simplex",
    "resolve_solver",
    "ridge",
    "solve",
    "solve_many",
    "solve_over_time",
    "solve_path",
    "tangent_spectrum",
]
