"""Fitting the weights of discrete diffusion models to data, and what the fit returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final, get_args

import numpy as np
from numpy.typing import ArrayLike

from solvers import SimplexSolver, SolverResult, solve, tangent_spectrum
from synthetic import SyntheticError
from synthetic.discrete.law import as_states

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_choice, as_count, as_generator
from ..errors import GridError, ModelError
from ..fusion.advice import announced
from ..fusion.intervals import IntervalMethod, confidence_interval
from ..statistics.gram import ScoreGram, local_gram, tangent_basis
from .models import FusedRates, as_rate_models
from .noise import DiscreteNoise, MaskedNoise
from .terms import Objective, data_terms

_WINDOW = 6.0  # log-odds of the default window: alpha from 0.0025 to 0.9975


@final
@dataclass(frozen=True, eq=False)
class DiscreteFit:
    """Fitted weights with everything they rest on; the verbs are those of :class:`sfbench.FusionResult`.

    Attributes
    ----------
    weights : array (k,)
        Simplex weights.
    rates : FusedRates
        The fused rates at these weights.
    gram : ScoreGram
        The local quadratic model of the objective at the fit, per-sample gradients with it.
    solver : SolverResult
        Optimal value, certified duality gap and status.
    objective : ExponentialSumObjective or LogPartitionSumObjective
        What was minimised.
    window : (float, float)
        Log-odds between which data were noised.
    warnings : tuple of str
        What a careful reader should know.
    """

    weights: Float64Array
    rates: FusedRates
    gram: ScoreGram
    solver: SolverResult
    objective: Any
    window: tuple[float, float]
    warnings: tuple[str, ...] = ()

    def confidence_interval(
        self, level: float = 0.9, *, method: IntervalMethod = "auto", rng: SeedLike = 0
    ) -> Float64Array:
        """Confidence intervals (k, 2) for the weights; see :mod:`sfbench.fusion.intervals`.

        The bootstrap resamples the local quadratic model, so it is not a check of that approximation.
        """
        return confidence_interval(self.gram, self.weights, level, method=method, rng=rng)

    def explained(self) -> float:
        """Share of J at equal weights that the fit removes, of what combinations of any sign could remove."""
        k = len(self.weights)
        equal = self.objective.value(np.full(k, 1.0 / k))
        removable = equal - _least_value(self.objective, self.weights)
        if removable <= 1e-12 * self.objective.scale:
            return 1.0
        return float(min((equal - self.objective.value(self.weights)) / removable, 1.0))

    def summary(self, level: float = 0.9) -> str:
        """Weights with intervals, the certificate, the conditioning of the problem, and warnings."""
        k = len(self.weights)
        lines = [f"Fused {k} models on n = {self.gram.n} samples ({self.gram.objective})"]
        lines += [
            f"  weights[{i}] = {w:.4f}   {level:.0%} interval [{low:.4f}, {high:.4f}]"
            for i, (w, (low, high)) in enumerate(zip(self.weights, self.confidence_interval(level), strict=True))
        ]
        gain = self.objective.value(np.full(k, 1.0 / k)) - self.objective.value(self.weights)
        spectrum = tangent_spectrum(self.gram.to_qp())
        lines += [
            f"  certified gap {self.solver.gap:.2e} (solver {self.solver.solver}: {self.solver.status})",
            f"  objective below equal weights by {gain:.4g} nats: at most {self.explained():.1%} of it explained",
            f"  Hessian: condition {spectrum.condition_number:.3g}, rank {spectrum.rank} of {k - 1}",
        ]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        weights = ", ".join(f"{w:.4f}" for w in self.weights)
        return f"DiscreteFit(weights=[{weights}], n={self.gram.n}, gap={self.solver.gap:.1e})"


def fuse(
    models: Iterable[Any],
    x: ArrayLike,
    *,
    noise: DiscreteNoise | None = None,
    objective: Objective = "score_entropy",
    t_min: float | None = None,
    t_max: float | None = None,
    n_times: int = 4,
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    keep: int = 4096,
    rng: SeedLike = 0,
) -> DiscreteFit:
    """Fit simplex weights of discrete diffusion models to data.

    Parameters
    ----------
    models : iterable of RateModel or DiscreteLaw
        The k auxiliaries; laws need ``noise``.
    x : array_like (n, L)
        Data, whole numbers from 0 to S - 1.
    noise : DiscreteNoise, optional
        Noising process, for laws.
    objective : {"score_entropy", "cross_entropy"}
        What is minimised; see :mod:`sfbench.discrete.terms`. Cross-entropy is that of averaged logits (masked noise).
    t_min, t_max : float, optional
        Window of time; without, log-odds from 6 to -6. A short window near zero fits the weights of the barycenter.
    n_times : int
        Noised copies of every sample.
    solver : str or SimplexSolver
        Any that takes smooth objectives: ``auto``, ``newton``, ``projected_gradient``, ``cvxpy`` (exponential
        cones; for few samples), ...
    tol : float
        Relative duality gap.
    keep : int
        Blocks of samples whose gradients are kept for intervals.
    rng : Generator, int or None
        Randomness of noise and times.

    Raises
    ------
    ModelError, GridError, SyntheticError
        For models, windows and data that do not fit; a model that excludes a jump the data make is named.

    Notes
    -----
    Costs ``n n_times`` evaluations of every model, and memory for ``n n_times L S k`` rates.
    """
    found = as_rate_models(models, noise)
    as_choice("objective", objective, get_args(Objective))
    as_count("n_times", n_times)
    as_count("keep", keep)
    process = found[0].noise
    if objective == "cross_entropy" and not isinstance(process, MaskedNoise):
        raise ModelError("objective 'cross_entropy' is that of masked noise; use 'score_entropy'")
    try:
        data = as_states("x", x, found[0].length, process.alphabet)
    except SyntheticError as error:
        raise ModelError(str(error)) from None
    if not len(data):
        raise ModelError("x is empty: n = 0; at least one row is needed")
    window = _window(process, t_min, t_max)
    terms = data_terms(found, data, window, n_times, as_generator(rng))
    smooth = terms.score_entropy() if objective == "score_entropy" else terms.cross_entropy()
    answer = solve(smooth, solver, tol=tol)
    label = f"{objective}, {process}, log-odds {window[0]:.3g} to {window[1]:.3g}, {n_times} times"
    gradients = terms.gradients(answer.weights, objective)
    gram = local_gram(smooth.hessian(answer.weights), len(gradients) * gradients, answer.weights, keep, label)
    warnings = [] if answer.converged else [str(answer.status)]
    if not answer.is_unique:
        warnings.append(f"the weights are not unique: {answer.null_directions.shape[1]} directions change nothing")
    fused = FusedRates(found, answer.weights)
    return announced(DiscreteFit(answer.weights, fused, gram, answer, smooth, window, tuple(warnings)))


def _window(noise: DiscreteNoise, t_min: float | None, t_max: float | None) -> tuple[float, float]:
    """Log-odds (low, high) of a window of time."""
    high = _WINDOW if t_min is None else float(noise.log_odds(t_min))
    low = -_WINDOW if t_max is None else float(noise.log_odds(t_max))
    if not (low < high and np.isfinite(high)) or low < -700:
        raise GridError(f"need 0 < t_min < t_max < {noise.horizon}; got t_min={t_min!r}, t_max={t_max!r}")
    return low, high


def _least_value(objective: Any, start: Float64Array) -> float:
    """Least value over combinations of any sign and sum 1, by damped Newton steps."""
    basis = tangent_basis(len(start))
    w = start
    value = objective.value(w)
    for _ in range(50):
        slope = basis.T @ objective.gradient(w)
        step = basis @ (np.linalg.pinv(basis.T @ objective.hessian(w) @ basis, rcond=1e-12, hermitian=True) @ slope)
        size = 1.0
        with np.errstate(over="ignore"):
            while size > 1e-6 and not objective.value(w - size * step) < value:
                size *= 0.5
        if size <= 1e-6:
            break
        w = w - size * step
        value = objective.value(w)
    return float(value)
