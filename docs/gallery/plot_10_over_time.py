"""
Weights that change with time
=============================

Where one vector of weights cannot serve all times, bins of time have their own. The data here come from a target that
the auxiliaries cannot express exactly.
"""

import sfbench
from synthetic import make_problem

process = sfbench.OrnsteinUhlenbeck()
problem = make_problem("paper_mixture_1d", scale=6.0)
x = problem.target.sample(2000, rng=0)
over_time = sfbench.fuse(problem.auxiliaries, x, process=process, t_min=1e-3, t_max=3.0, bins=8, rng=0)
print(over_time.summary())
ax = over_time.plot_weights()

# %%
# The fit is a source of samples like any other.
drawn = sfbench.sample(over_time, 2000, "fused", steps=96, rng=1)
ax = sfbench.plot_samples(drawn, problem.target)
