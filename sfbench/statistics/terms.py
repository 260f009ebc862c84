r"""Contributions of a chunk of data and noise to the statistics of every time node.

With ``S_i = s_i - s_0`` at ``alpha x_0 + sigma z`` and the residual ``R = target - s_0``, the rows ``(R, S_1, ...)`` of
one buffer times its rows ``(S_1, ...)`` are the linear term and the Gram matrix of a block of samples at once:

    b_i = <S_i, R> - (1 - lambda) div S_i,     R = -lambda z / sigma - s_0,      G_ij = <S_i, S_j>,

lambda the estimator's noise share. Blocks are short, because matrix products of few rows and many columns are slow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast, final

import numpy as np

from .._internal.aliases import Float64Array, FloatArray
from ..errors import ModelError, NotFiniteError
from ..scores import AnalyticScore, DivergenceScoreModel, ScoreModel
from .gram import Contributions, split_terms
from .residuals import Residuals, ResidualsByPart
from .settings import GramSettings

_BLOCK = 1 << 12  # numbers per model in one product
_NONE = np.empty(0)

_Evaluator = tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], tuple[FloatArray, FloatArray]]]


@final
@dataclass(frozen=True, eq=False)
class _Node:
    """A time node, its coefficients, and per model the functions x -> score and x -> (score, divergence)."""

    t: float
    alpha: float
    sigma: float
    noise_share: float
    models: list[_Evaluator]


def _at(model: ScoreModel, t: float) -> _Evaluator:
    """The model at a fixed time; an analytic score keeps its noised law, prepared once for all chunks."""
    if isinstance(model, AnalyticScore):
        law = model.marginal(t)
        return law.score, law.score_and_divergence
    return lambda x: model.score(x, t), lambda x: cast(DivergenceScoreModel, model).score_and_divergence(x, t)


def block_rows(dim: int) -> int:
    """Samples per product."""
    return max(1, _BLOCK // dim)


@final
class ChunkEvaluator:
    """Contributions of one chunk of data and noise, node by node."""

    def __init__(
        self,
        models: tuple[ScoreModel, ...],
        settings: GramSettings,
        residuals: Residuals | ResidualsByPart | None = None,
    ) -> None:
        self.k, rule, self.residuals = len(models), settings.rule, residuals
        self.signs = rule.signs
        self.nodes = [
            _Node(t, alpha, sigma, float(rule.noise_share(alpha, sigma)), [_at(model, t) for model in models])
            for t, (alpha, sigma) in zip(settings.grid.nodes.tolist(), settings.coefficients, strict=True)
        ]
        self._buffer = np.empty(0)

    def evaluate(
        self, y: FloatArray, zeta: FloatArray, block: int, first_row: int, weight: Float64Array | None = None
    ) -> Iterator[Float64Array]:
        """Sums (blocks, k, k - 1) over blocks of rows, node by node: b in the first row, G in the others.

        ``y`` and ``zeta`` are data and noise (rows, d); ``first_row`` is named in errors; ``weight`` (rows,) multiplies
        the terms of each row.
        """
        k, rows, r = self.k, *y.shape
        signs = len(self.signs)
        if self._buffer.size != k * signs * y.size:
            self._buffer = np.empty(k * signs * y.size)
        terms = self._buffer.reshape(k, signs * rows, r)
        noise = np.concatenate([sign * zeta for sign in self.signs]) if signs > 1 else self.signs[0] * zeta
        for j, node in enumerate(self.nodes):
            x = node.sigma * noise
            x.reshape(signs, rows, r)[...] += node.alpha * y
            base, base_divergence = self._evaluate_model(node, 0, x, first_row)
            curvature = np.empty((k - 1, len(base_divergence)))  # empty where no divergence is needed
            np.multiply(noise, -node.noise_share / node.sigma, out=terms[0])
            terms[0] -= base
            for i in range(1, k):
                value, divergence = self._evaluate_model(node, i, x, first_row)
                np.subtract(value, base, out=terms[i])
                np.subtract(base_divergence, divergence, out=curvature[i - 1])
            curvature *= 1.0 - node.noise_share
            if self.residuals is not None:
                points, z, scores = (np.reshape(values, (signs, rows, r)) for values in (x, noise, base))
                self.residuals.add(j, first_row, points, z, scores, terms[1:].reshape(k - 1, signs, rows, r))
            if weight is not None:
                terms.reshape(k, signs, rows, r)[...] *= np.sqrt(weight)[:, None]
                curvature *= np.tile(weight, signs if curvature.size else 0)
            yield _products(terms, curvature, signs, block) / signs

    def _evaluate_model(self, node: _Node, i: int, x: FloatArray, first_row: int) -> tuple[FloatArray, FloatArray]:
        """Score (rows, d) and divergence, (rows,) or empty where the estimator does not need it."""
        score, score_and_divergence = node.models[i]
        value, divergence = (score(x), _NONE) if node.noise_share == 1.0 else score_and_divergence(x)
        if np.shape(value) != x.shape:
            raise ModelError(f"model {i} returned scores of shape {np.shape(value)} for points of shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):  # a sum is finite unless an entry is not, or it overflows
            suspicious = not np.isfinite(np.sum(value) + np.sum(divergence))
        if suspicious:
            finite = np.isfinite(value).all(axis=1) & (np.isfinite(divergence) if divergence.size else True)
            if not finite.all():
                row = first_row + int(np.argmin(finite)) % (len(x) // len(self.signs))
                raise NotFiniteError(
                    f"model {i} returned a score or divergence that is not finite at t={node.t:.6g} near data row {row}"
                )
        return value, divergence


def _products(terms: Float64Array, curvature: Float64Array, signs: int, block: int) -> Float64Array:
    """Sums (blocks, k, k - 1) of the products of terms (k, signs x rows, r), the last block possibly short."""
    k, length, r = terms.shape
    rows = length // signs
    whole = rows - rows % block
    found = []
    for first, last, size in ((0, whole, block), (whole, rows, rows - whole)):
        if first == last:
            continue
        part = terms.reshape(k, signs, rows, r)[:, :, first:last].reshape(k, signs, -1, size * r).transpose(1, 2, 0, 3)
        product = np.matmul(part, part[:, :, 1:].swapaxes(2, 3)).sum(axis=0)
        if curvature.size:
            bend = curvature.reshape(k - 1, signs, rows)[:, :, first:last].reshape(k - 1, signs, -1, size)
            product[:, 0] += bend.sum(axis=(1, 3)).T
        found.append(product)
    return np.concatenate(found) if len(found) > 1 else found[0]


@final
class BatchMeans:
    """Averages contributions into batches of consecutive samples, for each part of the window.

    Batches of equal size, except that they end where a prefix ends.
    """

    def __init__(self, sizes: list[int], per_batch: int, n_parts: int, k: int) -> None:
        starts, first = [], 0
        for size in sizes:
            starts += list(range(first, size, per_batch))
            first = size
        self.starts = np.array(starts)
        self.counts = np.diff([*starts, sizes[-1]]).astype(np.float64)
        self.sums = np.zeros((n_parts, len(starts), k, k - 1))

    def add(self, part: int, first: int, block: int, sums: Float64Array) -> None:
        """Add sums (blocks, k, k - 1) over blocks of samples from ``first`` on."""
        index = np.searchsorted(self.starts, first + block * np.arange(len(sums)), side="right") - 1
        if len(sums) == index[-1] - index[0] + 1:
            self.sums[part, index[0] : index[-1] + 1] += sums
            return
        edges = np.flatnonzero(np.diff(index, prepend=-1))
        self.sums[part, index[0] : index[-1] + 1] += np.add.reduceat(sums, edges, axis=0)

    def finish(self) -> tuple[Contributions, ...]:
        """Means of the batches, by part."""
        self.sums /= self.counts[:, None, None]
        return tuple(Contributions(*split_terms(sums), self.counts) for sums in self.sums)
