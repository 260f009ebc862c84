r"""Statistics from some of the time nodes of every sample, unbiased.

J is a mean over samples and a sum over nodes t with weights omega_t. If sample i is asked at node t with a known
probability pi_t, the mean of ``terms / pi_t`` over samples is unbiased (Horvitz and Thompson 1952). Here a node's mean
is their ratio to the mean of ``1 / pi_t`` (Hajek), which does not pay for differences between nodes:

    mean_t = sum_{i asked at t} terms_it / pi_it  /  sum_{i asked at t} 1 / pi_it,        (G, b) = sum_t omega_t mean_t.

Its error is to first order the mean of independent terms of the samples,

    e_i = sum_{t asked of i} omega_t / pi_it (terms_it - mean_t),

so ``(G, b) + e_i`` take the place of the per-sample terms of a full pass, and what is made of these (intervals, tests)
holds as it is. Probabilities may change from one stretch of samples to the next, also in answer to what was seen.

**Which probabilities.** The covariance of the weights is ``sum_t omega_t^2 E|A u_it|^2 / pi_t`` plus what does not
depend on pi, u the centred gradient of the node's objective and ``A = H^+`` on the face of the simplex where the fit
lies. At a given expected number of nodes a sample, ``sum_t pi_t = s``, it is least for

    pi_t = min(1, c omega_t sqrt(E|A u_it|^2)).

Within a stretch node t is asked of every ``1 / pi_t``-th sample, so that numbers are what they should be to within one.
"""

from collections.abc import Callable
from typing import Any, final

import numpy as np

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import library, take
from ..errors import GramError, NotFiniteError
from .gram import Contributions, split_terms
from .nodes import NodeStatistics, part_edges
from .rows import Rows
from .samples import DataSource
from .settings import GramSettings
from .tensor_terms import TensorEvaluator
from .terms import ChunkEvaluator

_TERM_NUMBERS = 1 << 22  # in the per-sample terms of one call
_LEAST_SHARE = 0.1  # of the mean probability, for every node: influences are estimates
_LISTED = 1 << 16  # rows whose order is kept as a list; that of more takes more memory than what is done with them
_ROUNDS = 6


@final
class KeyedOrder:
    """A random order of n numbers that takes no memory: a Feistel cipher on the next power of four, walked until the
    answer is below n (Black and Rogaway 2002).
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._n, self._bits = n, np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
        self._keys = rng.integers(1 << 63, size=_ROUNDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def __getitem__(self, part: slice) -> np.ndarray:
        found = np.arange(*part.indices(self._n), dtype=np.uint64)
        pending = np.arange(len(found))
        while len(pending):
            found[pending] = self._encrypted(found[pending])
            pending = pending[found[pending] >= self._n]
        return found.astype(np.int64)

    def _encrypted(self, values: np.ndarray) -> np.ndarray:
        half = (np.uint64(1) << self._bits) - np.uint64(1)
        left, right = values >> self._bits, values & half
        for key in self._keys:
            mixed = (right + np.uint64(1)) * key  # modulo 2^64
            mixed ^= mixed >> np.uint64(32)
            mixed *= np.uint64(0xD6E8FEB86659FD93)
            left, right = right, left ^ (mixed >> np.uint64(40) & half)
        return left << self._bits | right


@final
class _Shuffled:
    """Rows of an array, or of a file that can be read in any order, in a random one."""

    def __init__(self, data: Array | Rows, rng: np.random.Generator) -> None:
        n = len(data)
        self.data, self.shape = data, tuple(data.shape)
        self.order = rng.permutation(n) if n <= _LISTED else KeyedOrder(n, rng)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, part: slice) -> Array:
        rows = self.order[part]
        return self.data.take(rows) if isinstance(self.data, Rows) else take(self.data, rows)


@final
class SubsampledPass:
    """A pass over samples in random order that can stop at any of them.

    Parameters
    ----------
    source : DataSource
    settings : GramSettings
    keep : int
        Per-sample terms are averaged over equal batches into at most so many rows.
    parts : int
        Equal parts of the window that get terms of their own.
    rng : Generator
        Order of the samples, and which are asked at which node.
    """

    def __init__(
        self, source: DataSource, settings: GramSettings, keep: int, parts: int, rng: np.random.Generator
    ) -> None:
        if isinstance(source.data, Rows) and not source.data.in_any_order:
            raise GramError(
                "a budget takes rows in random order, which loaders, Parquet and zarr cannot give; pass an array, or a "
                ".npy file (open_source(path) reads only the rows that are used)"
            )
        self.source, self.settings, self.keep, self.rng = source, settings, max(keep, 2), rng
        self.n, k, n_nodes = len(source.data), len(source.models), len(settings.grid)
        source.data = _Shuffled(source.data, rng)
        kind: Any = ChunkEvaluator if source.device is None else TensorEvaluator
        self._asked = [kind(source.models, settings.restricted(slice(t, t + 1))) for t in range(n_nodes)]
        self._edges = part_edges(n_nodes, parts)
        self._part_of = np.searchsorted(self._edges, np.arange(n_nodes), side="right") - 1
        self._sums, self._mass = np.zeros((n_nodes, k, k - 1)), np.zeros(n_nodes)
        self._per_batch = 1
        self._batches = np.zeros((parts, 0, k, k - 1))
        self._batch_mass, self._counts = np.zeros((0, n_nodes)), np.zeros(0)
        self.done, self.evaluations = 0, 0
        self.cost = k * settings.n_noise * len(settings.rule.signs)  # evaluations of one sample at one node
        self._piece = max(1, min(source.rows_per_chunk, _TERM_NUMBERS // (k * k)))

    def extend(
        self, rows: int, probabilities: Float64Array, advance: Callable[[int], None], remember: bool = False
    ) -> list[Float64Array]:
        """Take so many more samples, asked at every node with its probability (t,).

        Returns
        -------
        list of array (rows asked, k, k - 1)
            Terms at every node if ``remember``, else an empty list.
        """
        stop, offsets = min(self.done + rows, self.n), self.rng.random(len(probabilities))
        seen: list[list[Float64Array]] = [[] for _ in probabilities]
        waiting: dict[tuple[int, int], list[Any]] = {}  # rows, data and noise until they make up a whole call

        def ask(t: int, number: int, rows: np.ndarray, y: Array, zeta: Array) -> None:
            terms = self._terms(t, y, zeta)
            self._add(t, rows, terms, float(probabilities[t]), number == 0)
            advance(len(self.source.models) * len(rows) * len(self.settings.rule.signs))
            if remember:
                seen[t].append(terms)

        for first in range(self.done, stop, self._piece):
            last = min(first + self._piece, stop)
            steps = np.arange(first - self.done, last - self.done + 1)[None] * probabilities[:, None]
            asked = np.diff(np.floor(steps + offsets[:, None]), axis=1) > 0.0
            self._grow(last)
            for number, (y, zeta) in enumerate(self.source.chunk(first, last)):
                for t, chosen in enumerate(asked):
                    places = np.flatnonzero(chosen)
                    if not len(places):
                        continue
                    rest = [first + places, take(y, places), take(zeta, places)]
                    if (t, number) in waiting:
                        joined = zip(waiting.pop((t, number)), rest, strict=True)
                        rest = [library(new).concatenate([old, new]) for old, new in joined]
                    while len(rest[0]) >= self._piece:
                        ask(t, number, *(part[: self._piece] for part in rest))
                        rest = [part[self._piece :] for part in rest]
                    if len(rest[0]):
                        waiting[t, number] = rest
            self.evaluations += int(asked.sum()) * self.cost
        for (t, number), rest in waiting.items():
            ask(t, number, *rest)
        self.done = stop
        while len(self._counts) > self.keep:
            self._halve()
        return [np.concatenate(found) for found in seen] if remember else []

    def statistics(self) -> NodeStatistics:
        """What is known by now."""
        if not self._mass.all():
            raise GramError("a time node was asked of no sample; take more rows")
        means = self._sums / self._mass[:, None, None]
        kept, n, omega = [], self.done, self.settings.omega
        for part, batch_sums in enumerate(self._batches):
            nodes = self._part_of == part
            weighted = omega[nodes, None, None] * means[nodes]
            # Masses are near 1 a sample; dividing by them makes the rows' mean exactly that of the nodes.
            rows = batch_sums - np.tensordot(self._batch_mass[:, nodes], weighted, 1)
            rows = rows / self._counts[:, None, None] + weighted.sum(axis=0)
            kept.append(Contributions(*split_terms(rows), self._counts))
        return NodeStatistics(self.settings, *split_terms(means), n, self._edges, tuple(kept))

    # ------------------------------------------------------------------ inside
    def _terms(self, t: int, y: Array, zeta: Array) -> Float64Array:
        try:
            found: Float64Array = next(iter(self._asked[t].evaluate(y, zeta, 1, 0)))
        except NotFiniteError as reason:
            raise NotFiniteError(f"{str(reason).split(' near data row')[0]} near one of the data") from None
        return found / self.settings.n_noise

    def _add(self, t: int, rows: np.ndarray, terms: Float64Array, probability: float, first_noise: bool) -> None:
        weighted = terms / probability
        self._sums[t] += weighted.sum(axis=0)
        places = rows // self._per_batch
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        summed = np.add.reduceat(weighted, starts, axis=0)
        self._batches[self._part_of[t], places[starts]] += self.settings.omega[t] * summed
        if first_noise:
            self._mass[t] += len(rows) / probability
            self._batch_mass[places[starts], t] += np.diff(starts, append=len(rows)) / probability

    def _grow(self, rows: int) -> None:
        """Room for samples up to ``rows``."""
        more = -(-rows // self._per_batch) - len(self._counts)
        pad = max(more, 0)
        self._batches = np.pad(self._batches, ((0, 0), (0, pad), (0, 0), (0, 0)))
        self._batch_mass = np.pad(self._batch_mass, ((0, pad), (0, 0)))
        ends = np.minimum(np.arange(1, len(self._counts) + pad + 1) * self._per_batch, rows)
        self._counts = np.diff(ends, prepend=0).astype(np.float64)

    def _halve(self) -> None:
        """Join batches two by two."""
        pairs = np.arange(0, len(self._counts), 2)
        self._batches = np.add.reduceat(self._batches, pairs, axis=1)
        self._batch_mass = np.add.reduceat(self._batch_mass, pairs, axis=0)
        self._counts = np.add.reduceat(self._counts, pairs)
        self._per_batch *= 2


def shares(influence: Float64Array, nodes: float) -> Float64Array:
    """Probabilities (t,) in proportion to influences, at most 1, that add up to ``nodes`` (at most their number)."""
    n = len(influence)
    wanted = influence / influence.max() if influence.any() else np.ones(n)
    wanted = wanted + _LEAST_SHARE * wanted.mean()
    found, free = np.ones(n), np.ones(n, dtype=bool)
    while free.any():
        left = nodes - (n - free.sum())
        found[free] = wanted[free] * (left / wanted[free].sum())
        over = free & (found > 1.0)
        if not over.any():
            break
        found[over], free[over] = 1.0, False
    return np.clip(found, 0.0, 1.0)
