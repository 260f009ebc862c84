"""The probe of attributes: a small convolutional classifier of the eight classes, trained on drawn faces alone.

Labels of drawn faces are exact. Pictures are mirrored, blurred and given a little noise in training, since what is
judged later was made by networks and is softer than a drawing.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .data import CLASSES, Faces

_BATCH, _RATE, _WIDTH = 64, 3e-3, 64


def make_probe() -> nn.Sequential:
    """Pictures (n, 3, 32, 32) in [0, 1] to features (n, 64), and features to scores of the classes (n, 8)."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(((3, 24), (24, 48), (48, _WIDTH), (_WIDTH, _WIDTH))):
        layers += [nn.Conv2d(before, after, 3, 1 if i == 0 else 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * _WIDTH, _WIDTH), nn.ReLU())
    return nn.Sequential(body, nn.Linear(_WIDTH, len(CLASSES)))


def train_probe(faces: Faces, epochs: int, file: Path, seed: int) -> nn.Sequential:
    """A probe, kept in a file and read from there."""
    torch.manual_seed(seed)
    probe = make_probe()
    if file.exists():
        probe.load_state_dict(torch.load(file, weights_only=True))
        return probe.eval().requires_grad_(False)
    x, labels = torch.from_numpy(faces.x), torch.from_numpy(np.asarray(faces.labels, np.int64))
    optimiser = torch.optim.AdamW(probe.parameters(), _RATE, weight_decay=1e-2)
    steps = epochs * (-(-len(x) // _BATCH))
    schedule: Any = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), _BATCH):
            loss = functional.cross_entropy(probe(_disturbed(x[rows])), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    torch.save(probe.eval().requires_grad_(False).state_dict(), file)
    return probe


def look(probe: nn.Sequential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes (n,) and features (n, 64) of pictures (n, 3, 32, 32) in [0, 1]."""
    with torch.no_grad():
        features = torch.cat([probe[0](part) for part in torch.split(torch.from_numpy(x), 256)])
        return probe[1](features).argmax(dim=1).numpy(), features.double().numpy()


def _disturbed(x: Tensor) -> Tensor:
    """Half of the pictures mirrored, half blurred, all with a little noise."""
    mirrored, blurred = torch.rand(2, len(x), 1, 1, 1) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    x = torch.where(blurred, functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x)
    return x + 0.06 * torch.rand(len(x), 1, 1, 1) * torch.randn_like(x)
