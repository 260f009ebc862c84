r"""Noise from a lattice: particles on the line whose draws complement one another (array-RQMC).

Independent noise gives a mean over n particles an error of ``n^{-1/2}``. On the line one can do better: sort the
particles and give the one of rank i the normal quantile of

    u_i = (a i + S + U) / m  mod 1,        a near m / golden ratio,  S a random integer,  U uniform on [0, 1),

so that the pairs (rank, noise) fill the unit square evenly (a rank-1 lattice): neighbouring particles, which are alike,
draw complementary noise. Every draw on its own is an exact standard normal independent of the past, so laws and the
expected Z are those of independent noise; only the dependence *between* particles changes, and with it the variance
(L'Ecuyer, Lecot and Tuffin 2008; Gerber and Chopin 2015).

The price is that particles no longer say how large the error is. They are therefore split into *islands* that share
nothing, each with a lattice and a resampling of its own; the spread between islands is the standard error.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final

import numpy as np
import scipy  # submodules load on first use

from .._typing import Float64Array, FloatArray

N_ISLANDS = 16
FEWEST_PER_ISLAND = 32
_SHIFTS = 16  # fractions of a lattice cell by which a lattice may be shifted; tabulated


@final
@dataclass(eq=False)
class LatticeNoise:
    """Source of lattice noise for points of which every coordinate is a particle system of its own."""

    rng: np.random.Generator
    _tables: dict[int, Float64Array] = field(default_factory=dict)
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
                size, start = high - low, int(turn * (high - low))
                windows.append(self._table(size)[int(shift * _SHIFTS)][start : start + size])
            column = out[:, j]
            column[_sorted_rows(x[:, j], self._rows, edges)] = np.concatenate(windows)
        return out

    def _table(self, size: int) -> Float64Array:
        """Normal quantiles (shifts, 2 size) of a lattice at every shift, written twice so that any window of
        ``size`` entries is the whole lattice, begun somewhere else.
        """
        if size not in self._tables:
            step = _generator(size)
            cells = np.tile((np.arange(size) * step) % size, 2)
            shifts = (np.arange(_SHIFTS) + self.rng.random()) / _SHIFTS
            self._tables[size] = scipy.special.ndtri((np.arange(size) + shifts[:, None]) / size)[:, cells]
        return self._tables[size]


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
