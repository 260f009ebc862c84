"""Cells of the sampling study (:mod:`benchmarks.sampling_error`) on the line: laws, densities, vertices, bound, cost.

Pure functions of frozen specs. A spec holds its seed, and methods compared under one seed share it, so that they start
from the same noise; references that many cells need (exact laws, population statistics) are computed once a process.
"""

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.baselines import SuperposedSampler, parameter_average
from sfbench.bounds import instance_certificate, prior_mismatch
from sfbench.laws import GridDensity, fokker_planck_1d
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.processes.times import time_grid, time_steps
from sfbench.sampling import (
    CorrectedSampler,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    Heun,
    PredictorCorrector,
    SampleResult,
    TrustWarning,
    sample,
)
from sfbench.scores import FusedScore
from sfbench.statistics.population import population_gram
from synthetic import (
    GaussianMixture,
    LogLinearPool,
    SyntheticProblem,
    arithmetic_mixture,
    as_gaussian_mixture,
    make_problem,
)

from ..common.study import Row, study_cells
from .checks import (
    CHECK_LIMIT,
    COST_LIMIT,
    below_bound,
    covers_log_z,
    follows_fused_law,
    reaches_barycenter,
    returns_vertex,
)

PROCESS = OrnsteinUhlenbeck()
Weights = tuple[float, float]


def reference_problem() -> SyntheticProblem:
    """The 1-D problem of two bimodal auxiliaries, coordinates divided by 6."""
    return make_problem("paper_mixture_1d", space="raw", scale=6.0)


def fused_score(problem: SyntheticProblem, weights: Sequence[float]) -> FusedScore:
    """Averaged score of the problem's auxiliaries under the reference process."""
    return FusedScore(problem.auxiliaries, weights, process=PROCESS)


def run_quietly(*args: Any, **kwargs: Any) -> SampleResult:
    """Sample; distrust goes to the rows, not to the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        return sample(*args, **kwargs)


# ---------------------------------------------------------------------- the two laws, and who samples which
@final
@dataclass(frozen=True)
class LawSpec:
    """One method at one pair of weights; exact laws have no points and seed -1."""

    weights: Weights
    method: str
    n: int
    n_steps: int | None
    n_cells: int
    seed: int


@final
@dataclass(frozen=True, eq=False)
class TwoLaws:
    """The fused law and the barycenter at one pair of weights."""

    fused: FusedScore
    exact: GridDensity
    pool: LogLinearPool
    common: Row
    log_z: float


@functools.lru_cache(maxsize=8)
def two_laws(weights: Weights, n_cells: int) -> TwoLaws:
    """Both laws of the reference problem, and how far apart they are."""
    problem = reference_problem()
    fused, pool = fused_score(problem, weights), LogLinearPool(problem.auxiliaries, weights)
    exact = fokker_planck_1d(fused, n_cells=n_cells)
    gap = exact.total_variation(pool)
    common = {"tv_laws": gap.value, "tv_laws_error": gap.stderr, "mass_pool": _right_mass(pool)}
    common["mass_fused"] = exact.mass(0.0, np.inf)
    return TwoLaws(fused, exact, pool, common, pool.log_partition().value)


SAMPLED: dict[str, Callable[[FusedScore, LawSpec], SampleResult]] = {
    "fused": lambda fused, s: run_quietly(fused, s.n, "fused", rng=s.seed),
    "corrected": lambda fused, s: run_quietly(fused, s.n, "corrected", rng=s.seed),
    "flow": lambda fused, s: run_quietly(fused, s.n, "ode", rng=s.seed),
    "predictor-corrector": lambda fused, s: run_quietly(
        fused, s.n, FusedSampler(PredictorCorrector(4)), steps=s.n_steps, rng=s.seed
    ),
    "SuperDiff-style OR": lambda fused, s: run_quietly(
        fused, s.n, SuperposedSampler("or"), steps=_steps(s), rng=s.seed
    ),
    "SuperDiff-style AND": lambda fused, s: run_quietly(
        fused, s.n, SuperposedSampler("and"), steps=_steps(s), rng=s.seed
    ),
}
EXACT: dict[str, Callable[[Sequence[GaussianMixture], Weights], GaussianMixture]] = {
    "auxiliary 1": lambda mixtures, w: mixtures[0],
    "auxiliary 2": lambda mixtures, w: mixtures[1],
    "arithmetic mixture": arithmetic_mixture,
    "parameter average": parameter_average,
}


def _steps(spec: LawSpec) -> int:
    assert spec.n_steps is not None
    return spec.n_steps


@study_cells(version=2, factors=("w_1", "method"), volatile=("sample_cpu_s",), name="sampling_error/law")
def run_law_cell(spec: LawSpec) -> Row:
    """A method's TV to both laws, mass on x > 0, and log Z where the method states it."""
    laws = two_laws(spec.weights, spec.n_cells)
    row: Row = {"w_1": spec.weights[0], "method": spec.method, "seed": spec.seed}
    if spec.method in EXACT:
        mixtures = [p for p in map(as_gaussian_mixture, reference_problem().auxiliaries) if p is not None]
        law = EXACT[spec.method](mixtures, spec.weights)
        to_pool = float(0.5 * np.abs(_masses(law, laws.exact) - _masses(laws.pool, laws.exact)).sum())
        row |= {"tv_pool": to_pool, "tv_fused": laws.exact.total_variation(law).value, "mass": _right_mass(law)}
        return row | laws.common
    started = time.process_time()
    result = SAMPLED[spec.method](laws.fused, spec)
    seconds = time.process_time() - started
    row |= _distances(result, laws.exact, laws.pool) | laws.common
    if "log_z" in row:
        row["log_z_truth"] = laws.log_z
    if spec.method == "fused":
        row["fused_law_holds"] = follows_fused_law(row)
    if spec.method == "corrected":
        row |= {"barycenter_holds": reaches_barycenter(row), "log_z_holds": covers_log_z(row, laws.log_z)}
    return row | {"sample_cpu_s": seconds}


def _distances(result: SampleResult, fused_law: GridDensity, pool: LogLinearPool) -> Row:
    row: Row = {}
    for name, law in (("pool", pool), ("fused", fused_law)):
        estimate = total_variation_from_samples(result.x, law, log_weights=result.log_weights)
        row[f"tv_{name}"] = estimate.value
        row[f"floor_{name}"] = total_variation_floor(result.x, law, log_weights=result.log_weights)
    row["mass"] = float(result.weights @ (result.x[:, 0] > 0))
    if result.diagnostics.log_partition is not None:
        row["log_z"] = result.diagnostics.log_partition.value
        row["log_z_error"] = result.diagnostics.log_partition.stderr
        row |= {f"log_z_error_{name}": v for name, v in result.diagnostics.log_partition_errors.items()}
    return row


def _masses(law: Any, grid: GridDensity) -> np.ndarray:
    x = grid.centres[:, None]
    masses = np.exp(np.asarray(law.log_prob(x))) * grid.widths
    return np.asarray(masses / masses.sum())


def _right_mass(law: Any) -> float:
    x = np.linspace(-8.0, 8.0, 64_001)
    density = np.exp(np.asarray(law.log_prob(x[:, None])))
    return float(density[x > 0].sum() / density.sum())


@final
@dataclass(frozen=True)
class DensitySpec:
    """Densities and histograms at one pair of weights."""

    weights: Weights
    n: int
    n_cells: int
    seed: int


@study_cells(version=1, factors=("x",), name="sampling_error/density")
def run_density_cell(spec: DensitySpec) -> list[Row]:
    """Densities of the two laws beside histograms of what the two samplers return; one row a bin."""
    laws = two_laws(spec.weights, spec.n_cells)
    edges = np.linspace(-2.5, 2.8, 107)
    middle, width = 0.5 * (edges[1:] + edges[:-1]), float(edges[1] - edges[0])
    columns: dict[str, np.ndarray] = {
        "x": middle,
        "law_fused": np.diff(laws.exact.cdf(edges)) / width,
        "law_barycenter": np.exp(laws.pool.log_prob(middle[:, None])),
    }
    for name in ("fused", "corrected"):
        result = run_quietly(laws.fused, spec.n, name, rng=spec.seed)
        columns[f"samples_{name}"] = np.histogram(result.x[:, 0], edges, weights=result.weights)[0] / width
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


# ---------------------------------------------------------------------- vertices
@final
@dataclass(frozen=True)
class VertexSpec:
    """One sampler at one vertex of the simplex."""

    vertex: int
    sampler: str
    n_steps: int
    n: int
    seed: int


VERTEX_SAMPLERS: dict[str, tuple[Any, int]] = {
    "fused, EM": (FusedSampler(EulerMaruyama()), 1024),
    "fused, exponential": (FusedSampler(Exponential(1)), 512),
    "fused, exponential 2M": (FusedSampler(Exponential(2)), 128),
    "fused, Heun": (FusedSampler(Heun()), 128),
    "fused, predictor-corrector": (FusedSampler(PredictorCorrector(2)), 512),
    "corrected": (CorrectedSampler(), 128),
    "flow, DDIM": (FlowSampler(Exponential(1, stochastic=False)), 512),
    "flow, DPM-Solver++(2M)": (FlowSampler(Exponential(2, stochastic=False)), 64),
    "flow, Heun": (FlowSampler(Heun(stochastic=False)), 64),
    "Fokker-Planck": (None, 300),
}
"""Sampler and steps; the exact law takes part as if it were one."""


@study_cells(version=1, factors=("sampler", "vertex"), volatile=("sample_cpu_s",), name="sampling_error/vertex")
def run_vertex_cell(spec: VertexSpec) -> Row:
    """At a vertex every sampler must return that auxiliary, to discretisation error."""
    problem = reference_problem()
    law = problem.auxiliaries[spec.vertex]
    fused = fused_score(problem, np.eye(2)[spec.vertex].tolist())
    sampler, _ = VERTEX_SAMPLERS[spec.sampler]
    row: Row = {"vertex": spec.vertex, "sampler": spec.sampler, "n_steps": spec.n_steps}
    started = time.process_time()
    if sampler is None:
        row |= {"tv": fokker_planck_1d(fused, steps=spec.n_steps).total_variation(law).value, "floor": 0.0}
    else:
        result = run_quietly(fused, spec.n, sampler, steps=spec.n_steps, rng=spec.seed)
        row["tv"] = total_variation_from_samples(result.x, law, log_weights=result.log_weights).value
        row["floor"] = total_variation_floor(result.x, law, log_weights=result.log_weights)
    return row | {"vertex_holds": returns_vertex(row), "sample_cpu_s": time.process_time() - started}


# ---------------------------------------------------------------------- certificate
@final
@dataclass(frozen=True)
class CertificateSpec:
    """One weight on the edge."""

    w_1: float
    t_min: float
    t_max: float
    n_steps: int
    n_cells: int


@functools.lru_cache(maxsize=2)
def _certified(t_min: float, t_max: float) -> tuple[Any, Any, Any]:
    """Population statistics, mismatch of the prior, and the target's law at ``t_min``."""
    problem = reference_problem()
    target = as_gaussian_mixture(problem.target)
    assert target is not None
    gram = population_gram(problem, process=PROCESS, grid=time_grid(t_min, t_max, 48))
    noised = target.diffuse(float(PROCESS.alpha(t_min)), float(PROCESS.sigma(t_min)))
    return gram, prior_mismatch(problem.target, PROCESS, t_max), noised


@study_cells(version=1, factors=("w_1",), name="sampling_error/certificate")
def run_certificate_cell(spec: CertificateSpec) -> Row:
    """Exact KL(q || P_w) against the Girsanov bound at one weight."""
    gram, mismatch, noised = _certified(spec.t_min, spec.t_max)
    w = np.array([spec.w_1, 1.0 - spec.w_1])
    steps = time_steps(PROCESS, spec.n_steps, t_min=spec.t_min, t_max=spec.t_max)
    law = fokker_planck_1d(fused_score(reference_problem(), w.tolist()), steps=steps, n_cells=spec.n_cells)
    exact = law.kl_from(noised)
    objective = float(w @ gram.G @ w - 2.0 * gram.b @ w + (gram.c or 0.0))
    bound = instance_certificate(objective, mismatch).value
    row: Row = {"w_1": spec.w_1, "kl": exact.value, "kl_error": exact.stderr, "bound": bound}
    return row | {"girsanov_holds": below_bound(row)}


# ---------------------------------------------------------------------- cost
@final
@dataclass(frozen=True)
class CostSpec:
    """The two samplers in one dimension."""

    d: int
    n: int
    repeats: int
    seed: int


CHECKED = ("fused", "ode", "corrected")


@study_cells(
    version=2,
    factors=("d",),
    volatile=("ratio", "fused_cpu_s", "corrected_cpu_s", "cost_holds", *(f"check_cpu_{name}" for name in CHECKED)),
    alone=True,
    name="sampling_error/cost",
)
def run_cost_cell(spec: CostSpec) -> Row:
    """CPU time of the corrected over the fused sampler at equal particles, steps and integrator, interleaved, and what
    the check of the steps adds at default steps.
    """
    problem = (
        reference_problem() if spec.d == 1 else make_problem("embedded_mixture", rank=1, d=spec.d, k=2, m=4, rng=3)
    )
    fused = FusedScore(problem.auxiliaries, [0.5, 0.5], process=PROCESS)
    best = {"fused": np.inf, "corrected": np.inf}
    for repeat in range(spec.repeats):
        for name in best:
            started = time.process_time()
            run_quietly(fused, spec.n, name, steps=64, check_steps=False, rng=spec.seed + repeat)
            best[name] = min(best[name], time.process_time() - started)
    ratio = best["corrected"] / best["fused"]
    row: Row = {"d": spec.d, "n": spec.n, "ratio": ratio, "cost_holds": ratio <= COST_LIMIT}
    for name in CHECKED:
        row |= _cost_of_check(fused, spec, name)
    row["check_holds"] = max(row[f"check_{name}"] for name in CHECKED) <= CHECK_LIMIT
    return row | {f"{name}_cpu_s": seconds for name, seconds in best.items()}


@final
class _Counted:
    """A score model that counts the points at which it is asked."""

    def __init__(self, model: Any) -> None:
        self.model, self.dim, self.t_range, self.points = model, model.dim, model.t_range, 0

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        """Score of the model."""
        self.points += len(x)
        return np.asarray(self.model.score(x, t))


def _cost_of_check(fused: FusedScore, spec: CostSpec, name: str) -> Row:
    """What checking the steps adds at default steps, in evaluations and in CPU time."""
    seconds, points = {True: np.inf, False: np.inf}, {}
    for check in seconds:
        models = [_Counted(model) for model in fused.models]
        counted = FusedScore(models, fused.weights, process=PROCESS)
        run_quietly(counted, spec.n, name, check_steps=check, rng=spec.seed)
        points[check] = models[0].points
    for repeat in range(spec.repeats):
        for check in seconds:
            started = time.process_time()
            run_quietly(fused, spec.n, name, check_steps=check, rng=spec.seed + repeat)
            seconds[check] = min(seconds[check], time.process_time() - started)
    return {
        f"check_{name}": points[True] / points[False] - 1.0,
        f"check_cpu_{name}": seconds[True] / seconds[False] - 1.0,
    }
