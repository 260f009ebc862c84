r"""What defines a score-matching objective and its estimate from data.

    J(w) = int omega(t) E||s_w(x_t) - s*(x_t)||^2 dt,     x_t = alpha_t x_0 + sigma_t z:

the process (alpha, sigma), the window and its quadrature, the weighting omega, and how s* enters (the estimator).
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import DTypeLike

from .._validation import as_count
from ..errors import GramError
from ..processes import ForwardProcess
from ..times import TimeGrid, Weighting, objective_weights

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
        The factor ``omega(t)``; see :func:`sfbench.times.objective_weights`.
    n_noise : int
        Noise vectors drawn per sample.
    dtype : float64 or float32
        Precision of scores; sums are float64 always.
    reduce : bool
        Whether mixtures may be moved to the coordinates in which they differ.
    noise : {"reduced", "ambient"}
        Whether the noise of a reduced problem is drawn in its own coordinates (the same law, and far cheaper) or as
        vectors of R^d, which gives the same numbers as ``reduce=False`` to rounding.

    Raises
    ------
    GramError
        For an unknown estimator, noise or dtype, fewer than one noise vector, or a grid that is none.
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
        if not isinstance(self.grid, TimeGrid):
            raise GramError(f"grid must be a TimeGrid such as time_grid(1e-3, 5.0), got {self.grid!r}")
        as_count("n_noise", self.n_noise, error=GramError)
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise GramError(f"dtype must be float32 or float64, got {self.dtype!r}")
        if self.noise not in ("reduced", "ambient"):
            raise GramError(f"noise must be 'reduced' or 'ambient', got {self.noise!r}")

    def describe(self) -> str:
        """The objective in words: grams with equal descriptions may be merged."""
        nodes = self.grid.nodes
        weighting = self.weighting if isinstance(self.weighting, str) else "custom"
        window = f"t in [{nodes[0]:.6g}, {nodes[-1]:.6g}], {len(nodes)} nodes"
        # Two functions, or two quadratures of one window, differ in what they weigh at which times.
        omega = objective_weights(self.grid, self.process, self.weighting)
        digest = hashlib.sha256(nodes.tobytes() + omega.tobytes()).hexdigest()[:8]
        return f"{self.process!r}, {window}, {weighting} #{digest}, {self.estimator}"
