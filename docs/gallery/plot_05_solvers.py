"""
Every solver is judged by the same gap
======================================

A solver returns weights and has no say on whether they are right. The duality gap is computed outside it, from the
problem alone, and bounds how far the weights may be from optimal.
"""

import matplotlib.pyplot as plt
import numpy as np

from solvers import SimplexQP, available_solvers, solve

rng = np.random.default_rng(0)
scores = rng.normal(size=(200, 12))
problem = SimplexQP(scores.T @ scores / 200, -(scores.T @ scores[:, :4].mean(1)) / 200)

names = ["auto", "active_set", "piqp", "cvxpy", "projected_gradient", "frank_wolfe", "exponentiated_gradient"]
results = {name: solve(problem, name, tol=1e-8) for name in names}
for name, result in results.items():
    print(f"{name:24s} gap {result.gap:.1e}  {result.n_iter} iterations")

# %%
# Gaps below rounding are drawn at 1e-17.
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
axes[0].barh(names, [max(result.gap, 1e-17) for result in results.values()], color="tab:blue")
axes[0].axvline(1e-8, color="tab:red", ls="--")
axes[0].set(xscale="log", xlabel="certified gap", title="dashed: the tolerance asked for")
axes[0].invert_yaxis()
axes[1].bar(np.arange(1, 13), results["auto"].weights, color="tab:orange")
axes[1].set(xlabel="auxiliary", ylabel="weight", title='weights of "auto"')
plt.show()

# %%
# What can be used on this machine; plugins appear here too.
print(available_solvers())
