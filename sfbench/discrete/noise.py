r"""Noising of product spaces: every site keeps its value with probability alpha(t), else it is replaced.

- ``UniformNoise``: by a uniform value. A site jumps at rate ``beta / S`` to each value, ``beta = -d log alpha / dt``.
- ``MaskedNoise``: by the mask, symbol S. A site that holds a value jumps to the mask at rate ``beta``.

**Time.** The clock of everything here is the log-odds ``lambda = log(alpha / (1 - alpha))``, which fall as noise grows;
``d lambda = -beta dt / (1 - alpha)``. Schedules only say which t has which lambda.

**Reverse rates.** With pi the law of a replaced site, the chain back in time jumps from x to y, which differs in one
site, at rate ``beta pi(x_l) p_t(y) / p_t(x)``, per unit of lambda

    r(x -> y) = (1 - alpha) pi(x_l) p_t(y) / p_t(x).

**Ratios and posteriors.** Let ``q(. | u)`` be the law of a noised site that held u, ``P_u = P(x_0^l = u | x_t = x)``.
Sites are noised independently, so ``p_t(y) / p_t(x) = sum_u P_u q(v | u) / q(x_l | u)`` where y has v at site l.
Uniform noise: with ``c_u = P_u / q(x_l | u)`` and ``C = sum_u c_u`` this is ``alpha c_v + (1 - alpha) C / S``, linear
and invertible (``C`` is the sum of the ratios). Masked noise: ``alpha / (1 - alpha) P_v`` at a masked site, and no
jumps elsewhere. So ``r = alpha P_v`` for masked noise, and for uniform noise the rates of one site sum to at most 1.

**Longer steps.** From lambda to mu the posterior of one site alone gives its exact reverse transition
``sum_u P_u q_mu(v | u) q_{lambda | mu}(x | v) / q_lambda(x | u)`` (`kernel`), as used by ancestral samplers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike, NDArray

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice, as_count, as_window
from ..errors import GridError

Schedule = Literal["exponential", "linear"]
States = NDArray[np.int64]


@dataclass(frozen=True)
class DiscreteNoise(ABC):
    """A noising process on ``{0, ..., alphabet - 1}^L``.

    Parameters
    ----------
    alphabet : int
        Number of values of a site, S.
    schedule : {"exponential", "linear"}
        ``alpha(t) = exp(-t)``, or ``1 - t`` on [0, 1].
    """

    alphabet: int
    schedule: Schedule = "exponential"

    def __post_init__(self) -> None:
        as_count("alphabet", self.alphabet, at_least=2)
        as_choice("schedule", self.schedule, ("exponential", "linear"))

    @property
    def horizon(self) -> float:
        """Largest time."""
        return 1.0 if self.schedule == "linear" else np.inf

    @property
    @abstractmethod
    def symbols(self) -> int:
        """Number of values of a noised site: S, or S + 1 with the mask."""

    def log_odds(self, t: ArrayLike) -> Float64Array:
        """``log(alpha / (1 - alpha))`` at times t."""
        times = np.asarray(t, dtype=np.float64)
        if not (np.all(times >= 0) and np.all(times <= self.horizon)):  # NaN fails too
            raise GridError(f"t must lie in [0, {self.horizon}] for this schedule, got {t!r}")
        with np.errstate(divide="ignore", over="ignore"):
            if self.schedule == "linear":
                return np.asarray(np.log1p(-times) - np.log(times))
            return np.asarray(-times - np.log(-np.expm1(-times)))

    def time_at(self, log_odds: ArrayLike) -> Float64Array:
        """Time at which the log-odds have a value."""
        x = np.asarray(log_odds, dtype=np.float64)
        return np.asarray(scipy.special.expit(-x) if self.schedule == "linear" else np.logaddexp(0.0, -x))

    def steps(self, n_steps: int, t_min: float, t_max: float) -> Float64Array:
        """Log-odds (n_steps + 1,), rising, equally spaced between two times."""
        low, high = as_window(t_min, t_max, strict=True)
        ends = self.log_odds([high, low])
        if not np.all(np.isfinite(ends)):
            raise GridError(f"t_max={t_max!r} is the end of the schedule, where the log-odds are infinite; take less")
        return np.asarray(np.linspace(float(ends[0]), float(ends[1]), as_count("n_steps", n_steps) + 1))

    def corrupt(self, x: States, log_odds: ArrayLike, rng: np.random.Generator) -> States:
        """Noised states (n, L) of states x (n, L) at log-odds () or (n,)."""
        kept = rng.random(x.shape) < scipy.special.expit(_per_row(log_odds))[..., 0]
        return np.asarray(np.where(kept, x, self.prior(len(x), x.shape[1], rng)))

    def onehot(self, x: States) -> Float64Array:
        """Posteriors (n, L, S) that are certain of clean states x (n, L)."""
        return np.asarray(np.arange(self.alphabet) == x[..., None], dtype=np.float64)

    @abstractmethod
    def prior(self, n: int, length: int, rng: np.random.Generator) -> States:
        """Pure noise, (n, L)."""

    @abstractmethod
    def evidence(self, x: States, log_odds: ArrayLike) -> Float64Array:
        """``q(x_t^l | x_0^l = v)`` for noised states x (n, L), shape (n, L, S)."""

    @abstractmethod
    def rates(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """Reverse rates (n, L, S) to every value of every site per unit of log-odds; 0 where there is no jump."""

    @abstractmethod
    def ratios(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``p_t(y) / p_t(x)`` (n, L, S) from posteriors; 1 at the present value, 0 where no reverse jump leads."""

    @abstractmethod
    def posteriors(self, ratios: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """The inverse of :meth:`ratios`; ratios of no law give negative entries or sums other than 1."""

    @abstractmethod
    def kernel(self, posteriors: Float64Array, x: States, log_odds: ArrayLike, later: ArrayLike) -> Float64Array:
        """Reverse transition (n, L, symbols) of each site to larger log-odds ``later``, which may be infinite."""

    @abstractmethod
    def largest_rate(self, x: States, log_odds: Float64Array) -> Float64Array:
        """A bound (n,) on the total reverse rate of any law, and so of means of rates, per unit of log-odds."""

    @abstractmethod
    def next_event(self, x: States, log_odds: Float64Array, rng: np.random.Generator) -> Float64Array:
        """Log-odds (n,) of the next event of a Poisson process of rate :meth:`largest_rate`."""


@final
@dataclass(frozen=True)
class UniformNoise(DiscreteNoise):
    """Lost sites hold a uniform value; see :mod:`sfbench.discrete.noise`."""

    @property
    def symbols(self) -> int:
        """S."""
        return self.alphabet

    def prior(self, n: int, length: int, rng: np.random.Generator) -> States:
        """Uniform states."""
        return rng.integers(self.alphabet, size=(n, length))

    def evidence(self, x: States, log_odds: ArrayLike) -> Float64Array:
        """``alpha [x = v] + (1 - alpha) / S``."""
        at = _per_row(log_odds)
        return np.asarray(scipy.special.expit(at) * self.onehot(x) + scipy.special.expit(-at) / self.alphabet)

    def rates(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``(1 - alpha) / S`` times the ratios, 0 at the present value."""
        lost = scipy.special.expit(-_per_row(log_odds)) / self.alphabet
        return np.where(self.onehot(x) > 0, 0.0, lost * self.ratios(posteriors, x, log_odds))

    def ratios(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``alpha c_v + (1 - alpha) C / S``."""
        at = _per_row(log_odds)
        c = posteriors / self.evidence(x, log_odds)
        spread = scipy.special.expit(-at) / self.alphabet * c.sum(axis=-1, keepdims=True)
        return np.where(self.onehot(x) > 0, 1.0, scipy.special.expit(at) * c + spread)

    def posteriors(self, ratios: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``q(x | v) (ratio_v - (1 - alpha) C / S) / alpha`` with C the sum of the ratios."""
        at = _per_row(log_odds)
        spread = scipy.special.expit(-at) / self.alphabet * ratios.sum(axis=-1, keepdims=True)
        return np.asarray(self.evidence(x, log_odds) * (ratios - spread) / scipy.special.expit(at))

    def kernel(self, posteriors: Float64Array, x: States, log_odds: ArrayLike, later: ArrayLike) -> Float64Array:
        """``q_{lambda|mu}(x | v) (alpha_mu c_v + (1 - alpha_mu) C / S)``."""
        here, there = _per_row(log_odds), _per_row(later)
        alpha = scipy.special.expit(there)
        kept = scipy.special.expit(here) / alpha
        c = posteriors / self.evidence(x, log_odds)
        spread = scipy.special.expit(-there) / self.alphabet * c.sum(axis=-1, keepdims=True)
        return np.asarray((kept * self.onehot(x) + (1.0 - kept) / self.alphabet) * (alpha * c + spread))

    def largest_rate(self, x: States, log_odds: Float64Array) -> Float64Array:
        """L: a site's rates sum to at most ``alpha + (1 - alpha)(S - 1)/S``."""
        return np.full(len(x), float(x.shape[1]), dtype=np.float64)

    def next_event(self, x: States, log_odds: Float64Array, rng: np.random.Generator) -> Float64Array:
        """Exponential waiting times of mean ``1 / L``."""
        return np.asarray(log_odds + rng.standard_exponential(len(x)) / x.shape[1])


@final
@dataclass(frozen=True)
class MaskedNoise(DiscreteNoise):
    """Lost sites hold the mask, symbol S; see :mod:`sfbench.discrete.noise`."""

    @property
    def symbols(self) -> int:
        """S + 1."""
        return self.alphabet + 1

    def prior(self, n: int, length: int, rng: np.random.Generator) -> States:
        """All masks."""
        return np.full((n, length), self.alphabet, dtype=np.int64)

    def evidence(self, x: States, log_odds: ArrayLike) -> Float64Array:
        """``alpha [x = v]``, or ``1 - alpha`` for a mask."""
        at = _per_row(log_odds)
        masked = (x == self.alphabet)[..., None]
        return np.asarray(np.where(masked, scipy.special.expit(-at), scipy.special.expit(at) * self.onehot(x)))

    def rates(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``alpha`` times the posteriors at masked sites."""
        masked = (x == self.alphabet)[..., None]
        return np.where(masked, scipy.special.expit(_per_row(log_odds)) * posteriors, 0.0)

    def ratios(self, posteriors: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``alpha / (1 - alpha)`` times the posteriors at masked sites."""
        masked = (x == self.alphabet)[..., None]
        return np.where(masked, np.exp(_per_row(log_odds)) * posteriors, self.onehot(x))

    def posteriors(self, ratios: Float64Array, x: States, log_odds: ArrayLike) -> Float64Array:
        """``(1 - alpha) / alpha`` times the ratios at masked sites; certain of the others."""
        masked = (x == self.alphabet)[..., None]
        return np.where(masked, np.exp(-_per_row(log_odds)) * ratios, self.onehot(x))

    def kernel(self, posteriors: Float64Array, x: States, log_odds: ArrayLike, later: ArrayLike) -> Float64Array:
        """A mask stays with probability ``(1 - alpha_mu) / (1 - alpha_lambda)``, else it becomes a posterior draw."""
        here, there = _per_row(log_odds), _per_row(later)
        stay = scipy.special.expit(-there) / scipy.special.expit(-here)
        masked = (x == self.alphabet)[..., None]
        values = np.where(masked, (1.0 - stay) * posteriors, self.onehot(x))
        return np.concatenate([values, np.where(masked, stay, 0.0)], axis=-1)

    def largest_rate(self, x: States, log_odds: Float64Array) -> Float64Array:
        """``alpha`` times the number of masks: the total rate of every law itself."""
        return np.asarray(scipy.special.expit(log_odds) * (x == self.alphabet).sum(axis=1))

    def next_event(self, x: States, log_odds: Float64Array, rng: np.random.Generator) -> Float64Array:
        """``1 - alpha`` shrinks by ``U^(1/m)``, m the number of masks; never without masks."""
        count = (x == self.alphabet).sum(axis=1)
        wait = np.divide(rng.standard_exponential(len(x)), count, out=np.full(len(x), np.inf), where=count > 0)
        level = np.logaddexp(0.0, log_odds) + wait  # = -log(1 - alpha) at the event
        return np.asarray(level + np.log(-np.expm1(-level)))


def _per_row(log_odds: ArrayLike) -> Float64Array:
    """Log-odds of shape () or (n,) so that they broadcast against (n, L, S)."""
    at = np.asarray(log_odds, dtype=np.float64)
    return np.asarray(at[..., None, None])
