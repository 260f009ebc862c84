"""Weights of a fusion: constant, by bins of the log signal-to-noise ratio, or a function of the scheduler's sigma."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.validation import as_real, as_vector, as_weights
from ..fusion import FusionOverTime, FusionResult
from .errors import DiffusersError, RecipeError
from .schedules import Level


class AbstractWeights(ABC):
    """Simplex weights (k,) at every noise level."""

    constant: bool = False

    @abstractmethod
    def at(self, level: Level | None) -> Float64Array:
        """Weights (k,) at a noise level; constant ones need none."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What a recipe says of them."""


@final
@dataclass(frozen=True, eq=False)
class ConstantWeights(AbstractWeights):
    """The same weights at every noise level."""

    values: Float64Array
    constant = True

    def at(self, level: Level | None) -> Float64Array:
        """The weights (k,)."""
        return self.values

    def to_json(self) -> dict[str, Any]:
        """Kind and values."""
        return {"kind": "constant", "values": self.values.tolist()}


@final
@dataclass(frozen=True, eq=False)
class WeightBins(AbstractWeights):
    """Weights that change with the noise: one row for every bin of ``log(alpha^2 / sigma^2)``.

    Parameters
    ----------
    edges : array_like, shape (m - 1,)
        Increasing log signal-to-noise ratios between the bins; the noisiest bin comes first.
    weights : array_like, shape (m, k)
        Simplex weights of each bin.
    """

    edges: Float64Array
    weights: Float64Array

    def __init__(self, edges: Any, weights: Any) -> None:
        cuts = as_vector("edges", edges, error=DiffusersError)
        rows = as_real("weights", weights, DiffusersError)
        if rows.ndim != 2 or len(rows) != len(cuts) + 1 or np.any(np.diff(cuts) <= 0):
            raise DiffusersError(
                f"bins need increasing edges (m - 1,) and weights (m, k), got edges {cuts.tolist()} and weights of "
                f"shape {rows.shape}"
            )
        object.__setattr__(self, "edges", cuts)
        object.__setattr__(self, "weights", np.stack([as_weights(row, rows.shape[1], DiffusersError) for row in rows]))

    @classmethod
    def of(cls, fit: FusionOverTime) -> "WeightBins":
        """The weights of a fit over time; bins of time turned into bins of the log signal-to-noise ratio."""
        cuts = fit.process.log_snr(fit.weights.edges[1:-1])
        return cls(cuts[::-1], fit.weights.weights[::-1])

    def at(self, level: Level | None) -> Float64Array:
        """Weights (k,) of the bin that holds the level."""
        assert level is not None
        row: Float64Array = self.weights[int(np.searchsorted(self.edges, level.log_snr, side="right"))]
        return row

    def to_json(self) -> dict[str, Any]:
        """Kind, edges and values."""
        return {"kind": "bins", "edges": self.edges.tolist(), "values": self.weights.tolist()}


@final
@dataclass(frozen=True, eq=False)
class WeightFunction(AbstractWeights):
    """A function of the scheduler's sigma that returns simplex weights (k,)."""

    function: Callable[[float], Any]
    k: int

    def at(self, level: Level | None) -> Float64Array:
        """Weights (k,), checked at every call."""
        assert level is not None
        return as_weights(self.function(level.sigma), self.k, DiffusersError)

    def to_json(self) -> dict[str, Any]:
        """Refused: a function cannot be written."""
        raise RecipeError(
            "weights that are a function cannot be saved; set handle.weights = WeightBins(edges, weights)"
        )


def as_fusion_weights(weights: Any, k: int) -> AbstractWeights:
    """Simplex weights of k experts from what a user gives; None is equal weights."""
    if weights is None:
        return ConstantWeights(np.full(k, 1.0 / k))
    if isinstance(weights, FusionOverTime):
        weights = WeightBins.of(weights)
    elif isinstance(weights, FusionResult):
        weights = weights.weights
    if isinstance(weights, WeightBins):
        if weights.weights.shape[1] != k:
            raise DiffusersError(f"the bins weight {weights.weights.shape[1]} experts; there are {k}")
        return weights
    if isinstance(weights, AbstractWeights):
        raise DiffusersError(f"weights must be numbers, WeightBins or a function of sigma, got {weights!r}")
    return WeightFunction(weights, k) if callable(weights) else ConstantWeights(as_weights(weights, k, DiffusersError))


def weights_from_json(record: Any) -> Any:
    """What :func:`as_fusion_weights` takes, from what ``to_json`` wrote."""
    try:
        if record["kind"] == "bins":
            return WeightBins(record["edges"], record["values"])
        if record["kind"] == "constant":
            return record["values"]
    except (KeyError, TypeError):
        pass
    raise RecipeError(f"a recipe's weights must be constant or in bins, got {record!r}")
