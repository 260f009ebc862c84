r"""The state of a weighted particle system: points, weights, ancestry, and what they say about log Z.

Weights are never reset. Resampling within an island gives every particle the island's mean weight, so at any time

    Z = sum_i exp(L_i) / n_0,

n_0 the number of particles at the start (lost ones count as weight zero), per block of coordinates and per island.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from synthetic import Estimate

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import library, take, to_host
from ..errors import SfbenchError
from ..scores import FusedScore
from .guard import Survivors
from .resampling import Scheme, normalised


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """Groups of coordinates that are weighted and resampled apart; ``columns`` None means one group of all."""

    columns: tuple[np.ndarray, ...] | None

    def __len__(self) -> int:
        return 1 if self.columns is None else len(self.columns)

    def on_lines(self, dim: int) -> bool:
        """Whether every block is a single coordinate, in dimension ``dim``."""
        return len(self) == dim

    def square_norms(self, e: Array, scratch: Array) -> Array:
        """Squared norms per block (b, n) of vectors (n, d); may be a view of ``scratch`` (n, d)."""
        xp = library(e)
        if self.columns is None and e.shape[1] > 1:
            return xp.einsum("nd,nd->n", e, e)[None]
        squares = xp.multiply(e, e, out=scratch).T
        if self.columns is None:
            return squares
        rows = np.ascontiguousarray(squares) if xp is np else squares.contiguous()
        return xp.stack([rows[c].sum(axis=0) for c in self.columns])


@final
@dataclass(eq=False)
class Particles:
    """Points and their history, of b blocks of coordinates and r islands; weights and ancestry are on the host."""

    x: Array  # (n, d), an array or a tensor
    log_weights: Float64Array  # (b, n), since the start
    founders: np.ndarray  # (b, n), the initial particle from which each descends
    bounds: np.ndarray  # (r + 1,), rows at which islands begin and end
    started: np.ndarray  # (r,), particles at the start
    resamplings: np.ndarray  # (b,), of any island
    ess: list[float]  # effective share of the particles of the worst block after every weighting
    origin: Array  # (n, d), the points at the start

    @classmethod
    def start(cls, x: Array, n_blocks: int, bounds: np.ndarray | None = None) -> "Particles":
        """Equally weighted particles on one island, or on the islands given."""
        n = len(x)
        edges = np.array([0, n]) if bounds is None else bounds
        founders = np.tile(np.arange(n), (n_blocks, 1))
        started = np.diff(edges)
        return cls(x, np.zeros((n_blocks, n)), founders, edges, started, np.zeros(n_blocks, dtype=np.intp), [], x)

    def tilt(self, costs: Array) -> None:
        """Subtract ``costs`` (b, n) or (n,) from the log weights."""
        self.log_weights -= to_host(costs)

    def on_host(self) -> "Particles":
        """The particles themselves."""
        return self

    def log_partition(self) -> Estimate:
        """``log Z`` with a standard error.

        With islands, the error is the spread of their independent estimates. On one island the relative variance of a
        block's Z is estimated from the genealogy by ``sum_e W_e^2 - 1/n``, W_e the weight that descends from initial
        particle e: exact without resampling, on the safe side with it (Lee and Whiteley 2018 subtract what
        multinomial resampling adds; systematic resampling adds less).
        """
        n, count = int(self.started.sum()), len(self.started)
        top = self.log_weights.max(axis=1, keepdims=True)
        sums = self._island_sums(np.exp(self.log_weights - top))
        value = float((top[:, 0] + np.log(sums.sum(axis=1) / n)).sum())
        if count == 1:
            variance = float(np.maximum(self.founder_shares() - 1.0 / n, 0.0).sum())
            return Estimate(value, math.sqrt(variance), n, "weighted particles, error from their genealogy")
        ratios = (sums / self.started) / (sums.sum(axis=1, keepdims=True) / n)
        variance = float((ratios.var(axis=1, ddof=1) / count).sum())
        return Estimate(value, math.sqrt(variance), n, f"weighted particles, error between {count} islands")

    def founder_shares(self) -> Float64Array:
        """``sum_e W_e^2`` per block, (b,): the inverse of the effective number of founders."""
        masses = self.founder_masses()
        return np.asarray(np.einsum("bn,bn->b", masses, masses))

    def founder_masses(self) -> Float64Array:
        """Final weight that descends from each initial particle, (b, n)."""
        n = int(self.started.sum())
        return np.stack(
            [
                np.bincount(f, weights=normalised(w), minlength=n)
                for f, w in zip(self.founders, self.log_weights, strict=True)
            ]
        )

    def resample(
        self, blocks: Blocks, threshold: float, scheme: Scheme, rng: np.random.Generator, memory: list[Array]
    ) -> None:
        """Resample the islands of blocks whose effective share is below the threshold, and the arrays in ``memory``
        with them.
        """
        shares = self.note_ess()
        poor = shares < threshold
        if poor.any():
            for b, r in np.argwhere(poor).tolist():
                self._resample(b, slice(*self.bounds[r : r + 2].tolist()), blocks, scheme, rng, memory)
            self.resamplings += poor.any(axis=1)

    def unite(self, blocks: Blocks, scheme: Scheme, rng: np.random.Generator) -> None:
        """End with equal weights: weights per block are not weights of points. Forgets the islands."""
        self.bounds, self.started = np.array([0, len(self.x)]), np.array([int(self.started.sum())])
        for b in range(len(blocks)):
            self._resample(b, slice(0, len(self.x)), blocks, scheme, rng, [])
        self.log_weights[:] = 0.0

    def note_ess(self) -> Float64Array:
        """Effective share of the particles per block and island (b, r), 1 of empty islands; adds the worst block's to
        ``ess``.
        """
        work = self.log_weights - self.log_weights.max(axis=1, keepdims=True)
        np.exp(work, out=work)
        sums = self._island_sums(work)
        work *= work
        squares = self._island_sums(work)
        self.ess.append(float((sums.sum(axis=1) ** 2 / squares.sum(axis=1)).min()) / len(self.x))
        if len(self.bounds) == 2:
            return np.asarray(sums**2 / (len(self.x) * squares))
        sizes = np.diff(self.bounds)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = sums**2 / (sizes * squares)
        return np.where((sizes > 0) & (squares > 0), shares, 1.0)

    def drop_lost(self, memory: list[Array], survivors: Survivors, t: float) -> list[Array]:
        """Drop diverged particles, which count as weight zero; returns what is left of ``memory``."""
        keep = survivors.drop(self.x, t)
        if keep is None:
            return memory
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        self.bounds = kept_before[self.bounds]
        self.x = take(self.x, keep)
        self.log_weights, self.founders = self.log_weights[:, keep], self.founders[:, keep]
        return [take(array, keep) for array in memory]

    # ------------------------------------------------------------------ inside
    def _island_sums(self, values: Float64Array) -> Float64Array:
        """Sums (b, r) over the islands of values (b, n)."""
        if len(self.bounds) == 2:
            return np.asarray(values.sum(axis=1, keepdims=True))
        filled = np.diff(self.bounds) > 0
        out = np.zeros((len(values), len(filled)))
        out[:, filled] = np.add.reduceat(values, self.bounds[:-1][filled], axis=1)
        return out

    def _resample(
        self, b: int, rows: slice, blocks: Blocks, scheme: Scheme, rng: np.random.Generator, memory: list[Array]
    ) -> None:
        columns = slice(None) if blocks.columns is None else blocks.columns[b]
        points = self.x[rows, columns]
        log_weights = self.log_weights[b, rows]
        # Sorted 1-D particles make systematic resampling a quadrature rule: error O(1/n), not O(1/sqrt n).
        order = np.argsort(to_host(points[:, 0])) if points.shape[1] == 1 else np.arange(len(points))
        ancestors = order[scheme(normalised(log_weights)[order], rng, None)]
        if len(blocks) > 1:
            # The scheme returns ancestors in order; blocks joined in that order would be dependent.
            ancestors = rng.permutation(ancestors)
        top = float(log_weights.max())
        mean = top + math.log(float(np.exp(log_weights - top).mean()))
        self.x[rows, columns] = take(points, ancestors)
        for array in memory:
            array[rows, columns] = take(array[rows, columns], ancestors)
        self.founders[b, rows] = self.founders[b, rows][ancestors]
        self.log_weights[b, rows] = mean


def check_blocks(blocks: object, fused: FusedScore, rng: np.random.Generator, t: float) -> Blocks:
    """Blocks from labels (d,), refused if the scores do not factorise over them.

    A score factorises if its coordinates in one block ignore the points' coordinates in the others; this is tested on
    random points.
    """
    if blocks is None:
        return Blocks(None)
    labels = np.asarray(blocks)
    if labels.shape != (fused.dim,):
        raise SfbenchError(f"blocks must label every coordinate, shape ({fused.dim},), got {labels.shape}")
    columns = tuple(np.flatnonzero(labels == label) for label in np.unique(labels))
    if len(columns) == 1:
        return Blocks(None)
    spread = fused.process.prior_std(fused.process.horizon)
    x, other = spread * rng.standard_normal((2, 16, fused.dim))
    # Any two blocks differ in some bit of their number, so these masks part every pair: 2 log2(b) evaluations, not b.
    numbers = np.unique(labels, return_inverse=True)[1]
    masks = [(numbers >> bit & 1) == side for bit in range(int(numbers.max()).bit_length()) for side in (0, 1)]
    for i in fused.support:
        reference = np.asarray(fused.models[i].score(x, t))
        for mask in masks:
            moved = np.asarray(fused.models[i].score(np.where(mask, x, other), t))
            change = np.abs(moved - reference)[:, mask].max(axis=0)
            if float(change.max()) > 1e-6 * max(1.0, float(np.abs(reference).max())):
                raise SfbenchError(
                    f"models[{i}] does not factorise over the given blocks: its score in coordinate "
                    f"{int(np.flatnonzero(mask)[change.argmax()])} changes by {change.max():.2g} with coordinates of "
                    "other blocks; blocked resampling would be biased"
                )
    return Blocks(columns)
