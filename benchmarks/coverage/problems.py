r"""Problems with known population weights, and what each draws: Gram statistics of n samples with their terms.

- :class:`Location`: unit Gaussians at chosen places under an Ornstein-Uhlenbeck process. Differences of their scores do
  not depend on x, so up to one factor ``G = M M'`` and ``b = M x``, M the means: the statistics that `fuse` computes,
  at the price of a matrix product. Population weights and KKT multipliers are set by the place of the target's mean.
- :class:`Gaussians`: auxiliaries of different covariances, whose scores are affine, so that population statistics
  depend on the target's first two moments alone and are exact for any target, Student's t included.
- :class:`Mixtures`: mixtures on the line, population statistics by quadrature.

Targets of the last two are in no family of the auxiliaries: the weights are pseudo-true.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

import numpy as np

from sfbench import GramSettings, OrnsteinUhlenbeck, ScoreGram, population_gram, score_gram, time_grid
from sfbench._internal.aliases import Float64Array
from sfbench.statistics.gram import Contributions
from solvers import SimplexSolver, solve
from solvers.cvxpy_conic import Cvxpy
from synthetic import GaussianMixture, SyntheticProblem, make_problem

PROCESS, WINDOW, NODES = OrnsteinUhlenbeck(), (1e-3, 5.0), 16
ROWS = 4096  # kept, as `fuse` does
_ZERO = 1e-9


class CoverageProblem(Protocol):
    """Population weights and draws of statistics; ``solver`` is that of the fit."""

    def truth(self, n: int) -> Float64Array:
        """Least and largest population weight (k, 2) over the minimisers."""
        ...

    def draw(self, n: int, rng: np.random.Generator) -> ScoreGram:
        """Statistics of n fresh samples."""
        ...

    @property
    def solver(self) -> SimplexSolver | None:
        """None for "auto"."""
        ...


def settings() -> GramSettings:
    """Window and estimator of every problem."""
    return GramSettings(PROCESS, time_grid(*WINDOW, NODES), "antithetic")


def noise(n: int, d: int, degrees: float | None, rng: np.random.Generator) -> Float64Array:
    """Standardised draws (n, d): normal, or a spherical Student t scaled to unit variance."""
    z = rng.standard_normal((n, d))
    if degrees is None:
        return z
    return np.asarray(z * np.sqrt((degrees - 2.0) / rng.chisquare(degrees, (n, 1))))


@final
@dataclass(frozen=True)
class Location:
    """Unit Gaussians; the multipliers of the zero weights are given in standard errors.

    Parameters
    ----------
    weights : tuple of float
        Population weights, zeros included.
    multipliers : tuple of float
        One for each zero weight, in standard errors at sample size ``at_n``, or at every n if None.
    decay : float
        Column j of the means is divided by ``j**decay``: auxiliaries become collinear.
    degrees : float or None
        Student's t for the target's noise.
    twins : int
        How many of the first auxiliaries are repeated, at distance ``apart`` in a direction of their own; if that is
        positive, both of a pair have half of the weight.
    cap : float or None
        Constraint ``w <= cap`` of the solver.
    seed : int
        Geometry.
    """

    weights: tuple[float, ...]
    multipliers: tuple[float, ...] = ()
    at_n: int | None = None
    decay: float = 0.0
    degrees: float | None = None
    twins: int = 0
    apart: float = 0.0
    cap: float | None = None
    seed: int = 0

    @functools.cached_property
    def _geometry(self) -> tuple[Float64Array, Float64Array]:
        """Means relative to model 0, (k, d), and the target's standard deviations (d,)."""
        rng = np.random.default_rng([self.seed, 17])
        own = len(self.weights)
        means = rng.standard_normal((own, own - 1)) / np.arange(1, own) ** self.decay
        spread = np.exp(0.5 * rng.standard_normal(own - 1 + self.twins))
        repeated = np.hstack([means[: self.twins], self.apart * np.eye(self.twins)])
        means = np.vstack([np.hstack([means, np.zeros((own, self.twins))]), repeated])
        return means - means[0], spread

    def _mean(self, n: int) -> Float64Array:
        """The target's mean, from ``2 (G w - b) = lambda + mu``."""
        means, spread = self._geometry
        w, d = np.array(self.weights), len(self.weights) - 1
        own = means[: d + 1, :d]
        contrast = np.eye(d + 1) - w
        error = np.linalg.norm(contrast @ (2.0 * own * spread[:d]), axis=1) / np.sqrt(self.at_n or n)
        multiplier = np.zeros(d + 1)
        multiplier[w == 0.0] = self.multipliers
        multiplier *= error
        right = own @ own.T @ w - 0.5 * (multiplier - multiplier[0])
        return np.append(np.linalg.solve(own[1:], right[1:]), 0.5 * self.apart * w[: self.twins])

    @property
    def solver(self) -> SimplexSolver | None:
        """None, or cvxpy with the cap."""
        return None if self.cap is None else _capped(self.cap)

    def truth(self, n: int) -> Float64Array:
        """See :class:`CoverageProblem`."""
        w = np.array(self.weights)
        if self.cap is not None:
            means, _ = self._geometry
            gram = ScoreGram(means @ means.T, means @ self._mean(n), None, 0)
            w = np.asarray(solve(gram.to_qp(), _capped(self.cap), tol=1e-7).weights)
        shared = np.append(w, w[: self.twins])
        paired = np.r_[: self.twins, len(w) : len(shared)]
        low, high = shared.copy(), shared.copy()
        if self.apart:
            low[paired] *= 0.5
            high[paired] *= 0.5
        else:
            low[paired] = 0.0
        return np.column_stack([low, high])

    def draw(self, n: int, rng: np.random.Generator) -> ScoreGram:
        """See :class:`CoverageProblem`."""
        means, spread = self._geometry
        k = len(means)
        x = self._mean(n) + spread * noise(n, len(spread), self.degrees, rng)
        edges = np.linspace(0, n, min(n, ROWS) + 1).round().astype(np.intp)
        counts = np.diff(edges).astype(np.float64)
        rows = np.add.reduceat(x, edges[:-1], axis=0) / counts[:, None] @ means.T
        G = means @ means.T
        kept = Contributions(np.broadcast_to(G, (len(rows), k, k)), rows, counts)
        return ScoreGram(G, counts @ rows / n, None, n, "location", kept)


@final
@dataclass(frozen=True)
class Gaussians:
    """k Gaussians of random means and covariances in d dimensions; a target of another covariance, or a Student t."""

    k: int
    d: int
    degrees: float | None = None
    zeros: int | None = None  # exactly so many population weights at zero, by choice of the geometry
    seed: int = 0

    solver: ClassVar[SimplexSolver | None] = None

    @functools.cached_property
    def _laws(self) -> tuple[tuple[GaussianMixture, ...], Float64Array, Float64Array, Float64Array]:
        for attempt in range(1000):
            rng = np.random.default_rng([self.seed, self.k, self.d, attempt])

            def covariance(rng: np.random.Generator = rng) -> Float64Array:
                root = rng.standard_normal((self.d, self.d)) / np.sqrt(self.d)
                return np.asarray(root @ root.T + 0.3 * np.eye(self.d))

            laws = tuple(
                GaussianMixture([1.0], [rng.standard_normal(self.d)], covariance()[None]) for _ in range(self.k)
            )
            mean, spread = 0.5 * rng.standard_normal(self.d), covariance()
            problem = SyntheticProblem("gaussians", GaussianMixture([1.0], [mean], spread[None]), laws)
            gram = population_gram(problem, process=PROCESS, grid=settings().grid)
            w = np.asarray(solve(gram.to_qp(), "active_set").weights)
            if self.zeros is None or int((w < _ZERO).sum()) == self.zeros:
                return laws, mean, np.asarray(np.linalg.cholesky(spread)), w
        raise RuntimeError(f"no geometry of {self} has {self.zeros} zero weights")

    def truth(self, n: int) -> Float64Array:
        """See :class:`CoverageProblem`."""
        return np.column_stack([self._laws[3]] * 2)

    def draw(self, n: int, rng: np.random.Generator) -> ScoreGram:
        """See :class:`CoverageProblem`."""
        laws, mean, root, _ = self._laws
        x = mean + noise(n, self.d, self.degrees, rng) @ root.T
        return score_gram(laws, x, settings(), keep=ROWS, rng=rng)


@final
@dataclass(frozen=True)
class Mixtures:
    """k two-component mixtures on the line and a third kind of mixture as target; or the reference problem, k = 0."""

    k: int = 0
    seed: int = 0

    solver: ClassVar[SimplexSolver | None] = None

    @functools.cached_property
    def _problem(self) -> tuple[SyntheticProblem, Float64Array]:
        if not self.k:
            problem = make_problem("paper_mixture_1d", scale=6.0, target="mixture")
        else:
            rng = np.random.default_rng([self.seed, self.k, 3])

            def mixture(m: int) -> GaussianMixture:
                return GaussianMixture(
                    rng.dirichlet(np.full(m, 4.0)), 1.5 * rng.standard_normal((m, 1)), rng.uniform(0.2, 0.8, m) ** 2
                )

            auxiliaries = tuple(mixture(2) for _ in range(self.k))
            problem = SyntheticProblem("mixtures", mixture(3), auxiliaries)
        gram = population_gram(problem, process=PROCESS, grid=settings().grid)
        return problem, np.asarray(solve(gram.to_qp(), "active_set").weights)

    def truth(self, n: int) -> Float64Array:
        """See :class:`CoverageProblem`."""
        return np.column_stack([self._problem[1]] * 2)

    def draw(self, n: int, rng: np.random.Generator) -> ScoreGram:
        """See :class:`CoverageProblem`."""
        problem, _ = self._problem
        laws: Any = problem.auxiliaries
        return score_gram(laws, problem.target.sample(n, rng=rng), settings(), keep=ROWS, rng=rng)


@functools.lru_cache(maxsize=8)
def _capped(cap: float) -> Cvxpy:
    return Cvxpy(constraints=lambda w: [w <= cap])
