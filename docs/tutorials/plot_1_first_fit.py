"""
A first fit
===========

Three auxiliary models, 500 points of a target that none of them is, and one call: weights on the simplex, certified.
Ten lines lead from nothing to the figure.
"""

import sfbench
from synthetic import make_problem

problem = make_problem("shifted_gaussians", k=3, d=2)
x = problem.target.sample(500, rng=0)
process = sfbench.OrnsteinUhlenbeck()
result = sfbench.fuse(problem.auxiliaries, x, process=process, rng=0)
print(result.summary())
drawn = sfbench.sample(result, 1000, "fused", rng=1)
print(drawn)
ax = sfbench.plot_samples(drawn, problem.target)

# %%
# The points are samples of the *fused law*, the lines are contours of the target's density. The summary says whether
# the weights are optimal (a duality gap, no reference needed), how precise they are (intervals), and whether the models
# can explain the points at all.
#
# Next: :doc:`the same with networks of your own <plot_2_own_networks>`.
