"""
A first fit
===========

Four Gaussians serve as auxiliaries, 1,000 points in 64 dimensions as data. One call fits weights, certifies them by a
duality gap, and says how sure they are.
"""

import sfbench
from synthetic import make_problem

problem = make_problem("shifted_gaussians", k=4, d=64)
x = problem.target.sample(1000, rng=0)
result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)
print(result.summary())

# %%
# The weights of the problem are known, and stand beside the fit with its 90 % intervals.
ax = result.plot_weights(truth=problem.true_weights)

# %%
# How close is the barycenter at these weights to the target?
print(sfbench.metrics.total_variation(problem.target, problem.barycenter(result.weights)))
