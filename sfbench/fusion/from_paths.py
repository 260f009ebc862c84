r"""Maximum-likelihood weights of the KL barycenter from scores alone.

Let ``L_i`` be the log ratio of model i's reverse path law to that driven by the average at some weights v, along one
path drawn at v. It is a sum over steps of affine kernels, ``c = pull / noise``, z the noise drawn,

    L_i = sum_steps  c <Dbar_i - Dbar_v, z> - c^2/2 |Dbar_i - Dbar_v|^2,

and the geometric mean of path laws at *any* weights w has

    Z(w) / Z_T = E_v exp(sum_i w_i L_i).

One run thus gives ``log Z`` as a log-sum-exp of linear functions of w: convex and smooth, with gradient and Hessian,
on common random numbers. The likelihood's other term needs expected log densities under the target up to one constant;
from scores these are ``E_q log p_i = const - (G_ii - 2 b_i)`` by Girsanov's theorem, with (G, b) the
``girsanov``-weighted score-matching statistics over the whole window.

The ratios at v degrade away from v, so :func:`fit_from_scores` runs again at each answer until it stays, always with
the same noise. No resampling: for auxiliaries that differ in few dimensions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from solvers import LogPartitionObjective, solve
from synthetic import Estimate
from synthetic._memory import refuse_huge

from .._internal.aliases import Float64Array, FloatArray, SeedLike
from .._internal.validation import as_count, as_generator, as_number, as_vector
from ..errors import SfbenchError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps, time_steps
from ..sampling.guard import CountedScore
from ..sampling.integrators import Exponential, data_prediction
from ..sampling.resampling import effective_size, normalised
from ..scores import FusedScore, ScoreModel, as_score_models
from ..statistics.gram import tangent_basis


@final
@dataclass(frozen=True, eq=False)
class PathRatios:
    """Log ratios (n, k) of every model's path law to that at ``base`` weights (k,), along n paths drawn there."""

    log_ratios: Float64Array
    base: Float64Array

    def log_partition(self, weights: ArrayLike) -> Estimate:
        """``log Z_{t_min}(w) - log Z_T(w)`` at any weights, with the standard error of importance sampling."""
        logs = self._combined(weights)
        top = logs.max()
        mean = float(np.exp(logs - top).mean())
        relative = float(np.exp(logs - top).std(ddof=1) / np.sqrt(len(logs)) / mean)
        return Estimate(float(top + np.log(mean)), relative, len(logs), "path ratios")

    def effective_share(self, weights: ArrayLike) -> float:
        """Effective share of the paths at any weights, in (0, 1]."""
        return effective_size(self._combined(weights))

    def _combined(self, weights: ArrayLike) -> Float64Array:
        return np.asarray(self.log_ratios @ as_vector("weights", weights, len(self.base)))


@final
@dataclass(frozen=True, eq=False)
class ScoreLikelihoodFit:
    """Maximum-likelihood weights from scores alone.

    Attributes
    ----------
    weights : array (k,)
        The fit.
    stderr : array (k,)
        Monte Carlo standard error of the weights from the paths (zero on the boundary); not the data's sampling error.
    log_partition : Estimate
        ``log Z`` at the fit.
    effective_share : float
        Effective share of the paths at the fit.
    n_rounds : int
        Runs made.
    """

    weights: Float64Array
    stderr: Float64Array
    log_partition: Estimate
    effective_share: float
    n_rounds: int


def path_ratios(fused: FusedScore, n: int = 4000, *, steps: TimeSteps | int = 128, rng: SeedLike = None) -> PathRatios:
    """Log ratios of all models along n paths drawn at the fused score's weights.

    Costs ``steps`` evaluations of every model on n points, whatever their weights.
    """
    if not isinstance(fused, FusedScore):
        raise SfbenchError(f"fused must be a FusedScore, got a {type(fused).__name__}")
    as_count("n", n, at_least=2)
    refuse_huge("the paths", n, fused.dim, beside=4 * n * len(fused.models) * fused.dim)
    process, k = fused.process, len(fused.models)
    if not isinstance(steps, TimeSteps):
        steps = time_steps(process, steps)
    generator = as_generator(rng)
    models = [CountedScore(model, f"models[{i}]") for i, model in enumerate(fused.models)]
    integrator, times = Exponential(2), steps.times
    x: FloatArray = process.prior_std(float(times[0])) * generator.standard_normal((n, fused.dim))
    total = np.zeros((n, k))
    memory: FloatArray | None = None
    for j in range(len(steps)):
        t, t_next = float(times[j]), float(times[j + 1])
        present = np.stack([data_prediction(model(x, t), process, x, t) for model in models])  # (k, n, d)
        c = integrator.step(process, float(times[j - 1]) if j else None, t, t_next)
        blended = present if memory is None else present + c.extrapolate * (present - memory)
        memory = present
        mean = np.einsum("k,knd->nd", fused.weights, blended)
        z = generator.standard_normal(x.shape)
        gaps = (c.pull / c.noise) * (blended - mean)
        total += np.einsum("knd,nd->nk", gaps, z) - 0.5 * np.einsum("knd,knd->nk", gaps, gaps)
        x = c.keep * x + c.pull * mean + c.noise * z
    return PathRatios(total, fused.weights)


def fit_from_scores(
    models: Iterable[ScoreModel],
    expected_log_densities: ArrayLike,
    *,
    process: ForwardProcess,
    n: int = 4000,
    steps: TimeSteps | int = 128,
    max_rounds: int = 20,
    tol: float = 1e-4,
    rng: int | np.random.SeedSequence = 0,
) -> ScoreLikelihoodFit:
    """Weights that maximise ``sum_i w_i m_i - log Z(w)`` with log Z estimated along paths.

    Parameters
    ----------
    models : iterable of ScoreModel
        The k auxiliaries; only their scores are used.
    expected_log_densities : array_like (k,)
        ``m_i = E_q log p_i`` up to a common constant: mean log densities of the data, or ``-(G_ii - 2 b_i)``.
    process : ForwardProcess
        Their process.
    n : int
        Paths per run.
    steps : TimeSteps or int
        Steps of the reverse process.
    max_rounds, tol : int, float
        Runs end when no weight moves by more than tol.
    rng : int or SeedSequence
        Seed of the noise, the same in every run.

    Raises
    ------
    SfbenchError
        If the expected log densities have the wrong shape or are not finite, or the runs do not settle.
    """
    scores = as_score_models(models, process)
    k = len(scores)
    m = as_vector("expected_log_densities", expected_log_densities, k)
    as_count("max_rounds", max_rounds)
    as_number("tol", tol)
    weights = np.full(k, 1.0 / k)
    for round_number in range(1, max_rounds + 1):
        ratios = path_ratios(FusedScore(scores, weights, process=process), n, steps=steps, rng=rng)
        objective = LogPartitionObjective(ratios.log_ratios, np.full(n, -np.log(n)), m)
        answer = np.asarray(solve(objective, "auto", tol=1e-8).weights)
        moved = float(np.abs(answer - weights).max())
        weights = answer
        if moved <= tol:
            return ScoreLikelihoodFit(
                weights,
                _monte_carlo_error(ratios.log_ratios, weights),
                ratios.log_partition(weights),
                ratios.effective_share(weights),
                round_number,
            )
    raise SfbenchError(f"the weights still move by {moved:.2g} after {max_rounds} runs; take more paths or steps")


def _monte_carlo_error(log_ratios: Float64Array, weights: Float64Array) -> Float64Array:
    """Delta-method standard errors of the minimiser: Hessian^+ applied to the noise of the gradient, on the face."""
    p = normalised(log_ratios @ weights)
    face = np.flatnonzero(weights > 1e-9)
    out = np.zeros(len(weights))
    if len(face) < 2:
        return out
    basis = tangent_basis(len(face))
    centred = (log_ratios[:, face] - p @ log_ratios[:, face]) @ basis
    hessian = centred.T @ (p[:, None] * centred)
    noise = centred.T @ ((p**2)[:, None] * centred)
    pulled = basis @ np.linalg.pinv(hessian)
    out[face] = np.sqrt(np.maximum(np.diag(pulled @ noise @ pulled.T), 0.0))
    return out
