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

Normal draws are divided by a chi variable of as many degrees of freedom as S has: Student's t for few samples. The
quantile of R is corrected by that of the linear statistic on the null's face, whose law is known (a control variate):
away from boundaries the interval is Student's ``w_i +- t sqrt((H^+ S H^+)_ii / n)`` whatever the draws.

Cost: about ``5 k`` times the number of draws problems of dimension k.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import scipy
from numpy.typing import NDArray

from solvers import solve_many

from .._internal.aliases import Float64Array
from ..statistics.gram import Contributions

_FLAT = 1e-10  # curvature over the mean below which a direction is made definite: only minimisers move along it
_ROUNDING = 1e-13  # of the scale of J
_ZERO = 1e-9
_CHANGED = 0.05  # share of draws with other zero weights from which these count as unknown
_FIXED_POINT_STEPS, _NEWTON_STEPS = 3, 20
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
    index, side = np.repeat(np.arange(k), 2), np.tile([0.0, 1.0], k)
    critical = np.repeat(_critical(problem, kept, draws, level, index[::2], fitted), 2)
    furthest = problem.cost(fitted, index, side)[0]
    ends = _ends(problem, fitted, index, side, furthest, critical, 0.5 * (fitted[index] + side))
    moving = np.arange(2 * k)
    for _ in range(_FIXED_POINT_STEPS):
        part, before = moving, ends[moving]
        critical = _critical(problem, kept, draws, level, index[part], before)
        ends[part] = _ends(problem, fitted, index[part], side[part], furthest[part], critical, before)
        width = np.repeat(ends[1::2] - ends[::2], 2)[part]
        moving = part[np.abs(ends[part] - before) > _SETTLED * width]
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
        share = 1.0 - value[:, None]  # of the other weights
        if self.G.shape[0] > 2:
            bend = np.where(share > _ZERO, share, 1.0)
            P = self.definite[rest[:, :, None], rest[:, None, :]] * (2.0 * bend[:, :, None])
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

    def cost(
        self, least: Float64Array, index: NDArray[np.intp], value: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """R and its derivative, (N,) each, of the weights `index` (N,) at `value` (N,)."""
        b = np.broadcast_to(self.b, (len(index), len(self.b)))
        w = self.restrict(b, index, value)
        return np.maximum(self.excess(b, w, np.broadcast_to(least, b.shape)), 0.0), self.slope(w, index)

    def slope(self, w: Float64Array, index: NDArray[np.intp]) -> Float64Array:
        """Derivative (N,) of the restricted minimum in the held value, at restricted minimisers (N, k)."""
        gradient = 2.0 * (w @ self.G - self.b)
        row = np.arange(len(w))
        return np.asarray(gradient[row, index] - gradient[row[:, None], self.others[index]].min(axis=1))

    def influence(self, w: Float64Array, i: int) -> Float64Array:
        """Derivative (k,) of minimiser i in the linear term, with the zeros of `w` (k,) kept but for i."""
        face = np.flatnonzero((w > _ZERO) | (np.arange(len(w)) == i))
        system = np.ones((len(face) + 1, len(face) + 1))
        system[:-1, :-1] = 2.0 * self.definite[np.ix_(face, face)] / self.scale
        system[-1, -1] = 0.0
        out = np.zeros(len(w))
        out[face] = np.linalg.solve(system, np.append(face == i, 0.0))[:-1]
        return out


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
        roots = [_root(kept.gradient_covariance(w) / (4.0 * kept.n)) for w in null[part]]
        noise = np.stack([draws @ root for root in roots])
        drawn = (b[part, None] + noise).reshape(-1, k)
        held = np.repeat(index[part], n_draws)
        least = problem.minimise(drawn)
        lost = problem.excess(drawn, problem.restrict(drawn, held, np.repeat(value[part], n_draws)), least)
        changed = (least.reshape(-1, n_draws, k) > _ZERO) != (null[part, None] > _ZERO)
        changed[np.arange(len(changed)), :, index[part]] = False  # its own zero is part of the test
        unknown = changed.any(axis=2).mean(axis=1) > _CHANGED
        levels = np.where(unknown, 0.5 * (1.0 + level), level)
        influence = np.stack(
            [root @ problem.influence(w, i) for root, w, i in zip(roots, null[part], index[part], strict=True)]
        )
        length = np.linalg.norm(influence, axis=1, keepdims=True)
        known = np.abs(np.divide(influence, length, out=np.zeros_like(influence), where=length > 0.0) @ draws.T)
        exact = scipy.special.stdtrit(kept.counts.size - 1, 0.5 + 0.5 * levels)
        drawn_known = _quantiles(known, levels)
        ratio = np.divide(exact, drawn_known, out=np.ones_like(exact), where=drawn_known > 0.0)
        critical[part] = _quantiles(lost.reshape(-1, n_draws), levels) * ratio**2
    return np.maximum(critical, _ROUNDING * problem.scale)


def _quantiles(rows: Float64Array, levels: Float64Array) -> Float64Array:
    """Order statistics of each row (N, n) at its level (N,)."""
    rank = np.minimum(np.ceil((rows.shape[1] + 1) * levels).astype(np.intp), rows.shape[1])
    return np.asarray(np.sort(rows, axis=1)[np.arange(len(rows)), rank - 1])


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
    problem: _Quadratic,
    fitted: Float64Array,
    index: NDArray[np.intp],
    side: Float64Array,
    furthest: Float64Array,
    critical: Float64Array,
    start: Float64Array,
) -> Float64Array:
    """Outermost values (N,) towards `side`, where R is `furthest`, with R at most `critical`: Newton for its root."""
    inner, outer, value = fitted[index], side.copy(), start.copy()
    inside, whole = np.ones(len(index), dtype=bool), furthest <= critical
    for _ in range(_NEWTON_STEPS):
        cost, slope = problem.cost(fitted, index, value)
        inside = cost <= critical
        inner, outer = np.where(inside, value, inner), np.where(inside, outer, value)
        open_end = ~whole & (np.abs(cost - critical) > _CLOSE * critical) & (np.abs(inner - outer) > _ZERO)
        if not open_end.any():
            break
        root = np.sqrt(cost)
        with np.errstate(divide="ignore", invalid="ignore"):
            proposal = value - (root - np.sqrt(critical)) * 2.0 * root / slope
        low, high = np.minimum(inner, outer), np.maximum(inner, outer)
        between = (proposal > low) & (proposal < high) & (cost > 0.1 * critical)  # R may be flat around the fit
        value = np.where(open_end, np.where(between, proposal, 0.5 * (inner + outer)), value)
    return np.where(whole, side, value)
