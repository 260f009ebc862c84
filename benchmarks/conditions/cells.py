"""Cells of :mod:`benchmarks.conditions`: a problem with four knobs, its exact truth, and fits to independent data.

Auxiliaries are Gaussians with means of size ``spread`` and log variances of size 0.3, in three coordinates (``fixed``
rank) or in all of them (``growing``). The target is their barycenter at interior weights, moved by ``distance`` in a
direction that no mean has, and with heavy tails made a scale mixture (quantiles of the variance of Student's t).
"""

from dataclasses import dataclass
from typing import cast, final

import numpy as np
import scipy

import sfbench
from sfbench import FusionResult, OrnsteinUhlenbeck, ScoreGram, bounds, population_gram, time_grid
from sfbench.laws import affine_fused_law
from sfbench.metrics import kl_divergence
from sfbench.statistics.gram import Contributions
from sfbench.statistics.passes import simulated_grams
from sfbench.statistics.settings import GramSettings
from solvers import solve
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem

from ..common.fits import quietly
from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
T_MIN, T_MAX, NODES = 1e-3, 5.0, 16
SETTINGS = GramSettings(PROCESS, time_grid(T_MIN, T_MAX, NODES), "antithetic")
K, FEW = 4, 3
DEGREES, SCALES = 2.5, 8
_MOMENTS = 4000
_LEAST = 1e-4  # a weight below this is at the boundary


@final
@dataclass(frozen=True)
class ConditionsSpec:
    """One problem, and the number of independent fits to n samples each."""

    rank: str
    distance: float
    spread: float
    d: int
    tails: str
    n: int
    fits: int
    seed: int


def problem_of(spec: ConditionsSpec) -> SyntheticProblem:
    """The problem; its geometry depends on the seed alone."""
    rng = np.random.default_rng([spec.seed, spec.d])
    own = FEW if spec.rank == "fixed" else spec.d - 1  # the last coordinate is the direction of the distance
    means, variances = np.zeros((K, spec.d)), np.ones((K, spec.d))
    means[:, :own] = spec.spread * rng.normal(size=(K, own))
    variances[:, :own] = np.exp(0.3 * rng.normal(size=(K, own)))
    laws = tuple(GaussianMixture([1.0], m[None], v[None]) for m, v in zip(means, variances, strict=True))
    true = rng.dirichlet(np.full(K, 5.0))
    pool = cast(GaussianMixture, LogLinearPool(laws, true).as_mixture())
    shift = np.zeros(spec.d)
    shift[-1] = spec.distance
    mean, variance = pool.means[0] + shift, pool.spectrum.values[0]
    scales = _scales() if spec.tails == "heavy" else np.ones(1)
    m = len(scales)
    target = GaussianMixture(np.full(m, 1.0 / m), np.tile(mean, (m, 1)), scales[:, None] * variance)
    return SyntheticProblem("conditions", target, laws, true)


def _scales() -> np.ndarray:
    """Factors of the variance of Student's t at the middles of equal shares, of mean 1."""
    shares = (np.arange(SCALES) + 0.5) / SCALES
    scales = DEGREES / scipy.special.chdtri(DEGREES, shares)  # chdtri inverts the upper tail
    return np.asarray(scales / scales.mean())


@study_cells(
    version=2,
    factors=("rank", "distance", "spread", "d", "tails"),
    replicate="draw",
    bounds={"slow": "excess", "aggregation": "excess"},
    name="conditions/problem",
)
def run_cell(spec: ConditionsSpec) -> list[Row]:
    """Excess of every fit with its bounds, the tightness of the certificate, assumptions, and what ``fuse`` said."""
    problem = problem_of(spec)
    population = population_gram(problem, process=PROCESS, grid=SETTINGS.grid)
    optimum = np.asarray(solve(population.to_qp(), "active_set", tol=1e-12).weights)
    moments = _moments(problem)
    shared = {name: getattr(spec, name) for name in ("rank", "distance", "spread", "d", "tails", "n", "seed")}
    shared |= _limits(population, moments, optimum, spec.n)
    rng = cell_rng(spec)
    rows: list[Row] = []
    for draw in range(spec.fits):
        x = problem.target.sample(spec.n, rng=rng)
        fit = quietly(
            sfbench.fuse, problem.auxiliaries, x, process=PROCESS, t_min=T_MIN, t_max=T_MAX, n_nodes=NODES, rng=rng
        )
        row = shared | _said(fit)
        row |= {"draw": draw, "weights": fit.weights.round(6).tolist()}
        row["excess"] = max(population.excess(fit.weights, optimum), 0.0)
        row["gram_error"] = _relative_error(population, fit.gram)
        if draw == 0 and spec.tails == "gaussian":
            row |= _certificate(problem, fit.weights)
        rows.append(row)
    return rows


def _moments(problem: SyntheticProblem) -> Contributions:
    moments = simulated_grams(problem.auxiliaries, problem.target, SETTINGS, [_MOMENTS], keep=_MOMENTS, rng=11)[0]
    assert moments.contributions is not None
    return moments.contributions


def _limits(population: ScoreGram, moments: Contributions, optimum: np.ndarray, n: int) -> Row:
    """Every bound of the excess, whether the optimum is interior, and the second moment of scores that rates hide."""
    covariance = moments.gradient_covariance(optimum)
    interior = bool(optimum.min() > _LEAST)
    return {
        "best": None if population.c is None else max(population.value(optimum), 0.0),
        "interior": interior,
        "slow": bounds.slow_rate(moments, n).value,
        "fast": bounds.fast_rate(population, moments, n, optimum).value if interior else None,
        "aggregation": bounds.aggregation_rate(population, covariance, n, optimum).value,
        "score_moment": float(np.trace(population.G)),
    }


def _relative_error(population: ScoreGram, gram: ScoreGram) -> float:
    """Largest relative error of ``w' G_n w`` over differences of weights; below 1/2 the basic inequality survives."""
    values, vectors = np.linalg.eigh(population.G[1:, 1:])  # the difference basis of model 0
    root = vectors / np.sqrt(np.maximum(values, 1e-300))
    return float(np.abs(np.linalg.eigvalsh(root.T @ (gram.G - population.G)[1:, 1:] @ root)).max())


def _said(fit: FusionResult) -> Row:
    """The diagnostics of a fit: p-values of misfit and of window bias, and whether each kind of warning was given.

    Of exact laws the misfit is found when asked for: ``doubts()`` is the warning that fits of networks give at once.
    """
    kinds = {"window bias": "window", "boundary": "boundary", "is zero": "unclear", "carries": "outlier"}
    said = {f"warned_{name}": any(key in text for text in fit.warnings) for key, name in kinds.items()}
    judged = fit.adequacy
    return said | {
        "warned_misfit": judged is not None and bool(judged.doubts()),
        "window_p": fit.window_bias.p_value if fit.window_bias is not None else 1.0,
        "misfit_p": judged.p_value if judged is not None and np.isfinite(judged.p_value) else None,
    }


def _certificate(problem: SyntheticProblem, weights: np.ndarray) -> Row:
    """``KL(q_delta || P_w)`` and TV at fitted weights, with their certificates; Gaussian targets."""
    alpha, sigma = float(PROCESS.alpha(T_MIN)), float(PROCESS.sigma(T_MIN))
    target = cast(GaussianMixture, problem.target)
    fused = affine_fused_law(problem.auxiliaries, weights, process=PROCESS, t_min=T_MIN, t_max=T_MAX)  # type: ignore[arg-type]
    observed = kl_divergence(target.diffuse(alpha, sigma), fused)
    bound = bounds.certificate(problem, weights, process=PROCESS, t_min=T_MIN, t_max=T_MAX)
    return {"kl": observed.value, "certificate": bound.value, "certified": bounds.check(observed, bound).holds}
