r"""Independent copies of one score model: the high-dimensional problem whose truth is one-dimensional.

For ``p(x) = prod_j p_0(x_j)`` scores, pools, fused laws and log Z all factorise: the score of block j is that of the
factor, ``log Z`` and KL add up, and every marginal is known from the factor alone.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .._internal.aliases import Array
from .._internal.validation import as_count
from ..errors import ModelError
from .models import ScoreModel, score_and_divergence


@final
@dataclass(frozen=True, eq=False)
class ProductScore:
    """Score of ``copies`` independent copies of a model's law; coordinates of one copy are adjacent."""

    factor: ScoreModel
    copies: int

    def __post_init__(self) -> None:
        as_count("copies", self.copies, at_most=1 << 24, error=ModelError)
        if hasattr(self.factor, "diffuse") or not isinstance(self.factor, ScoreModel):
            raise ModelError(
                f"factor must be a score model such as AnalyticScore(law, process), got a {type(self.factor).__name__}"
            )

    @property
    def dim(self) -> int:
        """Dimension, copies times that of the factor."""
        return self.copies * self.factor.dim

    @property
    def t_range(self) -> tuple[float, float] | None:
        """Times at which the factor is valid, None if it does not say."""
        return getattr(self.factor, "t_range", None)

    @property
    def blocks(self) -> np.ndarray:
        """Label of the copy to which each coordinate belongs, (d,)."""
        return np.repeat(np.arange(self.copies), self.factor.dim)

    @property
    def device(self) -> Any:
        """Where the factor computes, None if it does not say."""
        return getattr(self.factor, "device", None)

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) and time t, shape (n, d)."""
        return self.factor.score(self._split(x), t).reshape(x.shape)

    def score_and_divergence(self, x: Array, t: float) -> tuple[Array, Array]:
        """Score (n, d) and its divergence (n,)."""
        score, divergence = score_and_divergence(self.factor, self._split(x), t)
        return score.reshape(x.shape), divergence.reshape(len(x), self.copies).sum(axis=1)

    def _split(self, x: Array) -> Array:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ModelError(f"x must have shape (n, {self.dim}), got {tuple(x.shape)}")
        return x.reshape(-1, self.factor.dim)
