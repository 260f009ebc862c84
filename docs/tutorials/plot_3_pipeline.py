"""
My diffusers pipeline in five minutes
=====================================

Two pipelines (or one and its LoRA adapters) are fused while they run: what they *predict* is averaged at every step.
Nothing is merged and no file is written. Here two tiny pipelines stand for yours, so that this page needs no download.
"""

# %%
# Two pipelines
# -------------
# One has learned wide blots, the other tall ones. With a pipeline of yours, load it as always and go on below; an
# adapter is an expert by its name: ``fuse(pipe, ["ink", "clay"], [0.4, 0.6])``.
import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel


def blots(n, width, height, seed):
    """Pictures (n, 8, 8) of a bright ellipse, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:8, :8]
    widths, heights = (size * np.exp(rng.normal(0, 0.25, (n, 1, 1))) for size in (width, height))
    return 2 * np.exp(-((((x - 3.5) / widths) ** 2 + ((y - 3.5) / heights) ** 2) ** 2)) - 1


def pipeline(pictures, seed):
    torch.manual_seed(seed)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    sizes = {"block_out_channels": (24,), "norm_num_groups": 8, "layers_per_block": 1}
    network = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, **sizes, **blocks)
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    data = torch.as_tensor(pictures, dtype=torch.float32)[:, None]
    for _ in range(150):
        x, t = data[torch.randint(len(data), (32,))], torch.randint(1000, (32,))
        noise = torch.randn_like(x)
        loss = ((network(scheduler.add_noise(x, noise, t), t).sample - noise) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pipe = DDPMPipeline(network.eval(), scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


wide, tall = pipeline(blots(2000, 3.2, 1.6, 0), 0), pipeline(blots(2000, 1.6, 3.2, 1), 1)

# %%
# Fuse, and draw
# --------------
# ``fuse`` hangs the average into the pipeline; weights may change between two calls, and ``remove`` leaves the pipeline
# as it was.
import sfbench


def pictures():
    seed = torch.Generator().manual_seed(0)
    return wide(batch_size=8, num_inference_steps=40, generator=seed, output_type="np").images[..., 0]


handle = sfbench.diffusers.fuse(wide, {"wide": wide, "tall": tall}, [1.0, 0.0])
rows = []
for share in (1.0, 0.5, 0.0):
    handle.weights = [share, 1 - share]
    rows.append(pictures())
handle.remove()

ax = sfbench.plot_images(np.concatenate(rows), columns=8, value_range=(0, 1))
_ = ax.set_title("weight of 'wide': 1, 0.5 and 0, downwards; the same noise in a column")

# %%
# Learn the weights
# -----------------
# Which average explains a folder of pictures best? One pass over them gives a quadratic program, with a certified gap
# and intervals. These blots are as wide as they are tall on average, and neither pipeline has learned such.
target = (blots(48, 2.3, 2.3, 2)[..., None] + 1) / 2  # (n, height, width, colours)
fit = sfbench.diffusers.learn_weights(wide, {"wide": wide, "tall": tall}, target, batch=48, rng=0)
print(fit.summary())

# %%
with sfbench.diffusers.fused(wide, {"wide": wide, "tall": tall}, fit):
    drawn = pictures()
ax = sfbench.plot_images(np.concatenate([target[:8, ..., 0], drawn]), columns=8, value_range=(0, 1))
_ = ax.set_title("above: pictures given; below: the fusion at the learned weights")

# %%
# Prompts, guidance, weights that change with the noise, recipes inside pictures, costs: :doc:`/diffusers`.
