"""
Two laws behind one averaged score
==================================

The averaged score samples the *fused law*. The *KL barycenter*, the normalised product of the densities to the power
of the weights, is another law unless pooling commutes with noise. Both are exact here: the first by the Fokker-Planck
equation, the second by quadrature.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from synthetic import LogLinearPool, make_problem

problem = make_problem("paper_mixture_1d", scale=6.0)
weights = (0.5, 0.5)
score = sfbench.FusedScore(problem.auxiliaries, weights, process=sfbench.OrnsteinUhlenbeck())
fused = sfbench.laws.fokker_planck_1d(score)
barycenter = LogLinearPool(problem.auxiliaries, weights)

grid = np.linspace(-2.5, 2.5, 600)[:, None]
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for i, law in enumerate(problem.auxiliaries):
    ax.plot(grid, np.exp(law.log_prob(grid)), color="0.55", ls=("--", ":")[i], label=f"auxiliary {i + 1}")
ax.plot(grid, np.exp(fused.log_prob(grid)), color="tab:blue", label="fused law")
ax.plot(grid, np.exp(barycenter.log_prob(grid)), color="tab:orange", label="KL barycenter")
ax.set(xlabel="x", ylabel="density")
ax.legend(frameon=False)
plt.show()

# %%
# Their total variation, by quadrature. It does not vanish with better networks or more samples.
print(sfbench.metrics.total_variation(fused, barycenter))
