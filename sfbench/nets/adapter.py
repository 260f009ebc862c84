r"""A torch module as a score model: what it predicts, under which process, on which device, in which precision.

``score`` takes and returns numpy arrays; points go to the device in batches and come back, so no more than one batch of
activations lives at a time. Sums over data are made elsewhere, in float64. For likelihoods take float64
(:meth:`NetworkScore.to`): differences of float32 scores lose the divergence.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from .._typing import FloatArray, SeedLike
from .._validation import as_generator
from ..errors import ModelError, NotFiniteError
from ..processes import ForwardProcess
from .networks import coefficients
from .parameterisation import Parameterisation, check_parameterisation, to_score


@final
@dataclass(frozen=True, eq=False)
class NetworkScore:
    """Score model backed by a network.

    Parameters
    ----------
    module : nn.Module
        ``module(x, t)`` with x (n, d) and t (n,) returns (n, d). Put into evaluation mode.
    dim : int
        Dimension d.
    process : ForwardProcess
        The process under which it was trained; fusing models of different processes is refused.
    parameterisation : {"epsilon", "v", "x0", "score"}
        What it predicts.
    batch : int
        Points evaluated at a time.
    """

    module: nn.Module
    dim: int
    process: ForwardProcess
    parameterisation: Parameterisation = "v"
    batch: int = 4096

    def __post_init__(self) -> None:
        check_parameterisation(self.parameterisation)
        if not isinstance(self.module, nn.Module):
            raise ModelError(f"module is a {type(self.module).__name__}; a torch.nn.Module is needed")
        if self.dim < 1 or self.batch < 1:
            raise ModelError(f"dim and batch must be at least 1, got {self.dim!r} and {self.batch!r}")
        own = getattr(self.module, "dim", self.dim)
        if own != self.dim:
            raise ModelError(f"the network was built for dimension {own}, not {self.dim}")
        trained = getattr(self.module, "process", self.process)
        if trained != self.process:
            raise ModelError(f"the network was built for {trained!r}, not {self.process!r}")
        self.module.eval()

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        tensor = _first_tensor(self.module)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its parameters."""
        tensor = _first_tensor(self.module)
        return torch.float64 if tensor is None else tensor.dtype

    def to(self, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "NetworkScore":
        """A copy on another device or in another precision."""
        from copy import deepcopy

        return replace(self, module=deepcopy(self.module).to(device=device, dtype=dtype))

    def score(self, x: FloatArray, t: float) -> FloatArray:
        """Score at points x (n, d) and time t, shape (n, d), in the dtype of x (float64 if x holds integers)."""
        points = self._points(x)
        out = np.empty_like(points)
        device, dtype = self.device, self.dtype
        with torch.inference_mode():
            for start in range(0, len(points), self.batch):
                part = torch.from_numpy(points[start : start + self.batch]).to(device=device, dtype=dtype)
                out[start : start + self.batch] = self.evaluate(part, float(t)).to("cpu", torch.float64).numpy()
        return out

    def evaluate(self, x: Tensor, t: float) -> Tensor:
        """Score of a tensor x (n, d) at one time, differentiable in x."""
        times = torch.full((len(x),), t, dtype=torch.float64)
        output = self.module(x, times)
        if output.shape != x.shape:
            raise ModelError(f"the network returned shape {tuple(output.shape)} for points of shape {tuple(x.shape)}")
        alpha, sigma = (float(v[0]) for v in coefficients(self.process, times[:1]))
        score: Tensor = to_score(output, x, alpha, sigma, self.parameterisation)
        return score

    def _points(self, x: FloatArray) -> FloatArray:
        points = np.ascontiguousarray(x)
        if points.dtype.kind in "biu":  # scores take the dtype of the points, and integers would cut them
            points = points.astype(np.float64)
        if points.dtype.kind != "f":
            raise ModelError(f"x must hold real numbers, got the dtype {points.dtype}")
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ModelError(f"x must have shape (n, {self.dim}), got {points.shape}")
        if not points.flags.writeable:  # torch warns about tensors over read-only memory
            points = points.copy()
        return points


@final
@dataclass(frozen=True, eq=False)
class NetworkDivergence:
    """A network's score with its divergence by automatic differentiation; what ``estimator="stein"`` needs.

    Parameters
    ----------
    network : NetworkScore
    n_probes : int or None
        Random sign vectors per point (Hutchinson: unbiased, noisy); None takes all d coordinate directions, exact at d
        backward passes a point.
    rng : Generator, SeedSequence, int or None
        Of the probes. Each call draws fresh ones.
    """

    network: NetworkScore
    n_probes: int | None
    rng: np.random.Generator

    def __init__(self, network: NetworkScore, n_probes: int | None = 1, *, rng: SeedLike = None) -> None:
        if n_probes is not None and n_probes < 1:
            raise ModelError(f"n_probes must be at least 1, or None for the exact divergence; got {n_probes!r}")
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "n_probes", n_probes)
        object.__setattr__(self, "rng", as_generator(rng))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.network.dim

    @property
    def process(self) -> ForwardProcess:
        """Process of the network."""
        return self.network.process

    def score(self, x: FloatArray, t: float) -> FloatArray:
        """Score at points x (n, d) and time t, shape (n, d)."""
        return self.network.score(x, t)

    def score_and_divergence(self, x: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
        """Score (n, d) and its (estimated) divergence (n,)."""
        points = self.network._points(x)
        scores, divergences = np.empty_like(points), np.empty(len(points))
        for start in range(0, len(points), self.network.batch):
            rows = slice(start, start + self.network.batch)
            leaf = torch.from_numpy(points[rows]).to(device=self.network.device, dtype=self.network.dtype)
            leaf = leaf.detach().requires_grad_(True)
            value = self.network.evaluate(leaf, float(t))
            probes = self._probes(leaf)
            total = torch.zeros(len(leaf), dtype=torch.float64)
            for j, probe in enumerate(probes):
                (gradient,) = torch.autograd.grad(value, leaf, probe, retain_graph=j + 1 < len(probes))
                total += (gradient * probe).sum(dim=1).to("cpu", torch.float64)
            scores[rows] = value.detach().to("cpu", torch.float64).numpy()
            divergences[rows] = (total if self.n_probes is None else total / self.n_probes).numpy()
        return scores, divergences

    def _probes(self, like: Tensor) -> list[Tensor]:
        if self.n_probes is None:
            return [
                torch.eye(self.dim, dtype=like.dtype, device=like.device)[j].expand_as(like) for j in range(self.dim)
            ]
        signs = self.rng.choice([-1.0, 1.0], size=(self.n_probes, *like.shape))
        return [torch.from_numpy(s).to(device=like.device, dtype=like.dtype) for s in signs]


def check_finite(network: nn.Module) -> None:
    """Refuse a network that holds NaN or infinities."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(f"weight {name!r} of the network holds NaN or infinities")


def _first_tensor(module: nn.Module) -> Tensor | None:
    return next(iter([*module.parameters(), *module.buffers()]), None)
