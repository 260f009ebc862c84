"""Cells of the sampling study on trust: windows, steps and log Z on problems that nothing was tuned on."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.metrics.from_samples import total_variation_from_samples
from sfbench.processes import ForwardProcess, make_process
from sfbench.processes.times import time_steps
from sfbench.sampling import CorrectedSampler
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture, LogLinearPool, as_gaussian_mixture, make_problem

from ..common.study import Row, study_cells
from .cells import run_quietly
from .checks import honest_window

_HALF = (0.5, 0.5)
_PROCESSES = ("ornstein_uhlenbeck", "variance_preserving", "variance_exploding")
_KINDS = ("pair", "four", "plane", "rank 2 of 8", "Gaussians", "product", "small common mode")


# ---------------------------------------------------------------------- windows
def _narrow(sd: float) -> list[GaussianMixture]:
    first = GaussianMixture([0.6, 0.4], [[-1.0], [1.0]], sd**2)
    return [first, GaussianMixture([0.3, 0.7], [[-1.0 + sd], [1.0 + sd]], sd**2)]


def _wide(sd: float) -> list[Any]:
    target = as_gaussian_mixture(make_problem("paper_mixture_1d", scale=1.0).target)
    assert target is not None
    return list(make_problem("paper_mixture_1d", scale=float(np.sqrt(target.covariance()[0, 0])) / sd).auxiliaries)


WINDOWS: dict[str, tuple[str, str, float]] = {
    **{f"modes of sd {sd}, OU": ("narrow", _PROCESSES[0], sd) for sd in (0.1, 0.03, 0.01, 0.005, 0.002)},
    **{f"data of sd {sd}, OU": ("wide", _PROCESSES[0], sd) for sd in (1, 60, 200, 600)},
    **{f"data of sd {sd}, VE": ("wide", _PROCESSES[2], sd) for sd in (1, 6, 10)},
}


@final
@dataclass(frozen=True)
class WindowSpec:
    """A problem with narrow modes or wide data, over the window chosen from its models or the process's own."""

    case: str
    chosen: bool
    n: int
    seed: int


@study_cells(version=1, factors=("case", "chosen"), name="sampling_error/window")
def run_window_cell(spec: WindowSpec) -> Row:
    """TV to the barycenter and log Z, and whether the result is trusted."""
    kind, name, sd = WINDOWS[spec.case]
    laws, process = (_narrow if kind == "narrow" else _wide)(sd), make_process(name)
    pool, steps = LogLinearPool(laws, _HALF), None if spec.chosen else time_steps(process, 256)
    result = run_quietly(FusedScore(laws, _HALF, process=process), spec.n, "corrected", steps=steps, rng=spec.seed)
    d = result.diagnostics
    assert d.log_partition is not None
    tv = total_variation_from_samples(result.x, pool, log_weights=result.log_weights).value
    row: Row = {"case": spec.case, "chosen": spec.chosen, "tv": tv, "trustworthy": d.trustworthy, "n_steps": d.n_steps}
    row |= {"log_z_gap": d.log_partition.value - pool.log_partition().value, "log_z_error": d.log_partition.stderr}
    row |= {"noise_left": d.noise_left, "prior_mismatch": d.prior_mismatch}
    return row | {"window_holds": honest_window(row)}


# ---------------------------------------------------------------------- random problems
def random_problem(index: int, seed: int) -> tuple[str, FusedScore, float, np.ndarray | None]:
    """Kind, fused score, exact log Z and blocks of a random problem."""
    rng = np.random.default_rng([seed, index])
    kind = _KINDS[index % len(_KINDS)]
    process: ForwardProcess = make_process(_PROCESSES[index // len(_KINDS) % len(_PROCESSES)])
    copies = int(rng.integers(2, 6)) if kind == "product" else 1
    laws: list[Any]
    if kind == "plane":
        laws = list(make_problem("random_mixtures", k=2, d=2, m=3, rng=rng).auxiliaries)
    elif kind == "rank 2 of 8":
        laws = list(make_problem("embedded_mixture", rank=2, d=8, k=2, m=3, rng=rng).auxiliaries)
    elif kind == "Gaussians":
        laws = list(make_problem("shifted_gaussians", k=3, d=5, rng=rng).auxiliaries)
    elif kind == "small common mode":
        share = float(rng.uniform(0.02, 0.1))
        laws = [GaussianMixture([1 - share, share], [[m], [1.0]], 0.09) for m in (-1.5, 3.0)]
    else:
        laws = [
            GaussianMixture(rng.dirichlet([2, 2]), rng.standard_normal((2, 1)), rng.uniform(0.1, 0.6, 2) ** 2)
            for _ in range(4 if kind == "four" else 2)
        ]
    weights = rng.dirichlet(np.full(len(laws), 3.0))
    log_z = copies * LogLinearPool(laws, weights).log_partition().value
    if copies == 1:
        return kind, FusedScore(laws, weights, process=process), log_z, None
    models = [ProductScore(AnalyticScore(law, process), copies) for law in laws]
    return kind, FusedScore(models, weights, process=process), log_z, models[0].blocks if rng.random() < 0.5 else None


@final
@dataclass(frozen=True)
class TrustSpec:
    """A sampler on a random problem."""

    index: int
    sampler: str
    n: int
    n_steps: int | None
    seed: int


@study_cells(version=1, factors=("kind", "sampler", "n_steps"), name="sampling_error/trust")
def run_trust_cell(spec: TrustSpec) -> Row:
    """Whether the result is trusted, and log Z against the truth."""
    kind, fused, log_z, blocks = random_problem(spec.index, spec.seed)
    sampler = CorrectedSampler(blocks=blocks) if spec.sampler == "corrected" else spec.sampler
    result = run_quietly(fused, spec.n, sampler, steps=spec.n_steps, rng=spec.seed + spec.index)
    d = result.diagnostics
    row: Row = {"index": spec.index, "kind": kind, "sampler": spec.sampler, "n_steps": spec.n_steps or 0}
    row |= {"trustworthy": d.trustworthy, "step_difference": d.step_difference, "messages": " / ".join(d.messages)}
    if d.log_partition is not None:
        row |= {"log_z_gap": d.log_partition.value - log_z, "log_z_error": d.log_partition.stderr}
        row["log_z_sampling"] = d.log_partition_errors["sampling"]
    return row
