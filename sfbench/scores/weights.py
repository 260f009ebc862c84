"""Simplex weights as a function of time."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from .._internal.validation import as_real, as_vector, as_weights
from ..errors import GridError, ModelError


@final
@dataclass(frozen=True, eq=False)
class WeightsOverTime:
    """Weights that are constant in each bin of time; calling them with a time gives those of its bin.

    Parameters
    ----------
    edges : array_like, shape (bins + 1,)
        Increasing positive times; a bin holds its lower edge. The first and last bins reach on beyond the edges.
    weights : array_like, shape (bins, k)
        Simplex weights of each bin.

    Raises
    ------
    ModelError, GridError
        For weights off the simplex, or edges that do not increase or do not fit.
    """

    edges: Float64Array
    weights: Float64Array

    def __init__(self, edges: ArrayLike, weights: ArrayLike) -> None:
        given = as_real("weights", weights, ModelError)
        if given.ndim != 2 or not given.size:
            raise ModelError(f"weights must have shape (bins, k), got {given.shape}")
        rows = np.array([as_weights(row, given.shape[1], ModelError) for row in given])
        times = np.array(as_vector("edges", edges, len(rows) + 1, GridError))
        if times[0] <= 0 or np.any(np.diff(times) <= 0):
            raise GridError(f"edges must be positive and strictly increasing, got {times}")
        for name, array in (("edges", times), ("weights", rows)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def k(self) -> int:
        """Number of models."""
        return int(self.weights.shape[1])

    def __len__(self) -> int:
        return len(self.weights)

    def __call__(self, t: float) -> Float64Array:
        """Weights (k,) at time t."""
        row = np.searchsorted(self.edges[1:-1], t, side="right") if len(self.weights) > 1 else 0
        return np.asarray(self.weights[row])

    def __repr__(self) -> str:
        window = f"[{self.edges[0]:.4g}, {self.edges[-1]:.4g}]"
        return f"WeightsOverTime({len(self)} bins of {window}, k={self.k})"


def as_schedule(weights: Any, k: int) -> WeightsOverTime:
    """Weights of k models as a function of time; an array (k,) is constant."""
    if not isinstance(weights, WeightsOverTime):
        return WeightsOverTime(np.array([1.0, 2.0]), as_weights(weights, k, ModelError)[None])
    if weights.k != k:
        raise ModelError(f"weights must be those of {k} models, got {weights!r}")
    return weights
