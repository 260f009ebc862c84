"""
How sure are the weights?
=========================

Forty fits to forty samples of 400 points, each with its 90 % interval for one weight. About four of forty should miss
the true weight; the boundary of the simplex, where intervals are hardest, is in view for the third auxiliary.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from synthetic import make_problem

process = sfbench.OrnsteinUhlenbeck()
problem = make_problem("shifted_gaussians", k=3, d=8, weights=(0.6, 0.38, 0.02))
intervals = []
for seed in range(40):
    x = problem.target.sample(400, rng=seed)
    result = sfbench.fuse(problem.auxiliaries, x, process=process, n_nodes=6, rng=seed)
    intervals.append(result.confidence_interval(0.9))
intervals = np.array(intervals)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
for ax, i in zip(axes, (0, 2), strict=True):
    truth, ends = problem.true_weights[i], intervals[:, i]
    hit = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    ax.hlines(np.arange(40), *ends.T, colors=np.where(hit, "tab:blue", "tab:red"))
    ax.axvline(truth, color="black", lw=1)
    ax.set(xlabel=f"weight {i + 1}", title=f"{hit.sum()} of 40 intervals hold {truth:.2f}")
axes[0].set_ylabel("sample")
plt.show()
