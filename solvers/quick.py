"""The short way for the commonest call: "auto" or "daqp" on a quadratic problem with one minimiser.

The same steps as the general way, for k = 2 by the closed form and up to k = 40 by DAQP, without its choices: the
general way takes longer over a problem of eight weights than the library does. The certificate is the same, computed
from the problem's own arrays, of which the library only sees copies. Whatever is unusual is left to the general way.
"""

from __future__ import annotations

import functools
import math
from time import perf_counter
from typing import Any

import numpy as np

from .active_set import segment
from .auto import LARGEST_FOR_DAQP, WELL_DETERMINED
from .base import SolverResult, Status, quick_result
from .certificates import DUST
from .daqp_dual import simplex
from .problem import SimplexQP
from .registry import is_available

_EXACT = 1e-15  # of the scale
_NEAR = 0.125  # the library's tolerances are absolute; scales this near to 1 need no normalising


def quick_solve(problem: SimplexQP, tol: float, began: float, automatic: bool) -> SolverResult | None:
    """Weights and certificate of `problem`, or None where the general way is needed; `began` is when the call did.

    `automatic` is for "auto": the closed form for k = 2, and weights exact to rounding or none.
    """
    q, scale, k = problem.q, problem.scale, len(problem.q)
    # A constant in q far above the scale would cost digits: the general way takes it off first.
    if not (problem.definite and abs(problem.lowest) <= scale and 2 <= k <= LARGEST_FOR_DAQP):
        return None
    if automatic and problem.pivot < WELL_DETERMINED:
        return None
    if _NEAR <= scale < 1.0 / _NEAR:
        P, linear = problem.P.copy(), q.copy()
    else:
        factor = math.ldexp(1.0, 1 - math.frexp(scale)[1])
        P, linear = problem.P * factor, q * factor
    if k == 2 and automatic:
        w, n_iter, name = segment(P, linear), 1, "active_set"
    elif daqp := _daqp():
        if not problem.nonsingular:
            P += 1.0  # see solvers.daqp_dual
        ones, upper, lower, sense = simplex(k)
        x, _, flag, info = daqp(P, linear, ones, upper, lower, sense, primal_tol=1e-12, dual_tol=1e-12, iter_limit=1000)
        # As certificates.onto_simplex; on a few numbers a list is faster than four calls of numpy.
        weights = [v if v > DUST else 0.0 for v in x.tolist()]
        total = sum(weights)
        if flag != 1 or not 0.0 < total < math.inf:
            return None
        w, n_iter, name = np.array([v / total for v in weights]), info["iterations"], "daqp"
    else:
        return None
    gradient = problem.P.dot(w)
    gradient += q
    least = gradient.item(gradient.argmin())
    gradient -= least
    gap = float(w.dot(gradient))
    if not (gap <= tol * scale and (not automatic or gap <= _EXACT * scale)):  # NaN is not
        return None
    w.setflags(write=False)
    # w'(Pw + q) is the gap plus the least entry of the gradient, because the weights sum to 1.
    value = 0.5 * (gap + least + float(w.dot(q))) + problem.r
    return quick_result(
        w,
        value,
        gap,
        gradient,
        least,
        Status.CERTIFIED,
        n_iter,
        0.0,
        perf_counter() - began,
        name,
        scale,
        tol,
        _no_directions(k),
        (),
        None,
        (),
    )


@functools.lru_cache(maxsize=8)
def _no_directions(k: int) -> Any:
    return np.empty((k, 0))


@functools.cache
def _daqp() -> Any:
    if not is_available("daqp"):
        return None
    import daqp

    return daqp.solve
