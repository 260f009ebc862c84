"""Where a reverse process starts and stops, chosen from the models.

The default window ``[1e-5 T, T]`` suits laws of about unit spread without narrow modes. Wider laws are not forgotten by
the horizon T, and modes narrower than ``sigma(t_min)`` are blurred; both show in the scores
(:mod:`sfbench.sampling.trust`). Where they do, the horizon is moved out, or ``t_min`` down, until they no longer do,
within the times at which the models say they are valid: ``t_range``, a pair of times. An
:class:`~sfbench.scores.AnalyticScore` is valid everywhere; a model that says nothing is asked in the default window
only. The window of a fit is where weights were learned, not where models are valid, and is not inherited.
"""

import math

import numpy as np

from .._internal.aliases import FloatArray
from .._internal.validation import as_count
from ..errors import GridError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps, time_steps
from ..scores import FusedScore
from .guard import prior_scores
from .integrators import Exponential, ReverseProcess
from .trust import noise_left, prior_divergence

_SMALLEST_SHARE = 1e-5  # default t_min as a share of the horizon
_PILOT_STEPS = 12
_PILOT_POINTS = 128
_LARGEST_NOISE, _ENOUGH_NOISE = 0.02, 0.01  # total variation left at t_min: beyond the one it is lowered to the other
_LARGEST_PRIOR, _ENOUGH_PRIOR = 0.05, 0.025
_LOWERING = math.log(4.0)  # of the noise variance, at a time
_TRIALS = 24


def steps_for(fused: FusedScore, n_steps: int, *, stretch: bool = False) -> TimeSteps:
    """Steps on a log-SNR grid over the window that the models need.

    Parameters
    ----------
    fused : FusedScore
        Scores and process.
    n_steps : int
        Number of steps.
    stretch : bool
        Take more steps where the window is longer than the default one, so that each covers as much.

    Raises
    ------
    GridError
        For a number of steps that is not one, or models whose times of validity do not overlap.
    ModelError, NotFiniteError
        For models whose answers are not scores.

    Notes
    -----
    Costs nothing where no model is valid beyond the default window; else a few evaluations of every model on 256
    points, and about 12 on 128 where models are valid below it. Uses no randomness of the caller's.
    """
    process = fused.process
    as_count("n_steps", n_steps, error=GridError)
    known = fused.t_range
    low, high = _SMALLEST_SHARE * process.horizon, process.horizon
    if known is not None:
        low, high = max(low, known[0]), min(high, known[1])
        if not low < high:
            raise GridError(f"the models are valid for t in {known}, which leaves nothing of [0, {process.horizon:g}]")
        if known[0] < low or high < known[1]:  # models will be asked there
            prior_scores(fused, high, 3)
        top = _moved_out(fused, high, known[1])
        bottom = _lowered(fused, time_steps(process, max(n_steps, _PILOT_STEPS), t_min=low, t_max=top), known[0])
        if (bottom, top) != (low, high) and stretch:
            before, after = (
                float(process.log_snr(a)) - float(process.log_snr(b)) for a, b in ((low, high), (bottom, top))
            )
            n_steps = math.ceil(n_steps * after / before)
        low, high = bottom, top
    return time_steps(process, n_steps, t_min=low, t_max=high)


def _moved_out(fused: FusedScore, t: float, limit: float) -> float:
    """The first of t and later times at which the prior fits; t itself if none does."""
    process, found = fused.process, t
    if limit <= t or 0.5 * math.sqrt(prior_divergence(fused, t)[0]) <= _LARGEST_PRIOR:
        return t
    for _ in range(_TRIALS):
        later = _time_after(process, found)
        if not found < later <= limit:
            break
        found = later
        if 0.5 * math.sqrt(prior_divergence(fused, found)[0]) <= _ENOUGH_PRIOR:
            return found
    return t


def _time_after(process: ForwardProcess, t: float) -> float:
    with np.errstate(all="ignore"):
        later = float(process.time_at(float(process.log_snr(t)) - _LOWERING))
        reached = abs(float(process.log_snr(later)) - float(process.log_snr(t)) + _LOWERING) < 0.1
    return later if reached and float(process.alpha(later)) > 0 else math.nan


def _lowered(fused: FusedScore, steps: TimeSteps, limit: float) -> float:
    """The first of the last time t and earlier ones at which little noise is left; t itself if there is none.

    Points come from a pilot run of the probability flow along some of the steps.
    """
    t = float(steps.times[-1])
    if limit >= t:
        return t
    process, found = fused.process, t
    flow, reverse = Exponential(2, stochastic=False), ReverseProcess(fused.score, process, np.zeros_like)
    times = steps.times[np.linspace(0, len(steps), _PILOT_STEPS + 1).round().astype(int)].tolist()
    x: FloatArray = process.prior_std(times[0]) * np.random.default_rng(0).standard_normal((_PILOT_POINTS, fused.dim))
    memory: FloatArray | None = None
    for j in range(_PILOT_STEPS):
        x, memory = flow.advance(reverse, x, (times[j - 1] if j else None, times[j], times[j + 1]), memory)
    if not noise_left(fused, x, t, pooled=True)[0] > _LARGEST_NOISE:
        return t
    for _ in range(_TRIALS):
        earlier = float(process.time_at(float(process.log_snr(found)) + _LOWERING))
        if not limit < earlier < found:
            break
        x, _ = Exponential(1, stochastic=False).advance(reverse, x, (None, found, earlier), None)
        found = earlier
        if noise_left(fused, x, found, pooled=True)[0] <= _ENOUGH_NOISE:
            return found
    return t
