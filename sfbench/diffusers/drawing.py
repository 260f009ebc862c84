"""Drawing images from a fused pipeline, with the name of the law that they follow.

==============  ======================================  =============================================
sampler         scheduler                               law
==============  ======================================  =============================================
``fused``       one that follows the reverse SDE        fused law ``P_w``
``switched``    any                                     that of ``fused`` or ``ode``, as the scheduler is
``ode``         deterministic                           probability flow of the averaged score
``corrected``   one that follows the reverse SDE        KL barycenter ``p_w``, weighted images
==============  ======================================  =============================================

Under guidance the fields are not scores of a diffusion, so neither are the laws; ``result.law`` says so.
"""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch

from .._internal.aliases import SeedLike
from .._internal.validation import as_choice, as_count, as_flag, as_generator, as_number
from ..sampling.errors import TrustWarning
from ..sampling.integrators import CORRECTED_LAW, FLOW_LAW, FUSED_LAW
from ..sampling.resampling import effective_size, scheme
from ..sampling.result import Diagnostics
from .calling import run
from .errors import DiffusersError, NoiseScheduleError
from .handle import Handle, handle_of
from .result import PathIntegral, PipelineSample
from .schedules import SPREADS, dynamics_of, from_scheduler, kind_of, nonlinear_settings
from .steps import WatchedSteps

Sampler = Literal["fused", "switched", "ode", "corrected"]
_LARGEST_EXTRAPOLATION = 0.5
_SMALLEST_ESS = 2.0


def sample(
    pipe: Any,
    prompt: Any = None,
    n: int = 1,
    sampler: Sampler = "fused",
    *,
    steps: int | None = None,
    scheduler: Any = None,
    linearise: bool = False,
    threshold: float = 0.5,
    resampling: str = "systematic",
    pilot: int = 8,
    batch: int | None = None,
    verbose: bool = True,
    rng: SeedLike = None,
    **options: Any,
) -> PipelineSample:
    """Draw n images of one prompt from a fused pipeline.

    Parameters
    ----------
    pipe : fused pipeline
        See :func:`sfbench.diffusers.fuse`.
    prompt : str or int, optional
        Prompt, or class of a class-conditional pipeline; none for an unconditional one.
    n : int
        Number of images.
    sampler : {"fused", "switched", "ode", "corrected"}
        See :mod:`sfbench.diffusers.drawing`.
    steps : int, optional
        Steps of the scheduler; the pipeline's default otherwise.
    scheduler : scheduler, optional
        Takes the place of the pipeline's for this call; :func:`sde_scheduler` makes one that ``"fused"`` and
        ``"corrected"`` can use.
    linearise : bool
        Switch off what is not linear in the prediction: ``clip_sample`` and ``thresholding`` of the scheduler,
        ``guidance_rescale`` of the pipeline. They are refused otherwise.
    threshold : float
        ``"corrected"``: resample when the effective share of the images falls below this.
    resampling : str
        ``"corrected"``: scheme; see :mod:`sfbench.sampling.resampling`.
    pilot : int
        ``"corrected"``: images of a run beforehand that says whether the answer is in reach; 0 for none.
    batch : int, optional
        Images in one call of the pipeline. All of them for ``"corrected"``, whose images interact.
    verbose : bool
        Print the result of the pilot run.
    rng : Generator, SeedSequence, int or None
        Randomness.
    options
        Handed to the pipeline: ``guidance_scale``, ``height``, ...

    Returns
    -------
    PipelineSample
        Images, final latents, log weights, the law, diagnostics.

    Raises
    ------
    NotFusedError
        If the pipeline is not fused.
    NoiseScheduleError
        If the scheduler cannot serve the sampler; says which can.
    DiffusersError
        For settings that are not linear, and for distilled networks under ``"corrected"``.

    Notes
    -----
    Costs one run of the pipeline with k networks (one if switched), and ``pilot / n`` of that again if corrected.
    """
    handle = handle_of(pipe)
    count = as_count("n", n, error=DiffusersError)
    as_choice("sampler", sampler, get_args(Sampler), DiffusersError)
    if not 0.0 <= as_number("threshold", threshold, DiffusersError) <= 1.0:
        raise DiffusersError(f"threshold must lie in [0, 1], got {threshold!r}")
    as_flag("linearise", linearise)
    as_flag("verbose", verbose)
    if isinstance(prompt, list | tuple):
        raise DiffusersError(f"prompt must be one string (call once for each prompt), got {prompt!r}")
    pick = scheme(resampling)
    as_count("pilot", pilot, at_least=0, error=DiffusersError)
    most = count if batch is None or sampler == "corrected" else as_count("batch", batch, error=DiffusersError)
    if sampler == "corrected" and batch is not None and batch < count:
        raise DiffusersError(f"corrected images interact: all {count} must be in one batch, got batch={batch}")
    if steps is not None:
        options["num_inference_steps"] = as_count("steps", steps, error=DiffusersError)
    chosen = pipe.scheduler if scheduler is None else scheduler
    schedule = from_scheduler(chosen)
    eta = _check_scheduler(chosen, sampler)
    distilled = distilled_reason(handle.module)
    if distilled and sampler == "corrected":
        raise DiffusersError(f"the KL barycenter is not defined: {distilled}; use sampler='fused' or 'ode'")
    chosen = _linear(chosen, options, linearise)
    generator = as_generator(rng)
    seed = int(generator.integers(2**63))
    noise = torch.Generator().manual_seed(seed)
    reach = None

    def drawn(n: int, noise: torch.Generator, threshold: float) -> tuple[list[Any], WatchedSteps]:
        steps = WatchedSteps(handle.hook, schedule, n, sampler == "corrected", threshold, pick, generator, eta)
        with steps.on(chosen):
            return run(pipe, prompt, n, noise, options), steps

    with scheduler_in_place(pipe, chosen), _method(handle, sampler):
        if sampler == "corrected" and pilot:
            _, trial = drawn(min(pilot, count), torch.Generator().manual_seed(seed ^ 1), 0.0)
            reach = PathIntegral.of(-trial.particles.log_weights[0])
            _report(reach, count, verbose)
        images, latents, evaluations = [], [], 0
        for start in range(0, count, most):
            n_images = min(most, count - start)
            some, watched = drawn(n_images, noise, float(threshold) if sampler == "corrected" else 0.0)
            images += some
            evaluations += handle.calls
            latents.append(watched.latents)
    law = _law(sampler, chosen, watched, distilled)
    log_weights, diagnostics = _diagnose(sampler, chosen, watched, evaluations, count)
    kept = torch.cat([part for part in latents if part is not None])
    return PipelineSample(tuple(images), kept, log_weights, law, diagnostics, seed, reach, handle)


def sde_scheduler(scheduler: Any, **options: Any) -> Any:
    """A scheduler for the same networks that follows the reverse SDE (second-order SDE-DPM-Solver++).

    Parameters
    ----------
    scheduler : scheduler or pipeline
        Of a diffusion or flow; refused otherwise.
    options
        Further settings of ``DPMSolverMultistepScheduler``.
    """
    from diffusers import DPMSolverMultistepScheduler, EDMDPMSolverMultistepScheduler

    source = getattr(scheduler, "scheduler", scheduler)
    schedule = from_scheduler(source)
    chosen: dict[str, Any] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    made = EDMDPMSolverMultistepScheduler if schedule.kind == "edm" else DPMSolverMultistepScheduler
    for name in options.keys() - inspect.signature(made.__init__).parameters.keys():
        raise NoiseScheduleError(f"a {made.__name__} has no setting {name!r}; leave it out")
    if schedule.kind == "flow":
        chosen |= dict.fromkeys(SPREADS, False) | {
            "use_flow_sigmas": True,
            "prediction_type": "flow_prediction",
            "flow_shift": schedule.shift or 1.0,
        }
    elif schedule.kind == "vp" and source.config.get("beta_schedule") == "squaredcos_cap_v2":
        # The first step of a cosine table holds no signal: predicted data are the error of the network times 20,000.
        chosen["lambda_min_clipped"] = -5.1
    if schedule.kind != "edm":
        chosen["thresholding"] = False
    try:
        found = made.from_config(source.config, **chosen | options)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise NoiseScheduleError(f"{made.__name__} refuses the settings {options}: {error}") from error
    from_scheduler(found)  # refuses what leaves the levels
    return found


def distilled_reason(network: Any) -> str | None:
    """Why the outputs of a network are not scores of a law, or None."""
    config = getattr(network, "config", None)
    if getattr(config, "guidance_embeds", False):
        return f"this {type(network).__name__} was distilled with guidance built in (guidance_embeds)"
    if getattr(config, "time_cond_proj_dim", None) is not None:
        return f"this {type(network).__name__} was distilled for few steps (time_cond_proj_dim)"
    return None


def _check_scheduler(scheduler: Any, sampler: Sampler) -> float | None:
    """Refuse a scheduler that cannot serve the sampler; returns its eta, if it has one."""
    dynamics, why = dynamics_of(scheduler)
    name = type(scheduler).__name__
    if dynamics == "eta":
        return 0.0 if sampler == "ode" else 1.0
    if sampler in ("fused", "corrected") and dynamics == "ode":
        also = " (copies of a resampled image would stay equal)" if sampler == "corrected" else ""
        raise NoiseScheduleError(
            f"sampler={sampler!r} needs steps of the reverse SDE, and {name} is deterministic ({why}){also}; pass "
            "scheduler=sfbench.diffusers.sde_scheduler(pipe), or take sampler='ode'"
        )
    if sampler == "ode" and dynamics == "sde":
        raise NoiseScheduleError(
            f"sampler='ode' needs deterministic steps, and {name} adds noise ({why}); take sampler='fused'"
        )
    return None


def _linear(scheduler: Any, options: dict[str, Any], linearise: bool) -> Any:
    """The scheduler without settings that are not linear, by consent; changes options likewise."""
    settings = nonlinear_settings(scheduler)
    rescaled = float(options.get("guidance_rescale", 0.0) or 0.0) != 0.0
    if (settings or rescaled) and not linearise:
        names = " and ".join([*settings, *(["guidance_rescale"] if rescaled else [])])
        raise DiffusersError(
            f"{names} of the {type(scheduler).__name__} or the pipeline are not linear in the prediction: the images "
            "would follow no law of the averaged score; pass linearise=True (--linearise) to switch them off"
        )
    if rescaled:
        options["guidance_rescale"] = 0.0
    return type(scheduler).from_config(scheduler.config, **dict.fromkeys(settings, False)) if settings else scheduler


@contextmanager
def scheduler_in_place(pipe: Any, scheduler: Any) -> Iterator[None]:
    """A pipeline with another scheduler (None: its own) for the length of a block."""
    before = pipe.scheduler
    if scheduler is None or scheduler is before:
        yield
        return
    _set_scheduler(pipe, scheduler)
    try:
        yield
    finally:
        _set_scheduler(pipe, before)


def _set_scheduler(pipe: Any, scheduler: Any) -> None:
    if hasattr(pipe, "update_components"):
        pipe.update_components(scheduler=scheduler)
    else:
        pipe.scheduler = scheduler


@contextmanager
def _method(handle: Handle, sampler: Sampler) -> Iterator[None]:
    before = handle.hook.method
    if sampler == "switched":
        handle.hook.method = "switched"
    elif before == "switched":
        raise DiffusersError(f"the pipeline was fused with method='switched'; sampler={sampler!r} needs another method")
    try:
        yield
    finally:
        handle.hook.method = before


def _report(reach: PathIntegral, n: int, verbose: bool) -> None:
    text = reach.verdict(n)
    if verbose:
        print(text)  # before the long run
    if not reach.in_reach(n):
        warnings.warn(text, TrustWarning, stacklevel=3)


def _law(sampler: Sampler, scheduler: Any, watched: WatchedSteps, distilled: str | None) -> str:
    flow = sampler == "ode" or (sampler == "switched" and dynamics_of(scheduler)[0] == "ode")
    law = CORRECTED_LAW if sampler == "corrected" else FLOW_LAW if flow else FUSED_LAW
    assert watched.guidance is not None
    if int((np.abs(watched.guidance) > 1e-3).sum()) > 1:
        what = "geometric mean of the experts' guided path laws" if sampler == "corrected" else law
        law = f"{what}, with guided fields, which are not scores of a diffusion"
    return f"{law} ({distilled}: no scores)" if distilled else law


def _diagnose(
    sampler: Sampler, scheduler: Any, watched: WatchedSteps, evaluations: int, n: int
) -> tuple[np.ndarray, Diagnostics]:
    name = f"{sampler} with {type(scheduler).__name__} ({kind_of(scheduler)})"
    if sampler != "corrected":
        return np.full(n, -np.log(n)), Diagnostics(name, watched.n_steps, evaluations)
    particles = watched.particles
    raw = particles.log_weights[0]
    log_weights = raw - raw.max() - np.log(np.exp(raw - raw.max()).sum())
    messages = []
    share = float(watched.extrapolated.mean())
    if share > _LARGEST_EXTRAPOLATION:
        messages.append(
            f"{share:.2f} (in the log) of the mean weight was extrapolated into the last step: take more steps, or a "
            "scheduler with use_karras_sigmas=True"
        )
    ess = effective_size(raw) * n
    if n > 1 and ess < _SMALLEST_ESS:
        messages.append(f"the weights rest on {ess:.1f} of {n} images: take more images, or give the correction up")
    founders = float(1.0 / particles.founder_shares().max())
    for message in messages:
        warnings.warn(message, TrustWarning, stacklevel=3)
    diagnostics = Diagnostics(
        name,
        watched.n_steps,
        evaluations,
        ess=np.asarray(particles.ess),
        n_resamplings=int(particles.resamplings.max()),
        founders=founders,
        log_partition=particles.log_partition(),
        messages=tuple(messages),
    )
    return log_weights, diagnostics
