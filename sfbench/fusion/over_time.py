r"""Fits of weights that change with time.

Girsanov's theorem holds for any weights w(t), and the objective is a sum over bins of time,

    J(w(.)) = sum_b ( w_b'G_b w_b - 2 b_b'w_b + c_b ),

so each bin asks for weights of its own. ``smoothing`` adds lambda times the total variation of every weight along time
(see :mod:`solvers.over_time`), because a bin in which the auxiliaries hardly differ says little about its weights, and
little depends on them. Fused samplers, flows, likelihoods and certificates take such weights as they take constant
ones; what the corrected sampler does with them is said in :mod:`sfbench.sampling.changing_weights`.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from solvers import TimeWeights, solve, solve_over_time

from .._typing import Float64Array, SeedLike
from .._validation import as_number
from ..errors import GramError, InexactError
from ..processes import ForwardProcess
from ..scores import FusedScore, ScoreModel, WeightsOverTime
from ..statistics import NodeStatistics, ScoreGram
from .intervals import confidence_interval

_TOLERANCE = 1e-6  # the certificate of smoothed weights is no finer


@final
@dataclass(frozen=True, eq=False)
class FusionOverTime:
    """Fitted weights per bin of time with everything they rest on.

    Attributes
    ----------
    weights : WeightsOverTime
        Simplex weights (bins, k) and the bins' edges; callable with a time.
    grams : tuple of ScoreGram
        The statistics of each bin.
    solver : TimeWeights
        Optimal value, certified gap and status of the problem over all bins.
    score : FusedScore
        The fused score with these weights.
    process : ForwardProcess
    statistics : NodeStatistics
        Statistics by time node.
    smoothing : float
        Strength of the smoothing between bins.
    constant : array, shape (k,)
        The best weights that do not change.
    """

    weights: WeightsOverTime
    grams: tuple[ScoreGram, ...]
    solver: TimeWeights
    score: FusedScore
    process: ForwardProcess
    statistics: NodeStatistics
    smoothing: float
    constant: Float64Array

    def gain(self) -> Float64Array:
        """By how much each bin's objective falls below that of the best constant weights, (bins,).

        On the data of the fit: single bins may lose where weights are smoothed, and more bins always gain.
        """
        rows = zip(self.grams, self.weights.weights, strict=True)
        return np.array([gram.value(self.constant) - gram.value(w) for gram, w in rows])

    def confidence_interval(self, level: float = 0.9, *, rng: SeedLike = 0) -> Float64Array:
        """Confidence intervals (bins, k, 2) of weights fitted bin by bin; see :mod:`sfbench.fusion.intervals`.

        Raises
        ------
        GramError
            If bins are smoothed: their weights then depend on one another.
        """
        if self.smoothing:
            raise GramError("intervals are those of single bins, and these are tied by smoothing; fit with smoothing=0")
        rows = zip(self.grams, self.weights.weights, strict=True)
        return np.stack([confidence_interval(gram, w, level, rng=rng) for gram, w in rows])

    def summary(self) -> str:
        """Weights by bin, the certificate, and what is gained over constant weights."""
        edges, total = self.weights.edges, float(self.gain().sum())
        lines = [f"Fused {self.weights.k} models on n = {self.grams[0].n} samples, {len(self.weights)} bins of time"]
        lines += [
            f"  t in [{low:.4g}, {high:.4g}]: {np.array2string(w, precision=4, suppress_small=True)}, gain {gain:.3g}"
            for low, high, w, gain in zip(edges[:-1], edges[1:], self.weights.weights, self.gain(), strict=True)
        ]
        constant = np.array2string(self.constant, precision=4, suppress_small=True)
        lines += [
            f"  certified gap {self.solver.gap:.2e} ({self.solver.status})",
            f"  objective below that of the best constant weights {constant} by {total:.4g}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"FusionOverTime({len(self.weights)} bins, k={self.weights.k}, n={self.grams[0].n})"


def fit_over_time(
    models: tuple[ScoreModel, ...],
    statistics: NodeStatistics,
    edges: Float64Array,
    smoothing: float,
    tol: float,
    allow_inexact: bool,
) -> FusionOverTime:
    """Fit weights to the kept parts of the statistics, one per bin."""
    strength = as_number("smoothing", smoothing, GramError)
    if strength < 0:
        raise GramError(f"smoothing must be at least 0, got {smoothing!r}")
    grams, process = statistics.by_part(), statistics.settings.process
    answer = solve_over_time([gram.to_qp() for gram in grams], strength, tol=max(tol, _TOLERANCE) if strength else tol)
    if not answer.converged and not allow_inexact:
        raise InexactError(
            f"the weights over time left a gap of {answer.gap / answer.scale:.3g} of the scale ({answer.status}); "
            "raise tol, or pass allow_inexact=True to take them as they are"
        )
    weights = WeightsOverTime(edges, answer.weights)
    score = FusedScore(models, weights, process=process)
    constant = np.asarray(solve(statistics.at().to_qp()).weights)
    return FusionOverTime(weights, grams, answer, score, process, statistics, strength, constant)
