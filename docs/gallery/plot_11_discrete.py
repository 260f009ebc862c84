"""
Discrete spaces
===============

Ising chains, fused by their rates. Every state is listed, so the fused chain's law and the barycenter's
stand beside the samples.
"""

import matplotlib.pyplot as plt
import numpy as np

from sfbench.discrete import UniformNoise, fuse, sample
from synthetic.discrete import DiscretePool, all_states, make_discrete_problem

problem = make_discrete_problem("potts_chains", k=2, length=4, weights=(0.6, 0.4))
x = problem.target.sample(4000, rng=0)
fit = fuse(problem.auxiliaries, x, noise=UniformNoise(2), rng=0)
print(fit.summary())

# %%
# Probabilities of the states, most likely first: the corrected sampler against the barycenter at the fitted weights.
pool = DiscretePool(problem.auxiliaries, fit.weights)
states = all_states(2, 4)
exact = np.exp(pool.log_prob(states))
order = np.argsort(-exact)
fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ax.bar(np.arange(16), exact[order], color="0.85", label="barycenter, exact")
for sampler, marker in (("fused", "s"), ("corrected", "o")):
    drawn = sample(fit, 20_000, sampler, rng=1)
    mass = np.exp(drawn.log_weights - drawn.log_weights.max())
    share = np.bincount(drawn.x @ 2 ** np.arange(4), mass / mass.sum(), minlength=16)
    ax.plot(np.arange(16), share[states[order] @ 2 ** np.arange(4)], marker, ms=5, mfc="none", label=drawn.law)
ax.set(xlabel="state, by probability", ylabel="probability", xticks=np.arange(0, 16, 2))
ax.legend(frameon=False)
plt.show()
