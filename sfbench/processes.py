r"""Forward noising processes.

A linear SDE ``dX = f(t) X dt + g(t) dW`` started at ``X_0`` has Gaussian transition laws

    X_t | X_0  ~  N(alpha_t X_0, sigma_t^2 I),       f = (log alpha)',   g^2 = (sigma^2)' - 2 f sigma^2.

Times are floats or arrays; every method is elementwise in t. Formulas for ``sigma`` use ``expm1`` so that small times
lose no digits.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from synthetic import GaussianMixture

from ._typing import Float64Array, SeedLike
from ._validation import as_generator
from .errors import GridError

_REAL = int | float | np.integer | np.floating


class ForwardProcess(ABC):
    """Interface of a linear forward SDE with isotropic noise."""

    @property
    @abstractmethod
    def horizon(self) -> float:
        """Default final time T, at which the marginal is close to the prior."""

    @abstractmethod
    def alpha(self, t: ArrayLike) -> Float64Array:
        """Signal scale ``alpha_t``."""

    @abstractmethod
    def sigma(self, t: ArrayLike) -> Float64Array:
        """Noise standard deviation ``sigma_t``."""

    @abstractmethod
    def f(self, t: ArrayLike) -> Float64Array:
        """Drift coefficient ``f(t)``."""

    @abstractmethod
    def g(self, t: ArrayLike) -> Float64Array:
        """Diffusion coefficient ``g(t)``."""

    @abstractmethod
    def prior_std(self, t: float) -> float:
        """Standard deviation of the Gaussian that stands in for the marginal at final time t."""

    def prior(self, dim: int, t: float | None = None) -> GaussianMixture:
        """Law from which the reverse process starts at final time t (default: the horizon)."""
        final_time = self.horizon if t is None else t
        return GaussianMixture([1.0], np.zeros((1, dim)), self.prior_std(final_time) ** 2)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """``log(alpha_t^2 / sigma_t^2)``, strictly decreasing in t."""
        return np.asarray(2.0 * (np.log(self.alpha(t)) - np.log(self.sigma(t))))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The times at which the log signal-to-noise ratio takes the given values: the inverse of :meth:`log_snr`.

        Bisection in log t between ``1e-26`` and 4 times the horizon, where a process may end earlier (there its ratio
        is not a number); processes with a closed form override it. Values out of reach give the end of that range.
        """
        wanted = np.asarray(log_snr, dtype=np.float64)
        low = np.full(wanted.shape, np.log(self.horizon) - 60.0)
        high = np.full(wanted.shape, np.log(self.horizon) + np.log(4.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            for _ in range(60):  # 62 units of log t over 2^60: below the spacing of floats
                middle = 0.5 * (low + high)
                earlier = self.log_snr(np.exp(middle)) > wanted  # NaN beyond the end: not earlier
                low, high = np.where(earlier, middle, low), np.where(earlier, high, middle)
        return np.asarray(np.exp(0.5 * (low + high)))

    def perturb(self, x0: Float64Array, t: float, *, rng: SeedLike = None) -> tuple[Float64Array, Float64Array]:
        """Draw ``x_t = alpha_t x_0 + sigma_t z`` and return it with the standard normal z, both (n, d)."""
        z = as_generator(rng).standard_normal(x0.shape)
        return np.asarray(self.alpha(t) * x0 + self.sigma(t) * z), z


@final
@dataclass(frozen=True)
class OrnsteinUhlenbeck(ForwardProcess):
    """``dX = -X dt + sqrt(2) dW``: alpha = exp(-t), sigma^2 = 1 - exp(-2t), prior N(0, I)."""

    @property
    def horizon(self) -> float:
        """Default final time 5, where alpha is .0067."""
        return 5.0

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``exp(-t)``."""
        return np.exp(-np.asarray(t, dtype=np.float64))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt(1 - exp(-2t))``."""
        return np.sqrt(-np.expm1(-2.0 * np.asarray(t, dtype=np.float64)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``log(1 + exp(-log_snr)) / 2``."""
        return np.asarray(0.5 * np.logaddexp(0.0, -np.asarray(log_snr, dtype=np.float64)))

    def f(self, t: ArrayLike) -> Float64Array:
        """``-1``."""
        return np.full_like(np.asarray(t, dtype=np.float64), -1.0)

    def g(self, t: ArrayLike) -> Float64Array:
        """``sqrt(2)``."""
        return np.full_like(np.asarray(t, dtype=np.float64), np.sqrt(2.0))

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
        time = np.asarray(t, dtype=np.float64)
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
        return np.asarray(self.beta_min + (self.beta_max - self.beta_min) * np.asarray(t, dtype=np.float64))

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
class VarianceExploding(ForwardProcess):
    """``dX = sigma^t dW`` on [0, 1]: alpha = 1, ``sigma_t^2 = (sigma^(2t) - 1) / (2 log sigma)`` (geometric schedule).

    Parameters
    ----------
    sigma : float
        Base of the schedule, greater than 1; attribute ``base``.
    """

    base: float

    def __init__(self, sigma: float = 25.0) -> None:
        if not (isinstance(sigma, _REAL) and 1 < sigma < np.inf):
            raise GridError(f"sigma must be finite and greater than 1, got {sigma!r}")
        object.__setattr__(self, "base", float(sigma))

    @property
    def horizon(self) -> float:
        """Default final time 1."""
        return 1.0

    def alpha(self, t: ArrayLike) -> Float64Array:
        """``1``."""
        return np.ones_like(np.asarray(t, dtype=np.float64))

    def sigma(self, t: ArrayLike) -> Float64Array:
        """``sqrt((sigma^(2t) - 1) / (2 log sigma))``."""
        log_base = np.log(self.base)
        return np.asarray(np.sqrt(np.expm1(2.0 * log_base * np.asarray(t, dtype=np.float64)) / (2.0 * log_base)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """``log(1 + 2 log(base) exp(-log_snr)) / (2 log base)``."""
        rate = 2.0 * np.log(self.base)
        return np.asarray(np.log1p(rate * np.exp(-np.asarray(log_snr, dtype=np.float64))) / rate)

    def f(self, t: ArrayLike) -> Float64Array:
        """``0``."""
        return np.zeros_like(np.asarray(t, dtype=np.float64))

    def g(self, t: ArrayLike) -> Float64Array:
        """``sigma^t``."""
        return np.asarray(self.base ** np.asarray(t, dtype=np.float64))

    def prior_std(self, t: float) -> float:
        """``sigma_t``: the data's own spread is neglected."""
        return float(self.sigma(t))
