r"""Residuals of the fused score against test fields, row by row, from the scores that a pass evaluates anyway.

With ``x_t = alpha x_0 + sigma z``, the noise-prediction error of weights w is ``e_w = sigma s_w(x_t) + z``, affine in
w. Given x_t, its mean is ``sigma (s_w - s*)(x_t)``, s* the target's score. So for every field Phi,

    h(Phi; w) = E <Phi(x_t), e_w> = E <Phi, sigma (s_w - s*)>,

which is zero for all Phi if and only if ``s_w = s*``. Fields kept, in each of a few bins of time:

- the models' own: ``sigma s_0`` and ``sigma (s_i - s_0)``;
- the standardised point y, and the constant field along the rows' mean: whether lengths and place are right;
- along each of the data's first principal directions u: u times 1, sin, cos of ``u'y`` and of ``2 u'y``.

Lengths are bounded, so that moments have light tails. Evenly spaced rows are kept, not all; a quarter of them finds
centre and directions, and the others are tested, because a direction in which rows are wide by chance is none in which
the target is.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, final

import numpy as np

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import float64_on_host, library, to_host, to_kind
from ..processes.times import TimeGrid
from .settings import GramSettings

MOST_ROWS = 4096
_NUMBERS = 1 << 22  # in kept moments, and in a stack of fields
_POINTS = 1 << 21  # numbers in the points that are looked at, beyond a few hundred rows
_FEWEST_ROWS = 256
_FOR_DIRECTIONS = 256  # rows
_EACH = 8  # rows for each moment
_EVERY = 4  # row that enters the fields' inner products, which need no better accuracy
_PLANS = ((3, 3), (3, 2), (2, 2), (2, 1), (1, 1))  # bins, directions


@final
class Residuals:
    """Moments of ``e_w`` with test fields by row; filled by a pass, in the coordinates of the pass.

    Attributes
    ----------
    moments : array, shape (rows, bins, fields, k)
        ``<Phi, T_j>`` averaged over the nodes of a bin: ``e_w = -T_0 + sum_j w_j T_j`` with ``T_0 = -z - sigma s_0``.
        None if there are too few rows.
    tested : array of bool, shape (rows,)
        Rows that did not choose the fields.
    weight : array, shape (rows,)
        What a row counts, 1 on average.
    losses : array, shape (rows, k, k)
        ``<T_i, T_j> / d`` averaged over nodes.
    fields : array, shape (bins, fields, fields)
        Mean inner products of the fields.
    shares : array, shape (bins,)
        Share of the nodes in each bin.
    linear : array, shape (rows,)
        Loss of an isotropic Gaussian with the rows' centre and variance, on the same noise, averaged over nodes.
    """

    def __init__(self, settings: GramSettings, most_bins: int = 3) -> None:
        self.settings, self.most_bins, self.n_rows, self.dim = settings, most_bins, 0, 0
        self.moments: Float64Array | None = None
        self.losses = self.fields = self.shares = self.linear = self.weight = np.zeros(0)
        self.tested = np.zeros(0, np.bool_)

    @property
    def parts(self) -> "list[Residuals]":
        """Itself: one part."""
        return [self]

    def begin(self, source: Any) -> None:
        """Choose rows, fields and bins for a source of data."""
        n, d = len(source.data), int(source.models[0].dim)
        k, self.dim = len(source.models), d
        most = min(MOST_ROWS, max(_FEWEST_ROWS, _POINTS // d), max(1, _NUMBERS // (3 * k * (k + 17))))
        self.stride = max(1, -(-n // most))
        self.n_rows = -(-n // self.stride)
        offered = [(min(b, self.most_bins), min(q, d)) for b, q in _PLANS]
        plans = [(b, q) for b, q in offered if b * (k + 2 + 5 * q) * _EACH <= 0.75 * self.n_rows]
        bins, directions = plans[0] if plans else (0, 0)
        bins = min(bins, len(self.settings.grid))
        self.losses, self.linear = np.zeros((self.n_rows, k, k)), np.zeros(self.n_rows)
        weight = getattr(source, "sample_weight", None)
        kept = np.ones(self.n_rows) if weight is None else weight[:: self.stride]
        self.weight = kept / max(float(kept.mean()), np.finfo(np.float64).tiny)
        self._look(source.data, directions)
        if bins:
            self._bin = np.arange(len(self.settings.grid)) * bins // len(self.settings.grid)
            counts = np.bincount(self._bin)
            self._each, self.shares = 1.0 / counts, counts / counts.sum()
            m = k + 2 + 5 * directions
            self.moments, self.fields = np.zeros((self.n_rows, bins, m, k)), np.zeros((bins, m, m))

    def _look(self, data: Any, directions: int) -> None:
        """Centre, variance and principal directions of every fourth row, or of the first ones of a file."""
        places = np.arange(self.n_rows)
        if hasattr(data, "first"):
            count = max(1, min(_FOR_DIRECTIONS, len(data) // 4))
            rows, self.tested = data.first(count), places * self.stride >= count
        else:
            rows, self.tested = data[:: 4 * self.stride], places % 4 > 0
        rows = to_host(rows).astype(np.float64)
        self._centre = rows.mean(axis=0)
        self._place = self._centre / max(float(np.linalg.norm(self._centre)), np.finfo(np.float64).tiny)
        rows = rows - self._centre
        self._variance = max(float((rows**2).mean()), np.finfo(np.float64).tiny)
        few = rows[:: max(1, len(rows) // _FOR_DIRECTIONS)]
        self._directions = np.linalg.svd(few, full_matrices=False)[2][:directions]

    def keep_first(self, n: int) -> None:
        """Keep what belongs to the first n rows of the data, after a pass that ended early."""
        kept = -(-n // self.stride)
        self.fields *= self.n_rows / kept
        self.n_rows, self.tested, self.weight = kept, self.tested[:kept], self.weight[:kept]
        self.losses, self.linear = self.losses[:kept], self.linear[:kept]
        if self.moments is not None:
            few = self.moments.shape[1] * self.moments.shape[2] * _EACH > 0.75 * kept
            self.moments = None if few else self.moments[:kept]

    def add(self, node: int, first_row: int, x: Array, noise: Array, base: Array, differences: Array) -> None:
        """Add a chunk: points, noise and scores of model 0 (signs, rows, d), differences (k - 1, signs, rows, d)."""
        rows, d = int(x.shape[1]), int(x.shape[2])
        local = np.arange(-first_row % self.stride, rows, self.stride)
        places = (first_row + local) // self.stride
        m = 1 if self.moments is None else self.moments.shape[2]
        step = max(1, _NUMBERS // (m * int(x.shape[0]) * d))
        for start in range(0, len(local), step):
            part = local[start : start + step]
            points, z, scores, *others = (to_rows(values, part) for values in (x, noise, base, *differences))
            self._add(node, places[start : start + step], points, z, scores, others)

    def _add(self, node: int, places: Any, x: Array, noise: Array, base: Array, differences: list[Array]) -> None:
        """The same for chosen rows, (rows, signs, d) each."""
        settings, signs, xp = self.settings, int(x.shape[1]), library(x)
        alpha, sigma = settings.coefficients[node]
        own = sigma * base
        terms = xp.stack([-noise - own, *(sigma * s for s in differences)], 1)  # (rows, k, signs, d)
        flat = terms.reshape(*terms.shape[:2], -1)
        products = float64_on_host(flat @ flat.swapaxes(1, 2)) / signs
        self.losses[places] += products / (self.dim * settings.n_noise * len(settings.grid))
        spread = float(np.sqrt(alpha**2 * self._variance + sigma**2))
        y = (x - to_kind(alpha * self._centre, x)) / spread
        error = float64_on_host(((noise - sigma / spread * y) ** 2).mean(-1).mean(-1))
        self.linear[places] += error / (settings.n_noise * len(settings.grid))
        if self.moments is None:
            return
        b = int(self._bin[node])
        fields = [_bounded(field) for field in (own, *(terms[:, i] for i in range(1, terms.shape[1])), y)]
        fields.append(xp.zeros_like(y) + to_kind(self._place, x))
        for direction in self._directions:
            u = to_kind(direction, x)
            along = (y @ u)[..., None]
            fields += [
                value * u
                for value in (xp.ones_like(along), *(f(c * along) for c in (1.0, 2.0) for f in (xp.sin, xp.cos)))
            ]
        stack = xp.stack(fields, 1)
        stack = stack.reshape(*stack.shape[:2], -1)
        share = self._each[b] / (settings.n_noise * signs)
        self.moments[places, b] += share * float64_on_host(stack @ flat.swapaxes(1, 2))
        some = stack[:: min(_EVERY, len(stack))]
        columns = some.swapaxes(0, 1).reshape(stack.shape[1], -1)
        self.fields[b] += share * len(stack) / (len(some) * self.n_rows) * float64_on_host(columns @ columns.T)


@final
class ResidualsByPart:
    """Residuals of each part of a window, from the same rows: what weights that change from part to part are judged by.

    Parameters
    ----------
    settings : GramSettings
    edges : sequence of int
        Nodes at which the parts start, and the number of nodes.
    """

    def __init__(self, settings: GramSettings, edges: Sequence[int]) -> None:
        grid, self.edges = settings.grid, np.asarray(edges)
        ranges = [slice(a, b) for a, b in pairwise(edges)]
        grids = [TimeGrid(grid.nodes[part], grid.weights[part]) for part in ranges]
        self.parts = [Residuals(replace(settings, grid=one), most_bins=1) for one in grids]

    @property
    def n_rows(self) -> int:
        """Rows that are kept; 0 before a pass."""
        return self.parts[0].n_rows

    def begin(self, source: Any) -> None:
        """Choose rows, fields and bins of every part."""
        for part in self.parts:
            part.begin(source)

    def add(self, node: int, *chunk: Any) -> None:
        """Add a chunk at a node of the whole window; see :meth:`Residuals.add`."""
        place = int(np.searchsorted(self.edges, node, side="right")) - 1
        self.parts[place].add(node - int(self.edges[place]), *chunk)

    def keep_first(self, n: int) -> None:
        """Keep what belongs to the first n rows."""
        for part in self.parts:
            part.keep_first(n)


def _bounded(field: Array) -> Array:
    """The field shortened to lengths below ``sqrt(d)``: products with it have lighter tails."""
    return field / (1.0 + (field**2).mean(-1)[..., None]) ** 0.5


def to_rows(values: Array, rows: Any) -> Array:
    """Chosen rows of an array (signs, rows, d), as (rows, signs, d)."""
    return values[:, rows].swapaxes(0, 1)
