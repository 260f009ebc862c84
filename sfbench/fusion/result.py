"""What a fit returns: weights with everything they rest on."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from solvers import SimplexSolver, SolverFailureError, SolverResult, tangent_spectrum

from .._internal.aliases import Float64Array, SeedLike
from .._internal.html import html_table
from ..errors import GramError
from ..processes import ForwardProcess
from ..processes.times import TimeGrid
from ..scores import FusedScore
from ..statistics.gram import ScoreGram, tangent_basis
from ..statistics.nodes import NodeStatistics
from .adequacy import Adequacy
from .fit import AbstractFit
from .identity import DataIdentity
from .intervals import IntervalMethod, confidence_interval
from .window_bias import WindowBias

_KEPT_LEVEL = 0.9


@final
@dataclass(frozen=True, eq=False)
class FusionResult(AbstractFit):
    """Fitted weights with everything they rest on.

    Attributes
    ----------
    weights : array, shape (k,)
        Simplex weights of the auxiliaries.
    gram : ScoreGram
        The statistics of the objective.
    solver : SolverResult
        Optimal value, certified duality gap and status of the quadratic program.
    score : FusedScore
        The fused score at these weights.
    process : ForwardProcess
    grid : TimeGrid
        Window and quadrature of the fit.
    warnings : tuple of str
        What a careful reader should know, in plain words; empty if nothing stands out.
    window_bias : WindowBias or None
        Weights by half of the time window and the test of their difference; None where it was not made.
    statistics : NodeStatistics or None
        Statistics by time node, of which ``gram`` is the sum; None for a likelihood.
    backend : SimplexSolver or None
        The solver object with its options; intervals respect its constraints.
    names : tuple of str
        Names of the models; empty if they were given none.
    data : DataIdentity or None
        Shape and sha256 of the data.
    kept_intervals : array, shape (k, 2), or None
        The default intervals of level 0.9, of a fit that was loaded.
    effective_n : float or None
        Of a weighted fit, ``(sum v)^2 / sum v^2`` for sample weights v: rows of equal weight that would say as much.
    n_evaluations : int or None
        Score evaluations of a fit on a budget; None for a full pass, and for a fit that was loaded.
    judged : Adequacy, function that finds it, or None
        Behind :attr:`adequacy`.
    """

    weights: Float64Array
    gram: ScoreGram
    solver: SolverResult
    score: FusedScore
    process: ForwardProcess
    grid: TimeGrid
    warnings: tuple[str, ...] = ()
    window_bias: WindowBias | None = None
    statistics: NodeStatistics | None = None
    backend: SimplexSolver | None = None
    names: tuple[str, ...] = ()
    data: DataIdentity | None = None
    kept_intervals: Float64Array | None = None
    effective_n: float | None = None
    n_evaluations: int | None = None
    judged: Adequacy | Callable[[], Adequacy] | None = None

    def confidence_interval(
        self,
        level: float = 0.9,
        *,
        method: IntervalMethod = "auto",
        n_resamples: int | None = None,
        rng: SeedLike = 0,
    ) -> Float64Array:
        """Confidence intervals (k, 2), each for its weight alone, that hold the fit and obey the solver's constraints.

        What they cover and what is guaranteed: :mod:`sfbench.fusion.intervals`.
        """
        if self.kept_intervals is not None and (level, method, n_resamples, rng) == (_KEPT_LEVEL, "auto", None, 0):
            return self.kept_intervals
        return confidence_interval(
            self.gram,
            self.weights,
            level,
            method=method,
            solver=self.backend or "auto",
            n_resamples=n_resamples,
            rng=rng,
        )

    def explained(self) -> float:
        """Share of J at equal weights that the fit removes.

        Exact where J's constant is known. From data it is not, and the least value that combinations of any sign reach
        stands in for zero: the share of what these auxiliaries could explain, an upper bound on the share of J. It is
        1 where equal weights leave nothing to explain.
        """
        gram = self.gram
        equal = gram.value(np.full(gram.k, 1.0 / gram.k))
        least = 0.0 if gram.c is not None else _least_value(gram)
        removable = equal - least
        if removable <= 1e-12 * float(np.trace(gram.G)):
            return 1.0
        return float(min((equal - gram.value(self.weights)) / removable, 1.0))

    def summary(self, level: float = 0.9) -> str:
        """Weights with intervals; whether they are optimal, precise and adequate; warnings."""
        gram, labels = self.gram, self.labels
        intervals, reason = self._intervals(level)
        as_good = "" if self.effective_n is None else f", weighted: as good as {self.effective_n:.1f}"
        lines = [f"Fused {gram.k} models on n = {gram.n} samples{as_good} ({self._objective()})"]
        width = max(map(len, labels))
        for i, (label, w) in enumerate(zip(labels, self.weights, strict=True)):
            shown = f"[{intervals[i][0]:.4f}, {intervals[i][1]:.4f}]" if intervals else f"not available: {reason}"
            lines.append(f"  weights[{label}]{' ' * (width - len(label))} = {w:.4f}   {level:.0%} interval {shown}")
        lines += [f"  {line}" for line in self._verdicts(intervals)]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    def _objective(self) -> str:
        """What was minimised, for readers; ``gram.objective`` tells objectives apart."""
        if self.statistics is None:
            return self.gram.objective
        settings, (low, high) = self.statistics.settings, self.grid.ends
        weighting = settings.weighting if isinstance(settings.weighting, str) else "own"
        window = f"t in [{low:.4g}, {high:.4g}], {len(self.grid)} nodes"
        return f"{self.process!r}, {window}, {weighting} weighting, {settings.estimator} estimator"

    def _verdicts(self, intervals: list[list[float]] | None) -> list[str]:
        """Three words that mean three things: optimal (the solver), precise (the sample), adequate (the model)."""
        gram, k = self.gram, self.gram.k
        spectrum = tangent_spectrum(gram.to_qp())
        gain = gram.value(np.full(k, 1.0 / k)) - gram.value(self.weights)
        at_most = "" if gram.c is not None else "at most "
        answer = self.solver
        optimal = f"within {max(answer.gap, 0.0):.1e} of the least objective over all weights"
        found = [f"optimal: {'yes' if answer.converged else 'no'}, {optimal} (solver {answer.solver})"]
        if intervals:
            widest = max(high - low for low, high in intervals)
            rank = f"rank {spectrum.rank} of {k - 1} (effective {spectrum.effective_rank:.2f})"
            conditioning = f"Gram of condition {spectrum.condition_number:.3g}, {rank}"
            found.append(f"precise: intervals up to {widest:.2g} wide; {conditioning}")
        found.append(
            f"better than equal weights by {gain:.4g} of the objective: {at_most}{self.explained():.1%} of what these "
            "models could explain"
        )
        if self.adequacy is not None:
            found.append(self.adequacy.verdict(self.labels))
        elif self.statistics is None:
            found.append("adequate: not judged for a likelihood; result.losses(rows) compares with single models")
        return found

    def _intervals(self, level: float) -> tuple[list[list[float]] | None, str]:
        """Intervals, or None and why there are none."""
        try:
            return self.confidence_interval(level).tolist(), ""
        except (GramError, SolverFailureError) as error:
            return None, str(error)

    def plot_weights(self, *, truth: Any = None, ax: Any = None) -> Any:
        """Weights with their 90 % intervals, and beside them others (k,) such as a problem's; returns the axes."""
        from ..plots.fits import plot_weights

        intervals, _ = self._intervals(_KEPT_LEVEL)
        return plot_weights(self.labels, self.weights, None if intervals is None else np.array(intervals), truth, ax)

    def plot_losses(self, x: Any = None, *, rng: SeedLike = 0, ax: Any = None) -> Any:
        """Denoising losses by model and time; returns the matplotlib axes.

        Of rows ``x`` that the fit has not seen, over those of the linear predictor (:meth:`losses`). Without them, from
        the statistics of the fit, by how much each model's loss exceeds the fit's.

        Raises
        ------
        GramError
            Without ``x``, for a likelihood, whose statistics have no times.
        """
        from ..plots.fits import plot_lines

        if x is not None:
            return self.losses(x, rng=rng).plot(ax)
        if self.statistics is None:
            raise GramError("this fit has no statistics by time; pass rows x to plot the losses on")
        per_node, nodes = self.statistics, self.grid.nodes
        own = np.einsum("tii->it", per_node.G) - 2.0 * per_node.b.T
        fitted = np.einsum("tij,i,j->t", per_node.G, self.weights, self.weights) - 2.0 * per_node.b @ self.weights
        excess = self.process.sigma(nodes) ** 2 * (own - fitted) / self.score.dim
        return plot_lines(self.labels, nodes, excess, "denoising loss minus the fit's", (0.0, "the fit"), ax)

    def plot_gram(self, *, ax: Any = None) -> Any:
        """How far the models' scores differ over the window, each pair's root mean square; returns the axes."""
        from ..plots.fits import plot_gram

        return plot_gram(self.labels, self.gram.G, ax)

    def to_dict(self) -> dict[str, Any]:
        """Weights and intervals by name, window, certificate, data and warnings, as values that JSON has."""
        gram, labels = self.gram, self.labels
        intervals, _ = self._intervals(0.9)
        judged = self.adequacy
        return {
            "weights": dict(zip(labels, self.weights.tolist(), strict=True)),
            "intervals_90": None if intervals is None else dict(zip(labels, intervals, strict=True)),
            "n": gram.n,
            "effective_n": self.effective_n,
            "objective": gram.objective,
            "process": repr(self.process),
            "window": list(self.grid.ends),
            "value": float(gram.value(self.weights)),
            "gap": float(self.solver.gap),
            "solver": self.solver.solver,
            "status": str(self.solver.status),
            "adequacy": None if judged is None else judged.to_dict(),
            "data": None if self.data is None else {"sha256": self.data.sha256, "shape": list(self.data.shape)},
            "warnings": list(self.warnings),
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keep the fit in a folder, without its models; :func:`sfbench.load_result` reads it.

        See :mod:`sfbench.fusion.saving` for the files and errors.
        """
        from .saving import save_result

        kept = replace(self, judged=self.adequacy)
        if self.kept_intervals is None:
            with suppress(GramError, SolverFailureError):
                kept = replace(kept, kept_intervals=self.confidence_interval(_KEPT_LEVEL))
        return save_result(kept, folder)

    def _repr_html_(self) -> str:
        intervals, reason = self._intervals(0.9)
        rows = []
        for i, (label, w) in enumerate(zip(self.labels, self.weights, strict=True)):
            shown = f"[{intervals[i][0]:.4f}, {intervals[i][1]:.4f}]" if intervals else reason
            rows.append((label, f"{w:.4f}", shown))
        notes = [*self._verdicts(intervals), *(f"warning: {text}" for text in self.warnings)]
        title = f"Fused {self.gram.k} models on n = {self.gram.n} samples"
        return html_table(title, ("model", "weight", "90 % interval"), rows, notes)

    def __repr__(self) -> str:
        weights = ", ".join(f"{w:.4f}" for w in self.weights)
        note = f", warnings: {len(self.warnings)}" if self.warnings else ""
        return f"FusionResult(weights=[{weights}], n={self.gram.n}, gap={self.solver.gap:.1e}{note})"


def _least_value(gram: ScoreGram) -> float:
    """Least value of the objective over combinations of any sign."""
    basis = tangent_basis(gram.k)
    centre = np.full(gram.k, 1.0 / gram.k)
    gradient = 2.0 * basis.T @ (gram.G @ centre - gram.b)
    step = np.linalg.pinv(2.0 * basis.T @ gram.G @ basis, rcond=1e-12, hermitian=True) @ gradient
    return gram.value(centre) - 0.5 * float(gradient @ step)
