"""The networks: a base of other faces, and for each group a fine-tuned copy and an adapter (LoRA)."""

import copy
import hashlib
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from sfbench.diffusers.switching import AdapterSwitch

from .data import PATCH, Coordinates

ADAPTED = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "time_emb_proj"]


def make_unet(widths: tuple[int, ...], seed: int) -> Any:
    """A U-Net for folded pictures."""
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=8,
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * (len(widths) - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (len(widths) - 1),
        attention_head_dim=16,
    )


def make_pipeline(unet: Any) -> Any:
    """A pipeline of a network."""
    pipe = DDPMPipeline(
        unet, DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def train(unet: Any, pictures: Tensor, steps: int, seed: int, rate: float = 1e-3, batch: int = 64) -> float:
    """Train the weights that require gradients; the averaged ones are kept. Returns the mean loss of the last tenth."""
    generator = torch.Generator().manual_seed(seed)
    scheduler = make_pipeline(unet).scheduler
    weights = [p for p in unet.parameters() if p.requires_grad]
    optimiser, average = torch.optim.AdamW(weights, rate, weight_decay=0.0), EMAModel(weights, decay=0.995)
    losses = []
    unet.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50, 2.0 * (steps - step) / steps)
        rows = torch.randint(len(pictures), (batch,), generator=generator)
        times = torch.randint(1000, (batch,), generator=generator)
        noise = torch.randn(batch, *pictures.shape[1:], generator=generator)
        noisy = scheduler.add_noise(pictures[rows], noise, times)
        with torch.autocast("cpu", torch.bfloat16):
            told = unet(noisy, times).sample
        loss = (told.float() - pictures[rows]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        average.step(weights)
        losses.append(float(loss.detach()))
    average.copy_to(weights)
    unet.eval().requires_grad_(False)
    return float(np.mean(losses[-max(1, steps // 10) :]))


def train_all(
    base_x: np.ndarray,
    groups: dict[str, np.ndarray],
    folder: Path,
    widths: tuple[int, ...],
    steps: tuple[int, int, int],
    seed: int,
) -> tuple[Any, list[Any], list[dict[str, Any]]]:
    """The base with one adapter for each group, and the fine-tuned copies; kept in a folder, and read from there."""
    rows: list[dict[str, Any]] = []

    def trained(name: str, unet: Any, x: np.ndarray, n: int, number: int, rate: float) -> None:
        file = folder / f"{name}.pt"
        if file.exists():
            kept = torch.load(file, weights_only=True)
            unet.load_state_dict(kept.pop("weights"))
            unet.eval().requires_grad_(False)
        else:
            start = time.process_time()
            loss = train(unet, coordinates.fold(x), n, seed + number, rate)
            kept = {"network": name, "steps": n, "loss": loss, "cpu_seconds": time.process_time() - start}
            torch.save(kept | {"weights": unet.state_dict()}, file)
            print(f"{name}: loss {loss:.4f} after {n} steps, {kept['cpu_seconds']:.0f} s", flush=True)
        rows.append(kept | {"sha256": digest_of(unet)})

    coordinates, base = Coordinates.of(base_x), make_unet(widths, seed)
    trained("base", base, base_x, steps[0], 1, 1e-3)
    copies = []
    for i, x in enumerate(groups.values()):
        tuned = copy.deepcopy(base).requires_grad_(True)
        trained(f"tuned_{i}", tuned, x, steps[1], 2 + i, 5e-4)
        copies.append(tuned)
    adapted = copy.deepcopy(base)
    for i, (name, x) in enumerate(groups.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft wonders at a second adapter
            torch.manual_seed(seed + 4 + i)
            inject_adapter_in_model(LoraConfig(r=8, lora_alpha=16, target_modules=ADAPTED), adapted, _plain(name))
        for layer in AdapterSwitch(adapted).layers:
            layer.set_adapter(_plain(name))  # whose weights alone require gradients from now on
        trained(f"adapter_{i}", adapted, x, steps[2], 4 + i, 2e-3)
    return adapted, copies, rows


def digest_of(unet: Any) -> str:
    """sha256 of all weights, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(unet.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _plain(name: str) -> str:
    """A name that peft takes."""
    return name.replace("/", "_")
