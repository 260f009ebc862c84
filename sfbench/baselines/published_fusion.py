r"""Learning fusion weights the published way: softmax logits and stochastic gradients through the score models.

Every step draws a minibatch, one time and one noise vector per sample, and descends

    1/2 mean_n omega(t_n) |sigma s_w(x_n, t_n) + z_n|^2,        w = softmax(theta),

on theta. :func:`sfbench.fuse` minimises the same objective (with ``weighting`` as here) by one pass and one quadratic
program; this is the reference beside which its cost and accuracy are reported. Only the weights are trained, so k score
evaluations of a minibatch are one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from solvers import SolverResult, solve

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_generator
from ..errors import GramError
from ..processes import ForwardProcess
from ..processes.times import TimeGrid
from ..scores import ScoreModel, as_score_models
from ..statistics.samples import as_data


@final
@dataclass(frozen=True, eq=False)
class DenoisingObjective:
    """Half the mean squared error of the fused noise prediction, seen through minibatches.

    All samples of a minibatch share one time drawn from the grid's nodes with probability proportional to
    ``quadrature weight x omega``, so that k models are asked once per step.
    """

    models: tuple[ScoreModel, ...]
    data: Float64Array
    process: ForwardProcess
    nodes: Float64Array
    probabilities: Float64Array
    batch: int

    @property
    def dim(self) -> int:
        """Number of weights."""
        return len(self.models)

    @property
    def scale(self) -> float:
        """Of order the dimension, because each sample is weighted by its noise variance."""
        return float(self.data.shape[1])

    def value(self, w: Float64Array) -> float:
        """Loss on the data with one fixed draw of noise, averaged over all nodes."""
        return float(self._mean(w)[0])

    def gradient(self, w: Float64Array) -> Float64Array:
        """Gradient of :meth:`value`."""
        return np.asarray(self._mean(w)[1])

    def _mean(self, w: Float64Array) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        losses, gradients = zip(*(self._loss(w, self.data, t, rng) for t in self.nodes), strict=True)
        return self.probabilities @ np.array(losses), self.probabilities @ np.stack(gradients)

    def minibatch_gradient(self, w: Float64Array, rng: np.random.Generator) -> Float64Array:
        """Unbiased estimate of the gradient from ``batch`` samples drawn with replacement."""
        t = float(rng.choice(self.nodes, p=self.probabilities))
        return self._loss(w, self.data[rng.integers(len(self.data), size=self.batch)], t, rng)[1]

    def _loss(self, w: Float64Array, x: Float64Array, t: float, rng: np.random.Generator) -> tuple[float, Float64Array]:
        noisy, z = self.process.perturb(x, t, rng=rng)
        sigma = float(self.process.sigma(t))
        scores = sigma * np.stack([model.score(noisy, t) for model in self.models])
        residual = np.tensordot(w, scores, axes=1) + z
        gradient = np.einsum("knd,nd->k", scores, residual) / len(x)
        return 0.5 * float(np.mean((residual**2).sum(axis=1))), gradient


def published_fusion(
    models: Sequence[ScoreModel],
    x: ArrayLike,
    *,
    process: ForwardProcess,
    grid: TimeGrid,
    epochs: int = 100,
    batch: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 0.01,
    rng: SeedLike = None,
) -> SolverResult:
    """Fit weights by stochastic gradients on softmax logits, weighting ``girsanov``.

    Parameters
    ----------
    x : array_like (n, d)
        Target data.
    grid : TimeGrid
        Its nodes are the times that steps may draw.
    epochs, batch : int
        Passes over the data and samples per step.
    optimizer : {"adam", "sgd"}

    Returns
    -------
    SolverResult
        Weights, and the gap of the full-data objective at them.
    """
    data = np.asarray(as_data(x), np.float64)
    if epochs < 1 or batch < 1:
        raise GramError(f"epochs and batch must be at least 1, got {epochs!r} and {batch!r}")
    # |sigma s + z|^2 weighted by g^2 / (2 sigma^2) is the Girsanov objective.
    importance = grid.weights * process.g(grid.nodes) ** 2 / process.sigma(grid.nodes) ** 2
    objective = DenoisingObjective(
        as_score_models(models, process), data, process, grid.nodes, importance / importance.sum(), batch
    )
    seed = int(as_generator(rng).integers(0, 2**31))
    steps = max(1, epochs * len(data) // batch)
    return solve(objective, "torch", max_iter=steps, rng=seed, optimizer=optimizer, lr=learning_rate)
