"""The verb :func:`sample` and the three samplers."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
from numpy.typing import DTypeLike

from synthetic import DiffusableLaw

from .._typing import Float64Array, FloatArray, SeedLike
from ..errors import ModelError, SfbenchError
from ..processes import ForwardProcess
from ..scores import AnalyticScore, FusedScore, ScoreModel
from ..time_steps import TimeSteps, time_steps
from .corrected import Observer, ParticleRun, check_blocks, run_corrected
from .errors import TrustWarning
from .guard import CountedScore, Herd, tracked
from .integrators import (
    CORRECTED_LAW,
    AdaptiveFlow,
    AffineIntegrator,
    EulerMaruyama,
    Exponential,
    Heun,
    Integrator,
    PredictorCorrector,
)
from .moves import LangevinMoves
from .resampling import scheme
from .result import Diagnostics, SampleResult

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
_FEWEST_FOUNDERS = 250.0
_SMALLEST_ESS = 0.02


def known_integrators() -> dict[str, str]:
    """Names of the integrators and the law that each samples."""
    return {name: build().law for name, build in _INTEGRATORS.items()}


@final
@dataclass(frozen=True)
class FusedSampler:
    """Reverse SDE driven by the averaged score: samples the fused law ``P_w``, in general not the KL barycenter.

    Parameters
    ----------
    integrator : Integrator or str
        One of :func:`known_integrators` that is stochastic.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: Integrator | str = field(default_factory=lambda: Exponential(2))
    n_steps: int = 128


@final
@dataclass(frozen=True)
class FlowSampler:
    """Probability flow driven by the averaged score: deterministic given the start; its law is not quite ``P_w``."""

    integrator: Integrator | str = field(default_factory=lambda: Exponential(2, stochastic=False))
    n_steps: int = 64


@final
@dataclass(frozen=True, eq=False)
class CorrectedSampler:
    """Weighted particles that follow the KL barycenter ``p_w``; see :mod:`sfbench.sampling.corrected`.

    Parameters
    ----------
    integrator : AffineIntegrator
        The chain whose geometric mean is sampled.
    resampling : {"systematic", "stratified", "srinivasan", "multinomial"}
        Scheme; see :mod:`sfbench.sampling.resampling`.
    threshold : float
        Resample when the effective share of the particles falls below this; 0 never does.
    moves : LangevinMoves, optional
        Moves at every time.
    blocks : array_like (d,), optional
        Labels of groups of coordinates over which *all* models factorise; weighted and resampled apart.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: AffineIntegrator = field(default_factory=lambda: Exponential(2))
    resampling: str = "systematic"
    threshold: float = 0.9
    moves: LangevinMoves | None = None
    blocks: Any = None
    n_steps: int = 256

    def __post_init__(self) -> None:
        scheme(self.resampling)
        if not 0.0 <= self.threshold <= 1.0:
            raise SfbenchError(f"threshold must lie in [0, 1], got {self.threshold!r}")
        if not isinstance(self.integrator, AffineIntegrator) or self.integrator.law == Exponential(1, False).law:
            raise SfbenchError(
                f"the corrected sampler needs a stochastic one-evaluation integrator, got {self.integrator!r}; "
                "use Exponential(1), Exponential(2) or EulerMaruyama()"
            )


Sampler = FusedSampler | FlowSampler | CorrectedSampler
_SAMPLERS: dict[str, Callable[[], Sampler]] = {"fused": FusedSampler, "corrected": CorrectedSampler, "ode": FlowSampler}


def sample(
    source: Any,
    n: int = 10_000,
    sampler: Literal["fused", "corrected", "ode"] | Sampler = "fused",
    *,
    steps: TimeSteps | int | None = None,
    process: ForwardProcess | None = None,
    dtype: DTypeLike = np.float64,
    max_lost: float = 0.0,
    callback: Observer | None = None,
    progress: bool = False,
    rng: SeedLike = None,
) -> SampleResult:
    """Draw from the fused law, the probability-flow law, or the KL barycenter of score models.

    Parameters
    ----------
    source : FusedScore, object with a ``score`` that is one, score model or law
        What to sample. A bare score model or law needs ``process``.
    n : int
        Number of points (particles).
    sampler : {"fused", "corrected", "ode"} or a sampler
        ``"fused"``: reverse SDE, law P_w. ``"ode"``: probability flow. ``"corrected"``: weighted particles, law p_w.
    steps : TimeSteps or int, optional
        Times of the steps, or their number on a log-SNR grid down to 1e-5 of the horizon.
    process : ForwardProcess, optional
        Only for a bare score model or law.
    dtype : {float64, float32}
        Of the points; weights and log Z are always float64.
    max_lost : float
        Share of diverged trajectories that is tolerated with a warning.
    callback : function, optional
        Called as ``callback(step, t, x, log_weights)`` after every step.
    progress : bool
        Show a progress bar.
    rng : Generator, SeedSequence, int or None
        Randomness; the same seed gives the same bits.

    Returns
    -------
    SampleResult
        Points, log weights, the name of the law, diagnostics.

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
    Costs ``steps x evaluations per step`` evaluations of every model of positive weight on n points.
    """
    fused = as_fused(source, process)
    chosen = _choose(sampler)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise SfbenchError(f"n must be an integer of at least 1, got {n!r}")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise SfbenchError(f"dtype must be float64 or float32, got {kind}")
    if not 0.0 <= max_lost < 1.0:
        raise SfbenchError(f"max_lost must lie in [0, 1), got {max_lost!r}")
    if not isinstance(steps, TimeSteps):
        steps = time_steps(fused.process, chosen.n_steps if steps is None else steps)
    generator = np.random.default_rng(rng)
    start = float(steps.times[0])
    x = (fused.process.prior_std(start) * generator.standard_normal((int(n), fused.dim))).astype(kind, copy=False)
    order = tracked(range(len(steps)), label="sampling", total=len(steps), enabled=progress)
    if isinstance(chosen, CorrectedSampler):
        return _sample_corrected(fused, chosen, x, steps, order, max_lost, callback, generator)
    return _sample_unweighted(fused, chosen, x, steps, order, max_lost, callback, generator)


def as_fused(source: Any, process: ForwardProcess | None = None) -> FusedScore:
    """The fused score behind a source of :func:`sample`."""
    found: FusedScore | None = None
    if isinstance(source, FusedScore):
        found = source
    elif isinstance(getattr(source, "score", None), FusedScore):
        found = source.score
    elif isinstance(source, AnalyticScore):
        found = FusedScore((source,), [1.0], process=source.process)
    if found is not None:
        if process is not None and process != found.process:
            raise ModelError(f"source was built with {found.process!r} but process={process!r} was given; leave it out")
        for i, model in enumerate(found.models):
            own = getattr(model, "process", None)
            if isinstance(own, ForwardProcess) and own != found.process:
                raise ModelError(
                    f"models[{i}] belongs to {own!r} but the fused score runs under {found.process!r}; scores of "
                    "different processes cannot be averaged (re-train, or convert the time and scale explicitly)"
                )
        return found
    if isinstance(source, ScoreModel) or hasattr(source, "diffuse"):
        if process is None:
            raise ModelError(f"a bare {type(source).__name__} does not say its forward process; pass process=...")
        law_or_model: ScoreModel | DiffusableLaw = source
        return FusedScore((law_or_model,), [1.0], process=process)
    raise ModelError(
        f"cannot sample a {type(source).__name__}; pass a FusedScore, a result with `.score`, or a score model"
    )


def _choose(sampler: Any) -> Sampler:
    if isinstance(sampler, FusedSampler | FlowSampler | CorrectedSampler):
        return sampler
    if sampler not in _SAMPLERS:
        raise SfbenchError(f"unknown sampler {sampler!r}; use 'fused' (law P_w), 'corrected' (p_w) or 'ode'")
    return _SAMPLERS[sampler]()


def _sample_unweighted(
    fused: FusedScore,
    sampler: FusedSampler | FlowSampler,
    x: FloatArray,
    steps: TimeSteps,
    order: Iterator[int],
    max_lost: float,
    callback: Observer | None,
    rng: np.random.Generator,
) -> SampleResult:
    integrator = as_integrator(sampler.integrator)
    flow = integrator.law == Exponential(1, False).law
    if flow != isinstance(sampler, FlowSampler):
        raise SfbenchError(f"{type(sampler).__name__} cannot use {integrator!r}, which samples the {integrator.law}")
    score = CountedScore(fused, "the fused score", fused.models)
    herd = Herd(len(x))
    kind: type[np.float32] | type[np.float64] = np.float32 if x.dtype == np.float32 else np.float64
    equal = np.full(len(x), -np.log(len(x)))

    def noise(like: FloatArray) -> FloatArray:
        return rng.standard_normal(like.shape, dtype=kind)

    memory: FloatArray | None = None
    times = steps.times
    for j in order:
        before = float(times[j - 1]) if j else None
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is lost, and reported
            x, memory = integrator.advance(
                score, fused.process, x, (before, float(times[j]), float(times[j + 1])), memory, noise
            )
        keep = herd.cull(x, float(times[j + 1]))
        if keep is not None:
            x, memory = x[keep], None if memory is None else memory[keep]
        if callback is not None:
            callback(j + 1, float(times[j + 1]), x, equal[herd.alive])
    messages = herd.report(max_lost)
    diagnostics = Diagnostics(repr(integrator), len(steps), score.evaluations, herd.lost_share, messages=messages)
    return SampleResult(herd.restore(x), _spread_weights(herd, None), integrator.law, float(times[-1]), diagnostics)


def _sample_corrected(
    fused: FusedScore,
    sampler: CorrectedSampler,
    x: FloatArray,
    steps: TimeSteps,
    order: Iterator[int],
    max_lost: float,
    callback: Observer | None,
    rng: np.random.Generator,
) -> SampleResult:
    blocks = check_blocks(
        sampler.blocks, fused, np.random.default_rng(0), float(np.sqrt(steps.times[0] * steps.times[-1]))
    )
    pick = scheme(sampler.resampling)
    run = ParticleRun(fused, sampler.integrator, blocks, sampler.threshold, pick, sampler.moves, rng)
    herd = Herd(len(x))
    with np.errstate(over="ignore", invalid="ignore"):
        particles = run_corrected(run, x, steps, herd, callback, order)
    log_partition = particles.log_partition()
    founders = float(1.0 / particles.founder_shares().max())
    n_resamplings = int(particles.resamplings.max())
    if len(blocks) > 1:  # weights per block are no weights of points: end with equal ones
        particles.resample(blocks, np.inf, pick, rng, [])
    lost, doubts = herd.report(max_lost), _distrust(particles.ess, founders, len(x))
    for message in doubts:
        warnings.warn(message, TrustWarning, stacklevel=3)
    diagnostics = Diagnostics(
        repr(sampler),
        len(steps),
        run.evaluations,
        herd.lost_share,
        np.asarray(particles.ess),
        n_resamplings,
        founders,
        log_partition,
        (*lost, *doubts),
    )
    log_weights = _spread_weights(herd, particles.log_weights.sum(axis=1))
    return SampleResult(herd.restore(particles.x), log_weights, CORRECTED_LAW, float(steps.times[-1]), diagnostics)


def _distrust(ess: list[float], founders: float, n: int) -> tuple[str, ...]:
    messages = []
    if ess and min(ess) < _SMALLEST_ESS:
        messages.append(
            f"the effective share of the particles fell to {min(ess):.2%}: the weights changed too fast for the steps, "
            "and the answer rests on few particles (take more steps, more particles, or blocks if the models factorise)"
        )
    if founders < min(_FEWEST_FOUNDERS, n / 4):
        messages.append(
            f"all weight descends from about {founders:.0f} initial particles: modes may be missing and mode masses "
            "are noisy (take more particles, or blocks if the models factorise)"
        )
    return tuple(messages)


def _spread_weights(herd: Herd, log_weights: Float64Array | None) -> Float64Array:
    """Normalised log weights (n,), minus infinity for the lost."""
    out = np.full(herd.n, -np.inf)
    values = np.zeros(len(herd.alive)) if log_weights is None else log_weights
    top = values.max()
    out[herd.alive] = values - top - np.log(np.exp(values - top).sum())
    return out


def as_integrator(integrator: Integrator | str) -> Integrator:
    """The integrator of that name, or the integrator itself."""
    if isinstance(integrator, Integrator):
        return integrator
    if integrator not in _INTEGRATORS:
        raise SfbenchError(f"unknown integrator {integrator!r}; use one of {', '.join(_INTEGRATORS)}")
    return _INTEGRATORS[integrator]()
