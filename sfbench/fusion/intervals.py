r"""Confidence intervals for fitted simplex weights, from per-sample Gram contributions.

The estimator minimises ``w'G_n w - 2 b_n'w`` over the simplex; per-sample gradients at the fit are ``2(g w - b)``.

- ``sandwich``: on the face spanned by the weights that are free, the affine minimiser is asymptotically normal with
  covariance ``H^+ S H^+ / n`` (H = 2G on the tangent space of the face, S the covariance of per-sample gradients),
  with Student's t for the few samples that S may rest on. A weight at zero counts as free unless its multiplier is
  significantly positive; intervals are intersected with ``[0, 1]``, so a weight at the boundary gets a one-sided
  interval.
- ``bootstrap``: percentiles over multinomial resamplings of the samples, each solved on the simplex. Consistent in the
  interior; at the boundary it is known to be biased.

**Guarantee**: asymptotic in n. **Assumptions**: i.i.d. samples, finite fourth moments of scores.
"""

import math
from typing import Literal, get_args

import numpy as np
import scipy
from numpy.typing import ArrayLike

from solvers import solve_many

from .._typing import Float64Array, SeedLike
from .._validation import as_generator
from ..errors import GramError
from ..statistics.gram import Contributions, ScoreGram

IntervalMethod = Literal["sandwich", "bootstrap"]
_SIGNIFICANT = 0.5 * math.erfc(-3.0 / math.sqrt(2.0))  # three standard errors, for many samples


def confidence_interval(
    gram: ScoreGram,
    weights: ArrayLike,
    level: float = 0.9,
    *,
    method: IntervalMethod = "sandwich",
    n_resamples: int = 500,
    rng: SeedLike = 0,
) -> Float64Array:
    """Intervals (k, 2) for the weights at the given confidence level.

    Raises
    ------
    GramError
        If the Gram kept no contributions, the level is not in (0, 1), the method is unknown, or the weights do not
        belong to the Gram.
    """
    if not (isinstance(level, float | int) and 0 < level < 1):
        raise GramError(f"level must be strictly between 0 and 1, got {level!r}")
    if method not in get_args(IntervalMethod):
        raise GramError(f"unknown method {method!r}; use 'sandwich' or 'bootstrap'")
    if not (isinstance(n_resamples, int | np.integer) and n_resamples >= 2):
        raise GramError(f"n_resamples must be a whole number, at least 2, got {n_resamples!r}")
    fitted = np.asarray(weights, dtype=np.float64)
    if fitted.shape != (gram.k,) or not np.all(np.isfinite(fitted)):
        raise GramError(f"weights must be {gram.k} finite numbers, got {weights!r}")
    kept = gram.contributions
    if kept is None:
        raise GramError("this Gram kept no per-sample contributions; compute it with score_gram(..., keep=4096)")
    if gram.k == 1:
        return np.ones((1, 2))
    if len(kept.counts) < 2:  # one sample says nothing about its own spread
        return np.tile([0.0, 1.0], (gram.k, 1))
    if method == "sandwich":
        return _sandwich(gram, fitted, kept, float(level))
    return _bootstrap(kept, float(level), int(n_resamples), as_generator(rng))


def _sandwich(gram: ScoreGram, weights: Float64Array, kept: Contributions, level: float) -> Float64Array:
    n = kept.n
    spread = kept.gradient_covariance(weights)
    gradient = 2.0 * (gram.G @ weights - gram.b)
    degrees = len(kept.counts) - 1
    free = _free_face(weights, gradient, spread / n, float(scipy.special.stdtrit(degrees, _SIGNIFICANT)))
    size = int(free.sum())
    low_high = np.zeros((gram.k, 2))
    if size < 2:
        low_high[free] = 1.0
        return low_high
    basis = np.zeros((gram.k, size - 1))
    basis[free] = np.linalg.svd(np.ones((1, size)))[2][1:].T
    inverse = np.linalg.pinv(basis.T @ (2.0 * gram.G) @ basis, rcond=1e-13, hermitian=True)
    centre = weights - basis @ (inverse @ (basis.T @ gradient))
    covariance = basis @ inverse @ (basis.T @ spread @ basis) @ inverse @ basis.T / n
    half = float(scipy.special.stdtrit(degrees, 0.5 + level / 2)) * np.sqrt(np.maximum(np.diag(covariance), 0.0))
    low_high[:, 0], low_high[:, 1] = centre - half, centre + half
    return np.clip(low_high, 0.0, 1.0)


def _free_face(
    weights: Float64Array, gradient: Float64Array, covariance: Float64Array, significant: float
) -> np.ndarray:
    """Weights that are positive, or at zero with a multiplier of fewer than `significant` standard errors."""
    positive = weights > 0
    multiplier = gradient - float(weights @ gradient)
    contrast = np.eye(len(weights)) - weights[None]
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", contrast, covariance, contrast), 0.0))
    return np.asarray(positive | (multiplier <= significant * error))


def _bootstrap(kept: Contributions, level: float, n_resamples: int, rng: np.random.Generator) -> Float64Array:
    rows, k = kept.b.shape
    share = kept.counts / kept.counts.sum()
    counts = rng.multinomial(rows, share, size=n_resamples) / rows
    G = (counts @ kept.g.reshape(rows, k * k)).reshape(n_resamples, k, k)
    b = counts @ kept.b
    fits = solve_many((G + G.transpose(0, 2, 1), -2.0 * b, np.zeros(n_resamples)))
    tail = 0.5 * (1.0 - level)
    return np.asarray(np.quantile(fits.weights, [tail, 1.0 - tail], axis=0).T)
