r"""What can be seen of a sample's error from scores alone: noise left at the end, the prior at the start, the steps.

**Noise left.** Points follow the law at ``t_min``. By the Fokker-Planck equation the density still to be undone is

    log p_t - log p_0  =  (sigma^2 / 2 alpha^2) U - log(alpha) (d + <x, s_w>),        U = div s_w + sum_i w_i |s_i|^2

to first order in sigma^2, for the pool of the noised auxiliaries (for the fused law, up to the gap between its score
and ``s_w``, with ``|s_w|^2`` in place of the sum). Half the mean absolute deviation of this is the total variation, and
``sigma^2/2 E[sum_i w_i |s_i - s_w|^2]`` is missing in log Z. The divergence is probed by differences of scores.

**Prior.** Particles start from ``N(0, rho^2)`` instead of ``p_{i,T}``. ``K = rho^2/2 E|s(x, T) + x / rho^2|^2`` over
the prior is the divergence between the two if they differ by a shift, and twice it if they differ by a scale;
``sqrt(K) / 2`` lies between the total variations of the two cases. What it does to log Z is the log of the mean of
``prod_i p_{i,T}^{w_i} / prior`` over the founders of the final weight, with Gaussians fitted to the scores.

**Steps.** The sampler draws a tenth of the points (a quarter if steps are fewer than 32) again with steps c times as
long, c = 4 from 128 steps on, 2 below, 1/4 below 8. Distribution functions of the two samples along coordinates (or
random directions), of the radius and of the score's length differ by at most the total variation; a difference counts
as far as it exceeds four standard errors. An error of first order in the steps is the change divided by c - 1; for
log Z that is part of the standard error (the corrected chains are of first order in log Z, measured, whatever the
order of the integrator's drift).

Modes that no particle visits leave no trace in any of these.
"""

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthetic import Estimate, SyntheticError

from .._internal.aliases import Float64Array, FloatArray
from .._internal.arrays import float64_on_host, take, to_host
from ..errors import SfbenchError
from ..processes.times import TimeSteps
from ..scores import FusedScore
from .base import Sampler, SampleRequest
from .particles import Blocks
from .resampling import systematic
from .result import SampleResult

_FEWEST_PROBES, _FEW_PROBES, _PROBES = 8, 16, 256  # points at which scores are probed
_PROBE_STEP = 0.2  # of a difference, in units of sigma: curvatures are at most 1 / sigma^2
_DIRECTIONS = 16
_LEVELS = np.linspace(0.05, 0.95, 19)
_ERRORS = 4.0  # standard errors, for some 300 correlated comparisons
_FEWEST = 12  # points drawn again; fewer say nothing
_FEWEST_STEPS, _FEW_STEPS, _MANY_STEPS = 8, 32, 128
_MILD = 0.02  # divergence from the prior up to which Gaussians describe the difference
_LARGEST_NOISE, _LARGEST_PRIOR, _LARGEST_DIFFERENCE, _LARGEST_CHANGE = 0.03, 0.1, 0.02, 0.1


def audit(
    sampler: Sampler, request: SampleRequest, result: SampleResult, *, check_steps: bool
) -> tuple[SampleResult, tuple[str, ...]]:
    """The result with what the checks found in its diagnostics, and what they object to."""
    fused, found, n = request.fused, result.diagnostics, request.n
    doubts, errors = [], dict(found.log_partition_errors)
    start, end = float(request.steps.times[0]), result.t_min
    prior = min(1.0, 0.5 * math.sqrt(prior_divergence(fused, start, probed=request.at_prior)[0]))
    if not prior <= _LARGEST_PRIOR:
        doubts.append(
            f"at t = {start:.4g}, where the run starts, the law is still about {prior:.2g} in total variation from the "
            "prior (start later: a larger t_max, or divide the data by their spread)"
        )
    # Of short runs of few points, which the checks should not make much dearer, fewer are probed.
    probes = max(_FEWEST_PROBES, min(_FEW_PROBES, n * len(request.steps) // 64), n // 16)
    rows = systematic(result.weights, np.random.default_rng(0), min(_PROBES, probes))
    pooled = found.log_partition is not None
    noise, missing = noise_left(fused, to_host(take(result.x, rows)), end, pooled=pooled)
    if not noise <= _LARGEST_NOISE and not (fused.t_range or (0.0,))[0] >= 0.999 * end:
        doubts.append(
            f"undoing the noise left at t = {end:.3g} would change the law by about {noise:.2g} in total variation: "
            f"modes are hardly wider than the noise, {float(fused.process.sigma(end)):.2g} (take a smaller t_min)"
        )
    if fused.t_range is not None and not (end >= 0.999 * fused.t_range[0] and start <= 1.001 * fused.t_range[1]):
        doubts.append(
            f"the steps run from t = {start:.4g} to {end:.4g}, but the models are valid for t in {fused.t_range}"
        )
    difference = change = None
    share = 10 if len(request.steps) >= _FEW_STEPS else 4
    if check_steps and sampler.check_steps and request.n >= share * _FEWEST:
        others = _other_steps(request)
        ratio = len(request.steps) / len(others)
        again = _draw_again(sampler, request, others, request.n // share)
        if again is None:
            doubts.append(f"with {len(others)} steps the run fails: the steps are too long, or nearly so (take more)")
        else:
            difference = law_difference(fused, result, again) / abs(ratio - 1.0)
            change = _change(found.log_partition, again.diagnostics.log_partition, ratio)
    if difference is not None and not difference <= _LARGEST_DIFFERENCE:
        doubts.append(
            f"with {len(others)} steps the law differs, so these steps leave an error of more than "
            f"{difference:.2g} in total variation: they are too long (take more)"
        )
    if change is not None and abs(change.value) > _LARGEST_CHANGE + 3.0 * change.stderr:
        doubts.append(
            f"with {len(others)} steps log Z differs, so these steps leave an error of about "
            f"{change.value:+.3g} in it: they are too long (take more)"
        )
    log_partition = found.log_partition
    if log_partition is not None:
        errors["noise left"] = missing if noise <= _LARGEST_NOISE else max(missing, noise)  # beyond first order
        if change is not None:
            errors["steps"] = math.hypot(change.value, change.stderr)
        log_partition = replace(log_partition, stderr=math.hypot(*errors.values()))
    diagnostics = replace(
        found,
        log_partition=log_partition,
        log_partition_errors=errors,
        noise_left=noise,
        prior_mismatch=prior,
        step_difference=difference,
        step_error=change,
        messages=(*found.messages, *doubts),
    )
    return replace(result, diagnostics=diagnostics), tuple(doubts)


def _change(found: Estimate | None, other: Estimate | None, ratio: float) -> Estimate | None:
    """The error that the steps leave in log Z, from a run with ``ratio`` times longer ones."""
    if found is None or other is None:
        return None
    value, error = other.value - found.value, math.hypot(found.stderr, other.stderr)
    return Estimate(value / (ratio - 1.0), error / abs(ratio - 1.0), other.n, f"{ratio:.3g} times longer steps")


def start_error(request: SampleRequest, x: FloatArray, masses: Float64Array, blocks: Blocks) -> float:
    """What the prior's misfit at the first time does to log Z, from the founders x (n, d) and the final weight that
    descends from each, (b, n) for b blocks of coordinates. Where the misfit is too large for Gaussians to describe, its
    first-order bound.
    """
    fused, t = request.fused, float(request.steps.times[0])
    rho, (probes, answers) = fused.process.prior_std(t), request.at_prior
    scores = list(zip(fused.weights_at(t)[fused.support].tolist(), answers, strict=True))
    total = 0.0
    for mass, columns in zip(masses, blocks.columns or [np.arange(fused.dim)], strict=True):
        points, here, d = x[:, columns].astype(np.float64), probes[:, columns], len(columns)
        centred = here - here.mean(axis=0)
        log_ratio = 0.5 * np.einsum("nd,nd->n", points, points) / rho**2 + d * math.log(rho)
        divergence = 0.0
        for w, score in scores:
            s = score[:, columns]
            precision = max(-float(np.vdot(centred, s) / np.vdot(centred, centred)), 1e-3 / rho**2)
            gap = points - here.mean(axis=0) - s.mean(axis=0) / precision
            log_ratio += w * (0.5 * d * math.log(precision) - 0.5 * precision * np.einsum("nd,nd->n", gap, gap))
            divergence += w * 0.5 * rho**2 * float(np.mean(np.sum((s + here / rho**2) ** 2, axis=1)))
        log_ratio = log_ratio[mass > 0]
        top = float(log_ratio.max())
        error = abs(top + math.log(float(mass[mass > 0] @ np.exp(log_ratio - top))))
        if divergence > _MILD:
            spread = len(x) * float(mass @ mass) - 1.0
            error = math.sqrt(2.0 * divergence * max(spread, 0.0)) + divergence
        total += error
    return total


def prior_divergence(
    fused: FusedScore, t: float, n: int = _PROBES, probed: tuple[Float64Array, Sequence[FloatArray]] | None = None
) -> tuple[float, float]:
    """``K`` of the fused score and the weighted mean of the models' at time t, from n points of the prior, or from
    points (n, d) and the active models' scores there.
    """
    rho = fused.process.prior_std(t)
    if probed is None:
        points = rho * np.random.default_rng(0).standard_normal((n, fused.dim))
        probed = points, [fused.models[i].score(points, t) for i in fused.support]
    x, scores = probed
    mean, each = np.zeros_like(x), 0.0
    for w, s in zip(fused.weights_at(t)[fused.support].tolist(), scores, strict=True):
        gap = s + x / rho**2
        mean += w * gap
        each += w * 0.5 * rho**2 * float(np.einsum("nd,nd->n", gap, gap).mean())
    return 0.5 * rho**2 * float(np.einsum("nd,nd->n", mean, mean).mean()), each


def noise_left(fused: FusedScore, x: FloatArray, t: float, *, pooled: bool) -> tuple[float, float]:
    """Total variation, and change of log Z, that undoing the noise left at time t would make; x (n, d) are points of
    the law at t. ``pooled``: of the pool of the noised auxiliaries, else of the fused law.
    """
    points = x.astype(np.float64)
    alpha, sigma = float(fused.process.alpha(t)), float(fused.process.sigma(t))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], points.shape)
    h = _PROBE_STEP * sigma
    two = np.concatenate([points + h * signs, points - h * signs])  # one call, not two
    mean, squares, divergence = np.zeros_like(points), np.zeros(len(points)), np.zeros(len(points))
    for w, model in zip(fused.weights_at(t).tolist(), fused.models, strict=True):
        if w == 0.0:
            continue
        after, before = model.score(two, t).reshape(2, *points.shape)
        s = 0.5 * (after + before)  # the score to order h^2
        mean += w * s
        squares += w * np.einsum("nd,nd->n", s, s)
        divergence += w * np.einsum("nd,nd->n", signs, after - before) / (2.0 * h)
    own = np.einsum("nd,nd->n", mean, mean)
    undone = 0.5 * (sigma / alpha) ** 2 * (divergence + (squares if pooled else own))
    undone -= np.log(alpha) * np.einsum("nd,nd->n", points, mean)
    return min(1.0, 0.5 * float(np.abs(undone - undone.mean()).mean())), 0.5 * sigma**2 * float((squares - own).mean())


def law_difference(fused: FusedScore, a: SampleResult, b: SampleResult) -> float:
    """A number that the total variation between the laws of two samples exceeds, but for about one case in a hundred;
    0 if nothing can be said.
    """
    (x, v), (y, w) = _kept(a, 4 * len(b.x)), _kept(b, len(b.x))
    views = [_views(fused, points, v @ x, a.t_min) for points in (x, y)]
    effective = [min(r.diagnostics.founders or np.inf, len(z)) for r, z in ((a, x), (b, y))]
    scale = np.sqrt(sum(1.0 / n for n in effective))
    worst = 0.0
    for one, other in zip(*views, strict=True):
        order = np.argsort(one)
        marks = one[order][np.searchsorted(np.cumsum(v[order]), _LEVELS).clip(max=len(one) - 1)]
        below = [_below(values, weights, marks) for values, weights in ((one, v), (other, w))]
        middle = np.clip(0.5 * (below[0] + below[1]), 0.01, 0.99)
        excess = np.abs(below[0] - below[1]) - _ERRORS * scale * np.sqrt(middle * (1.0 - middle))
        worst = max(worst, float(excess.max()))
    return worst


def _views(fused: FusedScore, x: FloatArray, centre: FloatArray, t: float) -> FloatArray:
    """Numbers (v, n) by which points are compared: coordinates, or random directions; the radius; the length of the
    score, which sees the widths of modes.
    """
    d = x.shape[1]
    directions = np.eye(d) if d <= _DIRECTIONS else np.random.default_rng(0).standard_normal((_DIRECTIONS, d))
    centred = x - centre
    lengths = [np.linalg.norm(z, axis=1) for z in (centred, fused.score(x, t))]
    return np.vstack([directions @ centred.T, *lengths])


def _other_steps(request: SampleRequest) -> TimeSteps:
    steps, process = request.steps, request.fused.process
    if len(steps) < _FEWEST_STEPS:  # fewer would be as bad in the same way
        return steps.refined(process).refined(process)
    every = 4 if len(steps) >= _MANY_STEPS else 2
    return TimeSteps(np.append(steps.times[:-1:every], steps.times[-1]))


def _draw_again(sampler: Sampler, request: SampleRequest, steps: TimeSteps, n: int) -> SampleResult | None:
    """A small sample along other steps, None if that fails; the request's randomness is left as it was."""
    order, rng = iter(range(len(steps))), copy.deepcopy(request.rng)
    trial = replace(request, n=n, steps=steps, callback=None, rng=rng, order=order, trial=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sampler.draw(trial)
        except (SfbenchError, SyntheticError, ArithmeticError):
            return None


def _kept(result: SampleResult, most: int) -> tuple[Float64Array, Float64Array]:
    """At most so many of the points that were not lost, and their weights."""
    rows = np.flatnonzero(result.log_weights > -np.inf)
    rows = rows[:: max(1, len(rows) // most)]
    weights = np.exp(result.log_weights[rows])
    return float64_on_host(take(result.x, rows)), weights / weights.sum()


def _below(values: Float64Array, weights: Float64Array, marks: Float64Array) -> Float64Array:
    order = np.argsort(values)
    return np.concatenate([[0.0], np.cumsum(weights[order])])[np.searchsorted(values[order], marks, side="right")]
