r"""Processes from tables: the discrete schedules that most published networks were trained with.

A table of ``beta_1 ... beta_N`` gives ``alpha_bar_i = prod_{j <= i} (1 - beta_j)`` at the times ``t_i = i/N``. Between
them the log signal-to-noise ratio lambda is the monotone cubic interpolant in log t (Fritsch and Carlson 1980), and

    alpha^2 = 1/(1 + exp(-lambda)),      f = lambda' sigma^2 / 2,      g^2 = -lambda' sigma^2,

so a network's own timestep i (0 ... N - 1) is the time ``(i + 1) / N``, exactly.
"""

import math
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice, as_count, as_flag, as_number, as_vector
from ..errors import GridError
from .base import ForwardProcess, as_times

Schedule = Literal["linear", "scaled_linear", "cosine"]


@final
@dataclass(frozen=True)
class Tabulated(ForwardProcess):
    """The variance-preserving process through ``alpha_bar`` at the times ``1/N, ..., N/N``.

    Parameters
    ----------
    alpha_bar : sequence of float, shape (N,)
        Strictly decreasing in (0, 1); a last entry of 0 (zero terminal signal) ends the process one step earlier.
    """

    alpha_bar: tuple[float, ...]
    _curve: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = as_vector("alpha_bar", self.alpha_bar, error=GridError)
        n = len(table)
        kept = table[:-1] if n and table[-1] == 0.0 else table
        if len(kept) < 3 or not (np.all(kept > 0) and np.all(kept < 1) and np.all(np.diff(kept) < 0)):
            raise GridError(
                "alpha_bar must strictly decrease within (0, 1), with at least 3 entries (the last may be 0)"
            )
        times = np.arange(1, len(kept) + 1) / n
        # Before the first entry the ratio is that of a constant beta, as log t: sigma^2 grows linearly from 0.
        early = times[0] * np.exp(np.linspace(-12.0, 0.0, 13)[:-1])
        first = -np.log(kept[0]) / times[0]
        log_bar = np.concatenate([-first * early, np.log(kept)])
        at = np.log(np.concatenate([early, times]))
        log_snr = log_bar - np.log(-np.expm1(log_bar))
        curve = scipy.interpolate.PchipInterpolator(at, log_snr)
        object.__setattr__(self, "alpha_bar", tuple(table.tolist()))
        object.__setattr__(self, "_curve", (curve, curve.derivative(), float(at[0]), float(times[-1])))

    @property
    def n_timesteps(self) -> int:
        """Length N of the table."""
        return len(self.alpha_bar)

    def timestep(self, t: ArrayLike) -> Float64Array:
        """The network's own timestep ``N t - 1`` of a time; whole numbers at the table's times."""
        return np.asarray(self.n_timesteps * as_times(t) - 1.0)

    @property
    def horizon(self) -> float:
        """The last time with any signal: 1, or ``1 - 1/N`` for zero terminal signal."""
        return float(self._curve[3])

    def _at(self, t: ArrayLike) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Time, log time cut to the table, and what was cut off: beyond its ends lambda is linear in log t."""
        time = as_times(t)
        with np.errstate(divide="ignore"):
            log_t = np.log(time)
        inside = np.clip(log_t, self._curve[2], math.log(self._curve[3]))
        return time, inside, np.asarray(log_t - inside)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """The interpolated log signal-to-noise ratio."""
        curve, slope, *_ = self._curve
        _, inside, beyond = self._at(t)
        return np.asarray(curve(inside) + slope(inside) * beyond)

    def _slope(self, t: ArrayLike) -> Float64Array:
        """``lambda'(t)``."""
        time, inside, _ = self._at(t)
        return np.asarray(self._curve[1](inside) / time)

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``sqrt(alpha_bar)``."""
        return np.asarray(np.exp(-0.5 * np.logaddexp(0.0, -self.log_snr(t))))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt(1 - alpha_bar)``."""
        return np.asarray(np.exp(-0.5 * np.logaddexp(0.0, self.log_snr(t))))

    def f(self, t: ArrayLike) -> Float64Array:
        """``lambda' sigma^2 / 2``."""
        return np.asarray(0.5 * self._slope(t) * self.sigma(t) ** 2)

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(-lambda' sigma^2)``."""
        return np.asarray(np.sqrt(-self._slope(t)) * self.sigma(t))

    def prior_std(self, t: float) -> float:
        """The stationary standard deviation, 1."""
        return 1.0

    def __repr__(self) -> str:
        ends = f"alpha_bar from {self.alpha_bar[0]:.6g} to {self.alpha_bar[-1]:.6g}"
        digest = zlib.crc32(np.asarray(self.alpha_bar).tobytes())
        return f"Tabulated({self.n_timesteps} timesteps, {ends}, #{digest:08x})"


def from_betas(betas: ArrayLike, *, zero_terminal_snr: bool = False) -> Tabulated:
    """The process of a table of betas, such as a diffusers scheduler's ``betas``.

    Parameters
    ----------
    betas : array_like, shape (N,)
        Each in (0, 1).
    zero_terminal_snr : bool
        Shift and scale ``sqrt(alpha_bar)`` so that its last entry is 0 and its first unchanged (Lin et al. 2024).

    Raises
    ------
    GridError
        For a table that is not one.
    """
    table = as_vector("betas", betas, error=GridError)
    if len(table) < 3 or not (np.all(table > 0) and np.all(table[:-1] < 1) and table[-1] <= 1):
        raise GridError("betas must be at least 3 numbers strictly between 0 and 1 (the last may be 1)")
    root = np.sqrt(np.cumprod(1.0 - table))
    if as_flag("zero_terminal_snr", zero_terminal_snr, GridError):
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return Tabulated(tuple((root**2).tolist()))


def beta_schedule(
    kind: Schedule = "linear", n: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
) -> Float64Array:
    """Betas (n,) of a named schedule: ``"linear"`` (DDPM), ``"scaled_linear"`` (linear in the square root; Stable
    Diffusion takes 0.00085 and 0.012), ``"cosine"`` (Nichol and Dhariwal 2021, at most 0.999).
    """
    as_choice("kind", kind, ("linear", "scaled_linear", "cosine"), GridError)
    count = as_count("n", n, at_least=3, at_most=2**20, error=GridError)
    start, end = as_number("beta_start", beta_start, GridError), as_number("beta_end", beta_end, GridError)
    if not 0 < start <= end < 1:
        raise GridError(f"need 0 < beta_start <= beta_end < 1, got {beta_start!r}, {beta_end!r}")
    if kind == "linear":
        return np.linspace(start, end, count)
    if kind == "scaled_linear":
        return np.asarray(np.linspace(start**0.5, end**0.5, count) ** 2)
    bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.asarray(np.minimum(1.0 - bar[1:] / bar[:-1], 0.999))


@final
@dataclass(frozen=True)
class Cosine(ForwardProcess):
    """The cosine schedule (Nichol and Dhariwal 2021) in continuous time: ``alpha = cos(phi) / cos(phi(0))``.

    ``phi = (t + s)/(1 + s) pi/2``. The signal vanishes at t = 1, so the horizon lies before it.

    Parameters
    ----------
    s : float
        Offset that keeps the first steps from being too small.
    end : float
        Final time below 1.
    """

    s: float = 0.008
    end: float = 0.999

    def __post_init__(self) -> None:
        if not as_number("s", self.s, GridError) > 0:
            raise GridError(f"s must be positive, got {self.s!r}")
        if not 0 < as_number("end", self.end, GridError) < 1:
            raise GridError(f"the end of the cosine schedule must lie strictly between 0 and 1, got {self.end!r}")

    @property
    def horizon(self) -> float:
        """The final time, 0.999 by default."""
        return float(self.end)

    @property
    def _rate(self) -> float:
        return 0.5 * float(np.pi) / (1.0 + self.s)

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``cos(phi) / cos(phi(0))``."""
        return np.asarray(np.cos(self._rate * (as_times(t) + self.s)) / np.cos(self._rate * self.s))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt(1 - alpha^2)``, as ``sqrt(sin(phi - phi(0)) sin(phi + phi(0))) / cos(phi(0))``."""
        time, rate = as_times(t), self._rate
        product = np.sin(rate * time) * np.sin(rate * (time + 2.0 * self.s))
        return np.asarray(np.sqrt(product) / np.cos(rate * self.s))

    def f(self, t: ArrayLike) -> Float64Array:
        """``-phi' tan(phi)``."""
        return np.asarray(-self._rate * np.tan(self._rate * (as_times(t) + self.s)))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(2 phi' tan(phi))``."""
        return np.sqrt(-2.0 * self.f(t))

    def prior_std(self, t: float) -> float:
        """The stationary standard deviation, 1."""
        return 1.0
