r"""Score networks: ``forward(x, t)`` for points x (n, d) and times t (n,).

Both networks see ``x / sqrt(alpha^2 + sigma^2)``, which has unit scale at every t for standardised data, and time as
half the log signal-to-noise ratio, in which scores change evenly. Times may stay on the CPU: coefficients of the
process are computed there, so that no step waits for the accelerator.

Architectures have names, and a checkpoint may name only these: loading one never imports what a file asks for.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..processes import ForwardProcess


def coefficients(process: ForwardProcess, t: Tensor) -> tuple[Tensor, Tensor]:
    """``alpha`` and ``sigma`` (n,) at times t (n,), computed in float64 on the CPU."""
    times = t.detach().to("cpu", torch.float64).numpy()
    return torch.from_numpy(np.asarray(process.alpha(times))), torch.from_numpy(np.asarray(process.sigma(times)))


@final
class TimeEmbedding(nn.Module):
    """Sines and cosines of half the log signal-to-noise ratio, then a small network."""

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int, process: ForwardProcess) -> None:
        super().__init__()
        self.process = process
        self.register_buffer("frequencies", torch.logspace(-1.0, 0.6, n_frequencies), persistent=False)
        self.net = nn.Sequential(nn.Linear(2 * n_frequencies + 1, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (n, width) and the factor (n,) by which inputs are multiplied, on the device of ``like``."""
        alpha, sigma = coefficients(self.process, t)
        half = torch.log(alpha / sigma).to(device=like.device, dtype=like.dtype)
        factor = ((alpha**2 + sigma**2) ** -0.5).to(device=like.device, dtype=like.dtype)
        angle = half[:, None] * self.frequencies.to(like.dtype)
        features = torch.cat([0.25 * half[:, None], torch.sin(angle), torch.cos(angle)], dim=1)
        return self.net(features), factor


@final
class ScoreMLP(nn.Module):
    """Residual perceptron whose every block is told the time.

    Parameters
    ----------
    dim : int
        Dimension d.
    width, depth : int
        Units of a layer and number of residual blocks.
    n_frequencies : int
        Of the time embedding.
    process : ForwardProcess
        Supplies input scale and signal-to-noise ratio.
    """

    def __init__(
        self, dim: int, *, process: ForwardProcess, width: int = 128, depth: int = 3, n_frequencies: int = 16
    ) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("width", width), ("depth", depth), ("n_frequencies", n_frequencies)):
            if not 1 <= value <= 1 << 20:
                raise ModelError(f"{name} must be between 1 and 2^20, got {value!r}")
        self.dim, self.process = dim, process
        self.options = {"dim": dim, "width": width, "depth": depth, "n_frequencies": n_frequencies}
        self.embed = TimeEmbedding(width, n_frequencies, process)
        self.inward = nn.Linear(dim, width)
        self.times = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.first = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.second = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.outward = nn.Linear(width, dim)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Output (n, d) at points x (n, d) and times t (n,)."""
        embedding, factor = self.embed(t, x)
        h = self.inward(x * factor[:, None])
        for time, first, second in zip(self.times, self.first, self.second, strict=True):
            h = h + second(nn.functional.silu(first(nn.functional.silu(h + time(embedding)))))
        out: Tensor = self.outward(nn.functional.silu(h))
        return out


@final
class ScoreUNet(nn.Module):
    """diffusers' ``UNet2DModel`` on images flattened to (n, d); needs the extra ``[hf]``.

    Parameters
    ----------
    shape : (channels, height, width)
        Of one image; the sides must be divisible by 2 for every block after the first, and are padded if they are not.
    patch : int
        Squares of this side become channels first: 2 makes a step four times cheaper.
    channels : tuple of int
        Channels of the blocks.
    layers : int
        Residual layers of a block.
    process : ForwardProcess
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        process: ForwardProcess,
        channels: tuple[int, ...] = (16, 32, 32),
        layers: int = 1,
        patch: int = 1,
    ) -> None:
        super().__init__()
        try:
            from diffusers import UNet2DModel
        except ImportError:
            raise ImportError("ScoreUNet needs diffusers: pip install -c constraints.txt 'sfbench[hf]'") from None
        c, height, width = (int(v) for v in shape)
        if min(c, height, width) < 1 or c * height * width > 1 << 22 or not 1 <= len(channels) <= 8:
            raise ModelError(f"shape must be (channels, height, width) of one image, got {tuple(shape)}")
        if any(v < 4 or v % 4 for v in channels):
            raise ModelError(f"channels must be multiples of 4, got {tuple(channels)}")
        self.shape, self.dim, self.process = (c, height, width), c * height * width, process
        if not 1 <= patch <= min(height, width):
            raise ModelError(f"patch must be between 1 and the sides of the image, got {patch!r}")
        self.patch = patch
        self.options = {"shape": list(self.shape), "channels": list(channels), "layers": layers, "patch": patch}
        unit = patch * 2 ** (len(channels) - 1)
        self.padding = (0, -width % unit, 0, -height % unit)
        self.net = UNet2DModel(
            in_channels=c * patch**2,
            out_channels=c * patch**2,
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=math.gcd(*channels, 8),
            add_attention=False,
            time_embedding_type="positional",
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Output (n, d) at flattened images x (n, d) and times t (n,)."""
        alpha, sigma = coefficients(self.process, t)
        factor = ((alpha**2 + sigma**2) ** -0.5).to(device=x.device, dtype=x.dtype)
        # The U-Net's sinusoidal embedding is made for step numbers 0 ... 1000: log SNR of -16 ... 16 fills that range.
        step = (500.0 - 31.0 * 2.0 * torch.log(alpha / sigma)).to(device=x.device, dtype=x.dtype)
        c, height, width = self.shape
        image = nn.functional.pad((x * factor[:, None]).view(-1, c, height, width), self.padding)
        out: Tensor = self.net(nn.functional.pixel_unshuffle(image, self.patch), step).sample
        return nn.functional.pixel_shuffle(out, self.patch)[:, :, :height, :width].reshape(len(x), -1)


_ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"mlp": ScoreMLP, "unet": ScoreUNet}
_NAMES = {ScoreMLP: "mlp", ScoreUNet: "unet"}


def build_network(name: str, options: Mapping[str, Any], *, process: ForwardProcess, seed: int = 0) -> nn.Module:
    """A network of a known architecture with weights that depend on the seed alone.

    Parameters
    ----------
    name : {"mlp", "unet"}
    options : mapping
        Keyword arguments of :class:`ScoreMLP` or :class:`ScoreUNet`, without the process.
    process : ForwardProcess
    seed : int
        Of the initial weights; torch's global generator is left as it was.
    """
    if name not in _ARCHITECTURES:
        raise ModelError(f"unknown architecture {name!r}; use one of {', '.join(_ARCHITECTURES)}")
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return _ARCHITECTURES[name](**arguments, process=process)
        except TypeError as error:
            raise ModelError(f"options {dict(options)!r} do not fit architecture {name!r}: {error}") from None


def describe_network(network: nn.Module) -> tuple[str, dict[str, Any]]:
    """Name and options from which :func:`build_network` makes a network of this shape."""
    for kind, name in _NAMES.items():
        if type(network) is kind:
            return name, dict(network.options)  # type: ignore[arg-type]
    raise ModelError(
        f"a {type(network).__name__} is not one of the known architectures ({', '.join(_ARCHITECTURES)}), so a "
        "checkpoint could not rebuild it; save its state_dict yourself, with safetensors"
    )
