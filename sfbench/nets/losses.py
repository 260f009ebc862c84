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

from .._typing import Float64Array, SeedLike
from .._validation import as_generator
from ..processes import ForwardProcess
from .adapter import NetworkScore
from .architectures import coefficients
from .settings import TrainingError
from .wiring import Wiring, dtype_of

_TABLE = 4097


def denoising_loss(
    score: NetworkScore, x: ArrayLike, *, t_min: float = 1e-4, n_draws: int = 8, rng: SeedLike = 0
) -> tuple[float, float]:
    """Denoising loss per coordinate of a trained network on points x (m, d), and its standard error over points.

    Uses the training loss with antithetic noise at times spread evenly in log SNR.
    """
    points = torch.from_numpy(np.array(x, dtype=np.float32))
    if points.ndim != 2 or points.shape[1] != score.dim or not len(points):
        raise TrainingError(f"x must have shape (m, {score.dim}) with m >= 1, got {tuple(points.shape)}")
    seed = int(as_generator(rng).integers(0, 2**62))
    batch = validation_batch(points, score.process, t_min, n_draws, seed)
    losses = losses_of(score.module, batch, score.wiring, score.device, score.batch).reshape(-1, len(points))
    per_point = losses.mean(dim=0)
    spread = float(per_point.std()) / math.sqrt(len(points)) if len(points) > 1 else math.nan
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


def loss_per_point(network: nn.Module, batch: Batch, wiring: Wiring, device: torch.device) -> Tensor:
    """Squared error of the predicted noise per point, averaged over coordinates, (n,)."""
    x, z = batch.x.to(device), batch.z.to(device)
    out: Tensor = ((wiring.noise(network, x, batch.t) - z) ** 2).mean(dim=1)
    return out


def losses_of(network: nn.Module, batch: Batch, wiring: Wiring, device: torch.device, rows: int = 1024) -> Tensor:
    """Losses of all points in float64, a part at a time, without gradients."""
    parts = []
    dtype = torch.promote_types(dtype_of(network) or torch.float32, torch.float32)
    with torch.no_grad():
        for i in range(0, len(batch.t), rows):
            cut = slice(i, i + rows)
            piece = Batch(
                batch.x[cut].to(dtype), batch.z[cut].to(dtype), batch.t[cut], batch.alpha[cut], batch.sigma[cut]
            )
            parts.append(loss_per_point(network, piece, wiring, device).to("cpu", torch.float64))
    return torch.cat(parts)


def noised(x0: Tensor, z: Tensor, t: Tensor, process: ForwardProcess) -> Batch:
    """Points x0 (n, d) with noise z (n, d) at times t (n,)."""
    alpha, sigma = (v[:, None] for v in coefficients(process, t))
    return Batch((alpha * x0 + sigma * z).to(x0.dtype), z, t, alpha, sigma)


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


def validation_batch(points: Tensor, process: ForwardProcess, t_min: float, draws: int, seed: int) -> Batch:
    """Every point ``2 draws`` times: antithetic noise, times stratified over the whole set and shuffled."""
    generator = torch.Generator().manual_seed(seed)
    n = len(points) * draws
    t = TimeTable(process, t_min).stratified(n, generator)[torch.randperm(n, generator=generator)]
    z = torch.randn((n, points.shape[1]), generator=generator, dtype=torch.float32)
    repeated = points.repeat(2 * draws, 1)
    return noised(repeated, torch.cat([z, -z]), torch.cat([t, t]), process)
