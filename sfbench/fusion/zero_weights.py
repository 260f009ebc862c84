r"""Which fitted weights are zero, whatever solver found them.

At a minimiser each weight or its slack ``(grad_i - min grad) / scale`` vanishes. Interior-point and first-order solvers
leave both a little above: a zero weight with slack s comes out near ``gap / s``, of the certificate
``sum_i w_i s_i = gap``, and one without slack near ``sqrt(gap)``. So a weight is zero if it is below its slack or below
the root of the gap, and small in any case.
"""

import math

import numpy as np
from numpy.typing import NDArray

from solvers import SolverResult

_LEAST, _MOST = 1e-9, 1e-3


def zero_weights(answer: SolverResult) -> NDArray[np.bool_]:
    """Mask (k,) of the weights that the certificate cannot tell from zero."""
    resolution = max(math.sqrt(answer.relative_gap), _LEAST)
    slack = np.nan_to_num(answer.slack, nan=0.0)  # unknown with constraints of the solver's own
    return np.asarray(answer.weights <= np.minimum(np.maximum(slack, resolution), _MOST))
