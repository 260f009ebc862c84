"""Cells of the study on which faults are injected (see :mod:`benchmarks.faults`).

Each cell is real work: data of the reference problem, score-matching statistics, a simplex QP.
"""

import time
from dataclasses import dataclass
from typing import Any, final

from sfbench import GramSettings, OrnsteinUhlenbeck, score_gram, time_grid
from sfbench.experiments import Study, cell_rng, make_study, study_cells
from solvers import solve
from synthetic import make_problem

GRAM = GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 8))


@final
@dataclass(frozen=True)
class FaultSpec:
    """One data draw of the reference problem."""

    n: int
    seed: int
    least_ms: float = 0.0


@study_cells(version=1, factors=("n",), volatile=("wall_s",), name="faults/fault")
def run_fault_cell(spec: FaultSpec) -> dict[str, Any]:
    """Fit weights to one draw; takes at least ``least_ms`` of wall time."""
    started = time.perf_counter()
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    rng = cell_rng(spec)
    gram = score_gram(problem.auxiliaries, problem.target.sample(spec.n, rng=rng), GRAM, rng=rng)
    answer = solve(gram.to_qp(), "active_set")
    time.sleep(max(0.0, spec.least_ms / 1e3 - (time.perf_counter() - started)))
    return {"weights": answer.weights, "value": answer.value, "b": gram.b, "wall_s": time.perf_counter() - started}


def fault_study(cells: int, least_ms: float) -> Study:
    """Draws of sizes 32 and 64."""
    specs = [FaultSpec(n, seed, least_ms) for seed in range(-(-cells // 2)) for n in (32, 64)]
    return make_study("faults", run_fault_cell, specs[:cells])
