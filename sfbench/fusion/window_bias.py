r"""Do the fitted weights depend on the time window?

If one weight vector makes the fused score exact, ``s_w = s*`` at every t of the window, then the gradient of J vanishes
at that w in every part of the window. Otherwise, as for a KL barycenter whose noising does not commute with pooling,
parts of the window ask for different weights, and a fit depends on how t_min and t_max were chosen.

The test splits the window into an early and a late half (in nodes, so about half in log t). On the face of the m + 1
auxiliaries in use, the mean gradients of both halves are 2m moments of m unknowns; with Omega their covariance,

    T = n min over w of  u(w)' Omega^-1 u(w),       u(w) = (gradient_early(w), gradient_late(w))

is asymptotically chi-square with m degrees of freedom if one w serves both (Hansen 1982). For the finite sample it is
compared with Hotelling's ``m (n - 1) / (n - m) F(m, n - m)``, which is wider.

**Guarantee**: asymptotic level. **Assumptions**: i.i.d. samples, finite fourth moments of scores.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import scipy

from solvers import solve

from .._internal.aliases import Float64Array
from ..statistics.gram import ScoreGram, tangent_basis
from .zero_weights import zero_weights

_LEAST_ROWS = 32  # per moment; below, the covariance of the moments says little
_SINGULAR = 1e-9  # relative eigenvalue of a correlation matrix that counts as zero
_USED = 1e-9


@final
@dataclass(frozen=True, eq=False)
class WindowBias:
    """Weights by half of the window, and how surprising their difference is.

    Attributes
    ----------
    early, late : array, shape (k,)
        Simplex weights that each half asks for.
    p_value : float
        Probability of a difference as large if one weight vector served both halves.
    """

    early: Float64Array
    late: Float64Array
    p_value: float

    @property
    def size(self) -> float:
        """Largest difference of a weight."""
        return float(np.abs(self.early - self.late).max())


def window_bias(early: ScoreGram, late: ScoreGram, weights: Float64Array) -> WindowBias | None:
    """Test whether one weight vector serves both halves of a window.

    Parameters
    ----------
    early, late : ScoreGram
        Statistics of the halves, with contributions of the same samples.
    weights : array, shape (k,)
        The fit to the whole window.

    Returns
    -------
    WindowBias or None
        None if there is nothing to test: too few samples kept, or one auxiliary in use.
    """
    halves = [solve(gram.to_qp()) for gram in (early, late)]
    used = np.any([weights > _USED, *(~zero_weights(half) for half in halves)], axis=0)
    m = int(used.sum()) - 1
    kept = [gram.contributions for gram in (early, late)]
    if m < 1 or any(part is None or len(part.counts) < _LEAST_ROWS * 2 * m for part in kept):
        return None
    basis = np.zeros((early.k, m))
    basis[used] = tangent_basis(m + 1)
    moments = np.hstack([part.gradient(weights) @ basis for part in kept if part is not None])
    slopes = np.vstack([2.0 * basis.T @ gram.G @ basis for gram in (early, late)])
    rows = len(moments)
    share = kept[0].counts[:, None] / kept[0].counts.sum() if kept[0] is not None else np.ones((rows, 1)) / rows
    mean = (share * moments).sum(axis=0)
    centred = moments - mean
    covariance = (share * centred).T @ centred * (rows / (rows - 1))  # of a row; divided by the rows below
    spread = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(spread, spread))
    kept_axes = eigenvalues > _SINGULAR * eigenvalues[-1]
    whiten = (vectors[:, kept_axes] / np.sqrt(eigenvalues[kept_axes])).T / spread
    residual, slope = whiten @ mean, whiten @ slopes
    step, _, rank, _ = np.linalg.lstsq(slope, -residual, rcond=_SINGULAR)
    degrees = len(residual) - int(rank)
    if degrees < 1:
        return None
    statistic = rows * float(np.sum((residual + slope @ step) ** 2))
    ratio = statistic * (rows - degrees) / (degrees * (rows - 1))
    return WindowBias(halves[0].weights, halves[1].weights, float(scipy.special.fdtrc(degrees, rows - degrees, ratio)))
