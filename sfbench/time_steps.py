r"""Decreasing times at which a reverse process is stepped.

    T = t_0 > t_1 > ... > t_s = t_min > 0.

The grid matters more than the order of the integrator. What a reverse step changes is governed by the log
signal-to-noise ratio ``log(alpha^2 / sigma^2)``, so the default spaces it evenly; ``"edm"`` spaces
``(sigma/alpha)^(1/rho)`` evenly (rho = 7 is the published choice, rho = 3 a cube root); ``"log"`` and ``"uniform"``
space log t and t.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import scipy  # submodules load on first use

from ._typing import Float64Array
from .errors import GridError
from .processes import ForwardProcess

Spacing = Literal["log_snr", "edm", "log", "uniform"]
_SMALLEST_SHARE = 1e-5  # default t_min as a share of the horizon


@final
@dataclass(frozen=True, eq=False)
class TimeSteps:
    """Strictly decreasing positive times (s + 1,), the first where the reverse process starts."""

    times: Float64Array

    def __post_init__(self) -> None:
        times = np.array(self.times, dtype=np.float64)
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

    def refined(self, process: ForwardProcess) -> "TimeSteps":
        """Twice as many steps: every step is halved in log signal-to-noise ratio."""
        ratios = process.log_snr(self.times)
        middle = [
            _time_at(process, 0.5 * (a + b), low, high)
            for a, b, low, high in zip(ratios[:-1], ratios[1:], self.times[1:], self.times[:-1], strict=True)
        ]
        out = np.empty(2 * len(self) + 1)
        out[::2], out[1::2] = self.times, middle
        return TimeSteps(out)


def time_steps(
    process: ForwardProcess,
    n_steps: int,
    spacing: Spacing = "log_snr",
    *,
    t_min: float | None = None,
    t_max: float | None = None,
    rho: float = 7.0,
) -> TimeSteps:
    """Steps of a reverse process from t_max down to t_min.

    Parameters
    ----------
    process : ForwardProcess
        Supplies the signal-to-noise ratio and the horizon.
    n_steps : int
        Number of steps, at least 1.
    spacing : {"log_snr", "edm", "log", "uniform"}
        What is spaced evenly; see the module.
    t_min, t_max : float, optional
        Window; the default is ``[1e-5 horizon, horizon]``. What is sampled is the law *at t_min*.
    rho : float
        Exponent of the ``"edm"`` spacing.

    Raises
    ------
    GridError
        For no steps, ``t_min <= 0``, an empty window, or an unknown spacing.
    """
    if not isinstance(process, ForwardProcess):
        raise GridError(f"process must be a ForwardProcess such as OrnsteinUhlenbeck(), got {process!r}")
    top = process.horizon if t_max is None else float(t_max)
    low = _SMALLEST_SHARE * process.horizon if t_min is None else float(t_min)
    if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer) or n_steps < 1:
        raise GridError(f"n_steps must be an integer of at least 1, got {n_steps!r}")
    if not (np.isfinite(low) and np.isfinite(top) and 0 < low < top):
        raise GridError(f"need 0 < t_min < t_max, both finite; got t_min={low!r}, t_max={top!r}")
    share = np.linspace(0.0, 1.0, int(n_steps) + 1)
    if spacing == "uniform":
        times = top + share * (low - top)
    elif spacing == "log":
        times = np.exp(np.log(top) + share * (np.log(low) - np.log(top)))
    elif spacing in ("log_snr", "edm"):
        ends = np.asarray(process.log_snr(np.array([top, low])))
        if spacing == "log_snr":
            wanted = ends[0] + share * (ends[1] - ends[0])
        else:
            if not (np.isfinite(rho) and rho > 0):
                raise GridError(f"rho must be finite and positive, got {rho!r}")
            roots = np.exp(-0.5 * ends / rho)  # (sigma / alpha)^(1 / rho)
            wanted = -2.0 * rho * np.log(roots[0] + share * (roots[1] - roots[0]))
        times = np.array([_time_at(process, float(level), low, top) for level in wanted])
    else:
        raise GridError(f"unknown spacing {spacing!r}; use 'log_snr', 'edm', 'log' or 'uniform'")
    times[0], times[-1] = top, low
    return TimeSteps(times)


def _time_at(process: ForwardProcess, level: float, low: float, high: float) -> float:
    """The time in [low, high] at which the log signal-to-noise ratio is ``level``."""

    def excess(log_t: float) -> float:
        return float(process.log_snr(np.exp(log_t))) - level

    a, b = float(np.log(low)), float(np.log(high))
    if excess(a) <= 0:
        return low
    if excess(b) >= 0:
        return high
    return float(np.exp(scipy.optimize.brentq(excess, a, b, xtol=1e-14, rtol=1e-14)))
