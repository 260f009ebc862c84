r"""One-step integrators of the reverse SDE and of the probability flow.

Written with the *data prediction* ``D = (x + sigma^2 s) / alpha`` every classical scheme is affine,

    x' = keep x + pull Dbar + noise z,      Dbar = D + extrapolate (D - D_before),

for a step from time t to t' < t, with ``h = log(alpha'/sigma') - log(alpha/sigma) > 0``:

    Euler-Maruyama     keep = 1 - (f + g^2/sigma^2) dt   pull = g^2 dt alpha / sigma^2   noise = g sqrt(dt)
    exponential, SDE   keep = e^{-h} sigma'/sigma        pull = alpha' (1 - e^{-2h})   noise = sigma' sqrt(1 - e^{-2h})
    exponential, flow  keep = sigma'/sigma               pull = alpha' (1 - e^{-h})    noise = 0

The exponential schemes solve the linear part exactly and freeze D. Order 1 is ancestral sampling (SDE) or DDIM (flow);
order 2 extrapolates D from the step before, ``extrapolate = h / (2 h_before)``: DPM-Solver++(2M) (Lu et al. 2022) and
its SDE form, still one score evaluation per step. :class:`Heun` averages D over both ends of the step: two evaluations.

Affinity is what makes the Feynman-Kac correction exact for the *discrete* chain; see :mod:`sfbench.sampling.corrected`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import scipy  # submodules load on first use

from .._internal.aliases import Array, FloatArray
from .._internal.arrays import all_finite, to_host, to_kind
from .._internal.validation import as_choice, as_count, as_flag, as_positive
from ..errors import GridError
from ..processes import ForwardProcess

Score = Callable[[Array, float], Array]
Noise = Callable[[Array], Array]
StepTimes = tuple[float | None, float, float]
FUSED_LAW = "fused law P_w (reverse SDE driven by the averaged score)"
FLOW_LAW = "probability-flow law of the averaged score"
CORRECTED_LAW = "KL barycenter p_w (log-linear pool)"
BETWEEN_LAW = "predictor-corrector law, between the fused law P_w and the KL barycenter p_w"


@final
@dataclass(frozen=True)
class AffineStep:
    """Coefficients of ``x' = keep x + pull (D + extrapolate (D - D_before)) + noise z``."""

    keep: float
    pull: float
    extrapolate: float
    noise: float

    def apply(self, x: Array, prediction: Array, memory: Array, noise: Noise) -> Array:
        """The step; ``memory`` is the data prediction before, used if the step extrapolates."""
        blended = prediction
        if self.extrapolate and memory is not None:
            blended = (1.0 + self.extrapolate) * prediction + (-self.extrapolate) * memory
        out: Array = self.keep * x + self.pull * blended
        if self.noise:
            out += self.noise * noise(x)
        return out


@final
@dataclass(frozen=True, eq=False)
class ReverseProcess:
    """What is stepped: a score ``score(x, t)``, its forward process, a source ``noise(x)`` of standard normals shaped
    like x, and whether the host looks at points within a step, for which it must wait for an accelerator.
    """

    score: Score
    process: ForwardProcess
    noise: Noise
    looks: bool = True


class Integrator(ABC):
    """Interface of a scheme that moves points from one time to a smaller one."""

    @property
    @abstractmethod
    def law(self) -> str:
        """Which law the scheme samples as the steps shrink."""

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """Score evaluations per step."""

    @abstractmethod
    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """Move x (n, d) from ``times[1]`` to ``times[2]``; ``times[0]`` is the time before, None in the first step.

        ``memory`` is what the step before returned besides its points, (n, d) or None.
        """


class AffineIntegrator(Integrator):
    """Interface of the schemes that are affine in the data prediction, which they ask for once a step."""

    evaluations = 1

    @property
    @abstractmethod
    def multistep(self) -> bool:
        """Whether steps extrapolate from the data prediction before."""

    @abstractmethod
    def step(self, process: ForwardProcess, t_before: float | None, t: float, t_next: float) -> AffineStep:
        """Coefficients of the step from t to t_next."""

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step; a multistep scheme remembers the data prediction."""
        prediction = data_prediction(reverse.score(x, times[1]), reverse.process, x, times[1])
        x = self.step(reverse.process, *times).apply(x, prediction, memory, reverse.noise)
        return x, prediction if self.multistep else None


def data_prediction(score: Array, process: ForwardProcess, x: Array, t: float) -> Array:
    """``D = (x + sigma^2 s) / alpha``, the posterior mean of the clean point, (n, d)."""
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    out: Array = score * (sigma * sigma / alpha)
    out += x * (1.0 / alpha)
    return out


@final
@dataclass(frozen=True)
class EulerMaruyama(AffineIntegrator):
    """Euler-Maruyama on the reverse SDE: the baseline that needs the most steps."""

    law: ClassVar[str] = FUSED_LAW
    multistep: ClassVar[bool] = False

    def step(self, process: ForwardProcess, t_before: float | None, t: float, t_next: float) -> AffineStep:
        """Coefficients of the step from t to t_next."""
        dt = t - t_next
        variance, g2 = float(process.sigma(t)) ** 2, float(process.g(t)) ** 2
        ratio = g2 * dt / variance
        keep = 1.0 - float(process.f(t)) * dt - ratio
        return AffineStep(keep, ratio * float(process.alpha(t)), 0.0, math.sqrt(g2 * dt))


@final
@dataclass(frozen=True)
class Exponential(AffineIntegrator):
    """Exponential integrator, exact in the linear part; one evaluation per step.

    Parameters
    ----------
    order : {1, 2}
        1 freezes the data prediction, 2 extrapolates it from the step before.
    stochastic : bool
        The reverse SDE if true, the probability flow if false.
    """

    order: Literal[1, 2] = 2
    stochastic: bool = True

    def __post_init__(self) -> None:
        as_count("order", self.order, at_most=2, error=GridError)
        as_flag("stochastic", self.stochastic)

    @property
    def law(self) -> str:
        """The fused law, or the law of the probability flow."""
        return FUSED_LAW if self.stochastic else FLOW_LAW

    @property
    def multistep(self) -> bool:
        """Whether the order is 2."""
        return self.order == 2

    def step(self, process: ForwardProcess, t_before: float | None, t: float, t_next: float) -> AffineStep:
        """Coefficients of the step from t to t_next."""
        sigma, sigma_next = float(process.sigma(t)), float(process.sigma(t_next))
        h = _half_log_snr_step(process, t, t_next)
        extrapolate = 0.0
        if self.order == 2 and t_before is not None:
            extrapolate = 0.5 * h / _half_log_snr_step(process, t_before, t)
        ratio, alpha_next = sigma_next / sigma, float(process.alpha(t_next))
        if not self.stochastic:
            return AffineStep(ratio, -alpha_next * math.expm1(-h), extrapolate, 0.0)
        fresh = -math.expm1(-2.0 * h)
        return AffineStep(math.exp(-h) * ratio, alpha_next * fresh, extrapolate, sigma_next * math.sqrt(fresh))


@final
@dataclass(frozen=True)
class Heun(Integrator):
    """Exponential Heun: the data prediction is averaged over both ends of the step; two evaluations."""

    stochastic: bool = True
    evaluations: ClassVar[int] = 2

    def __post_init__(self) -> None:
        as_flag("stochastic", self.stochastic)

    @property
    def law(self) -> str:
        """The fused law, or the law of the probability flow."""
        return FUSED_LAW if self.stochastic else FLOW_LAW

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step; no memory."""
        process, (_, t, t_next) = reverse.process, times
        c = Exponential(1, self.stochastic).step(process, None, t, t_next)
        here = data_prediction(reverse.score(x, t), process, x, t)
        base = c.keep * x
        if c.noise:
            base += c.noise * reverse.noise(x)
        guess = base + c.pull * here
        if reverse.looks and not all_finite(guess):
            return guess, None  # lost points are the caller's to report
        there = data_prediction(reverse.score(guess, t_next), process, guess, t_next)
        return base + (0.5 * c.pull) * (here + there), None


@final
@dataclass(frozen=True)
class PredictorCorrector(Integrator):
    """An exponential step, then Langevin steps at the new time (Song et al. 2021).

    ``s_w(., t)`` is the score of the log-linear pool of the ``p_{i,t}``, so the corrections pull the law away from the
    fused law towards the KL barycenter; with finitely many it is neither, and the result says so.

    Parameters
    ----------
    corrections : int
        Langevin steps per time, each one evaluation.
    size : float
        Step ``epsilon = size * sigma_t^2`` of ``x + epsilon/2 s + sqrt(epsilon) z``.
    """

    corrections: int = 1
    size: float = 0.3
    law: ClassVar[str] = BETWEEN_LAW

    def __post_init__(self) -> None:
        as_count("corrections", self.corrections, error=GridError)
        as_positive("size", self.size, GridError)

    @property
    def evaluations(self) -> int:
        """1 + corrections."""
        return 1 + self.corrections

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step; no memory."""
        x, _ = Exponential(1).advance(reverse, x, times, None)
        for _ in range(self.corrections):
            if not reverse.looks or all_finite(x):
                x = langevin(reverse, x, times[2], self.size)
        return x, None


@final
@dataclass(frozen=True)
class AdaptiveFlow(Integrator):
    """The probability flow solved by an adaptive Runge-Kutta pair (scipy): the oracle, not the fast way."""

    rtol: float = 1e-8
    atol: float = 1e-10
    law: ClassVar[str] = FLOW_LAW
    evaluations: ClassVar[int] = 12  # at least; the samplers count what was really spent

    def __post_init__(self) -> None:
        as_positive("rtol", self.rtol, GridError)
        as_positive("atol", self.atol, GridError)

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step; no memory."""
        process, given = reverse.process, x
        x = to_host(given)

        def slope(log_t: float, flat: FloatArray) -> FloatArray:
            t = math.exp(log_t)
            points = flat.reshape(x.shape)
            g2 = float(process.g(t)) ** 2
            score = to_host(reverse.score(to_kind(points, given), t))
            out: FloatArray = t * (float(process.f(t)) * points - 0.5 * g2 * score)
            return out.ravel()

        span = (math.log(times[1]), math.log(times[2]))
        solution = scipy.integrate.solve_ivp(
            slope, span, x.astype(np.float64).ravel(), method="DOP853", rtol=self.rtol, atol=self.atol, t_eval=span[1:]
        )
        if not solution.success:
            return given * np.nan, None
        return to_kind(solution.y[:, -1].reshape(x.shape), given), None


def langevin(reverse: ReverseProcess, x: Array, t: float, size: float) -> Array:
    """One unadjusted Langevin step of size ``size * sigma_t^2`` at time t."""
    step = size * float(reverse.process.sigma(t)) ** 2
    out: Array = x + 0.5 * step * reverse.score(x, t)
    out += math.sqrt(step) * reverse.noise(x)
    return out


def _half_log_snr_step(process: ForwardProcess, t: float, t_next: float) -> float:
    return 0.5 * (float(process.log_snr(t_next)) - float(process.log_snr(t)))


_INTEGRATORS: dict[str, Callable[[], Integrator]] = {
    "euler_maruyama": EulerMaruyama,
    "exponential": lambda: Exponential(1),
    "exponential_2m": lambda: Exponential(2),
    "stochastic_heun": lambda: Heun(True),
    "predictor_corrector": PredictorCorrector,
    "ddim": lambda: Exponential(1, stochastic=False),
    "dpm_solver_2m": lambda: Exponential(2, stochastic=False),
    "heun": lambda: Heun(False),
    "adaptive": AdaptiveFlow,
}
_OTHER_NAMES = {"ddpm": "exponential", "ancestral": "exponential"}


def known_integrators() -> dict[str, str]:
    """Names of the integrators and the law that each samples; ``"ddpm"`` and ``"ancestral"`` mean ``"exponential"``."""
    return {name: build().law for name, build in _INTEGRATORS.items()}


def as_integrator(integrator: Any) -> Integrator:
    """The integrator of that name, or the integrator itself."""
    if isinstance(integrator, Integrator):
        return integrator
    name = _OTHER_NAMES.get(integrator, integrator) if isinstance(integrator, str) else integrator
    return _INTEGRATORS[as_choice("integrator", name, _INTEGRATORS)]()
