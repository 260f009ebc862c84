r"""Windows of time: quadrature of objectives, and the steps of reverse processes.

Objectives are integrals ``int omega(t) E[...] dt`` over ``[t_min, t_max]``. Integrands vary on a logarithmic scale near
t = 0, so the rule is Gauss-Legendre in ``u = log t``: ``dt = t du``. On the reference problem 16 nodes give the fitted
weights to 1e-6 where 512 random times give 1e-2.

Reverse processes are stepped at decreasing times ``T = t_0 > t_1 > ... > t_s = t_min > 0``. That grid matters more than
the order of the integrator: what a step changes is governed by the log signal-to-noise ratio ``log(alpha^2/sigma^2)``,
so the default spaces it evenly; ``"uniform"`` spaces t, as published samplers do.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, final, get_args

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice, as_count, as_real, as_window
from ..errors import GridError
from . import ForwardProcess
from .base import as_process


class TimeWeight(Protocol):
    """A weight of one's own: a function of times, whose values are not negative."""

    def __call__(self, t: Float64Array, /) -> Float64Array:
        """Weights (m,) at times (m,)."""


Weighting = Literal["girsanov", "sigma2"] | TimeWeight
_MOST_NODES = 4096  # Gauss rules of more nodes take minutes, and none is needed


@final
@dataclass(frozen=True, eq=False)
class TimeGrid:
    """Nodes (t,) in increasing order and weights (t,) with ``int h dt ~ sum weights h(nodes)``.

    ``window`` holds the ends of the integral where they are known, else None; nodes lie inside.
    """

    nodes: Float64Array
    weights: Float64Array
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        nodes, weights = (as_real("time nodes and weights", v, GridError) for v in (self.nodes, self.weights))
        if nodes.ndim != 1 or nodes.size == 0 or nodes.shape != weights.shape:
            raise GridError(f"nodes and weights must be vectors of one length, got {nodes.shape} and {weights.shape}")
        nodes, weights = nodes.astype(np.float64), weights.astype(np.float64)  # copies: frozen below
        if not (np.all(np.isfinite(nodes)) and np.all(np.isfinite(weights))) or nodes.min() <= 0:
            raise GridError("time nodes and weights must be finite and nodes positive: scores blow up at t = 0")
        if weights.min() < 0:
            raise GridError(f"time weights must be at least 0, or J is not convex; got {weights.min():.3g}")
        if np.any(np.diff(nodes) <= 0):
            raise GridError("time nodes must be strictly increasing")
        for name, array in (("nodes", nodes), ("weights", weights)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the window, or the outer nodes if they are all that is known."""
        return self.window or (float(self.nodes[0]), float(self.nodes[-1]))

    def __repr__(self) -> str:
        return "TimeGrid({} nodes in [{:.4g}, {:.4g}])".format(len(self), *self.ends)


def time_grid(t_min: float, t_max: float, n_nodes: int = 16) -> TimeGrid:
    """Gauss-Legendre quadrature in log t on ``[t_min, t_max]``.

    Parameters
    ----------
    t_min, t_max : float
        Window with ``0 < t_min <= t_max``; equal ends give the single node t_min with weight 1.
    n_nodes : int
        Number of nodes, at most 4096.

    Raises
    ------
    GridError
        For an empty or non-positive window, or no nodes.
    """
    low, high = as_window(t_min, t_max)
    count = as_count("n_nodes", n_nodes, at_most=_MOST_NODES, error=GridError)
    if low == high:
        return TimeGrid(np.array([low]), np.array([1.0]))
    points, weights = np.polynomial.legendre.leggauss(count)
    half = 0.5 * float(np.log(high / low))
    nodes = np.asarray(low * np.exp(half * (points + 1.0)), np.float64)
    return TimeGrid(nodes, np.asarray(half * weights * nodes, np.float64), (low, high))


def time_bins(process: ForwardProcess, t_min: float, t_max: float, n_bins: int) -> Float64Array:
    """Increasing times (n_bins + 1,) that split a window into parts of equal length in log signal-to-noise ratio.

    Raises
    ------
    GridError
        For an empty window, no bins, or ends without a finite log signal-to-noise ratio.
    """
    count = as_count("bins", n_bins, at_most=_MOST_NODES, error=GridError)
    return np.array(time_steps(process, count, t_min=t_min, t_max=t_max).times[::-1])


def binned_grid(edges: Float64Array, n_nodes: int) -> TimeGrid:
    """The rule of :func:`time_grid` with ``n_nodes`` nodes in every bin: integrals over single bins are exact too."""
    grids = [time_grid(*ends, n_nodes) for ends in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    nodes, weights = (np.concatenate([getattr(grid, name) for grid in grids]) for name in ("nodes", "weights"))
    return TimeGrid(nodes, weights, (float(edges[0]), float(edges[-1])))


def objective_weights(grid: TimeGrid, process: ForwardProcess, weighting: Weighting = "girsanov") -> Float64Array:
    """Quadrature weights (t,) times ``omega(t)``.

    ``"girsanov"`` is ``g^2 / 2``, for which the objective bounds a KL divergence; ``"sigma2"`` is ``sigma^2``; a
    function of the nodes may be given instead.
    """
    if callable(weighting):
        omega = as_real("the values of weighting", weighting(grid.nodes), GridError).astype(np.float64)
    elif isinstance(weighting, str) and weighting == "girsanov":
        omega = 0.5 * process.g(grid.nodes) ** 2
    elif isinstance(weighting, str) and weighting == "sigma2":
        omega = process.sigma(grid.nodes) ** 2
    else:
        raise GridError(f"unknown weighting {weighting!r}; use 'girsanov', 'sigma2' or a function of t")
    if omega.shape != grid.nodes.shape or not np.all(np.isfinite(omega)) or np.any(omega < 0):
        raise GridError("weighting must give one finite non-negative value per time node")
    return np.asarray(grid.weights * omega)


Spacing = Literal["log_snr", "uniform"]
_SMALLEST_SHARE = 1e-5  # default t_min as a share of the horizon
_NO_SIGNAL, _LAST = -46.0, -16.0  # log signal-to-noise ratio of an end without signal, and where steps start instead
_MOST_STEPS = 1 << 20


@final
@dataclass(frozen=True, eq=False)
class TimeSteps:
    """Strictly decreasing positive times (s + 1,), the first where the reverse process starts."""

    times: Float64Array

    def __post_init__(self) -> None:
        times = as_real("times", self.times, GridError).astype(np.float64)
        if times.ndim != 1 or len(times) < 2:
            raise GridError(f"times must be a vector of at least 2 entries (one step), got shape {times.shape}")
        if not np.all(np.isfinite(times)) or times[-1] <= 0:
            raise GridError(f"times must be finite and positive (scores blow up at t = 0), the last is {times[-1]!r}")
        if np.any(np.diff(times) >= 0):
            raise GridError("times must strictly decrease: a reverse process runs from large noise to small")
        times.setflags(write=False)
        object.__setattr__(self, "times", times)

    def __len__(self) -> int:
        return len(self.times) - 1

    def __repr__(self) -> str:
        return f"TimeSteps({len(self)} steps from {self.times[0]:.4g} down to {self.times[-1]:.4g})"

    def refined(self, process: ForwardProcess) -> "TimeSteps":
        """Twice as many steps: every step is halved in log signal-to-noise ratio."""
        ratios = process.log_snr(self.times)
        out = np.empty(2 * len(self) + 1)
        out[::2], out[1::2] = self.times, process.time_at(0.5 * (ratios[:-1] + ratios[1:]))
        return TimeSteps(out)


def time_steps(
    process: ForwardProcess,
    n_steps: int,
    spacing: Spacing = "log_snr",
    *,
    t_min: float | None = None,
    t_max: float | None = None,
) -> TimeSteps:
    """Steps of a reverse process from t_max down to t_min.

    Parameters
    ----------
    process : ForwardProcess
        Supplies the signal-to-noise ratio and the horizon.
    n_steps : int
        Number of steps, at least 1.
    spacing : {"log_snr", "uniform"}
        What is spaced evenly: the log signal-to-noise ratio, or t.
    t_min, t_max : float, optional
        Window; the default is ``[1e-5 horizon, horizon]``. What is sampled is the law *at t_min*. Where a process ends
        without signal (alpha / sigma below 1e-10, f and g singular), steps start where alpha / sigma is 3e-4.

    Raises
    ------
    GridError
        For no steps, ``t_min <= 0``, an empty window, or an unknown spacing.
    """
    as_process(process)
    low, top = as_window(
        _SMALLEST_SHARE * process.horizon if t_min is None else t_min,
        process.horizon if t_max is None else t_max,
        strict=True,
    )
    ends = np.array(process.log_snr(np.array([top, low])), np.float64)
    if ends[0] < _NO_SIGNAL < _LAST < ends[1]:
        top = float(process.time_at(_LAST))
        ends[0] = float(process.log_snr(top))
    share = np.linspace(0.0, 1.0, as_count("n_steps", n_steps, at_most=_MOST_STEPS, error=GridError) + 1)
    as_choice("spacing", spacing, get_args(Spacing), GridError)
    if spacing == "uniform":
        times = top + share * (low - top)
    else:
        if not np.all(np.isfinite(ends)):
            raise GridError(
                f"the log signal-to-noise ratio of {process!r} is {ends} at t = {top:g} and {low:g}; it must be finite"
                ": move t_max, or the horizon of the process, to where alpha and sigma are positive"
            )
        times = process.time_at(ends[0] + share * (ends[1] - ends[0]))
    times[0], times[-1] = top, low
    return TimeSteps(times)
