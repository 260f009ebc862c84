r"""Time-integrated contributions of a chunk of data and noise to the Gram matrix and the linear term.

    g = sum_t omega_t <S_i, S_j>,   b = sum_t omega_t <S_i, target - s_0>,   S_i = s_i - s_0 at alpha x_0 + sigma z,

one (k - 1, k - 1) and one (k - 1,) term per row of the chunk; :mod:`sfbench.statistics` lists the targets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast, final

import numpy as np

from .._typing import Float64Array, FloatArray
from ..errors import ModelError, NotFiniteError
from ..scores import AnalyticScore, DivergenceScoreModel, ScoreModel
from ..times import objective_weights
from .gram import Contributions
from .settings import GramSettings


@final
@dataclass(frozen=True, eq=False)
class Terms:
    """Contributions of a chunk: (rows, k-1, k-1) and (rows, k-1), or their sums with rows = 1."""

    g: Float64Array
    b: Float64Array


_Evaluator = tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], tuple[FloatArray, FloatArray]]]


@final
@dataclass(frozen=True, eq=False)
class _Node:
    """A time node, its coefficients, and per model the functions x -> score and x -> (score, divergence)."""

    t: float
    alpha: float
    sigma: float
    omega: float
    models: list[_Evaluator]


def _at(model: ScoreModel, t: float) -> _Evaluator:
    """The model at a fixed time; an analytic score keeps its noised law, prepared once for all chunks."""
    if isinstance(model, AnalyticScore):
        law = model.marginal(t)
        return law.score, law.score_and_divergence
    return lambda x: model.score(x, t), lambda x: cast(DivergenceScoreModel, model).score_and_divergence(x, t)


@final
class ChunkEvaluator:
    """Time-integrated contributions of one chunk of data and noise."""

    def __init__(self, models: tuple[ScoreModel, ...], settings: GramSettings) -> None:
        self.k, self.estimator = len(models), settings.estimator
        grid, process = settings.grid, settings.process
        omega = objective_weights(grid, process, settings.weighting)
        self.nodes = [
            _Node(t, float(process.alpha(t)), float(process.sigma(t)), factor, [_at(model, t) for model in models])
            for t, factor in zip(grid.nodes.tolist(), omega.tolist(), strict=True)
        ]

    def evaluate(self, y: FloatArray, zeta: FloatArray, first_row: int, *, per_sample: bool) -> Terms:
        """Terms of data y and noise zeta (rows, d), of which ``first_row`` is named in errors."""
        k, rows = self.k, len(y)
        stein, signs = self.estimator == "stein", 1
        if self.estimator == "antithetic":  # both signs in one call of every model
            y, zeta, signs = np.concatenate([y, y]), np.concatenate([zeta, -zeta]), 2
        length = rows if per_sample else 1
        g, b = np.zeros((length, k - 1, k - 1)), np.zeros((length, k - 1))
        difference = np.empty((k - 1, *y.shape))
        curvature = np.zeros((k - 1, len(y)))
        flat = difference.reshape(k - 1, y.size)
        for node in self.nodes:
            x = (node.alpha * y + node.sigma * zeta).astype(y.dtype, copy=False)
            base, base_divergence = self._evaluate_model(node, 0, x, first_row)
            for i in range(1, k):
                value, divergence = self._evaluate_model(node, i, x, first_row)
                np.subtract(value, base, out=difference[i - 1])
                if divergence is not None and base_divergence is not None:
                    curvature[i - 1] = base_divergence - divergence
            residual = -base if stein else zeta * (-1.0 / node.sigma) - base
            factor = node.omega / signs
            if per_sample:
                pairs = np.einsum("inr,jnr->nij", difference, difference)
                cross = np.einsum("inr,nr->ni", difference, residual) + curvature.T
                g += factor * pairs.reshape(signs, rows, k - 1, k - 1).sum(axis=0)
                b += factor * cross.reshape(signs, rows, k - 1).sum(axis=0)
            else:
                g[0] += factor * (flat @ flat.T)
                b[0] += factor * (flat @ residual.astype(np.float64, copy=False).ravel() + curvature.sum(axis=1))
        return Terms(g, b)

    def _evaluate_model(
        self, node: _Node, i: int, x: FloatArray, first_row: int
    ) -> tuple[FloatArray, FloatArray | None]:
        score, score_and_divergence = node.models[i]
        divergence: FloatArray | None = None
        if self.estimator == "stein":
            value, divergence = score_and_divergence(x)
        else:
            value = score(x)
        if np.shape(value) != x.shape:
            raise ModelError(f"model {i} returned scores of shape {np.shape(value)} for points of shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):  # a sum is finite unless an entry is not, or it overflows
            suspicious = not np.isfinite(np.sum(value) + (0.0 if divergence is None else np.sum(divergence)))
        if suspicious:
            finite = np.isfinite(value).all(axis=1) & (True if divergence is None else np.isfinite(divergence))
            if not finite.all():
                signs = 2 if self.estimator == "antithetic" else 1
                row = first_row + int(np.argmin(finite)) % (len(x) // signs)
                raise NotFiniteError(
                    f"model {i} returned a score or divergence that is not finite at t={node.t:.6g} near data row {row}"
                )
        return value, divergence


@final
class BatchMeans:
    """Averages per-sample contributions into a fixed number of consecutive batches."""

    def __init__(self, n: int, rows: int, k: int) -> None:
        self.edges = np.linspace(0, n, rows + 1).round().astype(np.intp)
        self.g, self.b = np.zeros((rows, k, k)), np.zeros((rows, k))

    def add(self, start: int, g: Float64Array, b: Float64Array) -> None:
        """Add the per-sample terms of the rows from start on."""
        index = np.searchsorted(self.edges, np.arange(start, start + len(g)), side="right") - 1
        np.add.at(self.g[:, 1:, 1:], index, g)
        np.add.at(self.b[:, 1:], index, b)

    def finish(self) -> Contributions:
        """Means of the batches."""
        counts = np.diff(self.edges).astype(np.float64)
        return Contributions(self.g / counts[:, None, None], self.b / counts[:, None], counts)
