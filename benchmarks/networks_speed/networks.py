"""The networks of this benchmark: random weights, since speed and memory do not depend on them."""

from typing import Any

import torch

import sfbench
from sfbench.nets import NetworkScore, build_network

OU = sfbench.OrnsteinUhlenbeck()
NETWORKS: dict[str, tuple[str, dict[str, Any], int, int]] = {  # architecture, options, dimension, points
    "MLP 31 k": ("mlp", {"dim": 2, "width": 64, "depth": 2}, 2, 8192),
    "U-Net 1 M at 28x28": ("unet", {"shape": [1, 28, 28], "channels": [24, 48, 72]}, 784, 32),
}
ON_DEVICE: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "U-Net 34 M at 3x32x32": ("unet", {"shape": [3, 32, 32], "channels": [128, 256, 384]}, 3072, 2048),
    "U-Net 24 M at 3x64x64": ("unet", {"shape": [3, 64, 64], "channels": [64, 128, 256, 256]}, 12288, 1024),
}
K = 4


def networks(name: str, options: dict[str, Any], dim: int, device: torch.device) -> list[NetworkScore]:
    """K networks of one architecture."""
    built = [build_network(name, options, process=OU, seed=seed).to(device) for seed in range(K)]
    return [NetworkScore(network, dim, OU) for network in built]
