"""What a fit returns: weights with everything they rest on."""

from dataclasses import dataclass
from typing import final

import numpy as np

from solvers import SimplexSolver, SolverFailureError, SolverResult, tangent_spectrum

from .._typing import Float64Array, SeedLike
from ..errors import GramError
from ..processes import ForwardProcess
from ..scores import FusedScore
from ..statistics.gram import ScoreGram, tangent_basis
from ..statistics.nodes import NodeStatistics
from ..times import TimeGrid
from .intervals import IntervalMethod, confidence_interval
from .window_bias import WindowBias


@final
@dataclass(frozen=True, eq=False)
class FusionResult:
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
        """Weights with intervals, the certificate, the conditioning of the problem, and warnings."""
        k = self.gram.k
        try:
            found = [f"[{low:.4f}, {high:.4f}]" for low, high in self.confidence_interval(level)]
        except (GramError, SolverFailureError) as reason:
            found = [f"not available: {reason}"] * k
        lines = [f"Fused {k} models on n = {self.gram.n} samples ({self.gram.objective})"]
        lines += [
            f"  weights[{i}] = {w:.4f}   {level:.0%} interval {interval}"
            for i, (w, interval) in enumerate(zip(self.weights, found, strict=True))
        ]
        gain = self.gram.value(np.full(k, 1.0 / k)) - self.gram.value(self.weights)
        spectrum = tangent_spectrum(self.gram.to_qp())
        rank = f"rank {spectrum.rank} of {k - 1} (effective {spectrum.effective_rank:.2f})"
        at_most = "" if self.gram.c is not None else "at most "
        lines += [
            f"  certified gap {self.solver.gap:.2e} (solver {self.solver.solver}: {self.solver.status})",
            f"  objective below equal weights by {gain:.4g}: {at_most}{self.explained():.1%} of it explained",
            f"  Gram: condition {spectrum.condition_number:.3g}, {rank}",
        ]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)

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
