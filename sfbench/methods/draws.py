"""How methods draw points at given weights, with what is left of the budget."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from synthetic import as_gaussian_mixture

from .. import sampling
from .._internal.aliases import Array, Float64Array
from ..baselines import AnnealedHamiltonian, SuperposedSampler, parameter_average
from ..baselines.annealed_mcmc import LogDensity
from ..errors import ModelError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps, time_steps
from ..sampling import ControlledSampler, CorrectedSampler, EulerMaruyama, FusedSampler, Integrator, PredictorCorrector
from ..sampling.controlled import MOST_ROWS as CONTROLLED_ROWS
from ..scores import FusedScore, ScoreModel
from .base import BudgetError, MethodOutcome, NotApplicableError, Task

FEWEST_STEPS, MOST_STEPS = 4, 1024
_RESERVE = 2000  # evaluations of each model by checks of the sampler
_PROPORTION = 0.02  # of the budget, for the same


def fused(task: Task, weights: Float64Array) -> MethodOutcome:
    """Points of the fused law."""
    return sampled(task, task.models, weights, "fused")


def switched(task: Task, weights: Float64Array) -> MethodOutcome:
    """Points of the fused law, one model for each particle and step."""
    return sampled(task, task.models, weights, "switched", evaluations=1)


def corrected(task: Task, weights: Float64Array) -> MethodOutcome:
    """Weighted points of the barycenter."""
    return sampled(task, task.models, weights, CorrectedSampler(check_steps=False))


def feynman_kac(task: Task, weights: Float64Array) -> MethodOutcome:
    """Weighted points of the barycenter, by even steps, resampled at each."""
    sampler = CorrectedSampler(EulerMaruyama(), threshold=1.0, noise="independent", check_steps=False)
    return sampled(task, task.models, weights, sampler, spacing="uniform")


def controlled(task: Task, weights: Float64Array) -> MethodOutcome:
    """Weighted points of the barycenter, by particles that look ahead."""
    sampler, active = ControlledSampler(), int(np.count_nonzero(weights))
    passes = 1.0 + sampler.sweeps * min(1.0, CONTROLLED_ROWS / task.n)
    return sampled(task, task.models, weights, sampler, evaluations=math.ceil(active * passes))


def predicted(task: Task, weights: Float64Array) -> MethodOutcome:
    """Points between the fused law and the barycenter, by a Langevin step after every step."""
    return _integrated(task, weights, PredictorCorrector())


def annealed(task: Task, weights: Float64Array) -> MethodOutcome:
    """Points between the fused law and the barycenter, by Hamiltonian moves, accepted by densities if there are any."""
    pool = None if task.laws is None else _pool_density(task.laws, weights, task.process)
    return _integrated(task, weights, AnnealedHamiltonian(log_density=pool))


def _integrated(task: Task, weights: Float64Array, integrator: Integrator) -> MethodOutcome:
    each = integrator.evaluations * int(np.count_nonzero(weights))
    return sampled(task, task.models, weights, FusedSampler(integrator), evaluations=each)


def _pool_density(laws: tuple[Any, ...], weights: Float64Array, process: ForwardProcess) -> LogDensity:
    """Log density, up to a constant, of the pool of the noised laws."""

    @lru_cache(maxsize=1)
    def noised(t: float) -> list[tuple[float, Any]]:  # asked at both ends of a move
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        return [(w, law.diffuse(alpha, sigma)) for w, law in zip(weights, laws, strict=True) if w > 0]

    def log_density(x: Array, t: float) -> Array:
        return np.sum([w * law.log_prob(x) for w, law in noised(t)], axis=0)

    return log_density


def or_(task: Task, weights: Float64Array) -> MethodOutcome:
    """Composition whose law is the arithmetic mixture."""
    return sampled(task, task.models, weights, SuperposedSampler("or"))


def and_(task: Task, weights: Float64Array) -> MethodOutcome:
    """Composition at which all densities change alike."""
    return sampled(task, task.models, weights, SuperposedSampler("and"))


def mixture(task: Task, weights: Float64Array) -> MethodOutcome:
    """Each auxiliary's share of the points, by its own reverse SDE."""
    counts = task.rng.multinomial(task.n, weights / weights.sum())
    steps = _steps(task, 1, int(np.count_nonzero(counts)))
    parts = [
        sampling.sample(
            FusedScore((model,), [1.0], process=task.process), int(c), steps=steps, check_steps=False, rng=task.rng
        ).x
        for model, c in zip(task.models, counts, strict=True)
        if c
    ]
    return MethodOutcome(task.rng.permutation(np.concatenate(parts)), "arithmetic mixture", weights)


def average(task: Task, weights: Float64Array) -> MethodOutcome:
    """Points of the law with averaged parameters."""
    merged = task.metered(_averaged(task.densities(), weights))
    return replace(sampled(task, (merged,), np.ones(1), "fused"), law="law of averaged parameters", weights=weights)


def _averaged(laws: tuple[Any, ...], weights: Float64Array) -> Any:
    """The law of averaged parameters; of products and embedded mixtures the inner parameters are meant."""
    first = laws[0]
    if all(hasattr(law, "factor") and law.copies == first.copies for law in laws):
        return replace(first, factor=_averaged(tuple(law.factor for law in laws), weights))
    if all(getattr(law, "embedding", None) is not None and first.embedding.is_same(law.embedding) for law in laws):
        return replace(first, core=_averaged(tuple(law.core for law in laws), weights))
    mixtures = [found for found in map(as_gaussian_mixture, laws) if found is not None]
    if len(mixtures) < len(laws):
        raise NotApplicableError(f"parameters of a {type(first).__name__} are not averaged")
    try:
        return parameter_average(mixtures, weights)
    except ModelError as error:
        raise NotApplicableError(str(error)) from None


def _steps(task: Task, evaluations: int, models: int, spacing: Any = "log_snr") -> TimeSteps:
    """As many steps as are paid for, each with so many evaluations a point."""
    left = int((1.0 - _PROPORTION) * task.meter.left) - _RESERVE * models
    count = min(MOST_STEPS, left // (task.n * evaluations))
    if count < FEWEST_STEPS:
        raise BudgetError(f"{task.meter.left} evaluations pay for {max(count, 0)} steps of {task.n} points: too few")
    return time_steps(task.process, count, spacing)


def sampled(
    task: Task,
    models: tuple[ScoreModel, ...],
    weights: Float64Array,
    sampler: Any,
    *,
    evaluations: int | None = None,
    spacing: str = "log_snr",
) -> MethodOutcome:
    """Points by a sampler of :func:`sfbench.sample`, in as many steps as are paid for."""
    fused_score = FusedScore(models, weights, process=task.process)
    active = len(fused_score.support)
    steps = _steps(task, active if evaluations is None else evaluations, active, spacing)
    found = sampling.sample(fused_score, task.n, sampler, steps=steps, check_steps=False, rng=task.rng)
    log_z = found.diagnostics.log_partition
    return MethodOutcome(
        np.asarray(found.x, np.float64),
        found.law,
        weights,
        None if np.ptp(found.log_weights) == 0.0 else found.log_weights,
        found.diagnostics.founders,
        None if log_z is None else log_z.value,
        None if log_z is None else log_z.stderr,
    )
