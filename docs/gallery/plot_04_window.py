"""
The window decides which weights are fitted
===========================================

Weights fitted near time zero are those of the best barycenter; over a long window, those of the best fused law. Here
the target is the barycenter at equal weights, and the statistics are exact: no sampling error is in the figure.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from synthetic import make_problem

process = sfbench.OrnsteinUhlenbeck()
problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5))
ends = np.geomspace(1e-3, 3.0, 8)
fitted = [
    sfbench.population_weights(problem, process=process, grid=sfbench.time_grid(1e-4, end, n_nodes=6))[0]
    for end in ends
]

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.semilogx(ends, fitted, "o-", color="tab:blue", label="best weight of this window")
ax.axhline(0.5, color="tab:orange", ls="--", label="weight of the barycenter")
ax.set(xlabel="end of the time window (start 0.0001)", ylabel="weight of auxiliary 1")
ax.legend(frameon=False)
plt.show()

# %%
# A fit tests whether early and late times ask for different weights, and warns if they do.
x = problem.target.sample(2000, rng=0)
result = sfbench.fuse(problem.auxiliaries, x, process=process, rng=0)
print(*result.warnings, sep="\n")
