r"""Fitting fusion weights: one pass over the data, one quadratic program, one certificate.

w_hat = argmin over the simplex of  w'G_n w - 2 b_n'w,       s_w = sum_i w_i s_i.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any, Literal, Required, TypedDict, Unpack, cast, overload

import numpy as np

from solvers import SimplexSolver, SolverResult, resolve_solver, solve
from synthetic import DiffusableLaw

from .._internal.aliases import SeedLike
from .._internal.lazy import Registry
from .._internal.validation import as_choice, as_count, as_flag, as_sample_weight, as_window
from ..errors import GramError, GridError, InexactError, ModelError
from ..processes import ForwardProcess
from ..processes.times import Weighting, binned_grid, time_bins, time_grid
from ..scores import FusedScore, ScoreModel, as_score_models
from ..statistics import Estimator, GramSettings, NodeStatistics, ScoreGram, as_data, score_statistics
from ..statistics.nodes import part_edges, rows_to_keep
from ..statistics.residuals import Residuals, ResidualsByPart
from .adequacy import Adequacy, adequacy, judged_later
from .advice import announce, announced, few_samples, fit_warnings
from .budget import Budget, budgeted_statistics
from .from_densities import likelihood_fit
from .identity import DataIdentity
from .names import named_models
from .over_time import FusionOverTime, fit_over_time
from .result import FusionResult
from .window_bias import window_bias
from .wiring import wiring_warnings

Models = Iterable[ScoreModel | DiffusableLaw] | Mapping[str, ScoreModel | DiffusableLaw]
Objective = Literal["score_matching", "likelihood"]
T_MIN = 1e-3
_ROWS_FOR_HALVES = 64  # fewer say nothing about halves of the window
_OF_SCORE_MATCHING = (
    *("t_min", "t_max", "n_nodes", "estimator", "weighting", "n_noise", "bins", "smoothing"),
    *("evaluations", "weight_tol"),
)


class _Options(TypedDict, total=False):
    """Arguments of :func:`fuse` that do not decide what it returns."""

    process: Required[ForwardProcess]
    t_min: float | None
    t_max: float | None
    n_nodes: int
    objective: Objective
    estimator: Estimator
    weighting: Weighting
    smoothing: float
    solver: str | SimplexSolver
    tol: float
    n_noise: int
    sample_weight: Any
    condition: Any
    allow_inexact: bool
    check_models: bool
    progress: bool
    names: Iterable[str] | None
    evaluations: int | None
    weight_tol: float | None
    rng: SeedLike


@overload
def fuse(auxiliaries: Models, x: Any, *, bins: None = None, **options: Unpack[_Options]) -> FusionResult: ...
@overload
def fuse(auxiliaries: Models, x: Any, *, bins: int, **options: Unpack[_Options]) -> FusionOverTime: ...
def fuse(
    auxiliaries: Models,
    x: Any,
    *,
    process: ForwardProcess,
    t_min: float | None = None,
    t_max: float | None = None,
    n_nodes: int = 16,
    objective: Objective = "score_matching",
    estimator: Estimator = "antithetic",
    weighting: Weighting = "girsanov",
    bins: int | None = None,
    smoothing: float = 0.0,
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    n_noise: int = 1,
    sample_weight: Any = None,
    condition: Any = None,
    allow_inexact: bool = False,
    check_models: bool = True,
    progress: bool = False,
    names: Iterable[str] | None = None,
    evaluations: int | None = None,
    weight_tol: float | None = None,
    rng: SeedLike = None,
) -> FusionResult | FusionOverTime:
    """Fit simplex weights of auxiliary score models to target data by score matching.

    Parameters
    ----------
    auxiliaries : sequence or mapping of ScoreModel or diffusable laws
        The k models to fuse; laws (:class:`synthetic.GaussianMixture`, fitted Gaussian mixtures of scikit-learn) get
        their analytic scores. The keys of a mapping are their names.
    x : array_like, shape (n, d) or (n, ...)
        Samples of the target; images and the like are flattened.
    process : ForwardProcess
        The noising process that all models share.
    t_min, t_max : float
        Time window of the objective, by default from 1e-3 to the process's horizon, or as far as all models were
        trained (their ``t_range``). Short windows near 0 fit the weights of the KL barycenter; long ones those of the
        best fused law, which differ unless pooling and noise commute.
    n_nodes : int
        Gauss-Legendre nodes in log t; with bins, at least two in each.
    objective : {"score_matching", "likelihood"}
        ``likelihood`` fits the KL barycenter by maximum likelihood, with log Z by quadrature: only for laws that differ
        in at most two dimensions. It has no window, estimator, weighting or bins, and refuses them.
    estimator : {"antithetic", "dsm", "stein"}, another known name, or AbstractEstimator
        How the target's score enters; see :mod:`sfbench.statistics.estimators`.
    weighting : {"girsanov", "sigma2"} or function of t
    bins : int, optional
        Fit weights that change with time: constant in so many bins of equal length in log signal-to-noise ratio.
    smoothing : float
        How strongly weights of neighbouring bins are held together, relative to the objective of a bin.
    solver : str or SimplexSolver
        A name from :func:`solvers.known_solvers`, ``"module:name"`` of your own, or a solver with options such as
        ``solvers.cvxpy_conic.Cvxpy(constraints=lambda w: [w <= 0.5])``.
    tol : float
        Accepted duality gap relative to the problem's scale.
    n_noise : int
        Noise vectors per sample.
    sample_weight : array_like, shape (n,), optional
        How much each row counts, in weights, losses and the misfit test; whole numbers fit what repeated rows that
        share their noise would. Intervals are those of a weighted mean: repeating a row makes none shorter. Not for
        likelihoods, budgets and loaders.
    condition : int or array_like, shape (n, ...), optional
        Labels or embeddings of the rows, one for each, for models with ``score(x, t, condition=)``; models that take
        none are asked without. The weights are the same for all conditions. Not for likelihoods, budgets and loaders.
    allow_inexact : bool
        Return weights whose gap was not certified below ``tol`` instead of raising.
    check_models : bool
        Look on 32 rows whether a model that is not exact would denoise clearly better if it were called otherwise
        (:func:`sfbench.check_wiring`), for the evaluations of about 40 further rows. No weight depends on it.
    progress : bool
        Show how many of the ``2 k n n_noise n_nodes`` evaluations (half without antithetic noise) are done, and the
        time that is left; ``verbose`` elsewhere.
    names : sequence of str, optional
        Names of the models, for tables, warnings and files.
    evaluations : int, optional
        Make at most so many score evaluations: samples in random order, each at the nodes that matter
        (:mod:`sfbench.fusion.budget`). Costs as little as the pilot, some ``16 k n_nodes`` evaluations.
    weight_tol : float, optional
        Stop when no weight's 90 % interval is longer than this; a warning in the result says if the data, or the
        budget, end before.
    rng : Generator, int or None
        Noise, ``random_state`` or ``seed`` elsewhere: the same seed gives the same fit, None another one each time.

    Returns
    -------
    FusionResult, or FusionOverTime if ``bins`` is given

    Warns
    -----
    FitWarning
        For all that is kept in ``result.warnings``: models that look wired wrongly, with the likely cause; a window
        beyond their ``t_range``; weights at the boundary, not unique or not certified; few samples, outliers, window
        bias, a misfit. The adequacy of exact laws is computed when asked for, and said by ``summary`` alone.

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
    given, labels = named_models(auxiliaries, names)
    models = as_score_models(given, process)
    as_choice("objective", objective, ("score_matching", "likelihood"), GramError)
    backend = resolve_solver(_in_module(solver))  # an unknown name is refused before the pass over the data
    k = len(models)
    doubts = wiring_warnings(models, x, process, labels, condition) if as_flag("check_models", check_models) else ()
    first, last = T_MIN if t_min is None else t_min, process.horizon if t_max is None else t_max
    if objective != "likelihood":
        first, last, beyond = _trained_window(models, t_min, t_max, process.horizon)
        doubts = (*doubts, *beyond)
    announce(doubts)
    if objective == "likelihood":
        _refuse_ignored(t_min, t_max, n_nodes, estimator, weighting, n_noise, bins, smoothing, evaluations, weight_tol)
        _refuse_given("objective 'likelihood'", sample_weight, condition)
        data, keep = as_data(x, models[0].dim, getattr(models[0], "shape", None)), rows_to_keep(k, 1)
        answer, gram = likelihood_fit(given, data, solver=backend, tol=tol, keep=keep)
        settings = GramSettings(process, time_grid(first, last))
        result = _result(models, gram, answer, backend, settings, None, tol, allow_inexact, labels)
        return announced(replace(result, data=DataIdentity.of(data)))
    whole_pass = partial(
        score_statistics,
        given,
        x,
        sample_weight=sample_weight,
        condition=condition,
        show_progress=progress,
        rng=rng,
    )
    if bins is not None:
        if solver != "auto":
            raise GramError(f"weights over time have a solver of their own, got solver={solver!r}; leave it out")
        if evaluations is not None or weight_tol is not None:
            raise GramError("budgets are for constant weights; leave evaluations and weight_tol, or bins, out")
        edges, n_nodes = time_bins(process, first, last, bins), as_count("n_nodes", n_nodes, error=GridError)
        settings = GramSettings(process, binned_grid(edges, max(2, -(-n_nodes // bins))), estimator, weighting, n_noise)
        keep, by_part = rows_to_keep(k, bins), ResidualsByPart(settings, part_edges(len(settings.grid), bins))
        statistics = whole_pass(settings=settings, keep=keep, parts=bins, residuals=by_part)
        fit = fit_over_time(models, statistics, edges, smoothing, tol, allow_inexact, labels)
        fit = replace(fit, data=DataIdentity.of(x), warnings=(*doubts, *fit.warnings))
        return announced(_judged_over_time(fit, by_part, models, x, sample_weight), doubts)
    if smoothing:
        raise GramError(f"smoothing holds bins of time together; pass bins=8 with smoothing={smoothing!r}")
    settings = GramSettings(process, time_grid(first, last, n_nodes), estimator, weighting, n_noise)
    parts = 2 if len(settings.grid) > 1 and rows_to_keep(k, 2) >= _ROWS_FOR_HALVES else 1
    keep = rows_to_keep(k, parts)
    residuals, spent, rows = Residuals(settings), None, x
    short: tuple[str, ...] = ()
    if evaluations is None and weight_tol is None:
        statistics = whole_pass(settings=settings, keep=keep, parts=parts, residuals=residuals)
    else:
        _refuse_given("a fit on a budget", sample_weight, condition)
        budget = Budget(evaluations, weight_tol)
        spent = budgeted_statistics(given, x, settings, backend, budget, keep, parts, show_progress=progress, rng=rng)
        statistics, short = spent.statistics, spent.doubts(budget)
        rows = spent.some(x, k)
    result = fit_constant(models, statistics, backend, tol, allow_inexact, labels)
    if sample_weight is not None:
        sample_weight = as_sample_weight(sample_weight, statistics.n)
        effective = statistics.n**2 / float(sample_weight @ sample_weight)
        few = few_samples(effective, "as good as n =") if effective < statistics.n else ()
        result = replace(result, effective_n=effective, warnings=(*result.warnings, *few))
    judged: Adequacy | Callable[[], Adequacy]
    if residuals.n_rows:
        judged = adequacy(residuals, result.weights)
        short = (*short, *judged.doubts())
    else:
        judged = judged_later(models, rows, settings, result.weights, sample_weight)
    result = replace(
        result,
        data=DataIdentity.of(x),
        warnings=(*doubts, *short, *result.warnings),
        judged=judged,
        n_evaluations=None if spent is None else spent.evaluations,
    )
    return announced(result, doubts)


def _judged_over_time(
    fit: FusionOverTime, residuals: ResidualsByPart, models: tuple[ScoreModel, ...], x: Any, sample_weight: Any
) -> FusionOverTime:
    """The fit with its adequacy, found now if the pass has seen what it takes."""
    weights = fit.weights.weights
    if not residuals.n_rows:
        weight = None if sample_weight is None else as_sample_weight(sample_weight, fit.statistics.n)
        settings, edges = fit.statistics.settings, fit.statistics.edges
        return replace(fit, judged=judged_later(models, x, settings, weights, weight, edges))
    judged = adequacy(residuals, weights)
    return replace(fit, judged=judged, warnings=(*fit.warnings, *judged.doubts()))


def _in_module(solver: str | SimplexSolver) -> str | SimplexSolver:
    """The solver of a name such as ``module:name``; others as they are."""
    if not isinstance(solver, str) or ":" not in solver:
        return solver
    registry: Registry[Any] = Registry("solver", "sfbench.solvers", {})
    return cast(SimplexSolver, registry.make(solver))


def _trained_window(
    models: tuple[ScoreModel, ...], t_min: float | None, t_max: float | None, horizon: float
) -> tuple[float, float, tuple[str, ...]]:
    """The window with its default ends moved to where all models were trained, and a doubt if given ends leave that."""
    first, last = T_MIN if t_min is None else t_min, horizon if t_max is None else t_max
    ranges = [known for model in models if (known := getattr(model, "t_range", None)) is not None]
    if not ranges:
        return first, last, ()
    try:
        low, high = max(float(known[0]) for known in ranges), min(float(known[1]) for known in ranges)
    except (TypeError, ValueError, LookupError):
        raise ModelError(f"t_range of a model must be (first time, last time), got {ranges!r:.200}") from None
    if not low < high:
        raise GridError(f"no time is one that all models were trained for: their t_range are {ranges}")
    if t_min is None:
        first = max(first, low)
    if t_max is None:
        last = min(last, high)
    first, last = as_window(first, last)
    if low <= first and last <= high:
        return first, last, ()
    text = (
        f"the window [{first:.4g}, {last:.4g}] leaves [{low:.4g}, {high:.4g}], the times that all models were trained "
        "for (t_range): scores beyond are extrapolated"
    )
    return first, last, (text,)


def fit_constant(
    models: tuple[ScoreModel, ...],
    statistics: NodeStatistics,
    solver: SimplexSolver,
    tol: float,
    allow_inexact: bool,
    names: tuple[str, ...] = (),
) -> FusionResult:
    """Fit weights that do not change with time to the statistics of a window."""
    gram = statistics.at()
    answer = solve(gram.to_qp(), solver, tol=tol)
    return _result(models, gram, answer, solver, statistics.settings, statistics, tol, allow_inexact, names)


def _result(
    models: tuple[ScoreModel, ...],
    gram: ScoreGram,
    answer: SolverResult,
    backend: SimplexSolver,
    settings: GramSettings,
    statistics: NodeStatistics | None,
    tol: float,
    allow_inexact: bool,
    names: tuple[str, ...],
) -> FusionResult:
    if not answer.converged and not allow_inexact:
        raise InexactError(
            f"solver {answer.solver!r} left a duality gap of {answer.relative_gap:.3g} of the scale, above tol {tol:g}"
            f": {answer.status.value.split(':')[0]}; use solver='auto', raise tol, or pass allow_inexact=True to take "
            "the weights as they are"
        )
    weights, process, grid = np.asarray(answer.weights, dtype=np.float64), settings.process, settings.grid
    score = FusedScore(models, weights, process=process)
    halves = () if statistics is None else statistics.by_part()
    bias = window_bias(*halves, weights) if len(halves) == 2 else None
    warnings = fit_warnings(gram, answer, grid, bias, names)
    return FusionResult(weights, gram, answer, score, process, grid, warnings, bias, statistics, backend, names)


def _refuse_given(what: str, sample_weight: Any, condition: Any) -> None:
    for name, value in (("sample_weight", sample_weight), ("condition", condition)):
        if value is not None:
            raise GramError(f"{what} has no {name}: leave it out")


def _refuse_ignored(*values: object) -> None:
    """Refuse arguments of score matching that differ from their defaults."""
    defaults = signature(fuse).parameters
    for name, value in zip(_OF_SCORE_MATCHING, values, strict=True):
        if value is not defaults[name].default and not np.array_equal(value, defaults[name].default):  # type: ignore[arg-type]
            raise GramError(f"objective 'likelihood' has no {name} (got {value!r}): leave it out")
