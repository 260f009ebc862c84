"""
A solver of your own
====================

A solver is a frozen dataclass with a name and ``solve``. It returns weights and no verdict: the gap is computed
outside it, so a poor solver is found out. Here a random search takes the place of one.
"""

from dataclasses import dataclass
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

from solvers import Candidate, SimplexQP, solve


@dataclass(frozen=True)
class RandomSearch:
    """The best of ``n_points`` random weights."""

    n_points: int = 100
    name: ClassVar[str] = "random_search"
    requires: ClassVar[str] = "quadratic"

    def solve(self, objective, *, tol, max_iter, start, rng):
        """Weights, and how many were tried."""
        weights = np.random.default_rng(0).dirichlet(np.ones(objective.dim), self.n_points)
        values = [objective.value(w) for w in weights]
        return Candidate(weights[int(np.argmin(values))], self.n_points)


problem = SimplexQP([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 3.0]], [-0.4, -0.2, -0.9])
result = solve(problem, RandomSearch(), tol=1e-6)
print(result)

# %%
# The certified gap never lies below the true excess, however poor the solver.
best = solve(problem)
sizes = [10, 30, 100, 300, 1000, 3000]
found = [solve(problem, RandomSearch(n), tol=1e-6) for n in sizes]
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.loglog(sizes, [result.gap for result in found], "o-", color="tab:red", label="certified gap")
ax.loglog(sizes, [result.value - best.value for result in found], "s-", color="tab:blue", label="true excess")
ax.set(xlabel="weights tried", ylabel="objective")
ax.legend(frameon=False)
plt.show()

# %%
# ``solvers.testing`` holds the conformance suite, and ``examples/sfbench-solver-plugin`` a distribution with an entry
# point.
