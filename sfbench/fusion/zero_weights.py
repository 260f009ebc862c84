r"""Which fitted weights are zero, whatever solver found them.

At a minimiser each weight or its slack ``(grad_i - min grad) / scale`` vanishes. Interior-point and first-order solvers
leave both a little above: a zero weight with slack s comes out near ``gap / s``, of the certificate
``sum_i w_i s_i = gap``, and one without slack near ``sqrt(gap)``. So a weight is zero if it is below its slack or below
the root of the gap, and small in any case.

A zero of the fit need not be one of the population, nor the other way round: what tells is the distance of a weight
from zero in standard errors, ``w_i / sqrt((H^+ S H^+)_ii / n)`` on the face of the positive weights, and of a zero
weight that of its multiplier ``grad_i - w'grad``, of variance ``(e_i - w)'S(e_i - w) / n``.
"""

import math

import numpy as np
from numpy.typing import NDArray

from solvers import SolverResult

from .._internal.aliases import Float64Array
from ..statistics.gram import Contributions, ScoreGram, tangent_basis

_LEAST, _MOST = 1e-9, 1e-3
_CLEAR_MULTIPLIER, _CLEAR_WEIGHT = 5.0, 2.5  # standard errors


def zero_weights(answer: SolverResult) -> NDArray[np.bool_]:
    """Mask (k,) of the weights that the certificate cannot tell from zero."""
    resolution = max(math.sqrt(answer.relative_gap), _LEAST)
    slack = np.nan_to_num(answer.slack, nan=0.0)  # unknown with constraints of the solver's own
    return np.asarray(answer.weights <= np.minimum(np.maximum(slack, resolution), _MOST))


def distance_from_zero(
    gram: ScoreGram, kept: Contributions, weights: Float64Array, at_zero: NDArray[np.bool_]
) -> Float64Array:
    """Standard errors (k,) between each weight (k,) and zero; of its multiplier where `at_zero` (k,)."""
    gradient = 2.0 * (gram.G @ weights - gram.b)
    covariance = kept.gradient_covariance(weights) / kept.n
    contrast = np.eye(gram.k) - weights
    multiplier = np.maximum(gradient - float(weights @ gradient), 0.0)
    variance = np.einsum("ij,jk,ik->i", contrast, covariance, contrast)
    basis = np.zeros((gram.k, max(int((~at_zero).sum()) - 1, 0)))
    if basis.shape[1]:
        basis[~at_zero] = tangent_basis(basis.shape[1] + 1)
        inverse = np.linalg.pinv(2.0 * basis.T @ gram.G @ basis, rcond=1e-12, hermitian=True)
        influence = basis @ inverse @ basis.T
        variance = np.where(at_zero, variance, np.einsum("ij,jk,ik->i", influence, covariance, influence))
    error = np.sqrt(np.maximum(variance, 0.0))
    value = np.where(at_zero, multiplier, weights)
    return np.asarray(np.divide(value, error, out=np.where(value > 0.0, np.inf, 0.0), where=error > 0.0))


def unclear_zeros(
    gram: ScoreGram, kept: Contributions, weights: Float64Array, at_zero: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mask (k,) of the weights of which the data do not tell whether the population's are zero."""
    clear = np.where(at_zero, _CLEAR_MULTIPLIER, _CLEAR_WEIGHT)
    return np.asarray(distance_from_zero(gram, kept, weights, at_zero) < clear)
