"""The experiments behind ``python -m benchmarks.sampling_error``; each returns plain rows."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from sfbench._typing import FloatArray
from sfbench.baselines import parameter_average, superdiff
from sfbench.bounds import instance_certificate, prior_mismatch
from sfbench.grids import time_grid
from sfbench.laws import GridDensity, fokker_planck_1d
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.population import population_gram
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.sampling import (
    CorrectedSampler,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    Heun,
    Integrator,
    PredictorCorrector,
    SampleResult,
    TrustWarning,
    sample,
)
from sfbench.sampling.integrators import ReverseProcess
from sfbench.scores import FusedScore
from sfbench.time_steps import time_steps
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, arithmetic_mixture, make_problem

Row = dict[str, Any]
WEIGHTS = ((0.5, 0.5), (0.2, 0.8), (0.8, 0.2))
PROCESS = OrnsteinUhlenbeck()


@final
@dataclass(frozen=True)
class Scale:
    """How much work to do."""

    particles: int
    seeds: int
    many: int
    copies: tuple[int, ...]
    dims: tuple[int, ...]
    weights_on_edge: int
    budgets: tuple[int, ...]
    integrators: tuple[str, ...]
    cells: int
    finest: int
    repeats: int
    quick: bool


INTEGRATORS: dict[str, tuple[Integrator, str]] = {
    "EM, uniform": (EulerMaruyama(), "uniform"),
    "EM": (EulerMaruyama(), "log_snr"),
    "exponential": (Exponential(1), "log_snr"),
    "exponential 2M": (Exponential(2), "log_snr"),
    "stochastic Heun": (Heun(), "log_snr"),
    "DDIM": (Exponential(1, stochastic=False), "log_snr"),
    "DPM-Solver++(2M)": (Exponential(2, stochastic=False), "log_snr"),
    "Heun": (Heun(stochastic=False), "log_snr"),
}

EXPECTED_ORDERS = {"EM": 1.0, "exponential": 1.0, "DDIM": 1.0, "DPM-Solver++(2M)": 2.0, "Heun": 2.0}
FULL = Scale(
    20_000,
    5,
    200_000,
    (1, 2, 4, 8, 16, 32, 64),
    (1, 4, 16, 64, 256, 1024),
    11,
    (16, 24, 32, 48, 64, 96, 128, 256, 512, 1024),
    tuple(INTEGRATORS),
    3000,
    512,
    10,
    False,
)
QUICK = Scale(
    20_000,
    2,
    100_000,
    (1, 8),
    (1, 16),
    4,
    (24, 32, 320),
    ("EM, uniform", "EM", "exponential 2M", "DPM-Solver++(2M)"),
    1500,
    512,
    4,
    True,
)


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
def laws_and_samplers(scale: Scale, seed: int) -> list[Row]:
    """Exact TV between fused law and barycenter, every method's TV to both, mode mass on x > 0."""
    problem = reference_problem()
    rows: list[Row] = []
    superdiff_steps = 200 if scale.quick else 512
    for w in WEIGHTS:
        fused, pool = fused_score(problem, w), LogLinearPool(problem.auxiliaries, w)
        exact = fokker_planck_1d(fused, n_cells=scale.cells)
        gap = exact.total_variation(pool)
        truth = _right_mass(pool)
        log_z = pool.log_partition().value
        common = {"w_1": w[0], "tv_laws": gap.value, "tv_laws_error": gap.stderr, "mass_pool": truth}
        common["mass_fused"] = exact.mass(0.0, np.inf)
        for s in range(scale.seeds):
            runs: dict[str, SampleResult] = {
                "fused": run_quietly(fused, scale.particles, "fused", rng=seed + s),
                "corrected": run_quietly(fused, scale.particles, CorrectedSampler(check_steps=True), rng=seed + s),
                "flow": run_quietly(fused, scale.particles, "ode", rng=seed + s),
                "predictor-corrector": run_quietly(
                    fused, scale.particles, FusedSampler(PredictorCorrector(4)), steps=128, rng=seed + s
                ),
                "SuperDiff-style OR": superdiff(fused, scale.particles, "or", steps=superdiff_steps, rng=seed + s),
                "SuperDiff-style AND": superdiff(fused, scale.particles, "and", steps=superdiff_steps, rng=seed + s),
            }
            for name, result in runs.items():
                row: Row = {**common, "method": name, "seed": seed + s, **_distances(result, exact, pool)}
                if "log_z" in row:
                    row["log_z_truth"] = log_z
                rows.append(row)
        mixtures = [p for p in problem.auxiliaries if isinstance(p, GaussianMixture)]
        laws = {
            "auxiliary 1": mixtures[0],
            "auxiliary 2": mixtures[1],
            "arithmetic mixture": arithmetic_mixture(mixtures, w),
            "parameter average": parameter_average(mixtures, w),
        }
        for name, law in laws.items():
            to_pool = float(0.5 * np.abs(_masses(law, exact) - _masses(pool, exact)).sum())
            rows.append(
                {
                    **common,
                    "method": name,
                    "seed": -1,
                    "tv_fused": exact.total_variation(law).value,
                    "tv_pool": to_pool,
                    "mass": _right_mass(law),
                }
            )
    return rows


def _distances(result: SampleResult, fused_law: GridDensity, pool: LogLinearPool) -> Row:
    row: Row = {"mass": float(result.weights @ (result.x[:, 0] > 0))}
    for name, law in (("fused", fused_law), ("pool", pool)):
        estimate = total_variation_from_samples(result.x, law, log_weights=result.log_weights)
        row[f"tv_{name}"] = estimate.value
        row[f"floor_{name}"] = total_variation_floor(result.x, law, log_weights=result.log_weights)
    if result.diagnostics.log_partition is not None:
        row["log_z"] = result.diagnostics.log_partition.value
        row["log_z_error"] = result.diagnostics.log_partition.stderr
    if result.diagnostics.step_doubling is not None:
        row["log_z_doubling"] = result.diagnostics.step_doubling.value
        row["log_z_doubling_error"] = result.diagnostics.step_doubling.stderr
    return row


def densities(scale: Scale, seed: int) -> list[Row]:
    """Densities of the two laws at w = (.5, .5) beside histograms of what the two samplers return."""
    problem = reference_problem()
    fused, pool = fused_score(problem, (0.5, 0.5)), LogLinearPool(problem.auxiliaries, (0.5, 0.5))
    exact = fokker_planck_1d(fused, n_cells=scale.cells)
    edges = np.linspace(-2.5, 2.8, 107)
    middle, width = 0.5 * (edges[1:] + edges[:-1]), float(edges[1] - edges[0])
    columns: dict[str, np.ndarray] = {
        "x": middle,
        "law_fused": np.diff(exact.cdf(edges)) / width,
        "law_barycenter": np.exp(pool.log_prob(middle[:, None])),
    }
    for name in ("fused", "corrected"):
        result = run_quietly(fused, scale.particles, name, rng=seed)
        columns[f"samples_{name}"] = np.histogram(result.x[:, 0], edges, weights=result.weights)[0] / width
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _masses(law: Any, grid: GridDensity) -> np.ndarray:
    x = grid.centres[:, None]
    masses = np.exp(np.asarray(law.log_prob(x))) * grid.widths
    return np.asarray(masses / masses.sum())


def _right_mass(law: Any) -> float:
    x = np.linspace(-8.0, 8.0, 64_001)
    density = np.exp(np.asarray(law.log_prob(x[:, None])))
    return float(density[x > 0].sum() / density.sum())


# ---------------------------------------------------------------------- vertices
def vertices(scale: Scale, seed: int) -> list[Row]:
    """At a vertex every sampler must return that auxiliary, to discretisation error."""
    problem = reference_problem()
    rows: list[Row] = []
    samplers = {
        "fused, EM": (FusedSampler(EulerMaruyama()), 1024),
        "fused, exponential": (FusedSampler(Exponential(1)), 512),
        "fused, exponential 2M": (FusedSampler(Exponential(2)), 128),
        "fused, Heun": (FusedSampler(Heun()), 128),
        "fused, predictor-corrector": (FusedSampler(PredictorCorrector(2)), 512),
        "corrected": (CorrectedSampler(), 128),
        "flow, DDIM": (FlowSampler(Exponential(1, stochastic=False)), 512),
        "flow, DPM-Solver++(2M)": (FlowSampler(Exponential(2, stochastic=False)), 64),
        "flow, Heun": (FlowSampler(Heun(stochastic=False)), 64),
    }
    n = scale.particles // 2 if scale.quick else scale.particles
    for i, law in enumerate(problem.auxiliaries):
        fused = fused_score(problem, np.eye(2)[i].tolist())
        for name, (sampler, n_steps) in samplers.items():
            result = run_quietly(fused, n, sampler, steps=n_steps, rng=seed)
            tv = total_variation_from_samples(result.x, law, log_weights=result.log_weights)
            floor = total_variation_floor(result.x, law, log_weights=result.log_weights)
            rows.append({"vertex": i, "sampler": name, "n_steps": n_steps, "tv": tv.value, "floor": floor})
        exact = fokker_planck_1d(fused).total_variation(law)
        rows.append({"vertex": i, "sampler": "Fokker-Planck", "n_steps": 300, "tv": exact.value, "floor": 0.0})
    return rows


# ---------------------------------------------------------------------- orders and cost to reach a given error
def orders(scale: Scale, seed: int) -> list[Row]:
    """Strong and weak error against the number of steps, on shared noise (t_min = 1e-3).

    Errors are differences to the chain of twice as many steps, whose slope is the order without the bias that a fixed
    reference brings.
    """
    fused = fused_score(reference_problem(), (0.5, 0.5))
    fine, n = scale.finest, scale.particles // (8 if scale.quick else 4)
    steps = [s for s in (16, 32, 64, 128, 256, 512) if s < fine]
    rows: list[Row] = []
    for name, (integrator, spacing) in INTEGRATORS.items():
        if scale.quick and name not in EXPECTED_ORDERS:
            continue
        ends = {s: _coupled(fused, integrator, spacing, s, fine, n, seed) for s in (*steps, fine)}
        for s in steps:
            gap = ends[s] - ends[2 * s]
            weak = np.cos(2.0 * ends[s]) - np.cos(2.0 * ends[2 * s])
            rows.append(
                {
                    "integrator": name,
                    "n_steps": s,
                    "evaluations": s * integrator.evaluations,
                    "strong": float(np.abs(gap).mean()),
                    "weak": abs(float(weak.mean())),
                    "weak_error": float(weak.std() / np.sqrt(n)),
                }
            )
    return rows


def _coupled(
    fused: FusedScore, integrator: Integrator, spacing: Any, n_steps: int, fine: int, n: int, seed: int
) -> np.ndarray:
    """End points on every ``fine / n_steps``-th time, driven by the noise of the fine grid.

    A coarse increment is the fine ones weighted in the clock ``int (g / alpha)^2 dt`` of the reverse process.
    """
    all_times = time_steps(PROCESS, fine, spacing, t_min=1e-3).times
    clock = -np.diff(np.asarray(PROCESS.sigma(all_times) / PROCESS.alpha(all_times)) ** 2)
    rng = np.random.default_rng(seed)
    x: FloatArray = rng.standard_normal((n, 1))
    every = fine // n_steps
    memory: FloatArray | None = None
    before: float | None = None
    for j in range(0, fine, every):
        part = np.sqrt(clock[j : j + every])
        z = np.zeros((n, 1))
        for share in part / np.linalg.norm(part):
            z += share * rng.standard_normal((n, 1))
        t, t_next = float(all_times[j]), float(all_times[j + every])
        x, memory = integrator.advance(ReverseProcess(fused.score, PROCESS, _replay(z)), x, (before, t, t_next), memory)
        before = t
    return x[:, 0]


def _replay(z: np.ndarray) -> Callable[[FloatArray], FloatArray]:
    """A noise source that returns what it was given."""
    return lambda like: z


def evaluations(scale: Scale, seed: int) -> list[Row]:
    """Total variation to the scheme's own limit against the number of score evaluations (t_min = 1e-3)."""
    fused = fused_score(reference_problem(), (0.5, 0.5))
    sde = fokker_planck_1d(fused, t_min=1e-3)
    flow = _flow_law(fused, scale.many)
    rows: list[Row] = []
    for name in scale.integrators:
        integrator, spacing = INTEGRATORS[name]
        stochastic = integrator.law.startswith("fused")
        for budget in scale.budgets:
            n_steps = budget // integrator.evaluations
            sampler = FusedSampler(integrator) if stochastic else FlowSampler(integrator)
            steps = time_steps(PROCESS, n_steps, spacing, t_min=1e-3)  # type: ignore[arg-type]  # spacing names
            result = run_quietly(fused, scale.many, sampler, steps=steps, rng=seed)
            law = sde if stochastic else flow
            tv = total_variation_from_samples(result.x, law, n_bins=16)
            floor = total_variation_floor(result.x, law, n_bins=16)
            rows.append({"integrator": name, "evaluations": budget, "tv": tv.value, "floor": floor})
            if tv.value < 0.01:
                break
    return rows


def _flow_law(fused: FusedScore, n: int) -> GridDensity:
    """Law of the probability flow on the line: the flow is monotone, so quantiles map to quantiles."""
    from scipy.stats import norm

    levels = (np.arange(4000) + 0.5) / 4000
    x = norm.ppf(levels)[:, None]
    integrator, reverse = Heun(stochastic=False), ReverseProcess(fused.score, PROCESS, np.zeros_like)
    times = time_steps(PROCESS, 1024, t_min=1e-3).times
    for t, t_next in pairwise(times):
        x, _ = integrator.advance(reverse, x, (None, float(t), float(t_next)), None)
    edges = np.concatenate([[x[0, 0] - 0.1], 0.5 * (x[1:, 0] + x[:-1, 0]), [x[-1, 0] + 0.1]])
    return GridDensity(edges, (1.0 / 4000) / np.diff(edges), 1e-4, "monotone transport of quantiles")


# ---------------------------------------------------------------------- certificate
def certificate(scale: Scale, seed: int) -> list[Row]:
    """Exact KL(q || P_w) against the Girsanov bound over the edge of weights (t_min = 1e-3, T = 6)."""
    problem = reference_problem()
    t_min, t_max = 1e-3, 6.0
    gram = population_gram(problem, process=PROCESS, grid=time_grid(t_min, t_max, 48))
    mismatch = prior_mismatch(problem.target, PROCESS, t_max)
    assert isinstance(problem.target, GaussianMixture)
    noised = problem.target.diffuse(float(PROCESS.alpha(t_min)), float(PROCESS.sigma(t_min)))
    rows: list[Row] = []
    for w1 in np.linspace(0.0, 1.0, scale.weights_on_edge):
        w = np.array([w1, 1.0 - w1])
        steps = time_steps(PROCESS, 400, t_min=t_min, t_max=t_max)
        exact = fokker_planck_1d(fused_score(problem, w.tolist()), steps=steps, n_cells=4000).kl_from(noised)
        objective = float(w @ gram.G @ w - 2.0 * gram.b @ w + (gram.c or 0.0))
        bound = instance_certificate(objective, mismatch).value
        rows.append({"w_1": float(w1), "kl": exact.value, "kl_error": exact.stderr, "bound": bound})
    return rows


# ---------------------------------------------------------------------- cost
def cost(scale: Scale, seed: int) -> list[Row]:
    """CPU time of the corrected over the fused sampler at equal particles, steps and integrator, interleaved."""
    rows: list[Row] = []
    for d, n in ((1, 20_000), (64, 4_000)):
        problem = reference_problem() if d == 1 else make_problem("embedded_mixture", rank=1, d=d, k=2, m=4, rng=3)
        fused = FusedScore(problem.auxiliaries, [0.5, 0.5], process=PROCESS)
        best = {"fused": np.inf, "corrected": np.inf}
        for repeat in range(scale.repeats):
            for name in best:
                started = time.process_time()
                run_quietly(fused, n, name, steps=64, rng=seed + repeat)
                best[name] = min(best[name], time.process_time() - started)
        rows.append({"d": d, "n": n, "ratio": best["corrected"] / best["fused"]})
    return rows
