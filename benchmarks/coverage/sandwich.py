"""The negative control: intervals that treat the estimated zero weights as known."""

import numpy as np
import scipy

from sfbench import ScoreGram
from sfbench._internal.aliases import Float64Array
from sfbench.statistics.gram import tangent_basis


def sandwich_intervals(gram: ScoreGram, weights: Float64Array, level: float) -> Float64Array:
    """Intervals (k, 2) by the normal law of the minimiser over a face; right in the interior of the simplex only.

    The face is spanned by the positive weights and those whose multiplier is below three standard errors.
    """
    kept = gram.contributions
    assert kept is not None
    gradient = 2.0 * (gram.G @ weights - gram.b)
    covariance = kept.gradient_covariance(weights) / kept.n
    contrast = np.eye(gram.k) - weights
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", contrast, covariance, contrast), 0.0))
    free = (weights > 0.0) | (gradient - weights @ gradient <= 3.0 * error)
    basis = np.zeros((gram.k, int(free.sum()) - 1))
    basis[free] = tangent_basis(int(free.sum()))
    inverse = np.linalg.pinv(2.0 * basis.T @ gram.G @ basis, rcond=1e-13, hermitian=True)
    centre = weights - basis @ (inverse @ (basis.T @ gradient))
    spread = basis @ inverse @ (basis.T @ covariance @ basis) @ inverse @ basis.T
    quantile = scipy.special.stdtrit(len(kept.counts) - 1, 0.5 + level / 2)
    half = quantile * np.sqrt(np.maximum(np.diag(spread), 0.0))
    return np.asarray(np.clip(np.column_stack([centre - half, centre + half]), 0.0, 1.0))
