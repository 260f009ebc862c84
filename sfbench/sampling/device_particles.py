r"""Particles whose weights stay on an accelerator: the host decides nothing in a step, so it never waits for one.

The state is that of :class:`.particles.Particles` for one block of coordinates and one island. Ancestors are drawn at
every weighting, and the identity takes their place where the effective share is above the threshold; what this costs is
one copy of the points. The draws are those of :mod:`.resampling`; Srinivasan's process, a loop over particles, has no
such form.
"""

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from .._internal.aliases import Array
from .._internal.arrays import Normals, astype, float64_on_host, library, to_host, zeros
from .guard import Survivors
from .particles import Blocks, Particles
from .resampling import Scheme, multinomial, stratified, systematic

ON_DEVICE = (systematic, stratified, multinomial)


@final
@dataclass(eq=False)
class DeviceParticles:
    """Points (n, d), log weights and founders (n,), and counts, as tensors; see :class:`.particles.Particles`."""

    x: Array
    normals: Normals
    log_weights: Array = field(init=False)
    founders: Array = field(init=False)
    origin: Array = None
    ess: list[Array] = field(default_factory=list)
    resamplings: Any = 0

    def __post_init__(self) -> None:
        self.log_weights = zeros((1, len(self.x)), self.x, "float64")
        self.founders = library(self.x).arange(len(self.x), device=self.x.device)

    @property
    def bounds(self) -> np.ndarray:
        """One island of all."""
        return np.array([0, len(self.x)])

    def tilt(self, costs: Array) -> None:
        """Subtract ``costs`` (1, n) from the log weights."""
        self.log_weights -= costs

    def note_ess(self) -> tuple[Array, Array]:
        """Weights (n,) and their effective share, which is added to ``ess``."""
        weights = library(self.x).softmax(astype(self.log_weights[0], "float64"), 0)
        share = 1.0 / (len(self.x) * (weights * weights).sum())
        self.ess.append(share)
        return weights, share

    def resample(
        self, blocks: Blocks, threshold: float, scheme: Scheme, rng: np.random.Generator, memory: list[Array]
    ) -> None:
        """Resample if the effective share is below the threshold, and the arrays in ``memory`` with the points."""
        xp, n = library(self.x), len(self.x)
        weights, share = self.note_ess()
        poor = share < threshold
        rows = xp.arange(n, device=self.x.device)
        order = xp.argsort(self.x[:, 0]) if self.x.shape[1] == 1 else rows
        levels = self.normals.uniform((1,) if scheme is systematic else (n,))
        levels = xp.sort(levels)[0] if scheme is multinomial else (levels + rows) / n
        cumulative = xp.cumsum(weights[order], 0)
        drawn = order[xp.searchsorted(cumulative / cumulative[-1], levels, right=True).clip(max=n - 1)]
        ancestors = xp.where(poor, drawn, rows)
        for array in (self.x, *memory):
            array[...] = array[ancestors]
        self.founders = self.founders[ancestors]
        mean = xp.logsumexp(self.log_weights, 1, keepdim=True) - np.log(n)
        self.log_weights = xp.where(poor, mean, self.log_weights)
        self.resamplings = self.resamplings + poor

    def drop_lost(self, memory: list[Array], survivors: Survivors, t: float) -> list[Array]:
        """Let the survivors see the points; nothing is dropped before the end."""
        survivors.drop(self.x, t)
        return memory

    def on_host(self) -> Particles:
        """The same particles with weights and ancestry on the host; waits for the device."""
        n = len(self.x)
        count = np.array([int(self.resamplings)])
        shares = float64_on_host(library(self.x).stack(self.ess)).tolist()
        log_weights, founders = float64_on_host(self.log_weights), to_host(self.founders)[None]
        return Particles(self.x, log_weights, founders, self.bounds, np.array([n]), count, shares, self.origin)
