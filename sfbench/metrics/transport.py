r"""Wasserstein distances between samples.

On the line the monotone coupling is optimal and ``W1 = int |F - G|``. In R^d: exact by the POT extra, else by scipy (an
assignment for equally many unweighted points, a linear program for small weighted ones); sliced W1 averages the line's
over random directions. Standard errors are those of the dual potential, ``W1 = E f(X) - E f(Y)``, where it is known.
The expected distance between two samples of one law is positive (a floor of order ``n^{-1/2}`` on the line and
``n^{-1/d}`` in R^d): compare with a second sample of the law itself.
"""

from importlib import import_module
from typing import Any

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate
from synthetic._memory import refuse_huge

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator
from ..errors import SfbenchError
from .from_samples import weighted_pair
from .line import on_the_line, potential_error

_LARGEST_ASSIGNMENT = 4000
_LARGEST_PROGRAM = 40_000
_MOST_DIRECTIONS = 1 << 16


def sliced_wasserstein1(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_directions: int = 64,
    x_log_weights: ArrayLike | None = None,
    y_log_weights: ArrayLike | None = None,
    rng: SeedLike = None,
) -> Estimate:
    """Mean over random directions of W1 between the projected samples (n, d)."""
    a, v, b, w = weighted_pair(x, y, x_log_weights, y_log_weights)
    as_count("n_directions", n_directions, at_most=_MOST_DIRECTIONS)
    directions = as_generator(rng).standard_normal((n_directions, a.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values, fx, fy = np.empty(n_directions), np.zeros(len(a)), np.zeros(len(b))
    for i, u in enumerate(directions):
        values[i], px, py = on_the_line(a @ u, v, b @ u, w)
        fx += px / n_directions
        fy += py / n_directions
    between = float(values.var(ddof=1) / n_directions) if n_directions > 1 and a.shape[1] > 1 else 0.0
    error = float(np.hypot(np.sqrt(between), potential_error(fx, v, fy, w)))
    return Estimate(float(values.mean()), error, len(a) + len(b), f"sliced, {n_directions} directions")


def wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    *,
    order: int = 1,
    clip: float | None = None,
    x_log_weights: ArrayLike | None = None,
    y_log_weights: ArrayLike | None = None,
) -> Estimate:
    """Exact W1 or W2 between two samples (n, d), (m, d); with ``clip`` the robust W1 of cost ``min(|x - y|, clip)``.

    Raises
    ------
    SfbenchError
        If the problem is too large for scipy and POT is not installed.

    Notes
    -----
    Memory n m; time about cubic. The standard error treats the optimal coupling as fixed.
    """
    if (
        not isinstance(order, int | float | np.integer)
        or order not in (1, 2)
        or (clip is not None and (order != 1 or not clip > 0))
    ):
        raise SfbenchError(f"order must be 1 or 2, and clip a positive number with order 1; got {order!r}, {clip!r}")
    a, v, b, w = weighted_pair(x, y, x_log_weights, y_log_weights)
    refuse_huge("the matrix of costs (sliced_wasserstein1 needs none)", len(a), len(b), beside=len(a) * len(b))
    cost = scipy.spatial.distance.cdist(a, b, "euclidean" if order == 1 else "sqeuclidean")
    if clip is not None:
        cost = np.minimum(cost, clip)
    rows, columns, mass, how = _plan(v, w, cost)
    paid = cost[rows, columns]
    value = float(mass @ paid)
    effective = min(1.0 / float(v @ v), 1.0 / float(w @ w))
    error = float(np.sqrt(max(0.0, mass @ (paid - value) ** 2) / effective))
    if order == 2:
        value = float(np.sqrt(value))
        error = error / (2.0 * value) if value > 0 else 0.0
    label = f"W{order}" if clip is None else f"W1 clipped at {clip:g}"
    return Estimate(value, error, len(a) + len(b), f"{label}, {how}")


# ---------------------------------------------------------------------- inside
def _plan(v: Float64Array, w: Float64Array, cost: Float64Array) -> tuple[np.ndarray, np.ndarray, Float64Array, str]:
    """Optimal coupling as rows, columns, masses, and the solver's name."""
    uniform = len(v) == len(w) and np.ptp(v) < 1e-12 and np.ptp(w) < 1e-12
    if uniform and len(v) <= _LARGEST_ASSIGNMENT:
        if not np.all(np.isfinite(cost)):
            raise SfbenchError("the points are so far apart that their distances overflow; divide them by their spread")
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        return rows, columns, np.full(len(rows), 1.0 / len(rows)), "assignment"
    pot = _pot()
    if pot is not None:
        plan, log = pot.emd(v, w, cost, numItermax=2_000_000, log=True)
        if log["warning"] is not None:
            raise SfbenchError(f"the transport plan was not solved: {log['warning']}")
        dense = np.asarray(plan)
        rows, columns = np.nonzero(dense)
        return rows, columns, dense[rows, columns], "network simplex (POT)"
    if cost.size > _LARGEST_PROGRAM:
        raise SfbenchError(
            f"exact transport between {len(v)} and {len(w)} weighted points needs POT: pip install 'sfbench[ot]' "
            "(or resample to at most 4000 equally weighted points each)"
        )
    n, m = cost.shape
    rows, columns = np.divmod(np.arange(n * m), m)
    entries = np.concatenate([rows, n + columns]), np.tile(np.arange(n * m), 2)
    sums = scipy.sparse.coo_array((np.ones(2 * n * m), entries), shape=(n + m, n * m)).tocsr()
    solution = scipy.optimize.linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([v, w]), method="highs")
    if not solution.success:
        raise SfbenchError(f"the transport program was not solved: {solution.message}")
    used = solution.x > 0
    return rows[used], columns[used], solution.x[used], "linear program"


def _pot() -> Any:
    try:
        return import_module("ot")  # several seconds, and optional
    except ImportError:
        return None
