"""The verb :func:`sample`, and samplers by name."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np

from synthetic import DiffusableLaw, IntractableError
from synthetic._memory import refuse_huge

from .._internal.aliases import SeedLike
from .._internal.arrays import as_device, is_accelerator, keep_freed_memory
from .._internal.lazy import Registry, did_you_mean
from .._internal.validation import as_count, as_flag, as_generator, as_number
from ..errors import ModelError, ProcessMismatchError, SfbenchError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps
from ..progress import tracked
from ..scores import FusedScore, ScoreModel, process_of
from ..scores.models import as_law
from .base import Observer, Sampler, SampleRequest
from .conditional import sample_under
from .errors import TrustWarning
from .fused import FlowSampler, FusedSampler
from .integrators import FLOW_LAW, as_integrator, known_integrators
from .memory import remembered
from .result import SampleResult
from .trust import audit
from .window import steps_for

_SAMPLERS: Registry[Callable[..., Sampler]] = Registry(
    "sampler",
    "sfbench.samplers",
    {
        "fused": "sfbench.sampling.fused:FusedSampler",
        "corrected": "sfbench.sampling.corrected:CorrectedSampler",
        "controlled": "sfbench.sampling.controlled:ControlledSampler",
        "ode": "sfbench.sampling.fused:FlowSampler",
        "switched": "sfbench.sampling.switched:SwitchedSampler",
        "superposed": "sfbench.baselines.superposition:SuperposedSampler",
    },
)
known_samplers = _SAMPLERS.names
register_sampler = _SAMPLERS.register


def sample(
    source: Any,
    n: int = 10_000,
    sampler: str | Sampler = "fused",
    *,
    steps: TimeSteps | int | None = None,
    process: ForwardProcess | None = None,
    condition: Any = None,
    device: Any = None,
    dtype: Any = None,
    max_lost: float = 0.0,
    callback: Observer | None = None,
    progress: bool = False,
    check_steps: bool = True,
    rng: SeedLike = None,
) -> SampleResult:
    """Draw from the fused law, the probability-flow law, or the KL barycenter of score models.

    Parameters
    ----------
    source : FusedScore, object with a ``score`` that is one, score model or law
        What to sample. A law, or a score model that does not know its process, needs ``process``.
    n : int
        Number of points (particles).
    sampler : str or Sampler
        ``"fused"``: reverse SDE, law P_w. ``"ode"``: probability flow. ``"corrected"``: weighted particles, law p_w.
        ``"switched"``: one model per point and step, law P_w at the price of one model. ``"controlled"``:
        weighted particles that look ahead, law p_w, for many coordinates.
        Further names: :func:`known_samplers`, and those of integrators such as ``"ddim"`` or ``"ddpm"``
        (:func:`known_integrators`).
    steps : TimeSteps or int, optional
        Times of the steps, or their number on a log-SNR grid. The grid's ends are chosen from the models
        (:func:`steps_for`): 1e-5 of the horizon and the horizon, or beyond where modes are narrower or laws wider.
    process : ForwardProcess, optional
        Only for a bare score model or law.
    condition : int or array_like, shape (n, ...), optional
        A label for all points, or a label or embedding for each, for models with ``score(x, t, condition=)``; one run
        for each distinct condition. Models that take none are asked without.
    device : str or torch.device, optional
        Draw tensors there: points never leave it, and noise comes from its own generator, seeded from ``rng`` (on
        "cpu", from ``rng`` itself: the points are then those of numpy, to rounding). An accelerator is not waited for
        within a step, but for a callback, blocks, lattice noise, "srinivasan" or laws.
    dtype : {float64, float32} of numpy or torch, optional
        Of the points: float64, or float32 with a device. Weights and log Z are always float64.
    max_lost : float
        Share of diverged trajectories that is tolerated with a warning.
    callback : function, optional
        Called as ``callback(step, t, x, log_weights)`` after every step.
    progress : bool
        Show a progress bar.
    check_steps : bool
        Draw a tenth of the points again with half as many steps and compare (from n = 120 on).
    rng : Generator, SeedSequence, int or None
        Randomness, ``random_state`` or ``seed`` elsewhere; the same seed gives the same bits.

    Returns
    -------
    SampleResult
        Points, log weights, the name of the law, diagnostics.

    Warns
    -----
    TrustWarning
        For everything in ``diagnostics.messages``: steps that are too long, noise or prior that show in the law, few
        founders.

    Raises
    ------
    ModelError, GridError, SfbenchError
        For unusable sources, times or options.
    NotFiniteError
        If a model returns a score that is not finite.
    DivergenceError
        If more than ``max_lost`` of the trajectories leave every bound.

    Notes
    -----
    Costs ``steps x evaluations per step`` evaluations of every model of positive weight on n points, a twentieth of
    that for the check of the steps, and some on a few hundred points for the others (:mod:`sfbench.sampling.trust`).
    """
    fused = as_fused(source, process)
    chosen = as_sampler(sampler)
    place = as_device(device)
    kind = _as_dtype((np.float64 if place is None else np.float32) if dtype is None else dtype)
    if place is not None:
        if not chosen.takes_devices:
            raise SfbenchError(
                f"{type(chosen).__name__} draws numpy arrays only; leave device={device!r} out (networks are asked "
                "where they are), or use another sampler, such as 'fused', 'switched' or 'corrected'"
            )
        found = fused.device
        if found is not None and found != place:
            raise SfbenchError(
                f"the models are on {found} and device={device!r} was asked for; move them there: model.to(device=...)"
            )
    count, each = as_count("n", n), kind.itemsize * (6 + 2 * len(fused.models))
    try:
        refuse_huge("n points, with what a run keeps of them,", count, fused.dim, itemsize=each)
    except IntractableError as reason:
        raise SfbenchError(str(reason)) from None
    if not 0.0 <= as_number("max_lost", max_lost) < 1.0:
        raise SfbenchError(f"max_lost must be a number in [0, 1), got {max_lost!r}")
    if callback is not None and not _takes_four(callback):
        raise SfbenchError(f"callback must be a function of (step, t, x, log_weights), got {callback!r}")
    as_flag("check_steps", check_steps)
    generator = as_generator(rng)
    if condition is not None:
        options: Any = {"steps": steps, "device": device, "dtype": dtype, "check_steps": check_steps}
        options |= {"max_lost": max_lost, "callback": callback, "progress": progress}
        draw = partial(sample, sampler=chosen, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # said below, with the condition
            result = sample_under(draw, fused, count, condition, generator)
        for message in result.diagnostics.messages:
            warnings.warn(message, TrustWarning, stacklevel=2)
        return result
    fused = remembered(fused)
    if not isinstance(steps, TimeSteps):
        steps = steps_for(fused, chosen.n_steps if steps is None else steps, stretch=steps is None)
    keep_freed_memory()
    order = tracked(range(len(steps)), len(steps), "sampling", progress)
    looks = callback is not None or not is_accelerator(place)
    request = SampleRequest(fused, count, kind, steps, max_lost, callback, generator, order, device=place, looks=looks)
    _ = request.at_prior  # what is not a score is refused before the run
    result = chosen.draw(request)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not trusted
        result, doubts = audit(chosen, request, result, check_steps=bool(check_steps))
    result = _described(result, [fused.models[i] for i in fused.support])
    for message in doubts:
        warnings.warn(message, TrustWarning, stacklevel=2)
    return result


def _described(result: SampleResult, models: list[Any]) -> SampleResult:
    """The result with the shape of the models' items, and with what models say of their own law."""
    shapes = {getattr(model, "shape", None) for model in models}
    laws = sorted({law for model in models if isinstance(law := getattr(model, "law", None), str)})
    law = f"{result.law} ({'; '.join(laws)})" if laws else result.law
    shape = shapes.pop() if len(shapes) == 1 else None
    return result if shape is None and not laws else replace(result, law=law, shape=shape)


def as_sampler(sampler: Any) -> Sampler:
    """The sampler of that name (or that runs the integrator of that name), or the sampler itself; else SfbenchError."""
    if isinstance(sampler, Sampler):
        return sampler
    if not isinstance(sampler, str):
        raise SfbenchError(
            f"sampler must be a name ({', '.join(known_samplers())}) or a Sampler such as FusedSampler(), got "
            f"{sampler!r}"
        )
    if ":" in sampler or sampler in _SAMPLERS:
        made = _SAMPLERS.make(sampler)
        if not isinstance(made, Sampler):
            raise SfbenchError(
                f"sampler {sampler!r} makes a {type(made).__name__}, which is not a sfbench.sampling.Sampler"
            )
        return made
    try:
        integrator = as_integrator(sampler)
    except SfbenchError:
        known = known_samplers()
        names = [*known, *known_integrators()]
        others = [name for name in names if name not in ("fused", "corrected", "ode")]
        raise SfbenchError(
            f"unknown sampler {sampler!r}{did_you_mean(sampler, names)}; use 'fused' (law P_w), 'corrected' (KL "
            f"barycenter p_w), 'ode' (probability flow), or one of {', '.join(others)}"
        ) from None
    return FlowSampler(integrator) if integrator.law == FLOW_LAW else FusedSampler(integrator)


def as_fused(source: Any, process: ForwardProcess | None = None) -> FusedScore:
    """The fused score behind a source of :func:`sample`."""
    source = as_law(source)
    found = source if isinstance(source, FusedScore) else getattr(source, "score", None)
    if isinstance(found, FusedScore):
        if process is not None and process != found.process:
            raise ProcessMismatchError(
                f"source was built with {found.process!r} but process={process!r} was given; leave it out"
            )
        return found
    if isinstance(source, ScoreModel) or hasattr(source, "diffuse"):
        own = process_of(source) if process is None else process
        if own is None:
            raise ModelError(f"a bare {type(source).__name__} does not say its forward process; pass process=...")
        law_or_model: ScoreModel | DiffusableLaw = source
        return FusedScore((law_or_model,), [1.0], process=own)
    raise ModelError(
        f"cannot sample a {type(source).__name__}; pass a FusedScore, a result with `.score`, or a score model"
    )


def _as_dtype(dtype: Any) -> np.dtype[Any]:
    name = str(dtype)
    with suppress(TypeError, ValueError):
        kind = np.dtype(name.removeprefix("torch.") if name.startswith("torch.") else dtype)
        if kind in (np.dtype(np.float64), np.dtype(np.float32)):
            return kind
    raise SfbenchError(f"dtype must be float64 or float32, got {dtype!r}")


def _takes_four(callback: object) -> bool:
    """Whether it can be called with four arguments, as far as it says; some built-in ones do not."""
    try:
        signature(callback).bind(0, 0.0, None, None)  # type: ignore[arg-type]  # not callable: a TypeError
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)
    return True
