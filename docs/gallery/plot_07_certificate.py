"""
What a certificate certifies
============================

A certificate bounds the divergence of the target from the fused law by what score matching measures. For Gaussians the
fused law is exact, so the bound can be held against the truth at every weight; half of it must fail.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from sfbench.bounds import certificate
from sfbench.laws import affine_fused_law
from synthetic import make_problem

process = sfbench.OrnsteinUhlenbeck()
problem = make_problem("shifted_gaussians", k=2, d=3)
grid = np.linspace(0, 1, 21)
bounds = [certificate(problem, (w, 1 - w), process=process) for w in grid]
laws = [affine_fused_law(problem.auxiliaries, (w, 1 - w), process=process) for w in grid]
exact = [sfbench.metrics.kl_divergence(problem.target, law).value for law in laws]

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(grid, [bound.value for bound in bounds], color="tab:red", label="certificate")
ax.plot(grid, exact, "o", color="tab:blue", label="KL(target, fused law), exact")
ax.plot(grid, [bound.value / 2 for bound in bounds], color="0.6", ls=":", label="half the certificate: violated")
ax.set(xlabel="weight of auxiliary 1", ylabel="nats")
ax.legend(frameon=False, loc="upper center")
plt.show()

# %%
# The assumptions travel with the number.
print(bounds[10].label)
print(*bounds[10].assumptions, sep="\n")
