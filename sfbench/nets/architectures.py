r"""Score networks by name: ``forward(x, t)`` for points x (n, d) and times t (n,).

The two networks here see ``x / sqrt(alpha^2 + sigma^2)``, which has unit scale at every t for standardised data, and
time as half the log signal-to-noise ratio, in which scores change evenly. Their times come on the CPU (``host_times``):
coefficients of the process are computed there, so that no step waits for the accelerator.

A checkpoint names its architecture, and may name only those of one table: the networks here, classes given to
:func:`register_architecture`, and entry points of installed packages (group ``sfbench.architectures``, name to
``"module:Class"``). Loading one never imports what a file asks for.
"""

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from .._internal.arrays import moved
from .._internal.lazy import Registry
from ..errors import ModelError, SfbenchError
from ..processes import ForwardProcess
from .parameterisation import Parameterisation


@runtime_checkable
class Architecture(Protocol):
    """A ``torch.nn.Module`` that a checkpoint can rebuild: ``type(network)(**network.options)`` has its shape.

    A class whose constructor takes ``process`` is given the process of the checkpoint, too. Optional attributes are
    ``process`` (checked against the one it is used with), ``parameterisation`` (what it predicts unless told
    otherwise), ``t_range`` (times it was trained for), ``host_times`` (True: times come as float64 on the CPU, not in
    the network's dtype on its device), ``broadcasts_time`` (True: one time for all points comes as t (1,), so that it
    is embedded once), ``condition_name`` (the argument by which it takes a condition) and ``null_condition`` (the label
    that stands for none).
    """

    @property
    def dim(self) -> int:
        """Dimension d."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Keyword arguments of the constructor, JSON values, without the process."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Output (n, d) at points x (n, d) and times t, (n,) or (1,)."""


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
        """Embedding (len(t), width) and the factor (len(t),) that multiplies inputs, on the device of ``like``."""
        alpha, sigma = coefficients(self.process, t)
        half, factor = (
            moved(value, like.device, like.dtype) for value in (torch.log(alpha / sigma), (alpha**2 + sigma**2) ** -0.5)
        )
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
    classes : int
        Number of labels that it can be given as ``labels``; 0 for a network without condition. One more label, of this
        number, stands for no condition.
    process : ForwardProcess
        Supplies input scale and signal-to-noise ratio.
    """

    host_times = broadcasts_time = True
    parameterisation: Parameterisation = "v"

    def __init__(
        self,
        dim: int,
        *,
        process: ForwardProcess,
        width: int = 128,
        depth: int = 3,
        n_frequencies: int = 16,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.options = {"dim": dim, "width": width, "depth": depth, "n_frequencies": n_frequencies}
        for name, value in self.options.items():
            if not 1 <= value <= 1 << 20:
                raise ModelError(f"{name} must be between 1 and 2^20, got {value!r}")
        self.dim, self.process = dim, process
        self.condition_name, self.null_condition = _take_labels(self.options, classes)
        self.embed = TimeEmbedding(width, n_frequencies, process)
        self.inward = nn.Linear(dim, width)
        self.times = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.first = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.second = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.outward = nn.Linear(width, dim)
        self.labels = nn.Embedding(classes + 1, width) if classes else None
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Output (n, d) at points x (n, d), times t, (n,) or (1,), and labels (n,)."""
        embedding, factor = self.embed(t, x)
        if self.labels is not None:
            embedding = embedding + self.labels(_labels(self, labels, x))
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
    classes : int
        As for :class:`ScoreMLP`.
    process : ForwardProcess
    """

    host_times = broadcasts_time = True
    parameterisation: Parameterisation = "v"

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        process: ForwardProcess,
        channels: tuple[int, ...] = (16, 32, 32),
        layers: int = 1,
        patch: int = 1,
        classes: int = 0,
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
        self.condition_name, self.null_condition = _take_labels(self.options, classes)
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
            num_class_embeds=classes + 1 if classes else None,
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Output (n, d) at flattened images x (n, d), times t, (n,) or (1,), and labels (n,)."""
        alpha, sigma = coefficients(self.process, t)
        factor = moved((alpha**2 + sigma**2) ** -0.5, x.device, x.dtype)
        # The U-Net's sinusoidal embedding is made for step numbers 0 ... 1000: log SNR of -16 ... 16 fills that range.
        step = moved(500.0 - 31.0 * 2.0 * torch.log(alpha / sigma), x.device, x.dtype)
        c, height, width = self.shape
        image = nn.functional.pad((x * factor[:, None]).view(-1, c, height, width), self.padding)
        classes = None if self.condition_name is None else _labels(self, labels, x)
        out: Tensor = self.net(nn.functional.pixel_unshuffle(image, self.patch), step, class_labels=classes).sample
        return nn.functional.pixel_shuffle(out, self.patch)[:, :, :height, :width].reshape(len(x), -1)


def _take_labels(options: dict[str, Any], classes: int) -> tuple[str | None, int | None]:
    """``condition_name`` and ``null_condition`` of a network; options say nothing of classes if there are none."""
    if not 0 <= classes <= 1 << 20:
        raise ModelError(f"classes must be between 0 and 2^20, got {classes!r}")
    if not classes:
        return None, None
    options["classes"] = classes
    return "labels", classes


def _labels(network: "ScoreMLP | ScoreUNet", labels: Tensor | None, x: Tensor) -> Tensor:
    null = network.null_condition
    return torch.full((len(x),), null, device=x.device) if labels is None else labels  # type: ignore[arg-type]


_ARCHITECTURES: Registry[type[nn.Module]] = Registry(
    "architecture",
    "sfbench.architectures",
    {"mlp": "sfbench.nets.architectures:ScoreMLP", "unet": "sfbench.nets.architectures:ScoreUNet"},
)


def known_architectures() -> list[str]:
    """Names of the architectures of this package, of those registered, and of those of installed packages."""
    return _ARCHITECTURES.names()


def register_architecture(name: str, architecture: type[nn.Module]) -> type[nn.Module]:
    """Let checkpoints name a class of your own; see :class:`Architecture` for what it needs.

    Parameters
    ----------
    name : str
        Not that of a built-in architecture; the same name again takes its place.
    architecture : class
        A subclass of ``torch.nn.Module``.
    """
    if not (isinstance(architecture, type) and issubclass(architecture, nn.Module)):
        raise ModelError(f"architecture must be a class of torch.nn.Module, got {architecture!r}")
    return _ARCHITECTURES.register(name, architecture)


def build_network(name: str, options: Mapping[str, Any], *, process: ForwardProcess, seed: int = 0) -> nn.Module:
    """A network of a known architecture with weights that depend on the seed alone.

    Parameters
    ----------
    name : str
        One of :func:`known_architectures`: "mlp", "unet", ...
    options : mapping
        Keyword arguments of its class (:class:`ScoreMLP`, :class:`ScoreUNet`), without the process.
    process : ForwardProcess
    seed : int
        Of the initial weights; torch's global generator is left as it was.
    """
    try:
        architecture = _ARCHITECTURES[name]
    except SfbenchError as error:
        raise ModelError(
            f"{error}. For a class of your own call sfbench.nets.register_architecture({name!r}, TheClass) first, or "
            "install the package that brings it"
        ) from None
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    if "process" in inspect.signature(architecture).parameters:
        arguments["process"] = process
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return architecture(**arguments)
        except TypeError as error:
            raise ModelError(f"options {dict(options)!r} do not fit architecture {name!r}: {error}") from None


def describe_network(network: nn.Module) -> tuple[str, dict[str, Any]]:
    """Name and options from which :func:`build_network` makes a network of this shape."""
    kind = type(network)
    name = None
    for known in sorted(known_architectures(), key=_ARCHITECTURES.own.__contains__):  # entry points before own names
        try:
            name = known if name is None and _ARCHITECTURES[known] is kind else name
        except Exception as error:  # somebody else's package; it must not keep this network from being saved
            warnings.warn(f"architecture {known!r} cannot be imported: {error!r}", stacklevel=2)
    if name is None:
        raise ModelError(
            f"a {kind.__name__} is not one of the known architectures ({', '.join(known_architectures())}), so a "
            f"checkpoint could not rebuild it: call sfbench.nets.register_architecture('my_net', {kind.__name__}) (the "
            "network needs `dim` and `options`, the keyword arguments of its class)"
        )
    if not isinstance(network, Architecture) or not isinstance(network.options, Mapping):
        raise ModelError(f"architecture {name!r} needs the attributes `dim` and `options`, a mapping of JSON values")
    return name, dict(network.options)
