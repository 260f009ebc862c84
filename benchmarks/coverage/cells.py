"""Cells of the coverage study: pure functions of frozen specs (see :mod:`benchmarks.coverage`)."""

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench import OrnsteinUhlenbeck, fuse
from sfbench.statistics.population import population_weights
from sfbench.times import time_grid
from synthetic import SyntheticProblem, make_problem

from ..common.study import Row, cell_rng, study_cells

WINDOW, NODES = (1e-3, 5.0), 16
PROBLEMS: dict[str, dict[str, Any]] = {
    "shifted_gaussians": {"k": 4, "d": 16},
    "paper_mixture_1d": {"scale": 6.0, "target": "barycenter"},
    "shifted_gaussians_vertex": {"k": 4, "d": 16, "weights": (0.0, 0.2, 0.3, 0.5)},
}


@final
@dataclass(frozen=True)
class CoverageSpec:
    """One data draw."""

    problem: str
    n: int
    draw: int
    root_seed: int


@functools.lru_cache(maxsize=4)
def _truth(name: str, root_seed: int) -> tuple[SyntheticProblem, np.ndarray]:
    problem = make_problem(name.removesuffix("_vertex"), rng=root_seed, **PROBLEMS[name])
    weights = population_weights(problem, process=OrnsteinUhlenbeck(), grid=time_grid(*WINDOW, NODES))
    return problem, weights


@study_cells(version=1, factors=("problem", "method", "n"), replicate="draw", name="coverage/coverage")
def run_coverage_cell(spec: CoverageSpec) -> list[Row]:
    """Whether 90 % intervals of one draw hold the population weights, by method."""
    problem, truth = _truth(spec.problem, spec.root_seed)
    x = problem.target.sample(spec.n, rng=cell_rng(spec, "data"))
    result = fuse(
        problem.auxiliaries,
        x,
        process=OrnsteinUhlenbeck(),
        t_min=WINDOW[0],
        t_max=WINDOW[1],
        n_nodes=NODES,
        rng=cell_rng(spec, "noise"),
    )
    rows = []
    for method in ("sandwich", "bootstrap"):
        interval = result.confidence_interval(0.9, method=method, rng=cell_rng(spec, method))
        middle, half = interval.mean(axis=1), 0.5 * np.ptp(interval, axis=1)
        rows.append(
            {
                "problem": spec.problem,
                "n": spec.n,
                "draw": spec.draw,
                "method": method,
                "truth": truth.tolist(),
                "covered": _holds(interval[:, 0], interval[:, 1], truth),
                "covered_by_third": _holds(middle - half / 3, middle + half / 3, truth),
            }
        )
    return rows


def _holds(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> list[bool]:
    rounding = 1e-9  # of a truth that is exactly at the boundary
    return [bool(flag) for flag in (low - rounding <= truth) & (truth <= high + rounding)]
