r"""Weights that change with time: one problem per time bin, with total-variation smoothing between bins.

.. math:: \min_{w_1, ..., w_B \in \Delta} \sum_b f_b(w_b) + \lambda \sum_b \|w_{b+1} - w_b\|_1

*Own method*: the alternating direction method of multipliers (Boyd et al. 2011). The w-step is a batch of simplex
problems with P_b + rho I, solved exactly; the z-step is total-variation denoising of each weight along time, solved
exactly in linear time (Condat 2013).

*Certificate*: the multiplier v of the z-step is a subgradient of lambda TV, so :math:`\lambda TV(w) \ge \langle v, w
\rangle` for every w, and :math:`\sum_b \min_\Delta (f_b + \langle v_b, \cdot \rangle)`, less its own duality gaps,
is a lower bound on the minimum. The gap reported is the value minus that bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .active_set_batched import block_size, solve_block
from .base import Status
from .batch import SimplexQPBatch
from .errors import InvalidArgumentError, ShapeError
from .limits import Budget, default_time_limit
from .many import solve_many, stacked
from .problem import Matrix, SimplexQP, Vector, power_of_two_below
from .validation import one_of, positive_number, real_number, seconds, whole_number

_UNBALANCED, _BALANCED = 2.0, 500  # ratio of residuals at which rho is changed; steps after which it no longer is
_CONSTANT = 1e9  # smoothing, relative to the mean scale, from which the weights are constant to rounding


@dataclass(frozen=True, slots=True, eq=False)
class TimeWeights:
    """Weights as a function of time, with their certificate.

    Attributes
    ----------
    weights : (B, k) float64
        Each row on the simplex.
    value : float
        Sum of the bins' objectives plus the smoothing term.
    gap : float
        Upper bound on ``value - minimum``.
    scale : float
        Sum of the bins' scales; converged means ``gap <= tol * scale``.
    status : Status
    n_iter : int
    """

    weights: NDArray[np.float64]
    value: float
    gap: float
    scale: float
    status: Status
    n_iter: int

    @property
    def converged(self) -> bool:
        """Whether the certificate meets the tolerance."""
        return self.status is Status.CERTIFIED

    def __repr__(self) -> str:
        (bins, k), status = self.weights.shape, self.status.name.lower()
        return f"TimeWeights({bins} bins, k={k}, value={self.value:.9g}, gap={self.gap:.1e}, {status})"


def solve_over_time(
    problems: SimplexQPBatch | Sequence[SimplexQP],
    smoothing: float = 0.0,
    *,
    solver: Literal["own", "cvxpy"] = "own",
    tol: float = 1e-6,
    max_iter: int = 5000,
    time_limit: float | None = None,
) -> TimeWeights:
    """Fit one weight vector per time bin.

    Parameters
    ----------
    problems : SimplexQPBatch or sequence of SimplexQP
        One per bin, in order of time.
    smoothing : float
        Lambda, relative to the mean scale of the bins: 0 solves each bin alone, a large value gives constant weights.
    solver : {"own", "cvxpy"}
    tol : float
        Largest accepted gap relative to the sum of the scales.
    max_iter : int
        Iterations of the own method.
    time_limit : float, optional
        Seconds; ``60 + B (10 + 1e-7 k^3)`` when omitted. The best weights by then are returned.

    Returns
    -------
    TimeWeights
    """
    tol, max_iter = positive_number(tol, "tol"), whole_number(max_iter, "max_iter")
    allowed = None if time_limit is None else seconds(time_limit)
    smoothing = real_number(smoothing, "smoothing")
    if smoothing < 0.0:
        raise InvalidArgumentError(f"smoothing must be finite and at least 0, got {smoothing}")
    one_of(solver, ("own", "cvxpy"), "solver")
    batch = stacked(problems)
    if not len(batch):
        raise ShapeError("problems is empty; pass one problem per time bin")
    if allowed is None:
        allowed = 60.0 + len(batch) * default_time_limit(batch, 0.0)
    alone = solve_many(batch, tol=min(tol, 1e-9), time_limit=allowed)
    scale = float(alone.scales.sum())
    if smoothing == 0.0 or len(batch) == 1:
        value, gap = float(alone.values.sum()), float(alone.gaps.sum())
        return TimeWeights(alone.weights, value, gap, scale, _status(gap <= tol * scale), int(alone.n_iter.max()))
    # In units of the bins' mean scale, rounded to a power of two: exact, and no library meets 1e150.
    unit = power_of_two_below(scale / len(batch))
    batch = SimplexQPBatch(batch.P / unit, batch.q / unit, batch.r / unit)
    scale /= unit
    # More than this changes nothing, and its square would overflow.
    amount = min(smoothing, _CONSTANT) * scale / len(batch)
    if solver == "cvxpy":
        found = _conic(batch, amount, scale, tol, allowed)
    else:
        found = _alternate(batch, amount, alone.weights, scale, tol, Budget(max_iter, allowed))
    return replace(found, value=found.value * unit, gap=found.gap * unit, scale=found.scale * unit)


def _alternate(
    batch: SimplexQPBatch, amount: float, weights: Matrix, scale: float, tol: float, budget: Budget
) -> TimeWeights:
    B, k = batch.q.shape
    rho = scale / B
    step = _step(batch, rho)
    w, u, previous = weights, np.zeros((B, k)), weights
    best, best_value, bound = w, np.inf, -np.inf
    certified = False
    for n in budget:
        moved = w + u
        z = np.column_stack([denoise(moved[:, i], amount / rho) for i in range(k)])
        u = moved - z
        if n % 10 == 1 or n == budget.steps:
            candidates = (w, np.maximum(z, 0.0) / np.maximum(z, 0.0).sum(axis=1, keepdims=True))
            for candidate in candidates:
                value = _total(batch, candidate, amount)
                if value < best_value:
                    best, best_value = candidate, value
            lower = solve_many(SimplexQPBatch(batch.P, batch.q + rho * u, batch.r))
            bound = max(bound, float((lower.values - lower.gaps).sum()))
            certified = best_value - bound <= tol * scale
            if certified:
                break
            # Residual balancing: neither the tie w = z nor the movement of z may lag behind the other by far.
            primal, dual = float(np.abs(w - z).max()), float(np.abs(z - previous).max())
            change = 2.0 if primal > _UNBALANCED * dual else 0.5 if dual > _UNBALANCED * primal else 1.0
            if change != 1.0 and n < _BALANCED:
                rho, u = rho * change, u / change
                step = _step(batch, rho)
        previous = z
        w = step(rho * (z - u))
    gap = max(best_value - bound, 0.0)
    limit = Status.TIME_LIMIT if budget.late else Status.ITERATION_LIMIT
    return TimeWeights(best, best_value, gap, scale, Status.CERTIFIED if certified else limit, budget.n)


def _step(batch: SimplexQPBatch, rho: float) -> Callable[[Matrix], Matrix]:
    """The w-step: minimisers (B, k) of ``f_b(w) + rho/2 |w|^2 - <pull_b, w>``; certified at the end, not here."""
    augmented = batch.P + rho * np.eye(batch.dim)
    unit = np.ldexp(1.0, np.frexp(np.einsum("bii->b", augmented) / batch.dim)[1] - 1)
    blocks = np.array(augmented.transpose(1, 2, 0), order="C") / unit

    def minimise(pull: Matrix) -> Matrix:
        q = batch.q - pull
        w = np.full(q.shape, np.nan)
        if block_size(batch.dim):
            scaled = (q - q.min(axis=1, keepdims=True)).T / unit
            w = solve_block(blocks, scaled)[0].T
        left = np.isnan(w).any(axis=1)
        if left.any():
            w[left] = solve_many(SimplexQPBatch(augmented[left], q[left])).weights
        return w

    return minimise


def _conic(batch: SimplexQPBatch, amount: float, scale: float, tol: float, time_limit: float) -> TimeWeights:
    from .cvxpy_conic import smoothed_over_time

    w, multipliers, n_iter = smoothed_over_time(batch.P, batch.q, amount, time_limit)
    w = np.maximum(w, 0.0)
    w /= w.sum(axis=1, keepdims=True)
    value = _total(batch, w, amount)
    # The multipliers of the differences, cut to the box, give the same kind of lower bound.
    multipliers = np.clip(multipliers, -amount, amount)
    bound = -np.inf
    for sign in (1.0, -1.0):  # modelling layers differ in the sign of an equality's multiplier
        v = np.zeros_like(w)
        v[1:] += sign * multipliers
        v[:-1] -= sign * multipliers
        lower = solve_many(SimplexQPBatch(batch.P, batch.q + v, batch.r))
        bound = max(bound, float((lower.values - lower.gaps).sum()))
    gap = max(value - bound, 0.0)
    return TimeWeights(w, value, gap, scale, _status(gap <= tol * scale), n_iter)


def _total(batch: SimplexQPBatch, w: Matrix, amount: float) -> float:
    quadratic = 0.5 * np.einsum("bi,bij,bj->", w, batch.P, w) + float((batch.q * w).sum() + batch.r.sum())
    return float(quadratic + amount * np.abs(np.diff(w, axis=0)).sum())


def _status(certified: bool) -> Status:
    return Status.CERTIFIED if certified else Status.INACCURATE


def denoise(y: Vector, amount: float) -> Vector:
    """Minimise ``1/2 |z - y|^2 + amount * sum |z_{b+1} - z_b|`` over z (B,): the taut string through a tube.

    The cumulative sum of z is the shortest path from 0 to ``sum(y)`` that stays within `amount` of the cumulative sum
    of y (Davies and Kovac 2001). Cost: O(B) in practice.
    """
    B = len(y)
    if B == 1 or amount <= 0.0:
        return y.copy()
    centre = np.concatenate([[0.0], np.cumsum(y)])
    low, high = centre - amount, centre + amount
    low[0] = high[0] = 0.0
    low[-1] = high[-1] = centre[-1]
    z = np.empty(B)
    knot, level = 0, 0.0
    while knot < B:
        # Widen the cone of slopes that stay in the tube, from the current knot, until it is empty.
        least, most = -np.inf, np.inf
        least_at = most_at = knot
        for j in range(knot + 1, B + 1):
            down, up = (low[j] - level) / (j - knot), (high[j] - level) / (j - knot)
            if down > most:
                end, level_end = most_at, high[most_at]
                break
            if up < least:
                end, level_end = least_at, low[least_at]
                break
            if down >= least:
                least, least_at = down, j
            if up <= most:
                most, most_at = up, j
        else:
            end, level_end = B, centre[-1]
        z[knot:end] = (level_end - level) / (end - knot)
        knot, level = end, level_end
    return z
