r"""Fitting fusion weights: one pass over the data, one quadratic program, one certificate.

w_hat = argmin over the simplex of  w'G_n w - 2 b_n'w,       s_w = sum_i w_i s_i.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike

from solvers import SolverResult, get_solver, solve
from synthetic import DiffusableLaw

from ._typing import Float64Array, SeedLike
from .errors import GramError, InexactError
from .gram import Contributions, ScoreGram
from .grids import TimeGrid, Weighting, time_grid
from .intervals import IntervalMethod, confidence_interval
from .likelihood_fit import likelihood_fit
from .processes import ForwardProcess
from .scores import FusedScore, ScoreModel, as_score_models
from .statistics import Estimator, GramSettings, as_data, score_gram

Objective = Literal["score_matching", "likelihood"]
_KEPT_ROWS = 4096
_HEAVY_SHARE = 0.1
_FAIR_SHARES = 10.0  # a sample may carry this many times the average before it counts as heavy
_COLLINEAR = 1e8


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
    """

    weights: Float64Array
    gram: ScoreGram
    solver: SolverResult
    score: FusedScore
    process: ForwardProcess
    grid: TimeGrid
    warnings: tuple[str, ...] = ()

    def confidence_interval(
        self, level: float = 0.9, *, method: IntervalMethod = "sandwich", rng: SeedLike = 0
    ) -> Float64Array:
        """Confidence intervals (k, 2) for the weights; see :mod:`sfbench.intervals`."""
        return confidence_interval(self.gram, self.weights, level, method=method, rng=rng)

    def explained(self) -> float | None:
        """Share of J at uniform weights that the fit removes; None where J's constant is unknown."""
        if self.gram.c is None:
            return None
        uniform = np.full(self.gram.k, 1.0 / self.gram.k)
        return 1.0 - self.gram.value(self.weights) / self.gram.value(uniform)

    def summary(self, level: float = 0.9) -> str:
        """Weights with intervals, the certificate, the conditioning of the problem, and warnings."""
        k = self.gram.k
        intervals = self.confidence_interval(level)
        lines = [f"Fused {k} models on n = {self.gram.n} samples ({self.gram.objective})"]
        lines += [
            f"  weights[{i}] = {w:.4f}   {level:.0%} interval [{low:.4f}, {high:.4f}]"
            for i, (w, (low, high)) in enumerate(zip(self.weights, intervals, strict=True))
        ]
        uniform = np.full(k, 1.0 / k)
        gain = self.gram.value(uniform) - self.gram.value(self.weights)
        lines += [
            f"  certified gap {self.solver.gap:.2e} (solver {self.solver.solver}: {self.solver.status})",
            f"  objective below uniform weights by {gain:.4g}",
            f"  Gram: condition {self.gram.condition_number():.3g}, rank {self.gram.effective_rank()} of {k - 1}",
        ]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        weights = ", ".join(f"{w:.4f}" for w in self.weights)
        note = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"FusionResult(weights=[{weights}], n={self.gram.n}, gap={self.solver.gap:.1e}{note})"


def fuse(
    auxiliaries: Sequence[ScoreModel | DiffusableLaw],
    x: ArrayLike,
    *,
    process: ForwardProcess,
    t_min: float = 1e-3,
    t_max: float | None = None,
    n_nodes: int = 16,
    objective: Objective = "score_matching",
    estimator: Estimator = "antithetic",
    weighting: Weighting = "girsanov",
    solver: str = "auto",
    tol: float = 1e-9,
    n_noise: int = 1,
    allow_inexact: bool = False,
    rng: SeedLike = None,
) -> FusionResult:
    """Fit simplex weights of auxiliary score models to target data by score matching.

    Parameters
    ----------
    auxiliaries : sequence of ScoreModel or diffusable laws
        The k models to fuse; laws (for example :class:`synthetic.GaussianMixture`) get their analytic scores.
    x : array_like, shape (n, d)
        Samples of the target.
    process : ForwardProcess
        The noising process that all models share.
    t_min, t_max : float
        Time window of the objective; ``t_max`` defaults to the process's horizon. Short windows near 0 fit the weights
        of the KL barycenter; long ones those of the best fused law, which differ unless pooling and noise commute.
    n_nodes : int
        Gauss-Legendre nodes in log t.
    objective : {"score_matching", "likelihood"}
        ``likelihood`` fits the KL barycenter by maximum likelihood, with log Z by quadrature: only for laws that differ
        in at most two dimensions. Window, estimator and weighting then play no part.
    estimator : {"antithetic", "dsm", "stein"}
        How the target's score enters; see :mod:`sfbench.statistics`.
    weighting : {"girsanov", "sigma2"} or function of t
    solver : str
        A name from :func:`solvers.known_solvers`.
    tol : float
        Accepted duality gap relative to the problem's scale.
    n_noise : int
        Noise vectors per sample.
    allow_inexact : bool
        Return weights whose gap was not certified below ``tol`` instead of raising.
    rng : Generator, int or None
        Noise.

    Returns
    -------
    FusionResult

    Raises
    ------
    InexactError
        If no backend certifies the tolerance and ``allow_inexact`` is False.
    ModelError, GramError, GridError, NotFiniteError
        For bad models, data or windows; the message says which and what to do.

    Examples
    --------
    >>> import sfbench
    >>> from synthetic import make_problem
    >>> problem = make_problem("shifted_gaussians", k=3, d=8)
    >>> x = problem.target.sample(1000, rng=0)
    >>> result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)
    >>> bool(abs(result.weights - problem.true_weights).max() < 0.1)
    True
    """
    models = as_score_models(auxiliaries, process)
    grid = time_grid(t_min, process.horizon if t_max is None else t_max, n_nodes)
    settings = GramSettings(process, grid, estimator, weighting, n_noise)
    backend = get_solver(solver)  # an unknown name is refused before the pass over the data
    if objective == "score_matching":
        gram = score_gram(auxiliaries, x, settings, keep=_KEPT_ROWS, rng=rng)
        answer = solve(gram.to_qp(), backend, tol=tol)
    elif objective == "likelihood":
        answer, gram = likelihood_fit(auxiliaries, as_data(x), solver=solver, tol=tol, keep=_KEPT_ROWS)
    else:
        raise GramError(f"unknown objective {objective!r}; use 'score_matching' or 'likelihood'")
    if not answer.converged and not allow_inexact:
        raise InexactError(
            f"solver {answer.solver!r} left a duality gap of {answer.gap:.3g} (wanted {tol:g} of the scale): "
            f"{answer.status}; try solver='active_set', or pass allow_inexact=True to take the weights as they are"
        )
    weights = np.asarray(answer.weights, dtype=np.float64)
    score = FusedScore(models, weights, process=process)
    return FusionResult(weights, gram, answer, score, process, grid, _warnings(gram, answer))


def _warnings(gram: ScoreGram, answer: SolverResult) -> tuple[str, ...]:
    """What deserves a second look, in plain words."""
    notes: list[str] = []
    k, kept = gram.k, gram.contributions
    if not answer.converged:
        notes.append(f"the weights are not certified: duality gap {answer.gap:.3g} ({answer.status})")
    if k > 1 and not answer.is_unique:
        notes.append(
            "the weights are not unique: auxiliaries coincide, and the smallest weights were chosen among equals"
        )
    elif gram.condition_number() > _COLLINEAR:
        notes.append("auxiliaries are nearly collinear: single weights are uncertain, the fused score is not")
    if np.any(answer.weights <= 0):
        zero = ", ".join(str(i) for i in np.flatnonzero(answer.weights <= 0))
        notes.append(f"weight at the boundary for auxiliary {zero}: it does not help on these data")
    if kept is not None:
        notes += _heavy_rows(kept)
    return tuple(notes)


def _heavy_rows(kept: Contributions) -> list[str]:
    """A warning if one sample, or one batch of them, carries far more than its share of G or of the spread of b."""
    limit = max(_HEAVY_SHARE, _FAIR_SHARES / len(kept.counts))
    deviation = kept.b - kept.counts @ kept.b / kept.n
    for sizes in (np.einsum("nii->n", kept.g), np.linalg.norm(deviation, axis=1)):
        carried = kept.counts * sizes
        worst, total = int(carried.argmax()), float(carried.sum())
        if carried[worst] > limit * total:
            first, count = int(kept.counts[:worst].sum()), int(kept.counts[worst])
            place = f"sample {first}" if count == 1 else f"one of the samples {first} to {first + count - 1}"
            return [f"{place} carries {carried[worst] / total:.0%} of the statistics: an outlier, or heavy tails"]
    return []
