r"""Tau-leaping: all sites of a state jump at once, each by its exact one-site transition.

From log-odds lambda to mu model i moves site l by ``k_i^l(v | x)`` (:meth:`DiscreteNoise.kernel`), exact for one site.
Their geometric mean, normalised, drives the particles, and its total ``Z_l(x) = sum_v prod_i k_i^l(v | x)^{w_i} <= 1``
is the weight of the step: for small steps the jumps have rates r_w and the weight is ``exp(-V d lambda)``. First order.
"""

import numpy as np

from synthetic.discrete.law import draw_columns

from .._internal.aliases import Float64Array
from ..errors import ModelError
from .models import FusedRates, geometric_mean
from .noise import States


def leap(
    fused: FusedRates, x: States, here: float, there: float, switched: bool, rng: np.random.Generator
) -> tuple[States, Float64Array, int]:
    """States at log-odds ``there`` (which may be infinite), log weights (n,) of the step, and rows evaluated."""
    kernels = np.stack([fused.noise.kernel(p, x, here, there) for p in fused.posteriors(x, here)])
    weights = fused.weights[fused.active]
    if switched:
        chosen = rng.choice(len(weights), size=len(x), p=weights)
        return draw_columns(kernels[chosen, np.arange(len(x))], rng), np.zeros(len(x)), len(x)
    mean = geometric_mean(kernels, weights)
    total = mean.sum(axis=-1)
    if not np.all(total > 0):
        raise ModelError("the models exclude one another's moves at some state: their geometric mean is zero")
    return draw_columns(mean, rng), np.log(total).sum(axis=1), len(x)
