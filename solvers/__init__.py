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
from .errors import (
    AsymmetricMatrixError,
    DataTypeError,
    InvalidProblemError,
    MissingExtraError,
    NonFiniteError,
    NotPositiveSemidefiniteError,
    ShapeError,
    SolverFailureError,
    UnknownSolverError,
    UnsupportedObjectiveError,
)
from .many import SolverResults, solve_many
from .problem import SimplexObjective, SimplexQP, SimplexQPBatch, StochasticObjective, TwiceDifferentiableObjective
from .projections import project_simplex
from .registry import available_solvers, get_solver, known_solvers

__all__ = [
    "AsymmetricMatrixError",
    "BatchSolver",
    "Candidate",
    "ConstrainedSolver",
    "DataTypeError",
    "InvalidProblemError",
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
    "Status",
    "StochasticObjective",
    "TwiceDifferentiableObjective",
    "UnknownSolverError",
    "UnsupportedObjectiveError",
    "available_solvers",
    "get_solver",
    "known_solvers",
    "project_simplex",
    "solve",
    "solve_many",
]
