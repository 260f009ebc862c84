"""Cells of the coverage study: pure functions of frozen specs (see :mod:`benchmarks.coverage`)."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench.fusion.advice import fit_warnings
from sfbench.fusion.intervals import confidence_interval
from solvers import solve

from ..common.study import Row, cell_rng, study_cells
from .problems import CoverageProblem, Gaussians, Location, Mixtures, settings
from .sandwich import sandwich_intervals

LEVEL = 0.9
CONTROL = "sandwich"
_ROUNDING = 1e-7  # of weights; that of conic solvers with constraints


def _some_zero(k: int, zeros: int, multiplier: float, **options: Any) -> Location:
    """k weights of which some are zero, all with one multiplier."""
    own = np.linspace(2.0, 1.0, k - zeros)
    return Location((*(own / own.sum()).tolist(), *[0.0] * zeros), (multiplier,) * zeros, **options)


_QUARTER = (0.4, 0.3, 0.2, 0.1)
PROBLEMS: dict[str, tuple[CoverageProblem, tuple[int, ...]]] = {
    # weights and multipliers of an independent check, in standard errors at n = 1000
    "one at zero": (Location((0.405, 0.346, 0.0, 0.249), (0.03,), 1000, seed=1), (100, 1000, 10_000)),
    "two at zero": (Location((0.5, 0.381, 0.0, 0.0, 0.119), (0.7, 0.2), 1000, seed=2), (100, 1000, 10_000)),
    "two at zero, one clear": (
        Location((0.289, 0.0, 0.127, 0.584, 0.0), (2.9, 0.05), 1000, seed=3),
        (100, 1000, 10_000),
    ),
    "nearly a vertex": (Location((0.965, 0.0, 0.0, 0.035), (0.2, 1.4), 1000, seed=4), (100, 1000, 10_000)),
    "heavy tails, one at zero": (Gaussians(5, 3, degrees=5.0, zeros=1), (32, 200, 2000, 10_000)),
    # multipliers in standard errors at every n
    **{f"k = 2, multiplier {m}": (_some_zero(2, 1, m), (32, 1000)) for m in (0.03, 0.3, 1.0, 3.0)},
    **{f"k = 3, one multiplier {m}": (_some_zero(3, 1, m, seed=5), (32, 1000)) for m in (0.03, 0.3, 1.0, 3.0)},
    **{f"k = 5, two multipliers {m}": (_some_zero(5, 2, m, seed=6), (32, 1000)) for m in (0.03, 0.3, 1.0, 3.0)},
    **{f"k = 8, four multipliers {m}": (_some_zero(8, 4, m, seed=7), (32, 1000)) for m in (0.03, 1.0)},
    **{f"k = 16, eight multipliers {m}": (_some_zero(16, 8, m, decay=0.5, seed=8), (100, 1000)) for m in (0.03, 1.0)},
    **{f"a vertex, k = {k}": (_some_zero(k, k - 1, 0.0, seed=9), (100,)) for k in (3, 8)},
    # interior, where the normal law holds
    **{f"interior, k = {k}": (_some_zero(k, 0, 0.0, seed=10), (32, 1000, 10_000)) for k in (2, 3, 5)},
    "interior, k = 8": (_some_zero(8, 0, 0.0, seed=10), (100, 10_000)),
    # auxiliaries that look alike
    "collinear, two at zero": (_some_zero(5, 2, 0.0, decay=1.5, seed=11), (100, 1000)),
    "collinear, k = 8, two at zero": (_some_zero(8, 2, 0.0, decay=1.5, seed=12), (100, 1000)),
    "a model twice": (Location(_QUARTER, twins=1, seed=13), (100, 1000)),
    "two models twice, one at zero": (Location((0.5, 0.3, 0.2, 0.0), (0.3,), twins=2, seed=14), (1000,)),
    "two models 0.01 apart": (Location(_QUARTER, twins=1, apart=1e-2, seed=15), (1000,)),
    # constraints of the solver
    "cap 0.35": (Location(_QUARTER, cap=0.35, seed=16), (200, 2000)),
    "cap 0.6, one at zero": (Location((0.59, 0.41, 0.0), (0.5,), cap=0.6, seed=17), (200, 2000)),
    # heavy tails
    "t(5), one at zero": (Location((0.5, 0.3, 0.2, 0.0), (0.3,), degrees=5.0, seed=18), (32, 1000)),
    "t(2.5), one at zero": (Location((0.5, 0.3, 0.2, 0.0), (0.3,), degrees=2.5, seed=19), (32, 1000)),
    "other covariances, t(3)": (Gaussians(3, 2, degrees=3.0, seed=1), (32, 1000)),
    # misfit: pseudo-true weights
    "other covariances, k = 3": (Gaussians(3, 2, seed=2), (32, 1000)),
    "other covariances, k = 8": (Gaussians(8, 4, seed=3), (100, 1000)),
    "mixtures on the line, k = 3": (Mixtures(3), (32, 1000)),
    "mixtures on the line, k = 5": (Mixtures(5), (100, 1000)),
    "the reference problem": (Mixtures(), (32, 256, 4096)),
}
QUICK = ("two at zero", "heavy tails, one at zero", "k = 2, multiplier 0.3", "collinear, two at zero", "a model twice")


@functools.lru_cache(maxsize=16)
def problem_at(name: str, geometry: int) -> CoverageProblem:
    """The problem of this name with means and covariances drawn again for each number of a geometry; 0 is the first."""
    problem: Any = PROBLEMS[name][0]
    return dataclasses.replace(problem, seed=problem.seed + 1000 * geometry)  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class CoverageSpec:
    """Some independent draws of one problem."""

    problem: str
    n: int
    block: int
    draws: int
    root_seed: int
    geometry: int = 0


@study_cells(version=3, name="coverage", factors=("problem", "method", "n"), replicate="block")
def run_coverage_cell(spec: CoverageSpec) -> list[Row]:
    """By method: draws whose interval holds each population weight, mean widths, intervals that miss their own fit."""
    problem = problem_at(spec.problem, spec.geometry)
    truth = problem.truth(spec.n)
    rng = cell_rng(spec, "data")
    names = ("auto", CONTROL)
    hits = {name: np.zeros(len(truth), dtype=int) for name in names}
    width = {name: np.zeros(len(truth)) for name in names}
    missed = dict.fromkeys(names, 0)
    flagged = 0
    for _ in range(spec.draws):
        gram = problem.draw(spec.n, rng)
        backend = problem.solver or "auto"
        answer = solve(gram.to_qp(), backend, tol=1e-9 if problem.solver is None else 1e-6)
        weights = np.asarray(answer.weights)
        flagged += any("interval" in note for note in fit_warnings(gram, answer, settings().grid))
        found = confidence_interval(gram, weights, LEVEL, solver=backend)
        for name, interval in zip(names, (found, sandwich_intervals(gram, weights, LEVEL)), strict=True):
            low, high = interval[:, 0] - _ROUNDING, interval[:, 1] + _ROUNDING
            hits[name] += (low <= truth[:, 0]) & (truth[:, 1] <= high)
            width[name] += interval[:, 1] - interval[:, 0]
            missed[name] += bool(np.any((weights < low) | (weights > high)))
    return [
        {
            "problem": spec.problem,
            "n": spec.n,
            "method": name,
            "block": spec.block,
            "draws": spec.draws,
            "hits": hits[name].tolist(),
            "width": (width[name] / spec.draws).round(6).tolist(),
            "missed": missed[name],
            "flagged": flagged,
        }
        for name in names
    ]
