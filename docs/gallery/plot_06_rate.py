"""
The error falls like n to the power -1/2, in any dimension
==========================================================

Statistics stream: those of the first n rows are views of one pass. The error of the fused law depends on the number of
auxiliaries and not on the dimension.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from solvers import solve
from synthetic import make_problem

process, sizes = sfbench.OrnsteinUhlenbeck(), [64, 256, 1024, 4096]
settings = sfbench.GramSettings(process=process, grid=sfbench.time_grid(1e-3, 5.0, n_nodes=8))
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for d, marker in ((4, "o"), (64, "s"), (512, "^")):
    problem = make_problem("shifted_gaussians", k=4, d=d, weights=(0.4, 0.3, 0.2, 0.1))
    errors = np.empty((12, len(sizes)))
    for seed in range(12):
        x = problem.target.sample(max(sizes), rng=seed)
        for j, gram in enumerate(sfbench.prefix_grams(problem.auxiliaries, x, settings, sizes, rng=seed)):
            weights = solve(gram.to_qp()).weights
            errors[seed, j] = sfbench.metrics.total_variation(problem.target, problem.barycenter(weights)).value
    median = np.median(errors, axis=0)
    slope = np.polyfit(np.log(sizes), np.log(median), 1)[0]
    ax.loglog(sizes, median, marker=marker, label=f"d = {d}, slope {slope:.2f}")
ax.set(xlabel="samples n", ylabel="median total variation to the target")
ax.legend(frameon=False)
plt.show()
