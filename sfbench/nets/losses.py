r"""The denoising loss, at which times it is taken, and the fixed sets on which it is compared.

``L = E |z_theta(x_t, t) - z|^2`` per coordinate, at times uniform in log SNR; a network that predicts no noise has 1.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_generator, as_points
from ..errors import NotFiniteError
from ..processes import ForwardProcess
from .adapter import NetworkScore
from .architectures import coefficients
from .settings import TrainingError
from .wiring import Wiring, dtype_of

_TABLE = 4097


def denoising_loss(
    score: NetworkScore,
    x: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    t_min: float = 1e-4,
    n_draws: int = 8,
    rng: SeedLike = 0,
) -> tuple[float, float]:
    """Denoising loss per coordinate of a trained network on points x (m, d), and its standard error over points.

    Uses the training loss with antithetic noise at times spread evenly in log SNR.
    """
    data = as_data(x, labels)
    n, d = data.x.shape
    if d != score.dim:
        raise TrainingError(f"x must have shape (m, {score.dim}), got ({n}, {d})")
    seed = int(as_generator(rng).integers(0, 2**62))
    batch = validation_batch(data, score.process, t_min, n_draws, seed)
    losses = losses_of(score.module, batch, score.wiring, score.device, score.preferred_rows).reshape(-1, n)
    per_point = losses.mean(dim=0)
    spread = float(per_point.std()) / math.sqrt(n) if n > 1 else math.nan
    return float(per_point.mean()), spread


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """Noised points (n, d), their noise, times (n,) and coefficients (n, 1)."""

    x: Tensor
    z: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    labels: Tensor | None = None

    def part(self, rows: slice, dtype: torch.dtype) -> "Batch":
        """Some rows, points and noise in a precision."""
        labels = None if self.labels is None else self.labels[rows]
        x, z = self.x[rows].to(dtype), self.z[rows].to(dtype)
        return Batch(x, z, self.t[rows], self.alpha[rows], self.sigma[rows], labels)


@final
@dataclass(frozen=True, eq=False)
class Data:
    """Points (n, d) in float32 and, for conditional networks, labels (n,)."""

    x: Tensor
    labels: Tensor | None = None


def as_data(x: ArrayLike, labels: ArrayLike | None, name: str = "x") -> Data:
    """Checked data; refuses what is not finite, or labels that are not one whole number a point."""
    points = np.array(as_points(name, x, error=TrainingError), np.float32)
    row = int(np.argmin(np.isfinite(points).all(axis=1)))
    if not np.isfinite(points[row]).all():
        raise NotFiniteError(
            f"{name}[{row}] overflows float32, in which networks are trained; divide {name} by its scale"
        )
    if labels is None:
        return Data(torch.from_numpy(points))
    found = np.asarray(labels)
    if found.shape != (len(points),) or found.dtype.kind not in "iu" or found.min() < 0:
        raise TrainingError(f"labels of {name} must be {len(points)} whole numbers of at least 0, got {found!r:.200}")
    return Data(torch.from_numpy(points), torch.from_numpy(found.astype(np.int64)))


def loss_per_point(network: nn.Module, batch: Batch, wiring: Wiring, device: torch.device) -> Tensor:
    """Squared error of the predicted noise per point, averaged over coordinates, (n,)."""
    x, z = batch.x.to(device), batch.z.to(device)
    labels = None if batch.labels is None else batch.labels.to(device)
    out: Tensor = ((wiring.noise(network, x, batch.t, labels) - z) ** 2).mean(dim=1)
    return out


def losses_of(network: nn.Module, batch: Batch, wiring: Wiring, device: torch.device, rows: int = 1024) -> Tensor:
    """Losses of all points in float64, a part at a time, without gradients."""
    parts = []
    dtype = torch.promote_types(dtype_of(network) or torch.float32, torch.float32)
    with torch.no_grad():
        for i in range(0, len(batch.t), rows):
            piece = batch.part(slice(i, i + rows), dtype)
            parts.append(loss_per_point(network, piece, wiring, device).to("cpu", torch.float64))
    return torch.cat(parts)


def noised(x0: Tensor, z: Tensor, t: Tensor, process: ForwardProcess, labels: Tensor | None = None) -> Batch:
    """Points x0 (n, d) with noise z (n, d) at times t (n,)."""
    alpha, sigma = (v[:, None] for v in coefficients(process, t))
    return Batch((alpha * x0 + sigma * z).to(x0.dtype), z, t, alpha, sigma, labels)


class TimeTable:
    """Times uniform in log SNR on [t_min horizon, horizon], by a table of the schedule."""

    def __init__(self, process: ForwardProcess, t_min: float) -> None:
        self.log_t = np.linspace(math.log(t_min * process.horizon), math.log(process.horizon), _TABLE)
        self.log_snr = process.log_snr(np.exp(self.log_t))

    def at(self, shares: Float64Array) -> Tensor:
        """Times (n,) at shares (n,) of the way from the largest log SNR to the smallest."""
        top, low = float(self.log_snr[0]), float(self.log_snr[-1])
        wanted = top + shares * (low - top)
        return torch.from_numpy(np.exp(np.interp(-wanted, -self.log_snr, self.log_t)))

    def stratified(self, n: int, generator: torch.Generator) -> Tensor:
        """One time in each of n equal strata, so that no batch misses a noise level."""
        offset = torch.rand(n, generator=generator, dtype=torch.float64)
        return self.at(((torch.arange(n) + offset) / n).numpy())


def validation_batch(data: Data, process: ForwardProcess, t_min: float, draws: int, seed: int) -> Batch:
    """Every point ``2 draws`` times: antithetic noise, times stratified over the whole set and shuffled."""
    generator = torch.Generator().manual_seed(seed)
    n = len(data.x) * draws
    t = TimeTable(process, t_min).stratified(n, generator)[torch.randperm(n, generator=generator)]
    z = torch.randn((n, data.x.shape[1]), generator=generator, dtype=torch.float32)
    labels = None if data.labels is None else data.labels.repeat(2 * draws)
    return noised(data.x.repeat(2 * draws, 1), torch.cat([z, -z]), torch.cat([t, t]), process, labels)
