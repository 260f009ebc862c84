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
_SHIFTS = 64  # fractions of a lattice cell by which a lattice may be shifted; tabulated


@final
@dataclass(eq=False)
class LatticeNoise:
    """Source of lattice noise for points of which every coordinate is a particle system of its own."""

    rng: np.random.Generator
    _tables: dict[int, Float64Array] = field(default_factory=dict)

    def __call__(self, x: FloatArray, bounds: np.ndarray) -> FloatArray:
        """Standard normals shaped like x (n, d), a lattice per coordinate and island; ``bounds`` (r + 1,) are the
        rows at which islands begin and end.
        """
        out = np.empty_like(x)
        edges = bounds.tolist()
        draws = self.rng.random((2, len(edges) - 1, x.shape[1]))
        for j in range(x.shape[1]):
            column = np.ascontiguousarray(x[:, j])
            noise = np.empty_like(column)
            for r, (low, high) in enumerate(pairwise(edges)):
                size = high - low
                if size:
                    row, start = self._table(size)[int(draws[0, r, j] * _SHIFTS)], int(draws[1, r, j] * size)
                    noise[low:high][np.argsort(column[low:high])] = row[start : start + size]
            out[:, j] = noise
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


def _generator(size: int) -> int:
    """The number nearest to ``size / golden ratio`` that has no common divisor with size."""
    centre = round(size * (math.sqrt(5.0) - 1.0) / 2.0)
    for offset in range(size + 1):
        for candidate in (centre + offset, centre - offset):
            if candidate >= 1 and math.gcd(candidate, size) == 1:
                return candidate
    return 1
