"""
Near-duplicate auxiliaries, and regularisation
==============================================

When auxiliaries nearly coincide, many weights serve equally well and the fitted ones are arbitrary among them. A ridge
towards equal weights chooses; the path shows at what strength it begins to cost.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from solvers import solve_path
from synthetic import make_problem

problem = make_problem("near_duplicates", k=5, d=6)
x = problem.target.sample(400, rng=0)
result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)
print(*result.warnings, sep="\n")

strengths = np.geomspace(1e-6, 1e2, 25)
qp = result.gram.to_qp()
path = solve_path(qp, strengths)
weights = np.array([point.weights for point in path])
excess = [qp.value(point.weights) - qp.value(result.weights) for point in path]

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].semilogx(strengths, weights, label=[f"auxiliary {i + 1}" for i in range(5)])
axes[0].set(xlabel="ridge", ylabel="weight")
axes[0].legend(frameon=False)
axes[1].loglog(strengths, np.maximum(excess, 1e-12), color="tab:red")
axes[1].set(xlabel="ridge", ylabel="excess of the objective")
plt.show()
