"""
My own PyTorch networks, to a saved and compared fit
====================================================

Three networks that plain PyTorch trained, and 300 points of a target that none of them has seen: which average of them
denoises the target best, is it better than each of them, and what does it draw? Replace the first block by yours.
"""

# %%
# The networks
# ------------
# Each has learned to predict noise on three clusters in the plane, which are frequent or rare in its own training data.
import torch

CENTRES = torch.tensor([[0.0, 1.5], [-1.3, -0.8], [1.3, -0.8]])


def draw(shares, n, seed):
    generator = torch.Generator().manual_seed(seed)
    cluster = torch.multinomial(torch.tensor(shares), n, replacement=True, generator=generator)
    return CENTRES[cluster] + 0.3 * torch.randn(n, 2, generator=generator)


def alpha(t):  # the signal left at time t in [0, 1]: betas of DDPM, from 0.1 to 20
    return torch.exp(-0.05 * t - 4.975 * t**2)


class Denoiser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inward, within, outward = (torch.nn.Linear(*pair) for pair in [(5, 64), (64, 64), (64, 2)])
        self.layers = torch.nn.Sequential(inward, torch.nn.SiLU(), within, torch.nn.SiLU(), outward)

    def forward(self, x, t):
        t, a = t[:, None], alpha(t)[:, None]
        inner = self.layers(torch.cat([x, a, torch.log(t), torch.log(t) ** 2 / 8], dim=1))
        return (1 - a**2).sqrt() * x + a * inner  # at late times x is nearly the noise itself: only a rest is learned


def train(data, seed):
    torch.manual_seed(seed)
    network = Denoiser()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(400):
        x, z = data[torch.randint(len(data), (256,))], torch.randn(256, 2)
        t = torch.rand(256).square().clamp(1e-3)  # often small
        a = alpha(t)[:, None]
        loss = ((network(a * x + (1 - a**2).sqrt() * z, t) - z) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


shares = {"top": [0.8, 0.1, 0.1], "left": [0.1, 0.8, 0.1], "right": [0.1, 0.1, 0.8]}
networks = {name: train(draw(share, 5000, seed), seed) for seed, (name, share) in enumerate(shares.items())}
x = draw([0.45, 0.33, 0.22], 300, 10).numpy()  # the target: few points
held_out = draw([0.45, 0.33, 0.22], 2000, 11).numpy()

# %%
# What they predict, and under which process
# ------------------------------------------
# A ``NetworkScore`` says how a network is called. ``check_wiring`` looks whether they denoise the target at all, and
# names the mistake if another reading of them would do better: no warning here. (``fuse`` looks too, on fewer rows.)
# Other predictions, times, images, conditions: the table in :doc:`Trained networks </networks>`.
import sfbench
from sfbench.nets import NetworkScore

process = sfbench.VariancePreserving(0.1, 20.0)
models = {name: NetworkScore(network, 2, process, "epsilon", t_range=(1e-3, 1.0)) for name, network in networks.items()}
sfbench.check_wiring(models, x, process=process)

# %%
# The fit
# -------
# The summary gives weights with :doc:`intervals </intervals>`, says whether they are optimal, precise and adequate, and
# warns of what stands out.
result = sfbench.fuse(models, x, process=process, rng=0)  # progress=True shows a bar
print(result.summary())

# %%
# Is it any good?
# ---------------
# All models see the same points and the same noise, so that the differences have short intervals: here the fusion
# denoises the target better than each of its models, and its samples are nearer to the target's.
#
# The figure below shows it by time. Where noise hides all but the mean of the data, each model knows the mean of its
# own training data only and is worse than the linear predictor, which knows the target's; the fusion averages the means
# and is about level with it. A ratio of ten and more at late times would say that networks are badly scaled there:
# little is left to predict, and small errors are large beside it, which is why ``forward`` adds ``x`` itself. More of
# this: :doc:`A fit </fit>`.
table = sfbench.compare({"fused": result, **models}, held_out, n_samples=500)
print(table)

# %%
# What it draws
# -------------
# The result names its law and says whether to trust it; other laws need :doc:`other samplers </samplers>`.
from matplotlib import pyplot as plt

sample = sfbench.sample(result, 2000, rng=1)
print(sample)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
result.plot_weights(ax=axes[0])
table.plot(ax=axes[1])
sfbench.plot_samples(sample, held_out, ax=axes[2])
plt.show()

# %%
# Keep it
# -------
# Weights, statistics, intervals and warnings are kept, networks are not: in another session they are made again and
# attached, and the same ``rng`` draws the same bits.
import tempfile

import numpy as np

folder = tempfile.mkdtemp() + "/fit"
result.save(folder)
again = sfbench.load_result(folder).attach(models)
assert np.array_equal(sfbench.sample(again, 2000, rng=1).x, sample.x)

# %%
# Networks that are kept with ``sfbench.nets.save_checkpoint``, or that a function of a module makes, are known to the
# command line too: ``sfbench fuse --data x.npy --model top=my_nets.py:top ... --out fit``, then ``sfbench sample fit
# --module my_nets.py`` and ``sfbench compare fit --module my_nets.py --data held_out.npy --figure losses.pdf``: a fit
# runs no code of a module that you do not name.
