"""Cells of the tutorial on studies: in a module of their own, because worker processes import it."""

from dataclasses import dataclass

import sfbench
from sfbench.experiments import cell_rng, study_cells
from synthetic import make_problem


@dataclass(frozen=True)
class Spec:
    n: int
    k: int
    seed: int


@study_cells(version=1, factors=("n", "k"), name="tutorial/rates")
def run_cell(spec):
    rng = cell_rng(spec)  # depends on the spec and nothing else
    problem = make_problem("shifted_gaussians", k=spec.k, d=8)
    x = problem.target.sample(spec.n, rng=rng)
    result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=rng)
    tv = sfbench.metrics.total_variation(problem.target, problem.barycenter(result.weights))
    return {"n": spec.n, "k": spec.k, "seed": spec.seed, "tv": tv.value}
