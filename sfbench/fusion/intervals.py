r"""Confidence intervals for fitted simplex weights, from per-sample terms of the Gram statistics.

- ``profile`` inverts tests of single weights, whose statistic is what a value of the weight costs in the objective and
  whose critical values are simulated; see :mod:`sfbench.fusion.profile_intervals`.
- ``bootstrap`` solves resampled problems with the fit's own solver and takes ``w_i +- h_i``, h_i the larger distance of
  the two percentiles from the fit, within the range that the weight has over the feasible set. Percentiles alone miss
  where several weights are zero: the law of resampled weights is then biased twice. If constraints or zero weights
  change between resamplings, half of the error probability is set aside, as in ``profile``.
- ``auto`` takes ``profile``, widened to the bootstrap's ends where the data do not tell which weights are zero; or
  ``bootstrap`` if the solver has constraints of its own or more than 24 weights may differ from zero.

**What is covered**: the population minimiser ``w*`` of the objective that was fitted, with its process, window and
estimator, at the data's law. If no weights make the fused score exact these are pseudo-true weights, and another window
has others; noise in G and b is in S, so neither misfit nor the noise of the estimator invalidates an interval. A model
that was chosen or trained on the same data, or data standardised by their own moments, is
not part of it.

**Guarantee**: asymptotically exact where weights and multipliers are zero or far from it in standard errors; in between
there is no exact law to know, and coverage is measured (docs/intervals.md). **Assumptions**: i.i.d. samples, finite
fourth moments of scores.
"""

import math
from typing import Literal, cast, get_args

import numpy as np
import scipy
from numpy.typing import ArrayLike

from solvers import ConstrainedSolver, SimplexSolver, resolve_solver, solve, solve_many

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_number, as_weights
from ..errors import GramError
from ..statistics.gram import Contributions, ScoreGram
from .profile_intervals import profile_intervals
from .zero_weights import distance_from_zero, unclear_zeros

IntervalMethod = Literal["auto", "profile", "bootstrap"]
MOST_PROFILED = 24  # weights; above, problems are no longer solved in batches
_CLEARLY_ZERO = 0.5 * math.erfc(5.0 / math.sqrt(2.0))  # five standard errors of a multiplier, for many samples
_FEWEST_DRAWS, _MOST_DRAWS = 100, 10_000
_CHUNK = 1 << 23  # numbers in a stack of matrices
_CHANGED = 0.05
_ZERO = 1e-9


def confidence_interval(
    gram: ScoreGram,
    weights: ArrayLike,
    level: float = 0.9,
    *,
    method: IntervalMethod = "auto",
    solver: str | SimplexSolver = "auto",
    n_resamples: int | None = None,
    rng: SeedLike = 0,
) -> Float64Array:
    """Intervals (k, 2) for the weights at the given confidence level; each holds its fitted weight.

    Parameters
    ----------
    gram : ScoreGram
        With contributions.
    weights : array_like, shape (k,)
        The fit.
    level : float
        Probability, for each weight on its own.
    method : {"auto", "profile", "bootstrap"}
    solver : str or SimplexSolver
        The solver of the fit. Only its constraints matter: intervals lie in its feasible set.
    n_resamples : int, optional
        Problems drawn; by default enough for the level, 400 at 0.9.
    rng : Generator, int or None
        Draws; the same seed gives the same interval.

    Raises
    ------
    GramError
        For bad arguments, a Gram without contributions, or ``profile`` where ``auto`` would not take it.
    """
    if not isinstance(gram, ScoreGram):
        raise GramError(f"gram must be a ScoreGram, got a {type(gram).__name__}")
    level = as_number("level", level, GramError)
    if not 0.0 < level < 1.0:
        raise GramError(f"level must be strictly between 0 and 1, got {level!r}")
    if method not in get_args(IntervalMethod):
        raise GramError(f"unknown method {method!r}; use 'auto', 'profile' or 'bootstrap'")
    if n_resamples is not None:
        n_resamples = as_count("n_resamples", n_resamples, at_least=_FEWEST_DRAWS, at_most=_MOST_DRAWS, error=GramError)
    fitted = as_weights(weights, gram.k, GramError)
    backend = resolve_solver(solver)
    generator = as_generator(rng)
    kept = gram.contributions
    if kept is None:
        raise GramError("this Gram kept no per-sample contributions; compute it with score_gram(..., keep=4096)")
    if gram.k == 1:
        return np.ones((1, 2))
    if len(kept.counts) < 2:  # one sample says nothing about its own spread
        return np.tile([0.0, 1.0], (gram.k, 1))
    constrained = cast(ConstrainedSolver, backend) if getattr(backend, "linear_minimum", None) else None
    in_play = _in_play(gram, kept)
    if method == "profile" and (constrained is not None or in_play.sum() > MOST_PROFILED):
        here = f"here are {in_play.sum()}" if constrained is None else "and the solver has constraints"
        raise GramError(
            f"method 'profile' is for solvers without constraints and at most {MOST_PROFILED} weights that may differ "
            f"from zero, {here}; use 'auto' or 'bootstrap'"
        )
    draws = n_resamples or int(min(max(20.0 / (1.0 - level), 400.0), 4000.0))
    if method == "bootstrap" or constrained is not None or in_play.sum() > MOST_PROFILED:
        interval = _bootstrap(gram, kept, level, draws, constrained, generator)
    else:
        interval = np.zeros((gram.k, 2))
        if in_play.sum() == 1:
            interval[in_play] = 1.0
        else:
            part = np.ix_(in_play, in_play)
            terms = Contributions(kept.g[:, in_play][:, :, in_play], kept.b[:, in_play], kept.counts)
            interval[in_play] = profile_intervals(gram.G[part], gram.b[in_play], terms, level, draws, generator)
        if method == "auto" and unclear_zeros(gram, kept, fitted, fitted <= _ZERO).any():
            other = _bootstrap(gram, kept, level, draws, None, generator)
            interval[:, 0] = np.minimum(interval[:, 0], other[:, 0])
            interval[in_play, 1] = np.maximum(interval[in_play, 1], other[in_play, 1])
    return np.column_stack([np.minimum(interval[:, 0], fitted), np.maximum(interval[:, 1], fitted)])


def _in_play(gram: ScoreGram, kept: Contributions) -> np.ndarray:
    """Weights that are positive, or at zero with a multiplier of few standard errors; (k,) bool."""
    weights = np.asarray(solve(gram.to_qp(), "active_set").weights)
    clear = -float(scipy.special.stdtrit(len(kept.counts) - 1, _CLEARLY_ZERO))
    return (weights > _ZERO) | (distance_from_zero(gram, kept, weights, weights <= _ZERO) <= clear)


def _bootstrap(
    gram: ScoreGram,
    kept: Contributions,
    level: float,
    n_resamples: int,
    constrained: ConstrainedSolver | None,
    rng: np.random.Generator,
) -> Float64Array:
    k, rows = gram.k, len(kept.counts)
    solver: str | SimplexSolver = "auto" if constrained is None else constrained
    fitted = np.asarray(solve(gram.to_qp(), solver).weights)
    resampled = np.empty((n_resamples, k))
    size = max(1, _CHUNK // (k * k))
    for start in range(0, n_resamples, size):
        part = resampled[start : start + size]
        counts = rng.multinomial(rows, kept.counts / kept.counts.sum(), size=len(part)) / rows
        G = (counts @ kept.g.reshape(rows, k * k)).reshape(-1, k, k)
        b = counts @ kept.b
        part[:] = solve_many((G + G.transpose(0, 2, 1), -2.0 * b), solver).weights
    changed = np.mean(((resampled > _ZERO) != (fitted > _ZERO)).any(axis=1)) > _CHANGED
    tail = 0.5 * (1.0 - level) * (0.5 if changed or constrained is not None else 1.0)
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    student = float(scipy.special.stdtrit(rows - 1, 1.0 - tail) / scipy.special.ndtri(1.0 - tail))
    half = np.maximum(high - fitted, fitted - low) * student * math.sqrt(rows / (rows - 1))
    least, most = np.zeros(k), np.ones(k)
    if constrained is not None:
        directions = np.eye(k)
        least = np.array([constrained.linear_minimum(e) for e in directions])
        most = np.array([-constrained.linear_minimum(-e) for e in directions])
    return np.column_stack([np.clip(fitted - half, least, most), np.clip(fitted + half, least, most)])
