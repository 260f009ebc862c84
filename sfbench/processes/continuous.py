r"""Processes in closed form: Ornstein-Uhlenbeck, variance preserving, sub-variance preserving, variance exploding,
EDM's and flow matching.

Formulas for ``sigma`` use ``expm1`` so that small times lose no digits.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from ..errors import GridError
from .base import ForwardProcess, as_times

_REAL = int | float | np.integer | np.floating


@final
@dataclass(frozen=True)
class OrnsteinUhlenbeck(ForwardProcess):
    """``dX = -X dt + sqrt(2) dW``: alpha = exp(-t), sigma^2 = 1 - exp(-2t), prior N(0, I)."""

    @property
    def horizon(self) -> float:
        """Default final time 5, where alpha is 0.0067."""
        return 5.0

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``exp(-t)``."""
        return np.exp(-as_times(t))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt(1 - exp(-2t))``."""
        return np.sqrt(-np.expm1(-2.0 * as_times(t)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``log(1 + exp(-log_snr)) / 2``."""
        return np.asarray(0.5 * np.logaddexp(0.0, -np.asarray(log_snr, dtype=np.float64)))

    def f(self, t: ArrayLike) -> Float64Array:
        """``-1``."""
        return np.full_like(as_times(t), -1.0)

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(2)``."""
        return np.full_like(as_times(t), np.sqrt(2.0))

    def prior_std(self, t: float) -> float:
        """The stationary standard deviation, 1."""
        return 1.0


@final
@dataclass(frozen=True)
class VariancePreserving(ForwardProcess):
    """``dX = -beta(t)/2 X dt + sqrt(beta(t)) dW`` on [0, 1] with ``beta`` linear from beta_min to beta_max."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        numbers = isinstance(self.beta_min, _REAL) and isinstance(self.beta_max, _REAL)
        if not (numbers and 0 < self.beta_min <= self.beta_max < np.inf):
            raise GridError(f"need 0 < beta_min <= beta_max < inf, got {self.beta_min!r}, {self.beta_max!r}")

    @property
    def horizon(self) -> float:
        """Default final time 1."""
        return 1.0

    def _integral(self, t: ArrayLike) -> Float64Array:
        time = as_times(t)
        return np.asarray(self.beta_min * time + 0.5 * (self.beta_max - self.beta_min) * time**2)

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``exp(-int_0^t beta / 2)``."""
        return np.asarray(np.exp(-0.5 * self._integral(t)))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt(1 - alpha^2)``."""
        return np.sqrt(-np.expm1(-self._integral(t)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The positive root of ``beta_min t + (beta_max - beta_min) t^2 / 2 = log(1 + exp(-log_snr))``."""
        integral = np.logaddexp(0.0, -np.asarray(log_snr, dtype=np.float64))
        slope = self.beta_max - self.beta_min
        return np.asarray(2.0 * integral / (self.beta_min + np.sqrt(self.beta_min**2 + 2.0 * slope * integral)))

    def _beta(self, t: ArrayLike) -> Float64Array:
        return np.asarray(self.beta_min + (self.beta_max - self.beta_min) * as_times(t))

    def f(self, t: ArrayLike) -> Float64Array:
        """``-beta(t) / 2``."""
        return np.asarray(-0.5 * self._beta(t))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(beta(t))``."""
        return np.sqrt(self._beta(t))

    def prior_std(self, t: float) -> float:
        """The stationary standard deviation, 1."""
        return 1.0


@final
@dataclass(frozen=True)
class SubVariancePreserving(ForwardProcess):
    """``dX = -beta/2 X dt + sqrt(beta (1 - exp(-2 B))) dW``, ``B = int_0^t beta`` (Song et al. 2021).

    ``alpha = exp(-B/2)``, ``sigma = 1 - exp(-B)``, with beta as in :class:`VariancePreserving`.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        VariancePreserving(self.beta_min, self.beta_max)  # refuses what is not a schedule

    @property
    def _same_signal(self) -> VariancePreserving:
        return VariancePreserving(self.beta_min, self.beta_max)

    @property
    def horizon(self) -> float:
        """Default final time 1."""
        return 1.0

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``exp(-B/2)``."""
        return self._same_signal.alpha(t)

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``1 - exp(-B)``."""
        return np.asarray(self._same_signal.sigma(t) ** 2)

    def f(self, t: ArrayLike) -> Float64Array:
        """``-beta(t) / 2``."""
        return self._same_signal.f(t)

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(beta (1 - exp(-2 B)))``."""
        same = self._same_signal
        return np.asarray(same.g(t) * same.sigma(t) * np.sqrt(1.0 + same.alpha(t) ** 2))


@final
@dataclass(frozen=True)
class VarianceExploding(ForwardProcess):
    """``dX = sigma^t dW`` on [0, 1]: alpha = 1, ``sigma_t^2 = (sigma^(2t) - 1) / (2 log sigma)`` (geometric schedule).

    Parameters
    ----------
    sigma : float
        Base of the schedule, greater than 1; attribute ``base``.
    """

    base: float

    def __init__(self, sigma: float = 25.0) -> None:
        if not (isinstance(sigma, _REAL) and 1 < sigma < 1e300):
            raise GridError(f"sigma must be finite and greater than 1, got {sigma!r}")
        object.__setattr__(self, "base", float(sigma))

    @property
    def horizon(self) -> float:
        """Default final time 1."""
        return 1.0

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``1``."""
        return np.ones_like(as_times(t))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt((sigma^(2t) - 1) / (2 log sigma))``."""
        log_base = np.log(self.base)
        return np.asarray(np.sqrt(np.expm1(2.0 * log_base * as_times(t)) / (2.0 * log_base)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``log(1 + 2 log(base) exp(-log_snr)) / (2 log base)``."""
        rate = 2.0 * np.log(self.base)
        return np.asarray(np.log1p(rate * np.exp(-np.asarray(log_snr, dtype=np.float64))) / rate)

    def f(self, t: ArrayLike) -> Float64Array:
        """``0``."""
        return np.zeros_like(as_times(t))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sigma^t``."""
        return np.asarray(self.base ** as_times(t))


@final
@dataclass(frozen=True)
class Karras(ForwardProcess):
    """``alpha = 1, sigma = t`` (EDM, Karras et al. 2022): ``dX = sqrt(2 t) dW`` on [0, sigma_max]."""

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not (isinstance(self.sigma_max, _REAL) and 0 < self.sigma_max < np.inf):
            raise GridError(f"sigma_max must be finite and positive, got {self.sigma_max!r}")

    @property
    def horizon(self) -> float:
        """``sigma_max``."""
        return float(self.sigma_max)

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``1``."""
        return np.ones_like(as_times(t))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``t``."""
        return as_times(t)

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``exp(-log_snr / 2)``."""
        return np.asarray(np.exp(-0.5 * np.asarray(log_snr, dtype=np.float64)))

    def f(self, t: ArrayLike) -> Float64Array:
        """``0``."""
        return np.zeros_like(as_times(t))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(2 t)``."""
        return np.sqrt(2.0 * as_times(t))


@final
@dataclass(frozen=True)
class FlowMatching(ForwardProcess):
    """The straight path ``alpha = 1 - t, sigma = t`` of flow matching and rectified flows.

    As a diffusion it has ``f = -1/(1 - t)`` and ``g^2 = 2 t/(1 - t)``, singular at t = 1; the log signal-to-noise ratio
    ``2 log((1 - t)/t)`` is not, up to the horizon. A velocity v is the score ``-(x + (1 - t) v) / t``.

    Parameters
    ----------
    end : float
        Final time below 1, at which ``1 - horizon`` of the signal is left.
    """

    end: float = 0.999

    def __post_init__(self) -> None:
        if not (isinstance(self.end, _REAL) and 0 < self.end < 1):
            raise GridError(f"the horizon of flow matching must lie strictly between 0 and 1, got {self.end!r}")

    @property
    def horizon(self) -> float:
        """The final time, 0.999 by default."""
        return float(self.end)

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``1 - t``."""
        return np.asarray(1.0 - as_times(t))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``t``."""
        return as_times(t)

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``1 / (1 + exp(log_snr / 2))``."""
        return np.asarray(np.exp(-np.logaddexp(0.0, 0.5 * np.asarray(log_snr, dtype=np.float64))))

    def f(self, t: ArrayLike) -> Float64Array:
        """``-1 / (1 - t)``."""
        return np.asarray(-1.0 / (1.0 - as_times(t)))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(2 t / (1 - t))``."""
        time = as_times(t)
        return np.sqrt(2.0 * time / (1.0 - time))
