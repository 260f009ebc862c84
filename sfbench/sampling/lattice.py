r"""Noise from a lattice: particles on the line whose draws complement one another (array-RQMC).

Independent noise gives a mean over n particles an error of ``n^{-1/2}``. On the line one can do better: sort the
particles and give the one of rank i the normal quantile of

    u_i = (a i + S + U) / m  mod 1,        a near m / golden ratio,  S a random integer,  U random in [0, 1),

so that the pairs (rank, noise) fill the unit square evenly (a rank-1 lattice): neighbouring particles, which are alike,
draw complementary noise. Every draw on its own is a standard normal independent of the past (cut into at least 16,384
cells of equal probability, mean and variance exact), so laws and the expected Z are those of independent noise; only
the dependence *between* particles changes, and with it the variance (L'Ecuyer, Lecot and Tuffin 2008; Gerber and Chopin
2015).

The price is that particles no longer say how large the error is. They are therefore split into *islands* that share
nothing, each with a lattice and a resampling of its own; the spread between islands is the standard error.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import final

import numpy as np
import scipy

from .._internal.aliases import Float64Array, FloatArray

N_ISLANDS = 16
FEWEST_PER_ISLAND = 32
_CELLS = 1 << 14  # of equal probability, into which the normal law is cut


@final
@dataclass(eq=False)
class LatticeNoise:
    """Source of lattice noise for points of which every coordinate is a particle system of its own."""

    rng: np.random.Generator
    _rows: np.ndarray = field(default_factory=lambda: np.arange(0))

    def __call__(self, x: FloatArray, bounds: np.ndarray, out: FloatArray) -> FloatArray:
        """Standard normals (n, d) into ``out``, a lattice per coordinate of x and island; ``bounds`` (r + 1,) are the
        rows at which islands begin and end.
        """
        if len(self._rows) != len(x):
            self._rows = np.arange(len(x))
        edges = bounds.tolist()
        draws = self.rng.random((2, len(edges) - 1, x.shape[1]))
        for j in range(x.shape[1]):
            windows = []
            for (low, high), shift, turn in zip(pairwise(edges), *draws[:, :, j].tolist(), strict=True):
                if high > low:
                    table, start = lattice_table(high - low), int(turn * (high - low))
                    windows.append(table[int(shift * len(table)), start : start + high - low])
            column = out[:, j]
            column[_sorted_rows(x[:, j], self._rows, edges)] = np.concatenate(windows)
        return out


@lru_cache(maxsize=8)
def lattice_table(size: int) -> Float64Array:
    """Normal quantiles (shifts, 2 size) of a lattice at every shift, written twice so that any window of ``size``
    entries is the whole lattice, begun somewhere else.

    All entries together are the mid-quantiles of ``shifts x size`` equal cells, scaled to variance 1. Nothing in the
    table is random: a random offset kept over the steps of a run would add up to an error that no island sees.
    """
    n_shifts = -(-_CELLS // size)
    cells = np.tile((np.arange(size) * _generator(size)) % size, 2)
    shifts = (np.arange(n_shifts) + 0.5) / n_shifts
    quantiles = scipy.special.ndtri((np.arange(size) + shifts[:, None]) / size)
    quantiles /= quantiles.std()
    table: Float64Array = quantiles[:, cells]
    table.setflags(write=False)
    return table


def islands(n: int) -> np.ndarray:
    """Bounds (r + 1,) of islands of nearly equal sizes for n particles."""
    count = N_ISLANDS if n >= N_ISLANDS * FEWEST_PER_ISLAND else 1
    return np.linspace(0, n, count + 1).round().astype(np.intp)


def _sorted_rows(column: FloatArray, rows: np.ndarray, edges: list[int]) -> np.ndarray:
    """Rows (n,) of a column of finite values that sort it within islands.

    The row is written into the last bits of each value, so that sorting values sorts rows, at half the cost of an
    argsort. Values that agree in all other bits come in either order, which is as good for a lattice.
    """
    keys = np.array(column, dtype=np.float64)
    bits = keys.view(np.int64)
    mask = (1 << max(1, (len(keys) - 1).bit_length())) - 1
    bits &= ~mask
    bits |= rows
    for low, high in pairwise(edges):
        keys[low:high].sort()
    bits &= mask
    return bits


def _generator(size: int) -> int:
    """The number nearest to ``size / golden ratio`` that has no common divisor with size."""
    centre = round(size * (math.sqrt(5.0) - 1.0) / 2.0)
    for offset in range(size + 1):
        for candidate in (centre + offset, centre - offset):
            if candidate >= 1 and math.gcd(candidate, size) == 1:
                return candidate
    return 1
