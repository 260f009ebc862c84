"""
Samplers name the law that they sample
======================================

The fused sampler follows the averaged score. The corrected sampler carries weighted particles and reaches the KL
barycenter from the same scores.
"""

import matplotlib.pyplot as plt

import sfbench
from synthetic import LogLinearPool, make_problem

problem = make_problem("paper_mixture_1d", scale=6.0)
score = sfbench.FusedScore(problem.auxiliaries, (0.5, 0.5), process=sfbench.OrnsteinUhlenbeck())
laws = {
    "fused": sfbench.laws.fokker_planck_1d(score),
    "corrected": LogLinearPool(problem.auxiliaries, (0.5, 0.5)),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax, (name, law) in zip(axes, laws.items(), strict=True):
    drawn = sfbench.sample(score, 5000, name, steps=128, rng=0)
    print(drawn)
    sfbench.plot_samples(drawn, law, ax=ax)
    ax.set_title(drawn.law.partition(" (")[0])
plt.show()

# %%
# Distances of the points to each law, in total variation.
for name in laws:
    drawn = sfbench.sample(score, 5000, name, steps=128, rng=0)
    for other, law in laws.items():
        tv = sfbench.metrics.total_variation_from_samples(drawn.x, law, log_weights=drawn.log_weights)
        print(f"{name:10s} to the law of {other:10s} {tv.value:.3f}")
