"""Cells of the sampling study that compare integrators: orders on shared noise, evaluations for a given error."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from sfbench._internal.aliases import FloatArray
from sfbench.laws import GridDensity, fokker_planck_1d
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.processes.times import time_steps
from sfbench.sampling import EulerMaruyama, Exponential, FlowSampler, FusedSampler, Heun, Integrator
from sfbench.sampling.integrators import ReverseProcess
from sfbench.scores import FusedScore

from ..common.study import Row, study_cells
from .cells import PROCESS, fused_score, reference_problem, run_quietly

_T_MIN = 1e-3
_WEIGHTS = (0.5, 0.5)
_ENOUGH = 0.01

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


# ---------------------------------------------------------------------- orders
@final
@dataclass(frozen=True)
class OrderSpec:
    """One integrator; its chains of all lengths share their noise, so they are one cell."""

    integrator: str
    finest: int
    n: int
    seed: int


@study_cells(version=1, factors=("integrator", "n_steps"), name="sampling_error/order")
def run_order_cell(spec: OrderSpec) -> list[Row]:
    """Strong and weak error against the number of steps, on shared noise (t_min = 1e-3); one row a number of steps.

    Errors are differences to the chain of twice as many steps, whose slope is the order without the bias that a fixed
    reference brings.
    """
    fused = fused_score(reference_problem(), _WEIGHTS)
    integrator, spacing = INTEGRATORS[spec.integrator]
    steps = [s for s in (16, 32, 64, 128, 256, 512) if s < spec.finest]
    ends = {s: _coupled(fused, integrator, spacing, s, spec) for s in (*steps, spec.finest)}
    rows: list[Row] = []
    for s in steps:
        gap = ends[s] - ends[2 * s]
        weak = np.cos(2.0 * ends[s]) - np.cos(2.0 * ends[2 * s])
        rows.append(
            {
                "integrator": spec.integrator,
                "n_steps": s,
                "evaluations": s * integrator.evaluations,
                "strong": float(np.abs(gap).mean()),
                "weak": abs(float(weak.mean())),
                "weak_error": float(weak.std() / np.sqrt(spec.n)),
            }
        )
    return rows


def _coupled(fused: FusedScore, integrator: Integrator, spacing: Any, n_steps: int, spec: OrderSpec) -> np.ndarray:
    """End points on every ``finest / n_steps``-th time, driven by the noise of the fine grid.

    A coarse increment is the fine ones weighted in the clock ``int (g / alpha)^2 dt`` of the reverse process.
    """
    fine, n = spec.finest, spec.n
    all_times = time_steps(PROCESS, fine, spacing, t_min=_T_MIN).times
    clock = -np.diff(np.asarray(PROCESS.sigma(all_times) / PROCESS.alpha(all_times)) ** 2)
    rng = np.random.default_rng(spec.seed)
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


# ---------------------------------------------------------------------- evaluations
@final
@dataclass(frozen=True)
class EvaluationSpec:
    """One integrator, tried with growing budgets until its error is small enough: a search, so one cell."""

    integrator: str
    budgets: tuple[int, ...]
    n: int
    seed: int


@functools.lru_cache(maxsize=2)
def _limit(stochastic: bool) -> GridDensity:
    """Law that a scheme tends to."""
    fused = fused_score(reference_problem(), _WEIGHTS)
    return fokker_planck_1d(fused, t_min=_T_MIN) if stochastic else _flow_law(fused)


@study_cells(
    version=1, factors=("integrator", "evaluations"), volatile=("sample_cpu_s",), name="sampling_error/evaluation"
)
def run_evaluation_cell(spec: EvaluationSpec) -> list[Row]:
    """Total variation to the scheme's own limit against the number of score evaluations; one row a budget."""
    fused = fused_score(reference_problem(), _WEIGHTS)
    integrator, spacing = INTEGRATORS[spec.integrator]
    stochastic = integrator.law.startswith("fused")
    sampler = FusedSampler(integrator) if stochastic else FlowSampler(integrator)
    law = _limit(stochastic)
    rows: list[Row] = []
    for budget in spec.budgets:
        steps = time_steps(PROCESS, budget // integrator.evaluations, spacing, t_min=_T_MIN)  # type: ignore[arg-type]
        started = time.process_time()
        result = run_quietly(fused, spec.n, sampler, steps=steps, rng=spec.seed)
        seconds = time.process_time() - started
        tv = total_variation_from_samples(result.x, law, n_bins=16)
        floor = total_variation_floor(result.x, law, n_bins=16)
        row: Row = {"integrator": spec.integrator, "evaluations": budget, "tv": tv.value, "floor": floor}
        rows.append(row | {"sample_cpu_s": seconds})
        if tv.value < _ENOUGH:
            break
    return rows


def _flow_law(fused: FusedScore) -> GridDensity:
    """Law of the probability flow on the line: the flow is monotone, so quantiles map to quantiles."""
    from scipy.stats import norm

    levels = (np.arange(4000) + 0.5) / 4000
    x = norm.ppf(levels)[:, None]
    integrator, reverse = Heun(stochastic=False), ReverseProcess(fused.score, PROCESS, np.zeros_like)
    times = time_steps(PROCESS, 1024, t_min=_T_MIN).times
    for t, t_next in pairwise(times):
        x, _ = integrator.advance(reverse, x, (None, float(t), float(t_next)), None)
    edges = np.concatenate([[x[0, 0] - 0.1], 0.5 * (x[1:, 0] + x[:-1, 0]), [x[-1, 0] + 0.1]])
    return GridDensity(edges, (1.0 / 4000) / np.diff(edges), 1e-4, "monotone transport of quantiles")
