"""A fit in words, as a table for notebooks, and as JSON values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from solvers import SolverFailureError, tangent_spectrum

from .._html import html_table
from ..errors import GramError

if TYPE_CHECKING:
    from .result import FusionResult


def summary_text(result: "FusionResult", level: float) -> str:
    """Weights with intervals; then whether they are optimal, precise and adequate; then warnings."""
    gram, labels = result.gram, result.labels
    intervals, reason = intervals_or_reason(result, level)
    as_good = "" if result.effective_n is None else f", weighted: as good as {result.effective_n:.1f}"
    lines = [f"Fused {gram.k} models on n = {gram.n} samples{as_good} ({_objective(result)})"]
    width = max(map(len, labels))
    for i, (label, w) in enumerate(zip(labels, result.weights, strict=True)):
        shown = f"[{intervals[i][0]:.4f}, {intervals[i][1]:.4f}]" if intervals else f"not available: {reason}"
        lines.append(f"  weights[{label}]{' ' * (width - len(label))} = {w:.4f}   {level:.0%} interval {shown}")
    lines += [f"  {line}" for line in verdicts(result, intervals)]
    lines += [f"  warning: {text}" for text in result.warnings]
    return "\n".join(lines)


def _objective(result: "FusionResult") -> str:
    """What was minimised, for readers; ``gram.objective`` tells objectives apart."""
    if result.statistics is None:
        return result.gram.objective
    settings, (low, high) = result.statistics.settings, result.grid.ends
    weighting = settings.weighting if isinstance(settings.weighting, str) else "own"
    window = f"t in [{low:.4g}, {high:.4g}], {len(result.grid)} nodes"
    return f"{result.process!r}, {window}, {weighting} weighting, {settings.estimator} estimator"


def verdicts(result: "FusionResult", intervals: Sequence[Sequence[float]] | None) -> list[str]:
    """Three words that mean three things: optimal (the solver), precise (the sample), adequate (the model)."""
    gram, k = result.gram, result.gram.k
    spectrum = tangent_spectrum(gram.to_qp())
    gain = gram.value(np.full(k, 1.0 / k)) - gram.value(result.weights)
    at_most = "" if gram.c is not None else "at most "
    answer = result.solver
    optimal = f"within {max(answer.gap, 0.0):.1e} of the least objective over all weights"
    found = [f"optimal: {'yes' if answer.converged else 'no'}, {optimal} (solver {answer.solver})"]
    if intervals:
        widest = max(high - low for low, high in intervals)
        rank = f"rank {spectrum.rank} of {k - 1} (effective {spectrum.effective_rank:.2f})"
        conditioning = f"Gram of condition {spectrum.condition_number:.3g}, {rank}"
        found.append(f"precise: intervals up to {widest:.2g} wide; {conditioning}")
    found.append(
        f"better than equal weights by {gain:.4g} of the objective: {at_most}{result.explained():.1%} of what these "
        "models could explain"
    )
    if result.adequacy is not None:
        found.append(result.adequacy.verdict(result.labels))
    elif result.statistics is None:
        found.append("adequate: not judged for a likelihood; result.losses(rows) compares with single models")
    return found


def as_dict(result: "FusionResult") -> dict[str, Any]:
    """The fit as values that JSON has."""
    gram, labels = result.gram, result.labels
    intervals, _ = intervals_or_reason(result, 0.9)
    judged = result.adequacy
    return {
        "weights": dict(zip(labels, result.weights.tolist(), strict=True)),
        "intervals_90": None if intervals is None else dict(zip(labels, intervals, strict=True)),
        "n": gram.n,
        "effective_n": result.effective_n,
        "objective": gram.objective,
        "process": repr(result.process),
        "window": list(result.grid.ends),
        "value": float(gram.value(result.weights)),
        "gap": float(result.solver.gap),
        "solver": result.solver.solver,
        "status": str(result.solver.status),
        "adequacy": None if judged is None else judged.to_dict(),
        "data": None if result.data is None else {"sha256": result.data.sha256, "shape": list(result.data.shape)},
        "warnings": list(result.warnings),
    }


def result_html(result: "FusionResult") -> str:
    """The fit as a table for notebooks."""
    intervals, reason = intervals_or_reason(result, 0.9)
    rows = []
    for i, (label, w) in enumerate(zip(result.labels, result.weights, strict=True)):
        shown = f"[{intervals[i][0]:.4f}, {intervals[i][1]:.4f}]" if intervals else reason
        rows.append((label, f"{w:.4f}", shown))
    notes = [*verdicts(result, intervals), *(f"warning: {text}" for text in result.warnings)]
    title = f"Fused {result.gram.k} models on n = {result.gram.n} samples"
    return html_table(title, ("model", "weight", "90 % interval"), rows, notes)


def intervals_or_reason(result: "FusionResult", level: float) -> tuple[list[list[float]] | None, str]:
    """Intervals, or None and why there are none."""
    try:
        return result.confidence_interval(level).tolist(), ""
    except (GramError, SolverFailureError) as error:
        return None, str(error)
