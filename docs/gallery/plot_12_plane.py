"""
Fusing in the plane
===================

Three Gaussians of different shapes. Their barycenter is a Gaussian in closed form; the fused law is another one, wider
here, because pooling does not commute with noise when covariances differ.
"""

import matplotlib.pyplot as plt
import numpy as np

import sfbench
from synthetic import GaussianMixture, LogLinearPool

shapes = [((-1.5, 0.0), (2.0, 0.2)), ((1.5, 0.0), (0.2, 2.0)), ((0.0, 2.0), (0.6, 0.6))]
laws = [GaussianMixture([1.0], [mean], [variances]) for mean, variances in shapes]
weights = (0.4, 0.4, 0.2)
score = sfbench.FusedScore(laws, weights, process=sfbench.OrnsteinUhlenbeck())
barycenter = LogLinearPool(laws, weights)

fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for law, color in zip(laws, ("tab:green", "tab:purple", "tab:brown"), strict=True):
    axes[0].plot(*law.sample(600, rng=0).T, ".", ms=3, alpha=0.5, color=color)
axes[0].set(title="auxiliaries", xlabel="x[0]", ylabel="x[1]", aspect="equal")
for ax, name in zip(axes[1:], ("fused", "corrected"), strict=True):
    drawn = sfbench.sample(score, 2000, name, steps=96, rng=0)
    sfbench.plot_samples(drawn, barycenter, ax=ax)
    ax.get_legend().remove()
    ax.set_title(f'"{name}", contours: barycenter')
plt.show()

# %%
# Spread of each law along the first axis.
drawn = sfbench.sample(score, 4000, "fused", steps=96, rng=0)
print("fused     ", np.std(drawn.x, axis=0).round(3))
print("barycenter", np.std(barycenter.sample(4000, rng=0), axis=0).round(3))
