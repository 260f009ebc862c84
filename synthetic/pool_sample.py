r"""One sample of a pool, for every pool of the same laws: what a sweep over weights needs, drawn once.

For draws x of ``p_v`` and weights w, the ratio of the two pools depends on x through the component densities alone,

    p_w(x) / p_v(x) = r(x) / m,     r = prod_i p_i^{w_i - v_i},     m = E_v[r] = Z(w) / Z(v),

so that log densities at the draws, an (n, k) matrix, give ``TV(p_w, p_v) = E_v|r/m - 1| / 2`` at the cost of one
product per w. Its standard error is that of the influence ``|r/m - 1|/2 - E[s r/m] (r/m - 1)/2``, s the sign of r - m,
which counts that m is estimated too. The estimate rests on ``n / E[(r/m)^2]`` effective draws: w has to be near v.
"""

from typing import final

import numpy as np
from numpy.typing import ArrayLike

from ._typing import Float64Array, SeedLike
from ._validation import as_count, as_simplex
from .errors import EffectiveSampleSizeError
from .estimate import Estimate
from .log_linear_pool import LogLinearPool

_LEAST_SHARE = 0.1  # of effective draws


@final
class PoolSample:
    """Draws of a log-linear pool, kept as the log densities of its components.

    Parameters
    ----------
    pool : LogLinearPool
        The pool p_v to draw from, exactly (see :meth:`LogLinearPool.sample`).
    n : int
        Number of draws, at least 2.
    rng : Generator, int or None
    """

    def __init__(self, pool: LogLinearPool, *, n: int = 20_000, rng: SeedLike = 0) -> None:
        x = pool.sample(as_count("n", n, at_least=2), rng=rng)
        self.weights = pool.weights
        self.logs: Float64Array = np.stack([np.asarray(p.log_prob(x), np.float64) for p in pool.components], axis=1)
        self.logs -= self.logs.mean(axis=0)  # constants cancel
        self.logs.setflags(write=False)

    def total_variation(self, weights: ArrayLike) -> Estimate:
        """``TV(p_w, p_v)``.

        Raises
        ------
        EffectiveSampleSizeError
            If fewer than a tenth of the draws count for w.
        """
        exponent = self.logs @ (as_simplex(weights, len(self.weights)) - self.weights)
        ratios = np.exp(exponent - exponent.max())
        ratios /= ratios.mean()
        n, share = len(ratios), 1.0 / float((ratios**2).mean())
        if share < _LEAST_SHARE:
            raise EffectiveSampleSizeError(
                f"a share of {share:.2g} of the draws counts for these weights (at least {_LEAST_SHARE} needed); draw "
                "from a pool nearer to them"
            )
        terms = 0.5 * np.abs(ratios - 1.0)
        slope = 0.5 * float((ratios * np.sign(ratios - 1.0)).mean())
        influence = terms - slope * (ratios - 1.0)
        error = float(influence.std(ddof=1) / np.sqrt(n))
        return Estimate(min(1.0, float(terms.mean())), error, n, "reweighted sample")
