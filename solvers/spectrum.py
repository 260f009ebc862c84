r"""How well the data determine the weights: the spectrum of P along the simplex.

Weights only move along directions d with 1'd = 0, so what matters is the spectrum of :math:`\Pi P \Pi`,
:math:`\Pi = I - 11'/k`, without the zero that belongs to the ones vector. The effective rank is
:math:`\exp(-\sum_i p_i \log p_i)` with :math:`p_i = \lambda_i / \sum \lambda` (Roy and Vetterli 2007).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import UnsupportedObjectiveError
from .problem import SimplexQP, Vector
from .validation import EPS


@dataclass(frozen=True, slots=True, eq=False)
class TangentSpectrum:
    """Spectrum of a quadratic problem along the simplex.

    Attributes
    ----------
    eigenvalues : (k - 1,) float64
        Ascending, non-negative, in the units of the objective.
    condition_number : float
        Largest over smallest; infinite when the smallest is rounding.
    rank : int
        Eigenvalues above rounding.
    effective_rank : float
        Between 0 and k - 1.
    """

    eigenvalues: Vector
    condition_number: float
    rank: int
    effective_rank: float


def tangent_spectrum(problem: SimplexQP) -> TangentSpectrum:
    """Spectrum of P on the directions that sum to zero. Cost: one symmetric eigenvalue problem of size k."""
    if not isinstance(problem, SimplexQP):
        raise UnsupportedObjectiveError(f"problem must be a SimplexQP, got a {type(problem).__name__}")
    k = problem.dim
    P = problem.P
    row = P.mean(axis=0)
    centred = P - row - row[:, None] + row.mean()
    # An orthogonal reflection takes the ones vector to the first axis, which is then dropped.
    u = np.full(k, 1.0 / math.sqrt(k))
    u[0] += 1.0
    u /= np.linalg.norm(u)
    reflected = centred - 2.0 * np.outer(u, u @ centred)
    reflected -= 2.0 * np.outer(reflected @ u, u)
    block = reflected[1:, 1:]
    values = np.maximum(np.linalg.eigvalsh(0.5 * (block + block.T)), 0.0)
    total = float(values.sum())
    limit = 10 * k * EPS * max(float(P.trace()), total)
    rank = int((values > limit).sum())
    condition = float(values[-1] / values[0]) if k > 1 and rank == k - 1 else (1.0 if k == 1 else math.inf)
    p = values[values > limit] / total if rank else np.empty(0)
    return TangentSpectrum(values, condition, rank, float(np.exp(-(p * np.log(p)).sum())) if rank else 0.0)
