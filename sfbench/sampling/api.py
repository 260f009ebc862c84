"""The verb :func:`sample` and the three samplers."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import DTypeLike

from synthetic import DiffusableLaw, Estimate

from .._typing import Float64Array, FloatArray, SeedLike
from .._validation import as_generator
from ..errors import ModelError, ProcessMismatchError, SfbenchError
from ..processes import ForwardProcess
from ..scores import AnalyticScore, FusedScore, ScoreModel
from ..times import TimeSteps, time_steps
from .corrected import Observer, ParticleRun, run_corrected
from .errors import TrustWarning
from .guard import CountedScore, Herd, tracked
from .integrators import CORRECTED_LAW, Exponential, ReverseProcess
from .lattice import FEWEST_PER_ISLAND, N_ISLANDS, LatticeNoise
from .particles import Blocks, check_blocks
from .resampling import scheme
from .result import Diagnostics, SampleResult
from .samplers import CorrectedSampler, FlowSampler, FusedSampler, Noise, Sampler, as_integrator, as_sampler

# The mass of a mode is known to about 1/2 founders^(-1/2): 500 founders give .022, so .05 is more than two deviations.
FEWEST_FOUNDERS = 500.0
_SMALLEST_ESS = 0.02
_LARGEST_CHANGE = 0.1
# Freeing one large block makes glibc keep smaller ones for reuse; else arrays of a step are returned to the kernel and
# faulted in again by the next, which took a third of the time of small problems.
_LARGE_BLOCK = 1 << 24


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
    chosen = as_sampler(sampler)
    if str(dtype) not in ("float64", "float32") and dtype not in (np.float64, np.float32, float):
        raise SfbenchError(f"dtype must be float64 or float32, got {dtype!r}")
    kind = np.dtype(dtype)
    check_count(n, fused.dim, kind.itemsize * (6 + 2 * len(fused.models)))
    if not isinstance(max_lost, int | float) or not 0.0 <= max_lost < 1.0:
        raise SfbenchError(f"max_lost must be a number in [0, 1), got {max_lost!r}")
    if callback is not None and not callable(callback):
        raise SfbenchError(f"callback must be a function of (step, t, x, log_weights), got {callback!r}")
    if not isinstance(steps, TimeSteps):
        steps = time_steps(fused.process, chosen.n_steps if steps is None else steps)
    generator = as_generator(rng)
    np.empty(_LARGE_BLOCK, dtype=np.uint8)  # see there
    order = tracked(range(len(steps)), label="sampling", total=len(steps), enabled=progress)
    request = _Request(fused, int(n), kind, steps, order, max_lost, callback, generator)
    return (
        _sample_corrected(request, chosen)
        if isinstance(chosen, CorrectedSampler)
        else _sample_unweighted(request, chosen)
    )


def check_count(n: int, dim: int, bytes_each: int) -> None:
    """Refuse a number of points that is not a positive integer, or whose arrays exceed the machine's memory."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise SfbenchError(f"n must be an integer of at least 1, got {n!r}")
    needed = int(n) * dim * bytes_each
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else needed
    if needed > there:
        raise SfbenchError(
            f"{n} points in dimension {dim} need about {needed / 2**30:.3g} GiB and this machine has "
            f"{there / 2**30:.3g}; sample in several runs with seeds of their own"
        )


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
            raise ProcessMismatchError(
                f"source was built with {found.process!r} but process={process!r} was given; leave it out"
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


@final
@dataclass(frozen=True, eq=False)
class _Request:
    """What :func:`sample` was asked for besides the sampler; ``order`` yields step numbers under a progress bar."""

    fused: FusedScore
    n: int
    dtype: np.dtype[Any]
    steps: TimeSteps
    order: Iterator[int]
    max_lost: float
    callback: Observer | None
    rng: np.random.Generator


def _sample_unweighted(request: _Request, sampler: FusedSampler | FlowSampler) -> SampleResult:
    fused, n, steps = request.fused, request.n, request.steps
    integrator = as_integrator(sampler.integrator)
    flow = integrator.law == Exponential(1, False).law
    if flow != isinstance(sampler, FlowSampler):
        raise SfbenchError(f"{type(sampler).__name__} cannot use {integrator!r}, which samples the {integrator.law}")
    score = CountedScore(fused, "the fused score", fused.models)
    herd = Herd(n)
    equal = np.full(n, -np.log(n))

    def noise(like: FloatArray) -> FloatArray:
        return request.rng.standard_normal(like.shape, dtype=request.dtype.type)

    reverse = ReverseProcess(score, fused.process, noise)
    memory: FloatArray | None = None
    times = steps.times
    x = fused.process.prior_std(float(times[0])) * noise(np.zeros((n, fused.dim), dtype=request.dtype))
    for j in request.order:
        before = float(times[j - 1]) if j else None
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is lost, and reported
            x, memory = integrator.advance(reverse, x, (before, float(times[j]), float(times[j + 1])), memory)
        keep = herd.cull(x, float(times[j + 1]))
        if keep is not None:
            x, memory = x[keep], None if memory is None else memory[keep]
        if request.callback is not None:
            request.callback(j + 1, float(times[j + 1]), x, equal[herd.alive])
    messages = herd.report(request.max_lost)
    diagnostics = Diagnostics(repr(integrator), len(steps), score.evaluations, herd.lost_share, messages=messages)
    return SampleResult(herd.restore(x), _spread_weights(herd, None), integrator.law, float(times[-1]), diagnostics)


def _sample_corrected(request: _Request, sampler: CorrectedSampler) -> SampleResult:
    fused, n, steps, rng = request.fused, request.n, request.steps, request.rng
    blocks = check_blocks(
        sampler.blocks, fused, np.random.default_rng(0), float(np.sqrt(steps.times[0] * steps.times[-1]))
    )
    lattice = LatticeNoise(rng) if _use_lattice(sampler.noise, blocks, fused.dim, n) else None
    pick = scheme(sampler.resampling)
    run = ParticleRun(fused, sampler.integrator, blocks, sampler.threshold, pick, sampler.moves, rng, lattice)
    herd = Herd(n)
    with np.errstate(over="ignore", invalid="ignore"):
        particles = run_corrected(run, n, request.dtype, steps, herd, request.callback, request.order)
    log_partition = particles.log_partition()
    doubling = _step_doubling(run, request, log_partition) if sampler.check_steps else None
    founders = float(1.0 / particles.founder_shares().max())
    if len(blocks) > 1:  # weights per block are no weights of points: end with equal ones
        particles.merge_islands()
        particles.resample(blocks, np.inf, pick, rng, [])
        particles.log_weights[:] = 0.0
        particles.ess.pop()
        particles.resamplings -= 1
    lost, doubts = herd.report(request.max_lost), _distrust(particles.ess, founders, n, doubling)
    for message in doubts:
        warnings.warn(message, TrustWarning, stacklevel=3)
    diagnostics = Diagnostics(
        repr(sampler),
        len(steps),
        run.evaluations,
        herd.lost_share,
        np.asarray(particles.ess),
        int(particles.resamplings.max()),
        founders,
        log_partition,
        doubling,
        (*lost, *doubts),
    )
    log_weights = _spread_weights(herd, particles.log_weights.sum(axis=0))
    return SampleResult(herd.restore(particles.x), log_weights, CORRECTED_LAW, float(steps.times[-1]), diagnostics)


def _use_lattice(noise: Noise, blocks: Blocks, dim: int, n: int) -> bool:
    fewest = N_ISLANDS * FEWEST_PER_ISLAND
    possible = blocks.on_lines(dim) and n >= fewest
    if noise == "lattice" and not possible:
        raise SfbenchError(
            f"lattice noise needs blocks of one coordinate each and at least {fewest} particles, got {len(blocks)} "
            f"block(s) in dimension {dim} and n = {n}; use noise='auto' or 'independent'"
        )
    return possible and noise != "independent"


def _step_doubling(run: ParticleRun, request: _Request, found: Estimate) -> Estimate:
    """How much log Z changed when the number of steps was doubled to the present one."""
    n, steps = request.n, request.steps
    times = steps.times[::2] if len(steps) % 2 == 0 else np.append(steps.times[::2], steps.times[-1])
    half, herd = TimeSteps(times), Herd(n)
    with np.errstate(over="ignore", invalid="ignore"):
        coarse = run_corrected(run, n, request.dtype, half, herd, None, range(len(half))).log_partition()
    herd.report(request.max_lost)
    error = float(np.hypot(found.stderr, coarse.stderr))
    return Estimate(found.value - coarse.value, error, n, f"{len(half)} against {len(steps)} steps")


def _distrust(ess: list[float], founders: float, n: int, doubling: Estimate | None) -> tuple[str, ...]:
    messages = []
    if doubling is not None and abs(doubling.value) > _LARGEST_CHANGE + 3.0 * doubling.stderr:
        messages.append(
            f"doubling the number of steps changed log Z by {doubling.value:+.3g}: the steps are too long (take more)"
        )
    if ess and min(ess) < _SMALLEST_ESS:
        messages.append(
            f"the effective share of the particles fell to {min(ess):.2%}: the weights changed too fast for the steps, "
            "and the answer rests on few particles (take more steps, more particles, or blocks if the models factorise)"
        )
    if founders < min(FEWEST_FOUNDERS, n / 4):
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
