r"""Maximum likelihood in the log-linear family: weights of the KL barycenter without a diffusion.

    w_hat = argmin over the simplex of  log Z(w) - mean_n sum_i w_i log p_i(x_n),

convex, with gradient ``E_{p_w}[log p_i] - mean_n log p_i(x_n)`` and Hessian ``Cov_{p_w}(log p_i)``. If the target is a
pool of the auxiliaries, its weights are the population minimiser exactly, with no bias from a time window. Log Z is
computed by quadrature, so the auxiliaries must be laws that differ in at most two dimensions.

Intervals and diagnostics use the local quadratic model at the fit: ``G = H/2``, and b chosen so that per-sample
gradients ``2(G w - b_n)`` are those of the likelihood. As everywhere, densities are taken relative to model 0, which
changes nothing on the simplex.
"""

from collections.abc import Sequence

import numpy as np

from solvers import LogPartitionObjective, SimplexSolver, SolverResult, solve
from synthetic import GaussianMixture, IntractableError, common_subspace, components_of
from synthetic.quadrature import cover

from .._internal.aliases import Float64Array, FloatArray
from ..errors import ModelError
from ..statistics.gram import ScoreGram, local_gram


def likelihood_fit(
    auxiliaries: Sequence[object],
    x: FloatArray,
    *,
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    keep: int = 4096,
) -> tuple[SolverResult, ScoreGram]:
    """Fit the weights and return them with the local quadratic model of the objective.

    Raises
    ------
    ModelError
        If an auxiliary is not a law of known density, or dimensions differ.
    IntractableError
        If the laws differ in more than two dimensions.
    """
    laws = [part for law in auxiliaries for part in components_of(law) if part is law]
    if len(laws) < len(auxiliaries):
        raise ModelError(
            "objective 'likelihood' needs auxiliaries with densities (laws); use 'score_matching', or "
            "sfbench.sampling.fit_from_scores"
        )
    if laws[0].dim != x.shape[1]:
        raise ModelError(f"models live in {laws[0].dim} dimensions, data in {x.shape[1]}")
    subspace = common_subspace(laws)
    if subspace is None or subspace.rank > 2:
        raise IntractableError(
            "objective 'likelihood' needs laws that differ in at most two dimensions; use 'score_matching'"
        )
    grid = cover(subspace.cores)
    base, nodes = _relative(subspace.cores, grid.nodes)
    _, data = _relative(subspace.cores, np.asarray(x if subspace.variance is None else subspace.project(x)))
    objective = LogPartitionObjective(nodes, base + np.log(grid.cell), data.mean(axis=0))
    answer = solve(objective, solver, tol=tol)
    hessian = objective.hessian(answer.weights)
    gradients = objective.gradient(answer.weights) + (data.mean(axis=0) - data)  # expected densities less those of rows
    return answer, local_gram(hessian, gradients, answer.weights, keep, "log likelihood, local quadratic model")


def _relative(cores: Sequence[GaussianMixture], y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """``log p_0`` (n,) and ``log p_i - log p_0`` (n, k) at points (n, r)."""
    logs = np.stack([np.asarray(core.log_prob(y), np.float64) for core in cores], axis=1)
    return logs[:, 0], logs - logs[:, :1]
