"""One fit on a budget beside full passes: lengths of the intervals, and whether they hold the population's weights."""

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

import sfbench
from sfbench import OrnsteinUhlenbeck
from solvers import solve
from synthetic import GaussianMixture, SyntheticProblem, make_problem

from ..common.fits import quietly
from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
FAMILIES = ("reference", "random")
SAMPLES, NODES = 8000, 16
EVALUATIONS_A_MODEL = 16_000  # a full pass costs 256,000
TOLERANCE = 0.1


@final
@dataclass(frozen=True)
class BudgetSpec:
    """A family of problems and the number of the data set."""

    family: str
    number: int
    root_seed: int


@study_cells(version=1, factors=("family",), replicate="number", name="budget/fit")
def run_budget_cell(spec: BudgetSpec) -> Row:
    """Three fits of one data set: all nodes of few samples, the same evaluations on a budget, and to a tolerance."""
    problem, truth = _problem(spec.family, spec.root_seed)
    rng = cell_rng(spec)
    x = problem.target.sample(SAMPLES, rng=rng)
    few = EVALUATIONS_A_MODEL // (2 * NODES)
    seed = int(rng.integers(1 << 31))
    fits = {
        kind: quietly(sfbench.fuse, problem.auxiliaries, data, process=PROCESS, n_nodes=NODES, rng=seed, **options)
        for kind, data, options in (
            ("full", x[:few], {}),
            ("budget", x, {"evaluations": EVALUATIONS_A_MODEL * problem.k}),
            ("tolerance", x, {"weight_tol": TOLERANCE}),
        )
    }
    row: Row = {"k": problem.k}
    for name, fit in fits.items():
        ends = fit.confidence_interval(0.9)
        halved = 0.5 * (ends + fit.weights[:, None])
        row |= {
            f"{name}_length": float(np.ptp(ends, axis=1).max()),
            f"{name}_covered": _covered(ends, truth),
            f"{name}_covered_by_half": _covered(halved, truth),
            f"{name}_evaluations": fit.n_evaluations or problem.k * few * 2 * NODES,
        }
    return row


def _covered(ends: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


@functools.lru_cache(maxsize=2)
def _problem(family: str, root_seed: int) -> tuple[SyntheticProblem, np.ndarray]:
    """The reference problem on the line, or three random mixtures with a fourth as target; and the weights to cover."""
    if family == "reference":
        problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5))
    else:
        rng = np.random.default_rng([root_seed, 7])
        laws = [
            GaussianMixture(rng.dirichlet([3.0, 3.0]), rng.normal(0.0, 1.0, (2, 2)), rng.uniform(0.3, 0.8, 2) ** 2)
            for _ in range(3)
        ]
        target = GaussianMixture([0.5, 0.3, 0.2], [law.means[0] for law in laws], 0.4)
        problem = SyntheticProblem("random", target, tuple(laws), None)
    gram = sfbench.population_gram(problem, process=PROCESS, grid=sfbench.time_grid(1e-3, PROCESS.horizon, NODES))
    return problem, np.asarray(solve(gram.to_qp()).weights)
