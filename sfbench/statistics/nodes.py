r"""Statistics by time node: one pass fills them, and every window, half, bin and weighting is a view of them.

    J(w) = sum_t omega_t ( w'G_t w - 2 b_t'w + c_t ),     G_t = mean_n <S_i, S_j>,     b_t = mean_n <S_i, s* - s_0>,

so the objective of a part of the window is a sum over its nodes, with weights of its own if they vary with time, and
another weighting omega needs no new pass. Per-sample terms, which intervals need, are kept by *part* of the window
(omega applied), because rows x nodes x k^2 numbers would be too many.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import final

import numpy as np

from .._internal.aliases import Float64Array
from ..errors import GramError
from .gram import Contributions, ScoreGram
from .settings import GramSettings

_MOST_ROWS, _FEWEST_ROWS, _KEPT_NUMBERS = 4096, 8, 1 << 22


def rows_to_keep(k: int, n_parts: int) -> int:
    """Rows of per-sample terms that intervals need, within 64 MB in all up to k = 700 (and 8 rows beyond)."""
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _KEPT_NUMBERS // (n_parts * k * k)))


def part_edges(n_nodes: int, n_parts: int) -> tuple[int, ...]:
    """Nodes at which equal parts of a window start, and their number: two parts are an early and a late half."""
    return tuple(n_nodes * i // n_parts for i in range(n_parts + 1))


@final
@dataclass(frozen=True, eq=False)
class NodeStatistics:
    """Statistics of every time node of a grid; ``+`` merges those of disjoint samples.

    Attributes
    ----------
    settings : GramSettings
        Process, grid, weighting and estimator.
    G : array, shape (t, k, k)
        Means of ``<S_i, S_j>`` at each node, before omega.
    b : array, shape (t, k)
        Means of ``<S_i, s* - s_0>``.
    n : int
        Samples averaged.
    edges : tuple of int
        Nodes at which the parts with kept terms start, and the number of nodes.
    parts : tuple of Contributions
        Per-sample terms of each part; empty if none were kept.
    """

    settings: GramSettings
    G: Float64Array
    b: Float64Array
    n: int
    edges: tuple[int, ...] = ()
    parts: tuple[Contributions, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.G, self.b):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.b)

    def at(self, window: slice = slice(None)) -> ScoreGram:
        """The objective of some of the nodes, or all; with per-sample terms if the window is made of kept parts.

        Raises
        ------
        GramError
            If no node is left.
        """
        start, stop, step = window.indices(len(self))
        if step != 1 or start >= stop:
            raise GramError(f"window must hold consecutive nodes out of {len(self)}, got {window}")
        settings = self.settings if stop - start == len(self) else self.settings.restricted(slice(start, stop))
        G, b = (np.tensordot(settings.omega, values[start:stop], 1) for values in (self.G, self.b))
        kept = None
        if self.parts and {start, stop} <= set(self.edges):
            kept = reduce(add, self.parts[self.edges.index(start) : self.edges.index(stop)])
        return ScoreGram((G + G.T) / 2, b, None, self.n, settings.describe(), kept)

    def by_part(self) -> tuple[ScoreGram, ...]:
        """The objective of each kept part."""
        return tuple(self.at(slice(*ends)) for ends in zip(self.edges[:-1], self.edges[1:], strict=True))

    def __add__(self, other: "NodeStatistics") -> "NodeStatistics":
        if not isinstance(other, NodeStatistics):
            return NotImplemented
        self.at() + other.at()  # refuses what does not fit
        n = self.n + other.n
        u, v = self.n / n, other.n / n
        return NodeStatistics(self.settings, u * self.G + v * other.G, u * self.b + v * other.b, n)

    def __repr__(self) -> str:
        kept = f", terms of {len(self.parts)} parts" if self.parts else ""
        return f"NodeStatistics({len(self)} nodes, k={self.b.shape[1]}, n={self.n}{kept})"
