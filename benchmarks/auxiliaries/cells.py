"""Cells of :mod:`benchmarks.auxiliaries`: pure functions of frozen specs.

Auxiliaries of one covariance make J exactly ``|M w - m|^2`` times a constant of the window (M the means, m that of the
target): the fit projects the sample mean on the convex hull of the means, and its excess over the best is exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import final

import numpy as np
from numpy.typing import NDArray

from sfbench import OrnsteinUhlenbeck, ScoreGram, population_gram, time_grid
from sfbench.bounds import aggregation_rate
from sfbench.statistics.passes import simulated_grams
from sfbench.statistics.settings import GramSettings
from solvers import SimplexQP, solve, solve_path
from synthetic import GaussianMixture, SyntheticProblem

from ..common.study import Row, cell_rng, study_cells

Array = NDArray[np.float64]
DRAWN = ", drawn"
PROCESS = OrnsteinUhlenbeck()
SETTINGS = GramSettings(PROCESS, time_grid(1e-3, 5.0, 16), "antithetic")
RANDOM_DIM, COVARIANCES_DIM, CLUSTERS = 64, 8, 4
FEW = (0.4, 0.3, 0.2, 0.1)
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_MOMENTS = 4096  # independent samples for the gradient's covariance where it has no closed form


@final
@dataclass(frozen=True)
class AuxiliariesSpec:
    """One set of auxiliaries, a target and the samples of a seed; ``support`` of 0 means all of them.

    Geometries are the same for all seeds; with ``", drawn"`` after their name, each seed has its own.
    """

    geometry: str
    k: int
    support: int
    sizes: tuple[int, ...]
    seed: int

    def problem(self) -> SyntheticProblem:
        """The auxiliaries and their target."""
        name = self.geometry.removesuffix(DRAWN)
        own = 1 if name == self.geometry else 1000 + self.seed
        return problem_of(name, self.k, weights_of(self.k, self.support), own)


def weights_of(k: int, support: int) -> Array:
    """True weights: one vertex, (0.4, 0.3, 0.2, 0.1) of the first four, or equal ones."""
    own = {0: np.full(k, 1.0 / k), 1: np.ones(1)}.get(support, np.array(FEW[: min(support, k)]))
    out = np.zeros(k)
    out[: len(own)] = own / own.sum()
    return out


def problem_of(geometry: str, k: int, weights: Array, seed: int) -> SyntheticProblem:
    """Auxiliaries of the geometry (the first k of one sequence), and their barycenter as target."""
    rng = np.random.default_rng(seed)
    if geometry == "covariances":  # everything else has unit covariances
        means, variances = rng.normal(size=(k, COVARIANCES_DIM)), np.exp(rng.normal(0.0, 0.4, (k, COVARIANCES_DIM)))
        laws = tuple(GaussianMixture([1.0], m[None], v[None]) for m, v in zip(means, variances, strict=True))
    else:
        laws = tuple(GaussianMixture([1.0], m[None], 1.0) for m in _means(geometry, k, rng))
    problem = SyntheticProblem(geometry, laws[0], laws, weights)
    return SyntheticProblem(geometry, problem.barycenter(weights), laws, weights)


def _means(geometry: str, k: int, rng: np.random.Generator) -> Array:
    if geometry == "random":  # of length about 1
        return np.asarray(rng.normal(size=(k, RANDOM_DIM)) / np.sqrt(RANDOM_DIM))
    if geometry == "nested":  # each further one differs less
        return np.diag(1.0 / np.sqrt(np.arange(1.0, k + 1)))
    if geometry == "near-duplicate":  # four groups; members 0.05 apart
        centres = np.eye(CLUSTERS, RANDOM_DIM)[np.arange(k) % CLUSTERS]
        return np.asarray(centres + 0.05 / np.sqrt(RANDOM_DIM) * rng.normal(size=(k, RANDOM_DIM)))
    return 6.0 * np.eye(k)  # disjoint: TV between two of them is 0.99998


@study_cells(
    version=2,
    factors=("geometry", "k", "support", "method", "n"),
    volatile=("solve_s",),
    bounds={"aggregation": "excess"},
    name="auxiliaries/fits",
)
def run_cell(spec: AuxiliariesSpec) -> list[Row]:
    """Excess objective of every method at every n, its bound, and how well it names the auxiliaries in use."""
    problem = spec.problem()
    population = population_gram(problem, process=PROCESS, grid=SETTINGS.grid)
    optimum = _optimum(problem, population)
    covariance = gradient_covariance(problem, population, optimum)
    sizes = sorted({size for n in spec.sizes for size in (n // 2, n)})
    grams = dict(
        zip(
            sizes,
            simulated_grams(problem.auxiliaries, problem.target, SETTINGS, sizes, rng=cell_rng(spec)),
            strict=True,
        )
    )
    shared = {"geometry": spec.geometry, "k": spec.k, "support": spec.support, "seed": spec.seed}
    used = optimum > 1e-9
    rows = []
    for n in spec.sizes:
        bound = aggregation_rate(population, covariance, n, optimum)
        full, half = grams[n], grams[n // 2]
        other = ScoreGram(2.0 * full.G - half.G, 2.0 * full.b - half.b, None, n - n // 2, full.objective)
        for method, (weights, choice, seconds) in fits(full, (half, other)):
            named, largest = weights > 1e-9, np.argsort(-weights, kind="stable")[: int(used.sum())]
            rows.append(
                shared
                | {
                    "n": n,
                    "method": method,
                    "excess": max(population.excess(weights, optimum), 0.0),
                    "aggregation": bound.value,
                    "form": bound.label.split(", ")[1],
                    "chosen": choice,
                    "named": int(named.sum()),
                    "found": float((named & used).sum() / used.sum()),
                    "false": int((named & ~used).sum()),
                    "top": float(used[largest].mean()),
                    "solve_s": seconds,
                }
            )
    return rows


def _optimum(problem: SyntheticProblem, population: ScoreGram) -> Array:
    """The best weights: the true ones where one covariance makes them so, else the minimiser on the window."""
    if problem.name != "covariances":
        assert problem.true_weights is not None
        return problem.true_weights
    return np.asarray(solve(population.to_qp(), "active_set", tol=1e-12).weights)


def gradient_covariance(problem: SyntheticProblem, population: ScoreGram, optimum: Array) -> Array:
    """Covariance of the per-sample gradient at the optimum.

    With unit covariances, b is ``C <mu_i - mu_0, x>`` with ``C = int g^2/2 alpha^2 dt``, so that it is ``4 C G``.
    """
    if problem.name != "covariances":
        C = sum(
            float(omega * alpha**2) for omega, (alpha, _) in zip(SETTINGS.omega, SETTINGS.coefficients, strict=True)
        )
        return np.asarray(4.0 * C * population.G)
    moments = simulated_grams(problem.auxiliaries, problem.target, SETTINGS, [_MOMENTS], keep=_MOMENTS, rng=7)[0]
    assert moments.contributions is not None
    return moments.contributions.gradient_covariance(optimum)


# ---------------------------------------------------------------------- methods
Fit = tuple[Array, float, float]


def fits(gram: ScoreGram, halves: tuple[ScoreGram, ScoreGram]) -> Iterator[tuple[str, Fit]]:
    """By method: its weights, what it chose (a number of auxiliaries, a strength), and the seconds of its solves."""
    k, problem = gram.k, gram.to_qp()
    yield "equal weights", (np.full(k, 1.0 / k), float(k), 0.0)
    started = perf_counter()
    best = int(np.argmin(np.diag(gram.G) - 2.0 * gram.b))
    yield "best single", (np.eye(k)[best], 1.0, perf_counter() - started)
    started = perf_counter()
    exact = np.asarray(solve(problem, "active_set").weights)
    yield "exact", (exact, float(k), perf_counter() - started)
    for j in (2, 4):
        if j < k:
            started = perf_counter()
            yield f"best {j}", (truncated(problem, exact, j), float(j), perf_counter() - started)
    steps = [2**i for i in range(int(np.log2(k)) + 1)]
    yield "cross-validated k", _validated(gram, halves, lambda qp: truncations(qp, steps), steps)
    yield "entropy", _validated(gram, halves, lambda qp: _path(qp, "entropy"), STRENGTHS)
    yield "ridge", _validated(gram, halves, lambda qp: _path(qp, "ridge"), STRENGTHS)


def truncated(problem: SimplexQP, exact: Array, j: int) -> Array:
    """The j largest weights, fitted again on their own."""
    kept = np.sort(np.argsort(-exact, kind="stable")[:j])
    own = SimplexQP(problem.P[np.ix_(kept, kept)], problem.q[kept], problem.r)
    out = np.zeros(len(exact))
    out[kept] = solve(own, "active_set").weights
    return out


def truncations(problem: SimplexQP, steps: list[int]) -> list[Array]:
    """Fits to the j auxiliaries of largest weight, for every j."""
    exact = np.asarray(solve(problem, "active_set").weights)
    return [truncated(problem, exact, j) for j in steps]


def _path(problem: SimplexQP, regulariser: str) -> list[Array]:
    backend = "newton" if regulariser == "entropy" else "active_set"
    found = solve_path(problem, STRENGTHS, regulariser=regulariser, solver=backend, tol=1e-7)  # type: ignore[arg-type]
    return [np.asarray(result.weights) for result in found]


def _validated(
    gram: ScoreGram,
    halves: tuple[ScoreGram, ScoreGram],
    fit: Callable[[SimplexQP], list[Array]],
    choices: list[int] | tuple[float, ...],
) -> Fit:
    """The choice of least held-out objective over two halves, then fitted to all samples."""
    started = perf_counter()
    losses = np.zeros(len(choices))
    for own, other in (halves, halves[::-1]):
        losses += [other.value(weights) for weights in fit(own.to_qp())]
    chosen = int(np.argmin(losses))
    return fit(gram.to_qp())[chosen], float(choices[chosen]), perf_counter() - started
