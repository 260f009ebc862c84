r"""Fitting fusion weights: one pass over the data, one quadratic program, one certificate.

w_hat = argmin over the simplex of  w'G_n w - 2 b_n'w,       s_w = sum_i w_i s_i.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from solvers import SimplexSolver, resolve_solver, solve
from synthetic import DiffusableLaw

from .._typing import SeedLike
from ..errors import GramError, InexactError
from ..processes import ForwardProcess
from ..scores import FusedScore, ScoreModel, as_score_models
from ..statistics import Estimator, GramSettings, NodeStatistics, as_data, score_statistics
from ..statistics.nodes import rows_to_keep
from ..times import Weighting, time_grid
from .advice import fit_warnings
from .from_densities import likelihood_fit
from .result import FusionResult
from .window_bias import window_bias

Objective = Literal["score_matching", "likelihood"]
_ROWS_FOR_HALVES = 64  # fewer say nothing about halves of the window


def fuse(
    auxiliaries: Iterable[ScoreModel | DiffusableLaw],
    x: Any,
    *,
    process: ForwardProcess,
    t_min: float = 1e-3,
    t_max: float | None = None,
    n_nodes: int = 16,
    objective: Objective = "score_matching",
    estimator: Estimator = "antithetic",
    weighting: Weighting = "girsanov",
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    n_noise: int = 1,
    allow_inexact: bool = False,
    progress: bool = False,
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
    solver : str or SimplexSolver
        A name from :func:`solvers.known_solvers`, or a solver with options such as
        ``solvers.cvxpy_conic.Cvxpy(constraints=lambda w: [w <= 0.5])``.
    tol : float
        Accepted duality gap relative to the problem's scale.
    n_noise : int
        Noise vectors per sample.
    allow_inexact : bool
        Return weights whose gap was not certified below ``tol`` instead of raising.
    progress : bool
        Show how many of the ``2 k n n_noise n_nodes`` evaluations (half without antithetic noise) are done, and the
        time that is left.
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
    given = tuple(auxiliaries) if isinstance(auxiliaries, Iterable) else auxiliaries  # generators are read once
    models = as_score_models(given, process)
    grid = time_grid(t_min, process.horizon if t_max is None else t_max, n_nodes)
    settings = GramSettings(process, grid, estimator, weighting, n_noise)
    backend = resolve_solver(solver)  # an unknown name is refused before the pass over the data
    statistics: NodeStatistics | None = None
    if objective == "score_matching":
        parts = 2 if len(grid) > 1 and rows_to_keep(len(models), 2) >= _ROWS_FOR_HALVES else 1
        keep = rows_to_keep(len(models), parts)
        statistics = score_statistics(given, x, settings, keep=keep, parts=parts, show_progress=progress, rng=rng)
        gram = statistics.at()
        answer = solve(gram.to_qp(), backend, tol=tol)
    elif objective == "likelihood":
        answer, gram = likelihood_fit(
            given, as_data(x, models[0].dim), solver=backend, tol=tol, keep=rows_to_keep(len(models), 1)
        )
    else:
        raise GramError(f"unknown objective {objective!r}; use 'score_matching' or 'likelihood'")
    if not answer.converged and not allow_inexact:
        raise InexactError(
            f"solver {answer.solver!r} left a duality gap of {answer.relative_gap:.3g} of the scale, above tol {tol:g}"
            f": {answer.status.value.split(':')[0]}; use solver='auto', raise tol, or pass allow_inexact=True to take "
            "the weights as they are"
        )
    weights = np.asarray(answer.weights, dtype=np.float64)
    score = FusedScore(models, weights, process=process)
    halves = () if statistics is None else statistics.by_part()
    bias = window_bias(*halves, weights) if len(halves) == 2 else None
    warnings = fit_warnings(gram, answer, grid, bias)
    return FusionResult(weights, gram, answer, score, process, grid, warnings, bias, statistics, backend)
