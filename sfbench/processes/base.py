r"""The interface of forward noising processes.

A linear SDE ``dX = f(t) X dt + g(t) dW`` started at ``X_0`` has Gaussian transition laws

    X_t | X_0 ~ N(alpha_t X_0, sigma_t^2 I),    f = (log alpha)',    g^2 = (sigma^2)' - 2 f sigma^2 = -lambda' sigma^2,

with ``lambda = log(alpha^2 / sigma^2)`` the log signal-to-noise ratio. Samplers and grids work in lambda, so f and g
may be singular at the ends. Times are floats or arrays; every method is elementwise in t.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from synthetic import GaussianMixture
from synthetic._memory import refuse_huge

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_generator, as_number, as_points, as_real
from ..errors import GridError, SfbenchError


def as_times(t: ArrayLike) -> Float64Array:
    """Times as float64, none of them negative or NaN."""
    if isinstance(t, float | np.floating) and t >= 0.0:  # asked many times a step
        return np.asarray(t, dtype=np.float64)
    if isinstance(t, np.ndarray):
        refuse_huge("t", *t.shape)
    plain = type(t) is np.ndarray and t.dtype == np.float64
    times = np.asarray(t, dtype=np.float64) if plain else as_real("t", t, GridError)
    if not np.all(times >= 0):  # NaN fails too
        raise GridError(f"t must be at least 0, got {t!r}")
    return np.asarray(times, dtype=np.float64)


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

    def prior_std(self, t: float) -> float:
        """Standard deviation of the Gaussian that stands in for the marginal at final time t.

        By default ``sigma_t``: what is left of the data is neglected.
        """
        return float(self.sigma(t))

    def prior(self, dim: int, t: float | None = None) -> GaussianMixture:
        """Law from which the reverse process starts at final time t (default: the horizon)."""
        final_time = self.horizon if t is None else t
        return GaussianMixture([1.0], np.zeros((1, dim)), self.prior_std(final_time) ** 2)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """``log(alpha_t^2 / sigma_t^2)``, strictly decreasing in t."""
        with np.errstate(divide="ignore"):  # infinite where a process starts or ends
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

    def perturb(self, x0: ArrayLike, t: float, *, rng: SeedLike = None) -> tuple[Float64Array, Float64Array]:
        """Draw ``x_t = alpha_t x_0 + sigma_t z`` and return it with the standard normal z, both (n, d).

        Raises
        ------
        SfbenchError, NotFiniteError, GridError
            For points that are not finite rows, or a time that is not.
        """
        points = as_points("x0", x0)
        time = as_number("t", t, GridError)
        z = as_generator(rng).standard_normal(points.shape)
        return np.asarray(self.alpha(time) * points + self.sigma(time) * z), z


def as_process(value: object, error: type[SfbenchError] = GridError) -> ForwardProcess:
    """Return a forward process, or say what it should have been."""
    if not isinstance(value, ForwardProcess):
        raise error(f"process must be a ForwardProcess such as OrnsteinUhlenbeck(), got {value!r:.200}")
    return value
