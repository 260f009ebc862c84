r"""What defines a score-matching objective and its estimate from data.

    J(w) = int omega(t) E||s_w(x_t) - s*(x_t)||^2 dt,     x_t = alpha_t x_0 + sigma_t z:

the process (alpha, sigma), the window and its quadrature, the weighting omega, and how s* enters (the estimator).
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import DTypeLike

from .._internal.aliases import Float64Array
from .._internal.validation import as_count
from ..errors import GramError
from ..processes import ForwardProcess, check_process
from ..processes.times import TimeGrid, Weighting, objective_weights
from .estimators import AbstractEstimator, Estimator, as_estimator

_MOST_NOISE = 1 << 20


@final
@dataclass(frozen=True, eq=False)
class GramSettings:
    """What defines the objective and its estimate.

    Parameters
    ----------
    process : ForwardProcess
    grid : TimeGrid
        Window and quadrature.
    estimator : str or AbstractEstimator
        ``"antithetic"``, ``"dsm"``, ``"stein"``, another known name, or an object.
    weighting : {"girsanov", "sigma2"} or function
        The factor ``omega(t)``; see :func:`sfbench.processes.times.objective_weights`.
    n_noise : int
        Noise vectors drawn per sample.
    dtype : float64 or float32, optional
        Precision of points and scores; sums are float64 always. By default float64, or float32 where all models are
        networks that compute in that or less, which would round points and noise of float64 to the same numbers.
        Tensors keep their own.

    Raises
    ------
    GramError, GridError
        For an unknown estimator, weighting or dtype, fewer than one noise vector, or a grid or process that is none.
    """

    process: ForwardProcess
    grid: TimeGrid
    estimator: Estimator = "antithetic"
    weighting: Weighting = "girsanov"
    n_noise: int = 1
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        check_process(self.process)
        if not isinstance(self.grid, TimeGrid):
            raise GramError(f"grid must be a TimeGrid such as time_grid(1e-3, 5.0), got {self.grid!r}")
        as_estimator(self.estimator)
        object.__setattr__(self, "n_noise", as_count("n_noise", self.n_noise, at_most=_MOST_NOISE, error=GramError))
        try:
            known = np.dtype(self.dtype) in (np.float32, np.float64)
        except (TypeError, ValueError):
            known = False
        if not known:
            raise GramError(f"dtype must be float32 or float64, got {self.dtype!r}")
        objective_weights(self.grid, self.process, self.weighting)

    @cached_property
    def rule(self) -> AbstractEstimator:
        """The estimator as an object."""
        return as_estimator(self.estimator)

    @cached_property
    def omega(self) -> Float64Array:
        """Quadrature weights (t,) times ``omega(t)``."""
        omega = objective_weights(self.grid, self.process, self.weighting)
        omega.setflags(write=False)
        return omega

    @cached_property
    def coefficients(self) -> tuple[tuple[float, float], ...]:
        """``alpha`` and ``sigma`` of every node."""
        process, nodes = self.process, self.grid.nodes
        return tuple(zip(process.alpha(nodes).tolist(), process.sigma(nodes).tolist(), strict=True))

    def evaluations(self, k: int, n: int) -> int:
        """Score evaluations that k models and n samples cost, unless all of them are Gaussian."""
        return k * n * self.n_noise * len(self.grid) * len(self.rule.signs)

    def restricted(self, part: slice) -> "GramSettings":
        """The same objective on some of the nodes."""
        return replace(self, grid=TimeGrid(self.grid.nodes[part], self.grid.weights[part]))

    def describe(self) -> str:
        """The objective in words: grams with equal descriptions may be merged."""
        return self._description

    @cached_property
    def _description(self) -> str:
        nodes = self.grid.nodes
        weighting = self.weighting if isinstance(self.weighting, str) else "custom"
        window = f"t in [{nodes[0]:.6g}, {nodes[-1]:.6g}], {len(nodes)} nodes"
        # Two functions, or two quadratures of one window, differ in what they weigh at which times.
        digest = hashlib.sha256(nodes.tobytes() + self.omega.tobytes()).hexdigest()[:8]
        estimator = self.estimator if isinstance(self.estimator, str) else repr(self.estimator)
        return f"{self.process!r}, {window}, {weighting} #{digest}, {estimator}"
