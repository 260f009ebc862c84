r"""Fits of weights that change with time.

Girsanov's theorem holds for any weights w(t), and the objective is a sum over bins of time,

    J(w(.)) = sum_b ( w_b'G_b w_b - 2 b_b'w_b + c_b ),

so each bin asks for weights of its own. ``smoothing`` adds lambda times the total variation of every weight along time
(see :mod:`solvers.over_time`), because a bin in which the auxiliaries hardly differ says little about its weights, and
little depends on them. Fused samplers, flows, likelihoods and certificates take such weights as they take constant
ones; what the corrected sampler does with them is said in :mod:`sfbench.sampling.changing_weights`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from solvers import SolverFailureError, TimeWeights, solve, solve_over_time

from .._internal.aliases import Float64Array, SeedLike
from .._internal.html import html_table
from .._internal.validation import as_number
from ..errors import GramError, InexactError
from ..processes import ForwardProcess
from ..scores import FusedScore, ScoreModel, WeightsOverTime
from ..statistics import NodeStatistics, ScoreGram
from .adequacy import Adequacy
from .advice import warnings_over_time
from .fit import AbstractFit
from .identity import DataIdentity
from .intervals import confidence_interval

_TOLERANCE = 1e-6  # the certificate of smoothed weights is no finer


@final
@dataclass(frozen=True, eq=False)
class FusionOverTime(AbstractFit):
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
    names : tuple of str
        Names of the models; empty if they were given none.
    data : DataIdentity or None
        Shape and sha256 of the data.
    warnings : tuple of str
        What a careful reader should know, in plain words.
    judged : Adequacy, function that finds it, or None
        Behind :attr:`adequacy`.
    """

    weights: WeightsOverTime
    grams: tuple[ScoreGram, ...]
    solver: TimeWeights
    score: FusedScore
    process: ForwardProcess
    statistics: NodeStatistics
    smoothing: float
    constant: Float64Array
    names: tuple[str, ...] = ()
    data: DataIdentity | None = None
    warnings: tuple[str, ...] = ()
    judged: Adequacy | Callable[[], Adequacy] | None = None

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
        n, total = self.grams[0].n, float(self.gain().sum())
        lines = [f"Fused {self.weights.k} models on n = {n} samples, {len(self.weights)} bins of time"]
        for window, *weights, gain in self._rows():
            shown = ", ".join(
                f"{label} {w}" if self.names else w for label, w in zip(self.labels, weights, strict=True)
            )
            lines.append(f"  {window}: {shown}, gain {gain}")
        constant = ", ".join(f"{w:.4f}" for w in self.constant)
        lines += [
            f"  certified gap {self.solver.gap:.2e} ({self.solver.status})",
            f"  objective below that of the best constant weights [{constant}] by {total:.4g}",
        ]
        lines += [f"  {line}" for line in self._notes()]
        return "\n".join(lines)

    def _notes(self) -> list[str]:
        judged = [] if self.adequacy is None else [self.adequacy.verdict(self.labels)]
        return judged + [f"warning: {text}" for text in self.warnings]

    def _rows(self) -> list[tuple[str, ...]]:
        edges = self.weights.edges
        bins = zip(edges[:-1], edges[1:], self.weights.weights, self.gain(), strict=True)
        return [
            (f"t in [{low:.4g}, {high:.4g}]", *(f"{value:.4f}" for value in w), f"{gain:.3g}")
            for low, high, w, gain in bins
        ]

    def plot_weights(self, *, ax: Any = None) -> Any:
        """Weights by time, with 90 % intervals where bins are not smoothed; returns the matplotlib axes."""
        from ..plots.fits import plot_weights_over_time

        try:
            intervals = self.confidence_interval()
        except (GramError, SolverFailureError):
            intervals = None
        edges, weights = self.weights.edges, self.weights.weights
        return plot_weights_over_time(self.labels, edges, weights, intervals, self.constant, ax)

    def to_dict(self) -> dict[str, Any]:
        """Weights by name and bin, certificate and data, as values that JSON has."""
        return {
            "weights": dict(zip(self.labels, self.weights.weights.T.tolist(), strict=True)),
            "edges": self.weights.edges.tolist(),
            "gain": self.gain().tolist(),
            "constant": dict(zip(self.labels, self.constant.tolist(), strict=True)),
            "smoothing": self.smoothing,
            "n": self.grams[0].n,
            "process": repr(self.process),
            "value": float(self.solver.value),
            "gap": float(self.solver.gap),
            "status": str(self.solver.status),
            "adequacy": None if self.adequacy is None else self.adequacy.to_dict(),
            "warnings": list(self.warnings),
            "data": None if self.data is None else {"sha256": self.data.sha256, "shape": list(self.data.shape)},
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keep the fit in a folder, without its models; :func:`sfbench.load_result` reads it."""
        from .saving import save_result

        return save_result(replace(self, judged=self.adequacy), folder)

    def _repr_html_(self) -> str:
        title = f"Fused {self.weights.k} models on n = {self.grams[0].n} samples, {len(self.weights)} bins of time"
        return html_table(title, ("window", *self.labels, "gain over constant"), self._rows(), self._notes())

    def __repr__(self) -> str:
        return f"FusionOverTime({len(self.weights)} bins, k={self.weights.k}, n={self.grams[0].n})"


def fit_over_time(
    models: tuple[ScoreModel, ...],
    statistics: NodeStatistics,
    edges: Float64Array,
    smoothing: float,
    tol: float,
    allow_inexact: bool,
    names: tuple[str, ...] = (),
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
    doubts = warnings_over_time(grams, answer, strength)
    return FusionOverTime(weights, grams, answer, score, process, statistics, strength, constant, names, None, doubts)
