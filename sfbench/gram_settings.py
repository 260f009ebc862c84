"""What defines a score-matching objective and its estimate from data."""

import hashlib
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import DTypeLike

from .errors import GramError
from .grids import TimeGrid, Weighting, objective_weights
from .processes import ForwardProcess

Estimator = Literal["antithetic", "dsm", "stein"]
ESTIMATORS: tuple[Estimator, ...] = ("antithetic", "dsm", "stein")


@final
@dataclass(frozen=True, eq=False)
class GramSettings:
    """What defines the objective and its estimate.

    Parameters
    ----------
    process : ForwardProcess
    grid : TimeGrid
        Window and quadrature.
    estimator : {"antithetic", "dsm", "stein"}
    weighting : {"girsanov", "sigma2"} or function
        The factor ``omega(t)``; see :func:`sfbench.grids.objective_weights`.
    n_noise : int
        Noise vectors drawn per sample.
    dtype : float64 or float32
        Precision of scores; sums are float64 always.
    reduce : bool
        Whether mixtures may be moved to the coordinates in which they differ.
    noise : {"reduced", "ambient"}
        Whether the noise of a reduced problem is drawn in its own coordinates (the same law, and far cheaper) or as
        vectors of R^d, which gives the same numbers as ``reduce=False`` to rounding.
    """

    process: ForwardProcess
    grid: TimeGrid
    estimator: Estimator = "antithetic"
    weighting: Weighting = "girsanov"
    n_noise: int = 1
    dtype: DTypeLike = np.float64
    reduce: bool = True
    noise: Literal["reduced", "ambient"] = "reduced"

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise GramError(f"unknown estimator {self.estimator!r}; use one of {', '.join(ESTIMATORS)}")
        if self.n_noise < 1:
            raise GramError(f"n_noise must be at least 1, got {self.n_noise!r}")
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise GramError(f"dtype must be float32 or float64, got {self.dtype!r}")

    def describe(self) -> str:
        """The objective in words: grams with equal descriptions may be merged."""
        nodes = self.grid.nodes
        weighting = self.weighting if isinstance(self.weighting, str) else "custom"
        window = f"t in [{nodes[0]:.6g}, {nodes[-1]:.6g}], {len(nodes)} nodes"
        # Two functions, or two quadratures of one window, differ in what they weigh at which times.
        omega = objective_weights(self.grid, self.process, self.weighting)
        digest = hashlib.sha256(nodes.tobytes() + omega.tobytes()).hexdigest()[:8]
        return f"{self.process!r}, {window}, {weighting} #{digest}, {self.estimator}"
