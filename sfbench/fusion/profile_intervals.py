r"""Confidence intervals of simplex weights by profiling the objective, with critical values that are simulated.

Let ``w_hat`` minimise ``J_n(w) = w'G w - 2 b'w`` over the simplex. The interval of weight i holds the values a that a
test does not refuse, and the statistic of the test is what the value costs,

    R_i(a) = min {J_n(w) : w on the simplex, w_i = a} - min {J_n(w) : w on the simplex}.

R_i is convex, zero at ``w_hat`` and over the whole range of a weight that is not unique: so the interval always holds
the fit, lies within [0, 1], and is [0, 1] for two identical models that share all weight.

**The law of R.** ``b_n`` is asymptotically normal about its expectation with covariance S/4n, S the covariance of a
sample's gradient ``2 (g w - b)`` (which carries the fluctuation of G as well). Then ``sqrt(n) (w_hat - w*)`` tends to
the projection of a Gaussian step onto the cone of feasible directions, in the metric of H = 2G (Shapiro 1989, Andrews
1999), and R to the difference of two such projections' squared distances: a multiple of chi-square(1) where no
constraint is near, else a law that depends on the other weights and multipliers in units of their standard errors.
These cannot be estimated consistently, so no interval can be exact there. Here the law is drawn at the problem whose
minimiser has ``w_i = a`` and that is otherwise as fitted (b moved along its entry i, S taken at that minimiser), and
if the draws change which other weights are zero, half of the error probability is set aside for not knowing them
(Bonferroni). The ends solve ``R_i(a) = c_i(a)`` by a few fixed-point steps, all weights at once through `solve_many`.

Normal draws are divided by a chi variable of as many degrees of freedom as S has: Student's t for few samples. Without
boundaries the interval is Student's ``w_i +- t sqrt((H^+ S H^+)_ii / n)``.

Cost: about ``5 k`` times the number of draws problems of dimension k.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers import solve_many

from .._typing import Float64Array
from ..statistics.gram import Contributions

_FLAT = 1e-10  # curvature over the mean below which a direction is made definite: only minimisers move along it
_ROUNDING = 1e-13  # of the scale of J
_ZERO = 1e-9
_CHANGED = 0.05  # share of draws with other zero weights from which these count as unknown
_FIXED_POINT_STEPS, _NEWTON_STEPS = 3, 12
_SETTLED = 0.02  # change of an end, relative to the width, below which it stays
_CLOSE = 1e-3  # accepted relative error of R at an end
_CHUNK = 1 << 22  # numbers in a stack of matrices


def profile_intervals(
    G: Float64Array, b: Float64Array, kept: Contributions, level: float, n_draws: int, rng: np.random.Generator
) -> Float64Array:
    """Intervals (k, 2) of the k >= 2 weights that minimise the quadratic (G, b), from its per-sample terms."""
    k, degrees = len(b), len(kept.counts) - 1
    problem = _Quadratic.of(G, b)
    if problem.scale <= 0.0:  # all models coincide
        return np.tile([0.0, 1.0], (k, 1))
    draws = _student_draws(n_draws, k, degrees, rng)
    fitted = problem.minimise(b[None])[0]
    every, side = np.arange(k), np.tile([0.0, 1.0], k)
    index = np.repeat(every, 2)
    critical = np.repeat(_critical(problem, kept, draws, level, every, fitted), 2)
    ends = _ends(problem, fitted, index, side, critical)
    moving = np.arange(2 * k)
    for _ in range(_FIXED_POINT_STEPS):
        before = ends[moving]
        critical = _critical(problem, kept, draws, level, index[moving], before)
        ends[moving] = _ends(problem, fitted, index[moving], side[moving], critical)
        width = np.repeat(ends[1::2] - ends[::2], 2)[moving]
        moving = moving[np.abs(ends[moving] - before) > _SETTLED * width]
        if not len(moving):
            break
    return np.column_stack([np.minimum(ends[::2], fitted), np.maximum(ends[1::2], fitted)])


@final
@dataclass(frozen=True, eq=False)
class _Quadratic:
    """``w'G w - 2 b'w`` with what the restricted problems need; ``others[i]`` are the indices without i."""

    G: Float64Array
    b: Float64Array
    scale: float
    definite: Float64Array
    others: NDArray[np.intp]

    @classmethod
    def of(cls, G: Float64Array, b: Float64Array) -> "_Quadratic":
        k = len(b)
        scale = float(np.trace(G)) / k
        centre = np.eye(k) - 1.0 / k
        eigenvalues, vectors = np.linalg.eigh(centre @ G @ centre)
        lift = np.maximum(_FLAT * scale - eigenvalues, 0.0)
        definite = G + (vectors * lift) @ vectors.T
        others = np.array([np.delete(np.arange(k), i) for i in range(k)])
        return cls(G, b, scale, 0.5 * (definite + definite.T), others)

    def minimise(self, b: Float64Array) -> Float64Array:
        """Minimisers (N, k) for linear terms (N, k)."""
        P = np.broadcast_to(2.0 * self.definite, (*b.shape, b.shape[1]))
        return np.asarray(solve_many((P, -2.0 * b)).weights)

    def restrict(self, b: Float64Array, index: NDArray[np.intp], value: Float64Array) -> Float64Array:
        """Minimisers (N, k) with the weight `index` (N,) held at `value` (N,)."""
        rest, row = self.others[index], np.arange(len(b))[:, None]
        share = np.maximum(1.0 - value, _ROUNDING)[:, None]  # of the other weights
        if self.G.shape[0] > 2:
            P = self.definite[rest[:, :, None], rest[:, None, :]] * (2.0 * share[:, :, None])
            q = 2.0 * (value[:, None] * self.definite[index[:, None], rest] - b[row, rest])
            shares = solve_many((P, q)).weights
        else:
            shares = np.ones((len(b), 1))
        w = np.empty_like(b)
        w[row, rest] = share * shares
        w[row[:, 0], index] = value
        return w

    def excess(self, b: Float64Array, w: Float64Array, least: Float64Array) -> Float64Array:
        """``J(w) - J(least)`` (N,) at linear terms (N, k), without cancellation."""
        step = w - least
        return np.asarray(np.einsum("ni,ni->n", step @ self.G + 2.0 * (least @ self.G - b), step))

    def slope(self, w: Float64Array, index: NDArray[np.intp]) -> Float64Array:
        """Derivative (N,) of the restricted minimum in the held value, at restricted minimisers (N, k)."""
        gradient = 2.0 * (w @ self.G - self.b)
        row = np.arange(len(w))
        return np.asarray(gradient[row, index] - gradient[row[:, None], self.others[index]].min(axis=1))


def _critical(
    problem: _Quadratic,
    kept: Contributions,
    draws: Float64Array,
    level: float,
    index: NDArray[np.intp],
    value: Float64Array,
) -> Float64Array:
    """Critical values (N,) of R for the tests of ``w[index] = value``, both (N,)."""
    n_draws, k = draws.shape
    null = problem.restrict(np.broadcast_to(problem.b, (len(index), k)), index, value)
    b = np.broadcast_to(problem.b, null.shape).copy()
    b[np.arange(len(index)), index] += 0.5 * problem.slope(null, index)  # now null is the minimiser
    critical = np.empty(len(index))
    size = max(1, _CHUNK // (n_draws * k * k))
    for start in range(0, len(index), size):
        part = slice(start, start + size)
        noise = np.stack([draws @ _root(kept.gradient_covariance(w) / (4.0 * kept.n)) for w in null[part]])
        drawn = (b[part, None] + noise).reshape(-1, k)
        held = np.repeat(index[part], n_draws)
        least = problem.minimise(drawn)
        lost = problem.excess(drawn, problem.restrict(drawn, held, np.repeat(value[part], n_draws)), least)
        changed = (least.reshape(-1, n_draws, k) > _ZERO) != (null[part, None] > _ZERO)
        changed[np.arange(len(changed)), :, index[part]] = False  # its own zero is part of the test
        unknown = changed.any(axis=2).mean(axis=1) > _CHANGED
        rank = np.ceil((n_draws + 1) * np.where(unknown, 0.5 * (1.0 + level), level)).astype(np.intp)
        costs = np.sort(lost.reshape(-1, n_draws), axis=1)
        critical[part] = costs[np.arange(len(costs)), np.minimum(rank, n_draws) - 1]
    return np.maximum(critical, _ROUNDING * problem.scale)


def _student_draws(n_draws: int, k: int, degrees: int, rng: np.random.Generator) -> Float64Array:
    """Draws (n_draws, k) of a standard multivariate t, of exact covariance and mixing: quantiles vary less."""
    normal = rng.standard_normal((n_draws, k))
    normal -= normal.mean(axis=0)
    whitened = np.linalg.solve(np.linalg.cholesky(normal.T @ normal / n_draws), normal.T).T
    mixing = scipy.special.chdtri(degrees, (rng.permutation(n_draws) + 0.5) / n_draws)
    return np.asarray(whitened / np.sqrt(mixing / degrees)[:, None])


def _root(covariance: Float64Array) -> Float64Array:
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T)


def _ends(
    problem: _Quadratic, fitted: Float64Array, index: NDArray[np.intp], side: Float64Array, critical: Float64Array
) -> Float64Array:
    """Outermost values (N,) towards `side` (0 or 1) with R at most `critical`: Newton steps on the root of R."""
    b = np.broadcast_to(problem.b, (len(index), len(fitted)))
    least = np.broadcast_to(fitted, b.shape)
    inner, outer, value = fitted[index], side.copy(), side.copy()
    target = np.sqrt(critical)
    for _ in range(_NEWTON_STEPS):
        w = problem.restrict(b, index, value)
        cost = np.maximum(problem.excess(b, w, least), 0.0)
        inside = cost <= critical
        inner, outer = np.where(inside, value, inner), np.where(inside, outer, value)
        open_end = ~inside | (value != side)
        if not (open_end & (np.abs(cost - critical) > _CLOSE * critical) & (np.abs(inner - outer) > _ZERO)).any():
            break
        root = np.sqrt(cost)
        with np.errstate(divide="ignore", invalid="ignore"):
            proposal = value - (root - target) * 2.0 * root / problem.slope(w, index)
        low, high = np.minimum(inner, outer), np.maximum(inner, outer)
        between = (proposal > low) & (proposal < high)
        value = np.where(open_end, np.where(between, proposal, 0.5 * (inner + outer)), side)
    return np.where(inside, value, outer)
