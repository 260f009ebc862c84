"""Dimension experiments of ``python -m benchmarks.sampling_error``: what the variance of the weights depends on."""

import numpy as np

from sfbench.product_score import ProductScore
from sfbench.sampling import CorrectedSampler, FusedSampler
from sfbench.sampling.api import FEWEST_FOUNDERS
from sfbench.sampling.moves import LangevinMoves
from sfbench.sampling.particles import Blocks, Particles
from sfbench.sampling.resampling import normalised, systematic
from sfbench.scores import AnalyticScore, FusedScore
from synthetic import EmbeddedMixture, GaussianMixture, LogLinearPool, SyntheticProblem

from .sampling_experiments import PROCESS, Row, Scale, reference_problem, run_quietly

_EDGES = np.linspace(-3.0, 3.0, 33)
_DEAR = ("more levels (4x)", "3 Langevin moves", "more particles (4x)")


def embedded(scale: Scale, seed: int) -> list[Row]:
    """Rank-1 differences in d dimensions: the effective share of the particles does not see d."""
    w = (0.5, 0.5)
    cores = [p for p in reference_problem().auxiliaries if isinstance(p, GaussianMixture)]
    truth = LogLinearPool(cores, w).log_partition().value
    rows: list[Row] = []
    for d in scale.dims:
        n = int(np.clip(4_000_000 // d, 2_000, 8_000))
        frame = np.linalg.qr(np.random.default_rng(d).standard_normal((d, 1)))[0]
        laws = [EmbeddedMixture(core, frame, 1.0, np.zeros(d)) for core in cores]
        fused = FusedScore(laws, w, process=PROCESS)
        result = run_quietly(fused, n, CorrectedSampler(threshold=0.0), steps=96, rng=seed)
        found = result.diagnostics.log_partition
        assert found is not None
        rows.append(
            {"d": d, "n": n, "ess": result.ess / n, "log_z_gap": found.value - truth, "log_z_error": found.stderr}
        )
    return rows


def products(scale: Scale, seed: int) -> list[Row]:
    """Independent copies of the 1-D pair: where weighting stops working, and whether the diagnostics say so first."""
    problem = reference_problem()
    w = (0.5, 0.5)
    pool = LogLinearPool(problem.auxiliaries, w)
    unit, cells = pool.log_partition().value, _cell_masses(pool)
    rows: list[Row] = []
    for r in scale.copies:
        factors = [ProductScore(AnalyticScore(p, PROCESS), r) for p in problem.auxiliaries]
        fused = FusedScore(factors, w, process=PROCESS)
        methods: dict[str, tuple[int, int, CorrectedSampler | FusedSampler]] = {
            "uncorrected (law P_w)": (8000, 96, FusedSampler()),
            "plain": (8000, 96, CorrectedSampler()),
            "more levels (4x)": (8000, 384, CorrectedSampler()),
            "more particles (4x)": (32_000, 96, CorrectedSampler()),
            "3 Langevin moves": (8000, 96, CorrectedSampler(moves=LangevinMoves(3))),
            "blocks": (8000, 96, CorrectedSampler(blocks=factors[0].blocks)),
        }
        for name, (n, n_steps, sampler) in methods.items():
            if name in _DEAR and (r > 16 or scale.quick):
                continue  # unreliable long before, and the dearest cells
            for s in range(min(scale.seeds, 2)):
                result = run_quietly(fused, n, sampler, steps=n_steps, rng=seed + s)
                errors = [
                    0.5 * np.abs(np.histogram(column, _EDGES, weights=result.weights)[0] - cells).sum()
                    for column in result.x.T
                ]
                d = result.diagnostics
                row: Row = {
                    "r": r,
                    "method": name,
                    "seed": seed + s,
                    "n": n,
                    "tv_mean": float(np.mean(errors)),
                    "tv_worst": float(np.max(errors)),
                    "correlation": _worst_correlation(result.x, result.weights),
                    "trustworthy": d.trustworthy,
                }
                if d.log_partition is not None and d.ess is not None:
                    row |= {"ess_min": float(d.ess.min()), "founders": d.founders}
                    row |= {"log_z_gap": d.log_partition.value - r * unit, "log_z_error": d.log_partition.stderr}
                rows.append(row)
        if r <= 16:
            rows += [_tempered_row(problem, r, unit, cells, seed + s) for s in range(min(scale.seeds, 2))]
    return rows


def _tempered_row(problem: SyntheticProblem, r: int, log_z: float, cells: np.ndarray, seed: int) -> Row:
    """Tempering along w from a vertex: exact points of auxiliary 2, then weights (b/2, 1 - b/2) as b goes to 1, with
    densities and MALA moves. What corrected diffusion is compared with; it needs densities.
    """
    n, levels = 8000, 96
    rng = np.random.default_rng(seed)
    first, second = problem.auxiliaries
    particles = Particles.start(second.sample(n * r, rng=rng).reshape(n, r), 1)
    for level in range(1, levels + 1):
        flat = particles.x.reshape(-1, 1)
        difference = np.asarray(first.log_prob(flat) - second.log_prob(flat)).reshape(n, r).sum(axis=1)
        particles.log_weights[0] += 0.5 / levels * difference
        particles.resample(Blocks(None), 0.9, systematic, rng, [])
        share = 0.5 * level / levels
        for _ in range(2):
            particles.x = _coordinate_mala(LogLinearPool((first, second), (share, 1.0 - share)), particles.x, rng)
    weights = normalised(particles.log_weights[0])
    errors = [0.5 * np.abs(np.histogram(column, _EDGES, weights=weights)[0] - cells).sum() for column in particles.x.T]
    founders = float(1.0 / particles.founder_shares().max())
    estimate = particles.log_partition()
    return {
        "r": r,
        "method": "tempering from a vertex",
        "seed": seed,
        "n": n,
        "tv_mean": float(np.mean(errors)),
        "tv_worst": float(np.max(errors)),
        "correlation": _worst_correlation(particles.x, weights),
        "trustworthy": founders >= FEWEST_FOUNDERS,
        "founders": founders,
        "log_z_gap": estimate.value - r * log_z,
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
    correlation = covariance / np.outer(deviation, deviation) - np.eye(x.shape[1])
    return float(np.abs(correlation).max())


def _cell_masses(pool: LogLinearPool) -> np.ndarray:
    fine = np.linspace(_EDGES[0], _EDGES[-1], 100 * (len(_EDGES) - 1) + 1)
    density = np.exp(pool.log_prob(fine[:, None]))
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))])
    return np.diff(np.interp(_EDGES, fine, cumulative))
