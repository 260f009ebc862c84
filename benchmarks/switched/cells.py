"""One run of a sampler on a random problem: its total variation to the exact fused law, and what it asked of models."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from sfbench import FusedScore, OrnsteinUhlenbeck
from sfbench._internal.aliases import Array
from sfbench.laws import GridDensity, fokker_planck_1d
from sfbench.processes.times import time_steps
from sfbench.sampling import (
    AdaptiveFlow,
    FlowSampler,
    FusedSampler,
    Integrator,
    Sampler,
    SampleRequest,
    SampleResult,
    SwitchedSampler,
    sample,
)
from sfbench.sampling.fused import follow
from sfbench.sampling.guard import CountedScore
from sfbench.sampling.integrators import ReverseProcess, as_integrator
from sfbench.sampling.switched import SwitchedScore, as_scheme
from synthetic import EmbeddedMixture, GaussianMixture

from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
T_MIN = 1e-3
FAMILIES = ("line", "embedded")
EMBEDDED_DIM = 16
ORDER_STEPS = (32, 64, 128, 256)
CELLS = 20  # of equal probability, over which total variation is taken

Method = Literal["all", "balanced", "independent", "shared", "one for all"]


@final
@dataclass(frozen=True)
class SwitchedSpec:
    """A problem (family, number of models, replicate), a method, its scheme and steps, and the number of points."""

    family: str
    k: int
    number: int
    method: Method
    scheme: str
    steps: int
    n: int
    root_seed: int


@final
@dataclass(frozen=True)
class OneForAll(Sampler):
    """Control: at every step one random model for all points."""

    scheme: str = "exponential"
    n_steps: int = 128

    @property
    def law(self) -> str:
        """None: every run has another."""
        return "no law (one random model for all points)"

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw."""
        switch = SwitchedScore(request.fused, request.n, "independent", 1, request.rng)

        def choose(step: int, t: float, rows: np.ndarray) -> None:
            weights = request.fused.weights_at(t)
            switch.labels = np.full(len(rows), request.rng.choice(len(weights), p=weights))

        score = CountedScore(switch, "one model", request.fused.models)
        return follow(request, as_integrator(self.scheme), score, choose)


@study_cells(version=1, factors=("family", "k", "method", "scheme", "steps"), replicate="number", name="switched/line")
def run_switched_cell(spec: SwitchedSpec) -> Row:
    """Total variation on the line in which models differ, its floor for independent points, and evaluations a point."""
    score, frame, exact = _problem(spec.family, spec.k, spec.number, spec.root_seed)
    sampler: Sampler
    if spec.method == "all":
        flow = "flow" in as_integrator(spec.scheme).law
        sampler = FlowSampler(spec.scheme) if flow else FusedSampler(spec.scheme)
    elif spec.method == "one for all":
        sampler = OneForAll(spec.scheme)
    else:
        sampler = SwitchedSampler(spec.scheme, spec.method)
    rng = cell_rng(spec)
    steps = time_steps(PROCESS, spec.steps, t_min=T_MIN)
    result = sample(score, spec.n, sampler, steps=steps, check_steps=False, rng=rng)
    return {
        "tv": _total_variation(result.x @ frame, exact),
        "floor": _total_variation(exact.sample(spec.n, rng=rng)[:, 0], exact),
        "exact_error": exact.error,
        "evaluations": result.diagnostics.n_model_evaluations,
    }


@final
@dataclass(frozen=True)
class OrderSpec:
    """Random Gaussians (number of models, replicate), a scheme of the flow, and how models are chosen."""

    k: int
    number: int
    method: Literal["balanced", "independent", "shared"]
    scheme: str
    root_seed: int


@study_cells(version=1, factors=("k", "method", "scheme"), replicate="number", name="switched/order")
def run_order_cell(spec: OrderSpec) -> Row:
    """Weak order by regression: errors of mean and second moment of the flow from one point, against its exact end.

    Scores of Gaussians are affine, so the end of the averaged flow is known to any accuracy. The mean is over 4,000
    points, whose choices are spread evenly; independent choices leave noise in it, a shared order is one choice.
    """
    rng = np.random.default_rng([spec.root_seed, spec.k, spec.number])
    means, variances = rng.normal(0.0, 1.5, spec.k), rng.lognormal(0.0, 0.7, spec.k)
    laws = [GaussianMixture([1.0], [[m]], v) for m, v in zip(means, variances, strict=True)]
    fused, n = FusedScore(laws, rng.dirichlet(np.full(spec.k, 2.0)), process=PROCESS), 4000
    exact = _flow_end(fused.score, AdaptiveFlow(), 4, np.full((1, 1), 1.5))[0, 0]
    errors = []
    for steps in ORDER_STEPS:
        scheme, hold = as_scheme(as_integrator(spec.scheme), spec.method)
        switch = SwitchedScore(fused, n, spec.method, hold, np.random.default_rng(spec.number))
        x = _flow_end(switch.score, scheme, steps, np.full((n, 1), 1.5), switch)
        errors.append(max(abs(float((x**p).mean()) - exact**p) for p in (1, 2)))
    order = -float(np.polyfit(np.log(ORDER_STEPS), np.log(errors), 1)[0])
    return {"order": order, "first_error": errors[0], "last_error": errors[-1]}


def _flow_end(
    score: Callable[..., Array], scheme: Integrator, steps: int, x: Array, switch: SwitchedScore | None = None
) -> Array:
    times = time_steps(PROCESS, steps, t_min=0.01, t_max=3.0).times.tolist()
    reverse, memory = ReverseProcess(score, PROCESS, np.zeros_like), None
    for j in range(steps):
        if switch is not None:
            switch.choose(j, times[j], np.arange(len(x)))
        x, memory = scheme.advance(reverse, x, (times[j - 1] if j else None, times[j], times[j + 1]), memory)
    return x


@functools.lru_cache(maxsize=2)
def _problem(family: str, k: int, number: int, root_seed: int) -> tuple[FusedScore, np.ndarray, GridDensity]:
    """Fused score of a random problem, the direction in which its models differ, and the fused law along it.

    Family "line": two modes a model, unequal weights. Family "embedded": three modes a model in a random direction of
    16 dimensions, whose other coordinates all models share; equal weights.
    """
    rng = np.random.default_rng([root_seed, FAMILIES.index(family), k, number])
    modes = 2 if family == "line" else 3
    cores = [
        GaussianMixture(
            rng.dirichlet(np.full(modes, 3.0)), 1.2 * rng.standard_normal((modes, 1)), rng.uniform(0.1, 0.5, modes) ** 2
        )
        for _ in range(k)
    ]
    weights = rng.dirichlet(np.full(k, 3.0)) if family == "line" else np.full(k, 1.0 / k)
    core = FusedScore(cores, weights, process=PROCESS)
    exact = fokker_planck_1d(core, t_min=T_MIN, n_cells=1500, steps=150)
    if family == "line":
        return core, np.ones(1), exact
    direction = np.linalg.qr(rng.standard_normal((EMBEDDED_DIM, 1)))[0]
    laws = [EmbeddedMixture(law, direction, 1.0, np.zeros(EMBEDDED_DIM)) for law in cores]
    return FusedScore(laws, weights, process=PROCESS), direction[:, 0], exact


def _total_variation(values: np.ndarray, exact: GridDensity) -> float:
    below = np.concatenate([[0.0], np.cumsum(exact.masses)])
    marks = np.interp(np.arange(1, CELLS) / CELLS, below / below[-1], exact.edges)
    shares = np.bincount(np.searchsorted(marks, values), minlength=CELLS) / len(values)
    return 0.5 * float(np.abs(shares - 1.0 / CELLS).sum())
