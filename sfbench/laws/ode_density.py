r"""Log densities of the probability flow (instantaneous change of variables).

Along ``dx/dt = v(x, t) = f x - g^2/2 s(x, t)``, ``d log p_t(x_t)/dt = -div v``, hence for a point x at t_min that the
flow carries to x_T,

    log p_{t_min}(x) = log prior_T(x_T) + int_{t_min}^T div v(x_t, t) dt,      div v = f d - g^2/2 div s.

For one model this is its own likelihood; for a fused score it is the density of the *probability-flow* law, which is
neither that of the reverse SDE nor the KL barycenter. The integral runs in ``lambda = log(alpha/sigma)``, in which the
flow is smooth: ``dt = -2 sigma^2 / g^2 dlambda``.

Divergences are exact where the model knows them; otherwise Hutchinson's estimate ``E v' (ds/dx) v`` over random signs
v, with a standard error over the probes: by automatic differentiation for models with ``score_and_projections`` (those
of :mod:`sfbench.nets`), else by central differences of the score.
"""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from .._internal.aliases import Array, Float64Array, SeedLike
from .._internal.arrays import all_finite, as_tensor_points, astype, float64_on_host, is_tensor, library, to_kind, zeros
from .._internal.validation import as_choice, as_generator, as_points
from ..errors import ModelError, NotFiniteError, SfbenchError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps, time_steps
from ..scores import DivergenceScoreModel, FusedScore, ScoreModel, score_and_divergence
from .fokker_planck_line import known_process

_CHUNK = 8192


@final
@dataclass(frozen=True, eq=False)
class LogDensities:
    """Log densities in nats (n,) and their standard errors (n,), zero where the divergence is exact."""

    values: Float64Array
    stderr: Float64Array
    method: str


def ode_log_density(
    score: ScoreModel,
    x: Any,
    *,
    process: ForwardProcess | None = None,
    steps: TimeSteps | int = 128,
    divergence: Literal["auto", "exact", "hutchinson"] = "auto",
    n_probes: int = 8,
    rng: SeedLike = None,
) -> LogDensities:
    """Log density at ``t_min`` of the probability flow of a score model.

    Parameters
    ----------
    score : ScoreModel
        A model or a fused score.
    x : array_like or tensor (n, d)
        Points. Tensors are integrated where they are, in their precision; integrals are summed in float64.
    process : ForwardProcess, optional
        Needed unless ``score`` is a :class:`FusedScore`.
    steps : TimeSteps or int
        Steps of the classical fourth-order Runge-Kutta method, evenly spaced in log SNR by default.
    divergence : {"auto", "exact", "hutchinson"}
        ``auto`` is exact where the models know their divergence, as ``NetworkDivergence(network, None)`` does.
    n_probes : int
        Hutchinson probes, kept along a trajectory; at least 2.
    rng : Generator, SeedSequence, int or None
        Randomness of the probes.

    Raises
    ------
    ModelError, SfbenchError, NotFiniteError
        For shapes or options that do not fit, or a trajectory that leaves every bound.

    Notes
    -----
    Costs ``4 steps`` evaluations of score and divergence (Hutchinson: ``4 steps (1 + 2 n_probes)`` of the score).
    """
    process = known_process(score, process)
    if is_tensor(x):
        points: Array = as_tensor_points("x", x, ModelError)
        if points.ndim != 2 or points.shape[1] != score.dim or not all_finite(points):
            raise ModelError(f"x must be finite and have shape (n, {score.dim}), got {tuple(points.shape)}")
    else:
        points = as_points("x", x, score.dim, ModelError).astype(np.float64, copy=False)
    as_choice("divergence", divergence, ("auto", "exact", "hutchinson"))
    known = _knows_divergence(score)
    if divergence == "exact" and not known:
        raise ModelError(
            f"divergence='exact' needs a model that knows its divergence exactly, and a {type(score).__name__} (or a "
            "part of it) does not; wrap networks as sfbench.nets.NetworkDivergence(network, None), or use 'hutchinson'"
        )
    exact = divergence != "hutchinson" and known
    if not exact and n_probes < 2:
        raise SfbenchError(f"n_probes must be at least 2 for a standard error, got {n_probes!r}")
    if not isinstance(steps, TimeSteps):
        steps = time_steps(process, steps)
    generator = as_generator(rng)
    parts = [
        _integrate(score, process, points[i : i + _CHUNK], steps, None if exact else n_probes, generator)
        for i in range(0, len(points), _CHUNK)
    ]
    integrals = np.concatenate([float64_on_host(part[1]) for part in parts])  # (n, probes)
    ends = np.concatenate([float64_on_host(part[0]) for part in parts])
    std = process.prior_std(float(steps.times[0]))
    log_prior = -0.5 * (ends**2).sum(axis=1) / std**2 - score.dim * np.log(std * np.sqrt(2 * np.pi))
    values = log_prior + integrals.mean(axis=1)
    if not np.all(np.isfinite(values)):
        row = int(np.argmin(np.isfinite(values)))
        raise NotFiniteError(f"the flow started at x[{row}] leaves every bound; take more steps")
    spread = np.zeros(len(values)) if exact else integrals.std(axis=1, ddof=1) / np.sqrt(n_probes)
    how = "exact divergence" if exact else f"Hutchinson, {n_probes} probes"
    return LogDensities(values, np.asarray(spread), f"probability flow, RK4 x {len(steps)}, {how}")


def _knows_divergence(score: ScoreModel) -> bool:
    if isinstance(score, FusedScore):
        return all(_knows_divergence(score.models[i]) for i in score.support)
    return isinstance(score, DivergenceScoreModel) and getattr(score, "n_probes", None) is None  # else it estimates it


def _integrate(
    score: ScoreModel,
    process: ForwardProcess,
    x: Array,
    steps: TimeSteps,
    n_probes: int | None,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """End points (n, d) at T and ``int div v dt`` per probe (n, p)."""
    probes = None if n_probes is None else to_kind(rng.choice([-1.0, 1.0], size=(n_probes, *x.shape)), x)
    both = steps.refined(process).times[::-1]  # every step with its midpoint, in increasing time
    half_snr = 0.5 * process.log_snr(both)
    total = zeros((len(x), 1 if n_probes is None else n_probes), x, "float64")
    for j in range(0, len(both) - 1, 2):
        h = float(half_snr[j + 2] - half_snr[j])
        t0, tm, t1 = (float(t) for t in both[j : j + 3])
        k1, d1 = _velocity(score, process, x, t0, probes)
        k2, d2 = _velocity(score, process, x + 0.5 * h * k1, tm, probes)
        k3, d3 = _velocity(score, process, x + 0.5 * h * k2, tm, probes)
        k4, d4 = _velocity(score, process, x + h * k3, t1, probes)
        x = x + (h / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        total += (h / 6.0) * (d1 + 2.0 * d2 + 2.0 * d3 + d4)
    return x, total


def _velocity(score: ScoreModel, process: ForwardProcess, x: Array, t: float, probes: Array) -> tuple[Array, Array]:
    """``dx/dlambda`` (n, d) and its divergence (n, 1) or (n, p)."""
    variance = float(process.sigma(t)) ** 2
    linear = -2.0 * variance * float(process.f(t)) / float(process.g(t)) ** 2
    if probes is None:
        s, div = score_and_divergence(score, x, t)
        divergences = astype(div, "float64")[:, None]
    else:
        s, products = _projections(score, x, t, probes, 1e-4 * max(float(process.sigma(t)), 1e-3))
        divergences = astype(products.T, "float64")
    return linear * x + variance * s, linear * x.shape[1] + variance * divergences


def _projections(score: ScoreModel, x: Array, t: float, probes: Array, step: float) -> tuple[Array, Array]:
    """Score (n, d) and ``v' (ds/dx) v`` (p, n): by automatic differentiation where models can, else by differences."""
    if isinstance(score, FusedScore):
        support = [(w, m) for w, m in zip(score.weights_at(t).tolist(), score.models, strict=True) if w > 0]
        parts = [_projections(model, x, t, probes, step) for _, model in support]
        s, products = (sum(w * part[i] for (w, _), part in zip(support, parts, strict=True)) for i in (0, 1))
        return s, products
    if hasattr(score, "score_and_projections"):
        return score.score_and_projections(x, t, probes)  # type: ignore[no-any-return]
    changes = [score.score(x + step * v, t) - score.score(x - step * v, t) for v in probes]
    products = library(x).stack([(change * v).sum(axis=1) for change, v in zip(changes, probes, strict=True)])
    return score.score(x, t), products / (2.0 * step)
