r"""What a diffusers scheduler says about the noise: process, prediction, noise levels, and whether it is an SDE.

diffusers counts noise by ``sigma``, one number a step:

========  =======================================  ===============================  ================
kind      schedulers                               signal                           process
========  =======================================  ===============================  ================
``vp``    tables of betas (Stable Diffusion)       ``alpha = 1/sqrt(1 + sigma^2)``  ``Tabulated``
``flow``  flow matching (SD 3, Flux)               ``alpha = 1 - sigma``            ``FlowMatching``
``edm``   EDM                                      ``alpha = 1``                    ``Karras``
========  =======================================  ===============================  ================

A flow's shift moves the steps, not the process: the network's timestep is ``n sigma`` whatever the shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, final

import numpy as np

from .._internal.aliases import Float64Array
from ..nets.parameterisation import EDM, Parameterisation, as_parameterisation
from ..processes import FlowMatching, ForwardProcess, Karras, Tabulated
from .errors import NoiseScheduleError

Kind = Literal["vp", "flow", "edm"]
Dynamics = Literal["sde", "eta", "ode"]

_DISTILLED = "it steps by predicting clean data and adding fresh noise, as consistency and distilled models do"
_DISCRETE = "it samples a chain of tokens, which has no Gaussian noise"
_NOT_A_DIFFUSION: Mapping[str, str] = {
    **dict.fromkeys(
        ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler", "CMStochasticIterativeScheduler"), _DISTILLED
    ),
    **dict.fromkeys(
        ("SCMScheduler", "PiflowScheduler", "HeliosDMDScheduler", "FlowMapEulerDiscreteScheduler"), _DISTILLED
    ),
    **dict.fromkeys(("AmusedScheduler", "BlockRefinementScheduler", "DiscreteDDIMScheduler"), _DISCRETE),
    **dict.fromkeys(("EntropyBoundScheduler", "VQDiffusionScheduler", "RFD4ProteinaScheduler"), _DISCRETE),
    "RePaintScheduler": "it jumps back in time to fill holes in an image",
    "DDIMInverseScheduler": "it runs from data to noise",
    "DPMSolverMultistepInverseScheduler": "it runs from data to noise",
    "KarrasVeScheduler": "its two-stage steps are not supported; use EDMEulerScheduler",
    "ScoreSdeVeScheduler": "its network predicts a score scaled by hand; use EDMEulerScheduler",
    "DDPMWuerstchenScheduler": "its continuous cosine table is not supported",
    "CosineDPMSolverMultistepScheduler": "it needs torchsde, which is no longer maintained",
    "DPMSolverSDEScheduler": "it needs torchsde, which is no longer maintained; use DPMSolverMultistepScheduler",
}
# Random steps that discretise the reverse SDE and are linear in the prediction: the rest is deterministic, or above.
_DYNAMICS: Mapping[str, Dynamics] = {
    **dict.fromkeys(("DDPMScheduler", "DDPMParallelScheduler", "EulerAncestralDiscreteScheduler"), "sde"),
    **dict.fromkeys(("KDPM2AncestralDiscreteScheduler", "SASolverScheduler", "LTXEulerAncestralRFScheduler"), "sde"),
    **dict.fromkeys(("DDIMScheduler", "DDIMParallelScheduler"), "eta"),
    **dict.fromkeys(("EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler"), "ode"),
    **dict.fromkeys(("LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler"), "ode"),
    **dict.fromkeys(("DEISMultistepScheduler", "EDMEulerScheduler", "CogVideoXDDIMScheduler"), "ode"),
    **dict.fromkeys(("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"), "ode"),
}
SPREADS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
_BY_ALGORITHM = ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler")


@final
@dataclass(frozen=True)
class Level:
    """One noise level: the scheduler's own ``sigma``, and ``x = alpha x0 + noise z``."""

    sigma: float
    alpha: float
    noise: float

    @property
    def snr(self) -> float:
        """``alpha^2 / noise^2``; infinite for clean data."""
        return float("inf") if self.noise == 0.0 else (self.alpha / self.noise) ** 2

    @property
    def log_snr(self) -> float:
        """``log(alpha^2 / noise^2)``."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.snr))


@final
@dataclass(frozen=True)
class Schedule:
    """What a scheduler says about its networks.

    Attributes
    ----------
    process : ForwardProcess
    prediction : str or EDM
        What the networks predict; see :mod:`sfbench.nets.parameterisation`.
    kind : {"vp", "flow", "edm"}
        Meaning of the scheduler's ``sigma``; see :mod:`sfbench.diffusers.schedules`.
    n_timesteps : int
        Timesteps of training.
    shift : float or None
        Shift of a flow's steps; None if there is none, or if it depends on the size of the image.
    """

    process: ForwardProcess
    prediction: Parameterisation
    kind: Kind
    n_timesteps: int
    shift: float | None = None

    def level(self, sigma: float) -> Level:
        """The noise level at the scheduler's ``sigma``."""
        return level_of(self.kind, sigma)

    def timestep(self, t: float) -> float:
        """What the network is given as its timestep at time t of the process."""
        if self.kind == "vp":
            return self.n_timesteps * float(t) - 1.0
        return self.n_timesteps * float(t) if self.kind == "flow" else 0.25 * float(np.log(t))

    def data_scale(self, level: Level) -> float:
        """``c`` in ``|x0_i - x0_j| = c |output_i - output_j|``: how far predicted data part when outputs part by 1."""
        if isinstance(self.prediction, EDM):
            return level.noise * self.prediction.sigma_data / float(np.hypot(level.noise, self.prediction.sigma_data))
        if self.prediction == "x0":
            return 1.0
        return level.sigma if self.prediction == "epsilon" else level.noise


def from_scheduler(scheduler: Any) -> Schedule:
    """Read a diffusers scheduler: process, prediction type, timestep scaling, flow shift.

    Raises
    ------
    NoiseScheduleError
        For what is not a Gaussian diffusion (consistency and distilled models, discrete chains), with the reason.
    """
    config = check_scheduler(scheduler).config
    name = type(scheduler).__name__
    for ancestor in type(scheduler).__mro__:
        if ancestor.__name__ in _NOT_A_DIFFUSION:
            raise NoiseScheduleError(f"{name} is not a scheduler of a diffusion: {_NOT_A_DIFFUSION[ancestor.__name__]}")
    n = int(config.get("num_train_timesteps", 1000))
    predicts = config.get("prediction_type", "epsilon")
    kind = kind_of(scheduler)
    if kind == "flow":
        spread = [level for level in SPREADS if config.get(level)]
        if spread and not name.startswith("FlowMatch"):  # those spread levels within [0, 1]; others make NaN of them
            raise NoiseScheduleError(f"{name} with {spread[0]}=True leaves the levels of a flow: leave it out")
        dynamic = bool(config.get("use_dynamic_shifting", False))
        shift = config.get("shift", config.get("flow_shift"))
        return Schedule(FlowMatching(), "velocity", "flow", n, None if dynamic or shift is None else float(shift))
    if kind == "edm":
        if predicts != "epsilon":
            raise NoiseScheduleError(f"{name} with prediction_type={predicts!r} is not supported; only 'epsilon' is")
        return Schedule(Karras(float(config.sigma_max)), EDM(float(config.sigma_data)), "edm", n)
    if config.get("timestep_type") == "continuous":
        raise NoiseScheduleError(f"{name} with timestep_type='continuous' is not supported; use 'discrete'")
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        raise NoiseScheduleError(f"{name} is not known: it has neither a table of betas nor sigmas of a flow or of EDM")
    alpha_bar = tuple(np.asarray(table.double().cpu()).tolist())
    return Schedule(Tabulated(alpha_bar), as_parameterisation(predicts), "vp", len(alpha_bar))


def check_scheduler(scheduler: Any) -> Any:
    """The scheduler itself; anything else is refused."""
    if getattr(scheduler, "config", None) is None or not callable(getattr(scheduler, "step", None)):
        raise NoiseScheduleError(f"a diffusers scheduler is needed, got a {type(scheduler).__name__}")
    return scheduler


def level_of(kind: Kind, sigma: float) -> Level:
    """The noise level at a scheduler's ``sigma``, whose meaning is its kind."""
    s = float(sigma)
    if kind == "vp":
        alpha = 1.0 / float(np.hypot(1.0, s))
        return Level(s, alpha, s * alpha)
    return Level(s, 1.0 - s, s) if kind == "flow" else Level(s, 1.0, s)


def scheduler_process(scheduler: Any) -> ForwardProcess:
    """The forward process of a diffusers scheduler; see :func:`from_scheduler`."""
    return from_scheduler(scheduler).process


def kind_of(scheduler: Any) -> Kind:
    """What a scheduler's sigma means, without a look at its table."""
    name, config = type(scheduler).__name__, scheduler.config
    if name.startswith(("FlowMatch", "LTXEuler")) or config.get("use_flow_sigmas"):
        return "flow"
    return "flow" if config.get("prediction_type") == "flow_prediction" else "edm" if name.startswith("EDM") else "vp"


def dynamics_of(scheduler: Any) -> tuple[Dynamics, str]:
    """Whether steps follow the reverse SDE, do so if ``eta = 1``, or are deterministic; and why, in words.

    Raises
    ------
    NoiseScheduleError
        For random steps that do not discretise the SDE, and for schedulers that are not known.
    """
    config, name = scheduler.config, type(scheduler).__name__
    names = [ancestor.__name__ for ancestor in type(scheduler).__mro__]
    if any(known in names for known in _BY_ALGORITHM):
        algorithm = str(config.get("algorithm_type"))
        return ("sde" if algorithm.startswith("sde") else "ode"), f"algorithm_type={algorithm!r}"
    if config.get("stochastic_sampling"):
        raise NoiseScheduleError(f"{name} with stochastic_sampling=True does not follow the reverse SDE: {_DISTILLED}")
    if "LTXEulerAncestralRFScheduler" in names and not (config.eta > 0 and config.s_noise == 1):
        return "ode", f"eta={config.eta}, s_noise={config.s_noise}"
    found = next((known for known in names if known in _DYNAMICS), None)
    if found is None:
        raise NoiseScheduleError(f"whether the steps of {name} follow the reverse SDE is not known")
    dynamics = _DYNAMICS[found]
    words = {"sde": "its steps add noise", "eta": "its noise is set by eta", "ode": "its steps are deterministic"}
    return dynamics, words[dynamics]


# ---------------------------------------------------------------------------------------------------- present level
def present_sigma(scheduler: Any, timestep: float) -> float:
    """The scheduler's sigma at the network call that is being made, with the timestep that the network is given.

    Schedulers that count their steps are asked for the step; the others are looked up by the timestep.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        return _sigma_of(scheduler.alphas_cumprod[min(max(round(timestep), 0), len(scheduler.alphas_cumprod) - 1)])
    return float(call_sigmas(scheduler)[present_index(scheduler, timestep)])


def present_index(scheduler: Any, timestep: float) -> int:
    """Number of the present step among the scheduler's steps."""
    index = getattr(scheduler, "step_index", None)
    if index is None:
        index = getattr(scheduler, "begin_index", None)
    if index is not None:
        return int(index)
    times = np.asarray(scheduler.timesteps.double().cpu())
    # Some pipelines give their network timesteps of [0, 1].
    for scale in (1.0, float(scheduler.config.get("num_train_timesteps", 1000))):
        nearest = int(np.argmin(np.abs(times - scale * timestep)))
        if np.isclose(times[nearest], scale * timestep, rtol=1e-3, atol=1e-6):
            return nearest
    return 0


def call_sigmas(scheduler: Any) -> Float64Array:
    """Sigmas at the network calls of a run, and at its end, from a scheduler that has a list of them."""
    sigmas = np.asarray(scheduler.sigmas.double().cpu())
    middle = getattr(scheduler, "sigmas_interpol", None)
    if middle is None:
        return sigmas
    calls = sigmas[: len(scheduler.timesteps)].copy()  # every second call is made between two levels
    calls[1::2] = np.asarray(middle.double().cpu())[: len(calls) - 1 : 2]
    return np.append(calls, sigmas[-1])


def final_sigma(scheduler: Any) -> float:
    """The sigma at which a run ends, mostly 0."""
    if getattr(scheduler, "sigmas", None) is not None:
        return float(scheduler.sigmas[-1])
    return _sigma_of(getattr(scheduler, "final_alpha_cumprod", 1.0))


def _sigma_of(alpha_bar: Any) -> float:
    return float(np.sqrt((1.0 - float(alpha_bar)) / float(alpha_bar)))


def nonlinear_settings(scheduler: Any) -> list[str]:
    """Settings under which a step is not linear in the prediction, so that averaging does not commute with it.

    Only those that the scheduler itself has: a configuration keeps what it was given by another scheduler.
    """
    known = signature(type(scheduler).__init__).parameters
    return [name for name in ("clip_sample", "thresholding") if name in known and scheduler.config.get(name)]
