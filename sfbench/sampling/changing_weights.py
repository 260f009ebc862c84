r"""Weighted particles along pools whose weights change with time.

For models i let ``F`` be the forward noising kernel from time 0 to t and ``R_i`` the reverse one, so that
``p_{i,t}(y) R_i(y -> x) = p_i(x) F(x -> y)``. The particles of :mod:`.particle_run` carry the geometric mean of the
``R_i`` with weights w; if they start from density ``mu`` at t they end, unnormalised, with

    int mu(y) prod_i R_i(y -> x)^{w_i} dy  =  prod_i p_i(x)^{w_i} E[ mu(X_t) / prod_i p_{i,t}(X_t)^{w_i} | X_0 = x ],

X the *forward* process. At constant weights mu is the pool of the ``p_{i,t}``, the expectation is 1, and the end is the
KL barycenter. If weights change from v to w at time t, mu is the pool at v and the end would be

    prod_i p_i(x)^{w_i} E[ prod_i p_{i,t}(X_t)^{v_i - w_i} | X_0 = x ],

no pool. Multiplying every particle's weight by ``prod_i p_{i,t}(X_t)^{w_i - v_i}`` at the change turns mu into the
pool at w; for weights that move smoothly this becomes the term ``sum_i w_i'(t) log p_{i,t}`` in the log weights. So the
corrected sampler samples the pool at the weights of ``t_min``: earlier weights only choose the way there, and the log
partition is that at ``w(t_min)`` less that of the prior. It needs the densities of all models whose weight changes.
"""

import numpy as np

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import to_host
from ..errors import ModelError
from ..scores import AnalyticScore, FusedScore
from .particles import Blocks


def check_changes(fused: FusedScore, blocks: Blocks) -> None:
    """Refuse weights that change where the jump of the log weights is not known: where a model whose weight changes has
    no density, or particles are weighted block by block.
    """
    if fused.is_constant:
        return
    moving = np.flatnonzero(np.ptp(fused.schedule.weights, axis=0) > 0)
    without = [i for i in moving.tolist() if not isinstance(fused.models[i], AnalyticScore)]
    if without or len(blocks) > 1:
        reason = (
            f"models[{without[0]}] is a {type(fused.models[without[0]]).__name__} with a score only"
            if without
            else "blocks of coordinates are weighted apart"
        )
        raise ModelError(
            f"these weights change with time, and at a change from v to w every particle's weight must be multiplied "
            f"by prod_i p_i,t^(w_i - v_i), but {reason}. Without that the law would not be the KL barycenter but "
            "prod_i p_i^w_i times the mean of prod_i p_i,t^(v_i - w_i) over the noise; use sampler 'fused', constant "
            "weights, or laws"
        )


def jump(fused: FusedScore, x: Array, t: float, t_next: float) -> Float64Array | None:
    """What a change of weights between two times adds to the log weights of points x (n, d) at ``t_next``."""
    change = fused.weights_at(t_next) - fused.weights_at(t)
    if not change.any():
        return None
    total = np.zeros(len(x))
    for i in np.flatnonzero(change):
        model = fused.models[i]
        assert isinstance(model, AnalyticScore)  # see check_changes
        total += change[i] * model.marginal(t_next).log_prob(to_host(x))
    return total
