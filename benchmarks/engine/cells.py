"""Cells of ``python -m benchmarks.engine``: the sweep by shared passes, cells of a known cost, trivial cells."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench import GramSettings, OrnsteinUhlenbeck, simulated_grams, time_grid
from solvers import solve
from synthetic import GaussianMixture, as_gaussian_mixture, make_problem

from ..common.study import cell_rng, study_cells

SIZES = tuple(64 * 2**i for i in range(8))
DIMS = (16, 32, 64, 256, 1024)
COUNTS = (2, 4, 8, 16)
STREAM_DIM = 8
SETTINGS = GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 16))


@final
@dataclass(frozen=True)
class SweepSpec:
    """One size, dimension, number of auxiliaries and data draw."""

    n: int
    d: int
    k: int
    seed: int


@final
@dataclass(frozen=True)
class _Stream:
    """What the random numbers of a shared pass depend on."""

    d: int
    seed: int


@study_cells(version=1, group=lambda spec: (spec.d, spec.seed), factors=("n", "d", "k"), name="engine/sweep")
def run_sweep(specs: Sequence[SweepSpec]) -> list[dict[str, Any]]:
    """Weights of all cells of one draw: one pass, prefixes over n, leading statistics over k.

    The pass always covers all sizes, so that no record depends on which other cells are asked for.
    """
    d, seed = specs[0].d, specs[0].seed
    problem = make_problem("shifted_gaussians", k=max(COUNTS), d=d, rng=0)
    grams = simulated_grams(problem.auxiliaries, problem.target, SETTINGS, SIZES, rng=cell_rng(_Stream(d, seed)))
    by_size = {gram.n: gram for gram in grams}
    records = []
    for spec in specs:
        answer = solve(by_size[spec.n].leading(spec.k).to_qp(), "active_set")
        records.append(
            {
                "n": spec.n,
                "d": d,
                "k": spec.k,
                "seed": seed,
                "weights": answer.weights,
                "value": answer.value,
                "gap": answer.gap,
            }
        )
    return records


INSIDE = [0.0]  # CPU seconds spent in the cells of this process


@study_cells(version=1, group=lambda spec: (spec.d, spec.seed), factors=("n", "d", "k"), name="engine/sweep_timed")
def run_sweep_timed(specs: Sequence[SweepSpec]) -> list[dict[str, Any]]:
    """The sweep, with its own CPU time added up."""
    started = time.process_time()
    records: list[dict[str, Any]] = run_sweep.function(specs)
    INSIDE[0] += time.process_time() - started
    return records


def sweep_specs(seeds: int) -> list[SweepSpec]:
    """The grid; 8,000 cells for 50 seeds."""
    return [SweepSpec(n, d, k, seed) for d in DIMS for seed in range(seeds) for n in SIZES for k in COUNTS]


@final
@dataclass(frozen=True)
class BusySpec:
    """A cell that computes for at least so long."""

    seed: int
    least_s: float


@study_cells(version=1, name="engine/busy")
def run_busy(spec: BusySpec) -> dict[str, float]:
    """Mixture scores, over and over, for ``least_s`` seconds of this process's CPU time."""
    rng = np.random.default_rng(spec.seed)
    law = GaussianMixture(np.full(16, 1 / 16), rng.standard_normal((16, 64)), 1.0)
    x, started, total = rng.standard_normal((2000, 64)), time.process_time(), 0.0
    while time.process_time() - started < spec.least_s:
        total = float(law.score(x)[0, 0])
    return {"score": total}


@final
@dataclass(frozen=True)
class TinySpec:
    """A cell that costs nothing."""

    n: int
    seed: int


@study_cells(version=1, factors=("n",), name="engine/tiny")
def run_tiny(spec: TinySpec) -> dict[str, Any]:
    """Six numbers."""
    return {
        "n": spec.n,
        "seed": spec.seed,
        "tv": 1.0 / (1 + spec.n),
        "kl": 0.5 / (1 + spec.seed),
        "weights": [0.25] * 4,
    }


def build_stream_models() -> tuple[list[GaussianMixture], GramSettings]:
    """Four auxiliaries in eight dimensions, eight time nodes."""
    problem = make_problem("shifted_gaussians", k=4, d=STREAM_DIM, rng=0)
    laws = [law for law in map(as_gaussian_mixture, problem.auxiliaries) if law is not None]
    return laws, GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 8))
