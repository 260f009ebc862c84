"""Cells of the sampling study on dimension: what the variance of the weights depends on."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from sfbench.sampling import CorrectedSampler, FusedSampler
from sfbench.sampling.corrected import FEWEST_FOUNDERS
from sfbench.sampling.moves import LangevinMoves
from sfbench.sampling.particles import Blocks, Particles
from sfbench.sampling.resampling import normalised, systematic
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import EmbeddedMixture, LogLinearPool, as_gaussian_mixture

from ..common.study import Row, study_cells
from .cells import PROCESS, reference_problem, run_quietly
from .checks import is_honest, keeps_coordinates, keeps_independence

_EDGES = np.linspace(-3.0, 3.0, 33)
_WEIGHTS = (0.5, 0.5)
TEMPERING = "tempering from a vertex"


@final
@dataclass(frozen=True)
class EmbeddedSpec:
    """Rank-1 differences in d dimensions."""

    d: int
    n: int
    n_steps: int
    seed: int


@study_cells(version=1, factors=("d",), volatile=("sample_cpu_s",), name="sampling_error/embedded")
def run_embedded_cell(spec: EmbeddedSpec) -> Row:
    """Rank-1 differences in d dimensions: the effective share of the particles does not see d."""
    cores = [p for p in map(as_gaussian_mixture, reference_problem().auxiliaries) if p is not None]
    truth = LogLinearPool(cores, _WEIGHTS).log_partition().value
    frame = np.linalg.qr(np.random.default_rng(spec.d).standard_normal((spec.d, 1)))[0]
    laws = [EmbeddedMixture(core, frame, 1.0, np.zeros(spec.d)) for core in cores]
    fused = FusedScore(laws, _WEIGHTS, process=PROCESS)
    started = time.process_time()
    result = run_quietly(fused, spec.n, CorrectedSampler(threshold=0.0), steps=spec.n_steps, rng=spec.seed)
    seconds = time.process_time() - started
    found = result.diagnostics.log_partition
    assert found is not None
    row: Row = {"d": spec.d, "n": spec.n, "ess": result.ess / spec.n, "log_z_gap": found.value - truth}
    return row | {"log_z_error": found.stderr, "sample_cpu_s": seconds}


@final
@dataclass(frozen=True)
class ProductSpec:
    """One method on r independent copies of the 1-D pair."""

    r: int
    method: str
    n: int
    n_steps: int
    seed: int


SAMPLERS: dict[str, Callable[[ProductScore], CorrectedSampler | FusedSampler]] = {
    "uncorrected (law P_w)": lambda factor: FusedSampler(),
    "plain": lambda factor: CorrectedSampler(),
    "more levels (4x)": lambda factor: CorrectedSampler(),
    "more particles (4x)": lambda factor: CorrectedSampler(),
    "3 Langevin moves": lambda factor: CorrectedSampler(moves=LangevinMoves(3)),
    "blocks": lambda factor: CorrectedSampler(blocks=factor.blocks),
}


@functools.lru_cache(maxsize=1)
def _truth() -> tuple[LogLinearPool, float, np.ndarray]:
    """Barycenter of one copy, its log Z, its masses of the histogram's cells."""
    pool = LogLinearPool(reference_problem().auxiliaries, _WEIGHTS)
    return pool, pool.log_partition().value, _cell_masses(pool)


@study_cells(version=2, factors=("method", "r"), volatile=("sample_cpu_s",), name="sampling_error/product")
def run_product_cell(spec: ProductSpec) -> Row:
    """Independent copies of the 1-D pair: where weighting stops working, and whether the diagnostics say so first."""
    started = time.process_time()
    row = _tempered(spec) if spec.method == TEMPERING else _sampled(spec)
    row["sample_cpu_s"] = time.process_time() - started
    if "founders" in row:
        row["honest_holds"] = is_honest(row, trusted=row["trustworthy"])
    if spec.method == "blocks":
        row |= {"coordinates_holds": keeps_coordinates(row), "independence_holds": keeps_independence(row)}
    return row


def _sampled(spec: ProductSpec) -> Row:
    """Diffusion, corrected in some way or not."""
    _, unit, cells = _truth()
    factors = [ProductScore(AnalyticScore(p, PROCESS), spec.r) for p in reference_problem().auxiliaries]
    fused = FusedScore(factors, _WEIGHTS, process=PROCESS)
    result = run_quietly(fused, spec.n, SAMPLERS[spec.method](factors[0]), steps=spec.n_steps, rng=spec.seed)
    d = result.diagnostics
    row = _errors(spec, result.x, result.weights, cells) | {"trustworthy": d.trustworthy}
    if d.log_partition is not None and d.ess is not None:
        row |= {"ess_min": float(d.ess.min()), "founders": d.founders}
        row |= {"log_z_gap": d.log_partition.value - spec.r * unit, "log_z_error": d.log_partition.stderr}
    return row


def _errors(spec: ProductSpec, x: np.ndarray, weights: np.ndarray, cells: np.ndarray) -> Row:
    errors = [0.5 * np.abs(np.histogram(column, _EDGES, weights=weights)[0] - cells).sum() for column in x.T]
    return {
        "r": spec.r,
        "method": spec.method,
        "seed": spec.seed,
        "n": spec.n,
        "tv_mean": float(np.mean(errors)),
        "tv_worst": float(np.max(errors)),
        "correlation": _worst_correlation(x, weights),
    }


def _tempered(spec: ProductSpec) -> Row:
    """Tempering along w from a vertex: exact points of auxiliary 2, then weights (b/2, 1 - b/2) as b goes to 1, with
    densities and MALA moves. What corrected diffusion is compared with; it needs densities.
    """
    _, unit, cells = _truth()
    n, r, levels = spec.n, spec.r, spec.n_steps
    rng = np.random.default_rng(spec.seed)
    first, second = reference_problem().auxiliaries
    particles = Particles.start(second.sample(n * r, rng=rng).reshape(n, r), 1)
    for level in range(1, levels + 1):
        flat = particles.x.reshape(-1, 1)
        difference = np.asarray(first.log_prob(flat) - second.log_prob(flat)).reshape(n, r).sum(axis=1)
        particles.log_weights[0] += 0.5 / levels * difference
        particles.resample(Blocks(None), 0.9, systematic, rng, [])
        share = 0.5 * level / levels
        for _ in range(2):
            particles.x = _coordinate_mala(LogLinearPool((first, second), (share, 1.0 - share)), particles.x, rng)
    founders = float(1.0 / particles.founder_shares().max())
    estimate = particles.log_partition()
    return _errors(spec, particles.x, normalised(particles.log_weights[0]), cells) | {
        "trustworthy": founders >= FEWEST_FOUNDERS,
        "founders": founders,
        "log_z_gap": estimate.value - r * unit,
        "log_z_error": estimate.stderr,
    }


def _coordinate_mala(pool: LogLinearPool, x: np.ndarray, rng: np.random.Generator, step: float = 0.01) -> np.ndarray:
    """One MALA step of every coordinate on its own: the best that moves can do on a product."""
    here = x.reshape(-1, 1)
    drift = 0.5 * step * pool.score(here)
    there = here + drift + np.sqrt(step) * rng.standard_normal(here.shape)
    back = 0.5 * step * pool.score(there)
    log_ratio = pool.log_prob(there, normalized=False) - pool.log_prob(here, normalized=False)
    log_ratio = log_ratio + (((there - here - drift) ** 2 - (here - there - back) ** 2) / (2.0 * step))[:, 0]
    accepted = np.log(rng.random(len(here))) < log_ratio
    return np.asarray(np.where(accepted[:, None], there, here).reshape(x.shape))


def _worst_correlation(x: np.ndarray, weights: np.ndarray) -> float:
    """Largest correlation between two coordinates, which are independent under the truth; 0 for one coordinate."""
    centred = x - weights @ x
    covariance = (weights[:, None] * centred).T @ centred
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    np.fill_diagonal(correlation, 0.0)
    return float(np.abs(correlation).max())


def _cell_masses(pool: LogLinearPool) -> np.ndarray:
    fine = np.linspace(_EDGES[0], _EDGES[-1], 100 * (len(_EDGES) - 1) + 1)
    density = np.exp(pool.log_prob(fine[:, None]))
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))])
    return np.diff(np.interp(_EDGES, fine, cumulative))
