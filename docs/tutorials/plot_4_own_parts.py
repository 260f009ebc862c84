"""
My own problem, bound and solver
================================

Parts of your own enter through the same verbs as the built-in ones: a problem is a function, a bound compares a number
of a fit with its limit, a solver is a class with ``solve``. None of them is trusted: problems are checked, bounds are
held against exact truth, and a solver's answer is certified outside of it.
"""

# %%
# A problem
# ---------
# A function that takes ``rng``, for the geometry, and parameters with defaults; the decorator gives it a name.
import numpy as np

from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, family, make_problem


@family
def ring(*, rng, k: int = 3, width: float = 2.0, height: float = 0.6) -> SyntheticProblem:
    """Gaussians around an ellipse, turned at random; the target is their barycenter at weights 1 : 2 : ... : k."""
    angle = 2 * np.pi * (np.arange(k) / k + rng.random())
    laws = [GaussianMixture([1.0], [[width * np.cos(a), height * np.sin(a)]], 1.0) for a in angle]
    weights = np.arange(1.0, k + 1) / np.arange(1.0, k + 1).sum()
    return SyntheticProblem("ring", LogLinearPool(laws, weights), laws, weights, known={"weights": "true weights"})


problem = make_problem("ring", rng=0)
print(problem.true_weights)

# %%
# A solver
# --------
# Frank-Wolfe: towards the best vertex, by an exact line search. It returns weights and how many steps it took, and says
# nothing about how good they are; the duality gap does.
from dataclasses import dataclass
from typing import ClassVar

import sfbench
from solvers import Candidate


@dataclass(frozen=True)
class FrankWolfe:
    """Conditional gradients with exact line search."""

    name: ClassVar[str] = "frank_wolfe"
    requires: ClassVar[str] = "quadratic"

    def solve(self, objective, *, tol, max_iter, start, rng):
        """Steps towards vertices until the gap is small."""
        w = np.full(objective.dim, 1 / objective.dim)
        for i in range(max_iter or 10_000):
            gradient = objective.gradient(w)
            step = np.eye(objective.dim)[np.argmin(gradient)] - w
            slope = gradient @ step
            if -slope <= tol:
                return Candidate(w, i)
            curvature = step @ (objective.gradient(w + step) - gradient)
            w = w + min(1.0, -slope / curvature) * step
        return Candidate(w, i)


x = problem.target.sample(500, rng=0)
process = sfbench.OrnsteinUhlenbeck()
result = sfbench.fuse(problem.auxiliaries, x, process=process, solver=FrankWolfe(), tol=1e-6, rng=0)
print(result.weights, result.solver)

# %%
# A bound
# -------
# A function of one ``Run``: a problem, the fit to samples of it, and exact quantities made from them on demand. This
# one bounds the error of the weights by the curvature of the objective.
from sfbench.bounds import Bound, CheckedBound, check, check_bounds, register_bound
from sfbench.statistics.gram import tangent_basis


def weight_error(run):
    """``|w - w*| <= sqrt((J(w) - J(w*)) / c)``, with c the least curvature of J along the simplex."""
    basis = tangent_basis(run.problem.k)
    curvature = float(np.linalg.eigvalsh(basis.T @ run.exact.G @ basis)[0])
    limit = np.sqrt(run.exact.excess(run.weights, run.optimum) / curvature)
    bound = Bound(limit, "weights by strong convexity of J", "upper", ("w* is the optimum", "c > 0"))
    return [CheckedBound("|w - w*|", check(float(np.linalg.norm(run.weights - run.optimum)), bound))]


register_bound("weight_error", weight_error)
sizes = [64, 256, 1024, 4096]
found = []
for n in sizes:
    _, rows = check_bounds(problem, n=n)
    found.append(next(row.check for row in rows if row.quantity == "|w - w*|"))
    print(n, found[-1])

# %%
# It holds in every run. A bound that is violated is found out in the same way: ``sfbench check`` then fails.
from matplotlib import pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.loglog(sizes, [item.bound.value for item in found], "s-", label="bound")
ax.loglog(sizes, [item.observed.value for item in found], "o-", label="error of the weights")
ax.set(xlabel="samples of the target", ylabel="Euclidean distance")
ax.legend(frameon=False)
plt.show()

# %%
# In files, with entry points or ``--module`` on the command line, and samplers, metrics, processes, architectures:
# :doc:`/extending`. ``solvers.testing.check_solver`` is the conformance suite of solvers.
