r"""What can be seen of a sample's error from scores alone: noise left at the end, the prior at the start, the steps.

**Noise left.** Points follow the law at ``t_min``. By the Fokker-Planck equation the density still to be undone is

    log p_t - log p_0  =  (sigma^2 / 2 alpha^2) U - log(alpha) (d + <x, s_w>),        U = div s_w + sum_i w_i |s_i|^2

to first order in sigma^2, for the pool of the noised auxiliaries (for the fused law, up to the gap between its score and
``s_w``, with ``|s_w|^2`` in place of the sum). Half the mean absolute deviation of this is the total variation, and
``sigma^2/2 E[sum_i w_i |s_i - s_w|^2]`` what is missing in log Z. The divergence is probed by differences of scores.

**Prior.** Particles start from ``N(0, rho^2)`` instead of ``p_{i,T}``. ``K_i = rho^2/2 E|s_i(x, T) + x / rho^2|^2`` over
the prior is the divergence between the two if they differ by a shift, and twice it if they differ by a scale;
``sqrt(K) / 2`` lies between the total variations of the two cases.

**Steps.** The sampler draws a share of the points again with half as many steps. Distribution functions along the
coordinates (or random directions) and of the radius differ by at most the total variation; a difference counts
as far as it exceeds four standard errors.

Modes that no particle visits leave no trace in any of these.
"""

import copy
import warnings
from dataclasses import replace

import numpy as np

from synthetic import SyntheticError

from .._typing import Float64Array, FloatArray
from ..errors import SfbenchError
from ..scores import FusedScore
from ..times import TimeSteps
from .base import Sampler, SampleRequest
from .result import SampleResult

_PROBES = 256  # points at which scores are probed
_PROBE_STEP = 0.2  # of a difference, in units of sigma: curvatures are at most 1 / sigma^2
_DIRECTIONS = 16
_LEVELS = np.linspace(0.05, 0.95, 19)
_ERRORS = 4.0  # standard errors, for some 300 correlated comparisons


def prior_divergence(fused: FusedScore, t: float, n: int = _PROBES) -> tuple[float, float]:
    """``K`` of the fused score and the weighted mean of the models' at time t, from n points of the prior."""
    rho = fused.process.prior_std(t)
    x = rho * np.random.default_rng(0).standard_normal((n, fused.dim))
    weights = fused.weights[fused.weights > 0]
    gaps = [model.score(x, t) + x / rho**2 for model in _active(fused)]
    mean = np.sum([w * gap for w, gap in zip(weights, gaps, strict=True)], axis=0)
    own, each = (0.5 * rho**2 * np.mean(np.sum(np.square(v), axis=-1), axis=-1) for v in (mean, np.asarray(gaps)))
    return float(own), float(weights @ each)


def noise_left(fused: FusedScore, x: FloatArray, t: float, *, pooled: bool) -> tuple[float, float]:
    """Total variation, and change of log Z, that undoing the noise left at time t would make; x (n, d) are points of
    the law at t. ``pooled``: of the pool of the noised auxiliaries, else of the fused law.
    """
    points = x.astype(np.float64)
    alpha, sigma = float(fused.process.alpha(t)), float(fused.process.sigma(t))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], points.shape)
    h = _PROBE_STEP * sigma
    mean, squares, divergence = np.zeros_like(points), np.zeros(len(points)), np.zeros(len(points))
    for w, model in zip(fused.weights[fused.weights > 0], _active(fused), strict=True):
        s = model.score(points, t)
        mean += w * s
        squares += w * np.einsum("nd,nd->n", s, s)
        change = model.score(points + h * signs, t) - model.score(points - h * signs, t)
        divergence += w * np.einsum("nd,nd->n", signs, change) / (2.0 * h)
    own = np.einsum("nd,nd->n", mean, mean)
    undone = 0.5 * (sigma / alpha) ** 2 * (divergence + (squares if pooled else own))
    undone -= np.log(alpha) * np.einsum("nd,nd->n", points, mean)
    return 0.5 * float(np.abs(undone - undone.mean()).mean()), 0.5 * sigma**2 * float((squares - own).mean())


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


def draw_coarsely(sampler: Sampler, request: SampleRequest, n: int) -> SampleResult | None:
    """A small sample with half as many steps, None if it diverges; the request's randomness is left as it was."""
    steps = request.steps
    times = np.append(steps.times[:-1:2], steps.times[-1])
    coarse = TimeSteps(times) if len(steps) > 1 else steps.refined(request.fused.process)
    trial = replace(
        request, n=n, steps=coarse, callback=None, rng=copy.deepcopy(request.rng), order=iter(range(len(coarse))), trial=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sampler.draw(trial)
        except (SfbenchError, SyntheticError):
            return None


def _active(fused: FusedScore) -> list:
    return [fused.models[i] for i in np.flatnonzero(fused.weights)]


def _kept(result: SampleResult, most: int) -> tuple[Float64Array, Float64Array]:
    """At most so many of the points that were not lost, and their weights."""
    rows = np.flatnonzero(result.log_weights > -np.inf)
    rows = rows[:: max(1, len(rows) // most)]
    weights = np.exp(result.log_weights[rows])
    return result.x[rows].astype(np.float64), weights / weights.sum()


def _below(values: Float64Array, weights: Float64Array, marks: Float64Array) -> Float64Array:
    order = np.argsort(values)
    return np.concatenate([[0.0], np.cumsum(weights[order])])[np.searchsorted(values[order], marks, side="right")]
