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
# The intervals hold the weights that a test does not refuse; those of the problem are known.
interval = result.confidence_interval(0.9)
print(interval)
