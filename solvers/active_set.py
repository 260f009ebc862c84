r"""Exact active-set solver for quadratic problems.

Notation: S is the support, g = Pw + q the gradient. On the simplex P may be replaced by P + 11' (f changes by a
constant), which is nonsingular whenever P is definite along the simplex. Every round makes one Newton step on a face,

.. math:: d = \arg\min \{ \tfrac12 d'(P + \delta I)d + g'd : 1'd = 0,\ d_i = 0 \text{ off } S \}.

*Guess.* Block principal pivoting (Portugal, Judice and Vicente 1994): step to the stationary point of the face, drop
every negative weight and add every negative multiplier at once. It usually settles within five rounds, whatever k, but
may cycle, so it is given up when the number of violations stops falling.

For large k the first face comes from a few accelerated projected-gradient steps, which cost k^2 each instead of k^3.

*Proximal steps*, only when the guess fails, as it may on singular P: the guess on
:math:`f + \tfrac{\epsilon}{2} \|w - w_j\|^2` with epsilon = 1e-7, which for a quadratic ends at an exact minimiser
after a few j (Rockafellar 1976).

*Finish*, only when that fails too. A primal active-set method, which cannot cycle because it decreases f: the step is
cut at the first weight to reach zero, which leaves S; after an uncut step the most negative multiplier enters S.

Where P is not definite along the simplex, the ridge :math:`\delta = 10^{-13}` makes every system solvable, so singular
P and exact duplicates need no special case: along a flat direction the step is either nil or runs to the boundary. The
step is a *correction* of w, so the ridge does not bias the limit.

*Polishing.* An answer of another solver names a face, the weights that exceed their slack, and a round or two on it
make the answer exact. Where P is definite along the simplex the weights depend on the face alone, so the polished
answers of all solvers that found the right face have the same bits.

Cost: one Cholesky factorisation of the support per round.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .active_set_batched import MAX_ROUNDS, block_size, solve_block
from .base import Candidate, Requirement, Seed
from .limits import Budget
from .problem import Matrix, SimplexQP, Vector
from .projected_gradient import ProjectedGradient
from .projections import uniform

_RIDGE = 1e-13  # relative to the scale, which is about 1
_ROUNDING = 1e-14  # multipliers and residuals below this are rounding
_EXACT = 1e-15  # a gap below this cannot be improved
_LARGE = 200
_FIRST_SUPPORT_GAP, _FIRST_SUPPORT_STEPS = 1e-4, 60
_PROXIMITY = 1e-7
_PROXIMAL_STEPS = 6
_GUESS_ROUNDS = 25
_STALE_ROUNDS = 4
_REFINEMENTS = 4
_POLISHING_ROUNDS = 6

Index = NDArray[np.intp]


@dataclass(frozen=True)
class ActiveSet:
    """Exact solver; `start` gives the first support. Default `max_iter` is ``100 + 10 k`` rounds."""

    name: ClassVar[str] = "active_set"
    requires: ClassVar[Requirement] = "quadratic"
    smallest_batch: ClassVar[int] = 16

    def solve(
        self,
        objective: SimplexQP,
        *,
        tol: float,
        max_iter: int | None,
        start: Vector | None,
        rng: Seed,
        time_limit: float = math.inf,
    ) -> Candidate:
        """See `SimplexSolver.solve`."""
        P, q = objective.P, objective.q
        if len(q) == 2:
            return Candidate(segment(P, q), 1)
        budget = Budget(100 + 10 * len(q) if max_iter is None else max_iter, time_limit)
        if start is None and len(q) >= _LARGE:
            start = (
                ProjectedGradient()
                .solve(
                    objective,
                    tol=_FIRST_SUPPORT_GAP,
                    max_iter=_FIRST_SUPPORT_STEPS,
                    start=None,
                    rng=rng,
                    time_limit=0.5 * time_limit,
                )
                .weights
            )
        w, settled = uniform(len(q)) if start is None else start, False
        if objective.definite:
            w, settled = _guess(P, q, start, budget)
        for _ in range(_PROXIMAL_STEPS):
            if settled:
                break
            w, found = _guess(P, q - _PROXIMITY * w, w, budget, _PROXIMITY)
            if not found:
                break
            g = P @ w + q
            gap = float(w @ (g - g.min()))
            settled = gap <= _EXACT
            if gap <= _ROUNDING:  # one Newton step on the face is left to make
                break
        if not settled:
            w, settled = _finish(P, q, w, budget)
        return Candidate(w, budget.n, exhausted=not settled, late=budget.late)

    def block_size(self, k: int) -> int:
        """See `BatchSolver.block_size`."""
        return block_size(k)

    def solve_block(
        self, P: NDArray[np.float64], q: NDArray[np.float64], *, tol: float, max_iter: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """See `BatchSolver.solve_block`."""
        return solve_block(P, q, MAX_ROUNDS if max_iter is None else min(max_iter, MAX_ROUNDS))


def polish(objective: SimplexQP, w: Vector, slack: Vector, time_limit: float = math.inf) -> Candidate:
    """Exact weights on the face that `w` (k,) and its `slack` (k,) name; `exhausted` where no such weights were found.

    `objective` is normalised. A weight below its slack is taken for zero.
    """
    P, q = objective.P, objective.q
    start = w * (w > slack)
    total = float(start.sum())
    if not total > 0.0:
        return Candidate(w, 0, exhausted=True)
    start /= total
    if objective.definite:
        polished, settled = _guess(P, q, start, Budget(_POLISHING_ROUNDS, time_limit))
        return Candidate(polished, 1, exhausted=not settled)
    support = start.nonzero()[0]
    polished = start.copy()
    # Where nothing was dropped the slack is the gradient but for a constant.
    polished[support] += _newton_step(P, support, slack if total >= 1.0 - 1e-15 else P.dot(start) + q)
    settled = bool(polished[polished.argmin()] >= 0.0)
    if not settled:  # not the right face
        polished, settled = _finish(P, q, start, Budget(_POLISHING_ROUNDS, time_limit))
    return Candidate(polished, 1, exhausted=not settled)


def segment(P: Matrix, q: Vector) -> Vector:
    """Closed form for k = 2: the stationary point of a parabola, cut to [0, 1]; the midpoint when it is flat."""
    (a, b), (_, c) = P.tolist()
    d, e = q.tolist()
    curvature = a - 2.0 * b + c
    downhill = c - b + e - d  # minus the slope at weight 0
    if curvature <= _ROUNDING:
        first = 0.5 if abs(downhill) <= _ROUNDING else float(downhill > 0.0)
    else:
        first = min(max(downhill / curvature, 0.0), 1.0)
    return np.array([first, 1.0 - first])


def _guess(P: Matrix, q: Vector, start: Vector | None, budget: Budget, ridge: float = 0.0) -> tuple[Vector, bool]:
    """Block principal pivoting: weights, and whether they are optimal."""
    dposv, _ = _lapack()
    k = len(q)
    bordered = P + 1.0
    if ridge:
        bordered.reshape(-1)[:: k + 1] += ridge
    w = uniform(k) if start is None else start
    inside = w > 0.0
    best, stale = k + 1, 0
    for _ in islice(budget, _GUESS_ROUNDS):
        support = inside.nonzero()[0]
        n = len(support)
        rhs = np.empty((2, n))
        rhs[0] = q[support] if n < k else q
        rhs[1] = 1.0
        block = bordered[support[:, None], support] if n < k else bordered.copy()
        factor, solution, failed = dposv(block.T, rhs.T, lower=1, overwrite_a=1, overwrite_b=1)
        if failed:
            break
        newton, ones = solution.T
        found = ones * ((1.0 + newton.sum()) / ones.sum()) - newton
        w = found
        if n < k:
            w = np.zeros(k)
            w[support] = found
        g = P.dot(w)
        g += q
        if ridge:
            g += ridge * w
        signs = g - (float(g.dot(w)) - _ROUNDING)  # of the multipliers; on the face, of the weights
        np.copyto(signs, w, where=inside)
        if signs[signs.argmin()] >= 0.0:
            return w, _refine(P, q, w, g, support, factor, ridge)
        wrong = signs < 0.0
        violations = int(np.count_nonzero(wrong))
        stale = 0 if violations < best else stale + 1
        best = min(best, violations)
        inside = inside ^ wrong
        if stale > _STALE_ROUNDS or not inside.any():
            break
    w = np.maximum(w, 0.0)
    return w / w.sum(), False


def _finish(P: Matrix, q: Vector, w: Vector, budget: Budget) -> tuple[Vector, bool]:
    """Primal active set from the feasible `w`: weights, and whether they are optimal."""
    w = w.copy()
    inside = w > 0.0
    refined = False
    for _ in budget:
        support = inside.nonzero()[0]
        g = P @ w + q
        step = _newton_step(P, support, g)
        current = w[support]
        falling = step < 0.0
        room = np.divide(current, -step, out=np.full(len(step), np.inf), where=falling)
        first = int(room.argmin())
        if room[first] < 1.0:
            w[support] = np.maximum(current + room[first] * step, 0.0)
            w[support[first]] = 0.0
            inside[support[first]] = False
            refined = False
            continue
        w[support] = current + step
        w /= w.sum()  # the sum of the step is rounding times the condition number
        g = P @ w + q
        slack = g - g @ w
        # Nearly flat directions converge over a few proximal steps.
        if np.abs(slack[support]).max() > 10 * _ROUNDING and not refined:
            refined = bool(np.abs(step).max() < 1e-6)
            continue
        slack[support] = 0.0
        entering = int(slack.argmin())
        if slack[entering] >= -2 * _ROUNDING:
            return w, True
        inside[entering] = True
        refined = False
    return w, False


def _newton_step(P: Matrix, support: Index, g: Vector) -> Vector:
    """Newton step (s,) on the face `support` (s,)."""
    dposv, _ = _lapack()
    n = len(support)
    inside = g[support]
    block = P if n == len(P) else P[support[:, None], support]
    ridge = _RIDGE
    while True:
        system = block + 1.0
        system.reshape(-1)[:: n + 1] += ridge
        rhs = np.empty((2, n))
        # Centred: the common part of g gives no step, but its rounding would drift along flat directions.
        rhs[0] = inside - float(inside.sum()) / n
        rhs[1] = 1.0
        _, solution, failed = dposv(system.T, rhs.T, lower=1, overwrite_a=1, overwrite_b=1)
        if not failed:
            break
        ridge *= 100.0
    newton, ones = solution.T
    step: Vector = ones * (newton.sum() / ones.sum()) - newton
    return step


def _refine(P: Matrix, q: Vector, w: Vector, g: Vector, support: Index, factor: Matrix, ridge: float) -> bool:
    """Iterative refinement of `w` in place on its face; whether the duality gap came down to rounding.

    `g` is the gradient at `w`.
    """
    _, dpotrs = _lapack()
    previous = math.inf
    for _ in range(_REFINEMENTS):
        gap = float(w.dot(g - g[g.argmin()]))
        if gap <= _EXACT or (gap <= _ROUNDING and gap >= 0.5 * previous):
            return bool(w[w.argmin()] >= 0.0)
        previous = gap
        rhs = np.empty((2, len(support)))
        rhs[0] = g[support] - float(g.dot(w))
        rhs[1] = 1.0
        solution, _ = dpotrs(factor, rhs.T, lower=1, overwrite_b=1)
        newton, ones = solution.T
        w[support] += ones * (newton.sum() / ones.sum()) - newton
        w /= w.sum()
        g = P.dot(w)
        g += q
        if ridge:
            g += ridge * w
    return previous <= _ROUNDING and bool(w[w.argmin()] >= 0.0)


@functools.cache
def _lapack() -> tuple[Any, Any]:
    """LAPACK's solvers for a positive definite system and for its factor; imported on first use."""
    from scipy.linalg.lapack import dposv, dpotrs

    return dposv, dpotrs
