r"""Cells of the complexity study: pure functions of frozen specs (see :mod:`benchmarks.complexity`)."""

import functools
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench import OrnsteinUhlenbeck, bounds
from sfbench.metrics import kl_divergence, total_variation
from sfbench.processes import ForwardProcess, make_process
from sfbench.processes.times import time_grid
from sfbench.statistics.estimators import ESTIMATORS, Estimator
from sfbench.statistics.gram import Contributions, ScoreGram
from sfbench.statistics.passes import score_gram, simulated_grams
from sfbench.statistics.population import population_gram
from sfbench.statistics.settings import GramSettings
from solvers import SolverResult, solve
from synthetic import (
    EffectiveSampleSizeError,
    Estimate,
    GaussianMixture,
    IntractableError,
    Law,
    PoolSample,
    SyntheticProblem,
    as_gaussian_mixture,
    load_module,
    make_problem,
)

from ..common.study import Row, cell_rng, study_cells

PROCESS, WINDOW = "ornstein_uhlenbeck", (1e-3, 5.0)
_NODES, _POPULATION_NODES = 16, 32
_MOMENT_SAMPLES = 20_000
ESTIMATOR_TIMES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_ESTIMATOR_N = 64
_WINDOWS = ((1e-4, 2e-4), (1e-3, 0.1), (1e-3, 1.0), (1e-3, 5.0))
_DELTA = 0.05
_TIMED_S = 0.02


@final
@dataclass(frozen=True)
class Setting:
    """What a whole study is about; one at all defaults is written as the problem's name alone.

    Attributes
    ----------
    problem : str
    params : tuple of (name, value)
        Parameters of the family other than d and k that are studied.
    process : str
    window : (float, float)
    modules : tuple of str
        Modules that register the problem, process or estimator; every worker loads them.
    """

    problem: str
    params: tuple[tuple[str, Any], ...] = ()
    process: str = PROCESS
    window: tuple[float, float] = WINDOW
    modules: tuple[str, ...] = ()

    @property
    def short(self) -> "str | Setting":
        """The setting as specs hold it."""
        return self.problem if self == Setting(self.problem) else self

    def load(self) -> ForwardProcess:
        """The process, with everything registered that the modules register."""
        for where in self.modules:
            load_module(where)
        return make_process(self.process)

    def build(self, d: int | None, k: int | None, root_seed: int) -> SyntheticProblem:
        """The problem of a cell; its geometry depends on the root seed, not on the cell's."""
        self.load()
        params = dict(self.params) | {key: value for key, value in (("d", d), ("k", k)) if value is not None}
        if self.problem == "paper_mixture_1d" and not params:
            params = {"space": "raw", "scale": 6.0, "target": "barycenter", "weights": (0.5, 0.5)}
        return make_problem(self.problem, rng=root_seed, **params)

    def __str__(self) -> str:
        parts = [self.problem, *(f"{name}={value}" for name, value in self.params)]
        parts += [self.process] if self.process != PROCESS else []
        parts += [f"t in [{self.window[0]:g}, {self.window[1]:g}]"] if self.window != WINDOW else []
        return ", ".join(parts)


def as_setting(problem: str | Setting) -> Setting:
    """The setting of a spec."""
    return Setting(problem) if isinstance(problem, str) else problem


@final
@dataclass(frozen=True)
class CellSpec:
    """One data draw of one problem: everything that its record depends on."""

    study: str
    problem: str | Setting
    d: int | None
    k: int | None
    sizes: tuple[int, ...]
    seed: int
    root_seed: int
    estimator: Estimator
    solvers: tuple[str, ...]


@final
@dataclass(frozen=True)
class EstimatorSpec:
    """One data draw of the estimator comparison at one time."""

    t: float
    seed: int
    root_seed: int
    n: int = _ESTIMATOR_N


# ---------------------------------------------------------------------- truth, shared by the cells of one problem
@final
@dataclass(frozen=True, eq=False)
class Truth:
    """What a problem's cells are compared with."""

    problem: SyntheticProblem
    process: ForwardProcess
    window: tuple[float, float]
    population: ScoreGram
    weights: np.ndarray
    moments: Contributions
    mismatch: bounds.Bound | None
    reference: Law
    sample: PoolSample | None = None


@functools.lru_cache(maxsize=8)
def truth(name: str | Setting, d: int | None, k: int | None, root_seed: int, estimator: Estimator, n: int) -> Truth:
    """Population statistics, optimum, and moments from an independent stream.

    Where no exact statistics are known, they come from a stream of 20 n samples (at most 400,000), n the largest fit
    that is compared with them: the excess of a fit is then 5 % too large on average.
    """
    setting = as_setting(name)
    problem, process, window = setting.build(d, k, root_seed), setting.load(), setting.window
    settings = GramSettings(process, time_grid(*window, _NODES), estimator)
    stream = np.random.default_rng([root_seed, 1])
    sample = simulated_grams(
        problem.auxiliaries, problem.target, settings, [_MOMENT_SAMPLES], keep=_MOMENT_SAMPLES, rng=stream
    )[0]
    try:
        population = population_gram(problem, process=process, grid=time_grid(*window, _POPULATION_NODES))
    except IntractableError:
        population = sample
        if 20 * n > 1.1 * _MOMENT_SAMPLES:
            stream = np.random.default_rng([root_seed, 2])
            size = min(20 * n, 20 * _MOMENT_SAMPLES)
            population = simulated_grams(problem.auxiliaries, problem.target, settings, [size], rng=stream)[0]
    optimum = solve(population.to_qp(), "active_set", tol=1e-12).weights
    assert sample.contributions is not None
    mismatch = None
    if population.c is not None:
        mismatch = bounds.prior_mismatch(problem.target, process, window[1])
    reference = problem.barycenter(optimum)
    drawn = PoolSample(reference) if getattr(reference, "partition_method", None) == "envelope" else None  # type: ignore[arg-type]
    return Truth(problem, process, window, population, optimum, sample.contributions, mismatch, reference, drawn)


# ---------------------------------------------------------------------- cells
@functools.cache
def _has_exact_statistics(name: str | Setting, d: int | None, k: int | None, root_seed: int) -> bool:
    setting = as_setting(name)
    try:
        middle = float(np.sqrt(setting.window[0] * setting.window[1]))
        node = time_grid(middle, middle, 1)
        population_gram(setting.build(d, k, root_seed), process=setting.load(), grid=node)
    except IntractableError:
        return False
    return True


def _sharing(spec: CellSpec) -> Hashable:
    """Cells that go to one worker: those of one truth, if it has to be sampled, in blocks of 25 seeds."""
    if _has_exact_statistics(spec.problem, spec.d, spec.k, spec.root_seed):
        return spec
    return spec.problem, spec.d, spec.k, spec.root_seed, spec.sizes, spec.seed // 25


@study_cells(
    version=3,
    factors=("study", "problem", "estimator", "solver", "n", "d", "k"),
    volatile=("solve_s", "gram_cpu_s"),
    bounds={"slow_bound": "excess", "fast_rate": "excess", "certificate_kl": "kl", "certificate_tv": "tv"},
    labels={
        "tv": "total variation to the barycenter",
        "excess": "excess objective",
        "slow_bound": "slow rate",
        "fast_rate": "fast rate, asymptotic",
        "kl": "KL from the target to the fused law (nats)",
        "certificate_kl": "Girsanov certificate",
        "certificate_tv": "certificate by Pinsker",
        "solve_s": "time of one solve (s)",
        "gram_cpu_s": "CPU time of one pass (s)",
    },
    name="complexity/sweep",
    group=_sharing,
)
def run_cell(specs: Sequence[CellSpec]) -> list[list[Row]]:
    """Rows of every cell, one by one: nothing but the truth is shared."""
    return [_rows(spec) for spec in specs]


def _rows(spec: CellSpec) -> list[Row]:
    """Fit weights to every prefix of one data draw and compare them with the truth; one row per size and solver."""
    exact = truth(spec.problem, spec.d, spec.k, spec.root_seed, spec.estimator, max(spec.sizes))
    settings = GramSettings(exact.process, time_grid(*exact.window, _NODES), spec.estimator)
    problem, setting = exact.problem, as_setting(spec.problem)
    about = {} if setting.short == setting.problem else {"setting": str(setting)}
    started = time.process_time()
    grams = simulated_grams(problem.auxiliaries, problem.target, settings, spec.sizes, rng=cell_rng(spec))
    gram_cpu_s = time.process_time() - started
    rows = []
    for gram in grams:
        baseline: np.ndarray | None = None
        for name in spec.solvers:
            answer, solve_s = _timed_solve(gram, name)
            baseline = answer.weights if baseline is None else baseline
            row = {
                "study": spec.study,
                "problem": setting.problem,
                **about,
                "d": problem.dim,
                "k": problem.k,
                "n": gram.n,
                "seed": spec.seed,
                "estimator": spec.estimator,
                "solver": name,
                "weights": answer.weights.tolist(),
                "optimum": exact.weights.tolist(),
                "excess": max(exact.population.excess(answer.weights, exact.weights), 0.0),
                "gap": answer.gap,
                "scale": answer.scale,
                "solve_s": solve_s,
                "distance": float(np.abs(answer.weights - baseline).max()),
                "gram_cpu_s": gram_cpu_s,
                "rounded_gap": _gap(gram, np.round(answer.weights, 2)),
            }
            if name == spec.solvers[0]:
                row |= _compare(exact, answer.weights, gram.n, answer.gap)
            rows.append(row)
    return rows


def _timed_solve(gram: ScoreGram, name: str) -> tuple[SolverResult, float]:
    """An answer and its least seconds within some time: the first call after a heavy backend finds cold caches."""
    problem, spent, least = gram.to_qp(), 0.0, np.inf
    while spent < _TIMED_S:
        answer = solve(problem, name)
        seconds = answer.build_s + answer.solve_s
        spent, least = spent + max(seconds, 1e-3), min(least, seconds)
    return answer, float(least)


def _gap(gram: ScoreGram, weights: np.ndarray) -> float:
    """Frank-Wolfe gap of arbitrary weights, renormalised: the negative control of the solvers' certificates."""
    w = weights / weights.sum()
    gradient = 2.0 * (gram.G @ w - gram.b)
    return float(gradient @ w - gradient.min())


def _compare(exact: Truth, weights: np.ndarray, n: int, gap: float) -> Row:
    """Distances to the truth, bounds and their checks."""
    distance = _distance(exact, weights)
    slow = bounds.slow_rate(exact.moments, n, _DELTA)
    excess = max(exact.population.excess(weights, exact.weights), 0.0)
    row: Row = {
        "tv": distance.value,
        "tv_stderr": distance.stderr,
        "slow_bound": slow.value,
        "slow_holds": bounds.check(excess, slow).holds,
    }
    if np.all(exact.weights > 1e-6) and exact.population.k > 1:
        row["fast_rate"] = bounds.fast_rate(exact.population, exact.moments, n, exact.weights).value
    if exact.mismatch is None:
        return row
    terms = bounds.error_terms(exact.population, weights, exact.weights, gap, exact.mismatch)
    certificate = bounds.instance_certificate(exact.population.value(weights), exact.mismatch)
    row |= {
        "prior_mismatch": terms.prior_mismatch,
        "best_in_simplex": terms.best_in_simplex,
        "statistical_excess": terms.statistical_excess,
        "optimiser_gap": terms.optimiser_gap,
        "certificate_kl": certificate.value,
        "certificate_tv": bounds.total_variation_certificate(certificate).value,
    }
    observed = exact_divergence(exact, weights)
    if observed is not None:
        row |= {"kl": observed.value, "certificate_holds": bounds.check(observed, certificate).holds}
    return row


def _distance(exact: Truth, weights: np.ndarray) -> Estimate:
    """Total variation to the barycenter at the optimum; from the draws made for all cells if they reach so far."""
    if exact.sample is not None:
        try:
            return exact.sample.total_variation(weights)
        except EffectiveSampleSizeError:
            pass
    return total_variation(exact.problem.barycenter(weights), exact.reference)


def exact_divergence(exact: Truth, weights: np.ndarray) -> Estimate | None:
    """``KL(q_delta || P_w)`` in closed form where the fused law is Gaussian: commuting problems; else None."""
    problem, process, (t_min, t_max) = exact.problem, exact.process, exact.window
    laws = [law for law in map(as_gaussian_mixture, problem.auxiliaries) if law is not None and law.n_components == 1]
    unit = len(laws) == problem.k and all(law.is_isotropic and law.spectrum.values[0, 0] == 1.0 for law in laws)
    target = as_gaussian_mixture(problem.target)
    if not unit or target is None:
        return None
    means = np.stack([law.means[0] for law in laws])
    mean, variance = bounds.gaussian_fused_law(means, weights, process, t_min, t_max)
    noised = target.diffuse(float(process.alpha(t_min)), float(process.sigma(t_min)))
    return kl_divergence(noised, GaussianMixture([1.0], mean[None], variance))


@study_cells(version=1, factors=("estimator", "t", "n"), name="complexity/estimator")
def run_estimator_cell(spec: EstimatorSpec) -> list[Row]:
    """Fitted weight of the reference problem at one time, by each estimator on the same data."""
    problem = Setting("paper_mixture_1d").build(None, None, spec.root_seed)
    x = problem.target.sample(spec.n, rng=cell_rng(spec, "data"))
    rows = []
    for estimator in ESTIMATORS:
        settings = GramSettings(OrnsteinUhlenbeck(), time_grid(spec.t, spec.t, 1), estimator)
        gram = score_gram(problem.auxiliaries, x, settings, rng=cell_rng(spec, "noise"))
        weight = float(solve(gram.to_qp(), "active_set").weights[0])
        rows.append({"t": spec.t, "seed": spec.seed, "n": spec.n, "estimator": estimator, "weight": weight})
    return rows


@final
@dataclass(frozen=True)
class WindowsSpec:
    """The reference problem of a root seed."""

    root_seed: int


@study_cells(version=1, factors=("t_min", "t_max"), name="complexity/windows")
def run_windows(spec: WindowsSpec) -> list[Row]:
    """Population weights of the reference problem by time window."""
    problem = Setting("paper_mixture_1d").build(None, None, spec.root_seed)
    rows = []
    for window in _WINDOWS:
        gram = population_gram(problem, process=OrnsteinUhlenbeck(), grid=time_grid(*window, _NODES))
        weights = solve(gram.to_qp(), "active_set", tol=1e-12).weights
        rows.append({"t_min": window[0], "t_max": window[1], "weight": float(weights[0])})
    return rows
