r"""One run on a problem with exact truth, and every bound that applies to it.

The fit of n samples gives weights w; the problem gives the population objective J, its optimum w*, the noised target
``q_delta`` and, where the auxiliaries are Gaussian or differ in at most two dimensions, the fused law ``P_w`` itself
(:mod:`sfbench.laws`). Compared are

- ``girsanov``: ``KL(q_delta || P_w)`` and ``TV(q_delta, P_w)`` with the certificate and what follows from it;
- ``rates``: ``J(w) - J(w*)`` with the slow bound, and with the fast rate, which is the limit of its mean and bounds no
  single run;
- ``solver_gap``: the empirical objective at w, over its minimum, with the certified gap of the solver;
- ``aggregation``: ``J(w) - J(w*)`` with a bound that needs no interior optimum, where the Gram matrix is fixed;
- bounds of one's own: a function of the :class:`Run` that returns :class:`CheckedBound` items, under a name given to
  :func:`register_bound` or in the entry-point group ``sfbench.bounds``.

Laws with a common complement are compared in the coordinates in which they differ, where the same run takes place.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np

from solvers import solve
from synthetic import Estimate, IntractableError, Law, SyntheticProblem, as_gaussian_mixture
from synthetic.quadrature import Grid

from .._internal.aliases import Float64Array, FloatArray
from .._internal.lazy import Registry
from .._internal.validation import as_kind
from ..errors import GramError, SfbenchError
from ..fusion import FusionResult, fuse
from ..metrics import kl_divergence, total_variation
from ..processes import ForwardProcess, OrnsteinUhlenbeck
from ..processes.base import as_process
from ..processes.times import time_grid
from ..scores import FusedScore
from ..statistics.affine import are_gaussian
from ..statistics.estimators import Estimator
from ..statistics.gram import Contributions, ScoreGram
from ..statistics.passes import simulated_grams
from ..statistics.population import noised_pool, population_gram
from ..statistics.settings import GramSettings
from .aggregation import aggregation_rate
from .bound import Bound, BoundCheck, check
from .girsanov import certificate, total_variation_certificate
from .rates import fast_rate, slow_rate

_MOMENT_SAMPLES = 20_000
_DELTA = 0.05
_FIXED = 1e-20  # relative variance of entries of the Gram matrix that is rounding
_POINTS = 1024  # at which a noised pool is evaluated at a time


@final
@dataclass(frozen=True)
class CheckedBound:
    """One comparison, or the reason why there is none.

    ``asserted`` says whether a violation is a fault: an asymptotic rate is reported only.
    """

    quantity: str
    check: BoundCheck | None
    reason: str = ""

    @property
    def asserted(self) -> bool:
        """Whether the bound must hold."""
        return self.check is not None and self.check.bound.guarantee == "upper"

    @property
    def violated(self) -> bool:
        """Whether a bound that must hold does not."""
        return self.check is not None and self.asserted and not self.check.holds

    def __repr__(self) -> str:
        return f"{self.quantity}: {self.reason if self.check is None else self.check}"


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A fit to samples of a problem, and the exact quantities that bounds of it are made of.

    Attributes
    ----------
    problem : SyntheticProblem
    result : FusionResult
        The fit, whose ``process``, ``weights``, ``gram`` and ``solver`` a bound may use.
    t_min, t_max : float
        Its window.
    independent : ScoreGram
        Statistics of 20,000 samples that the fit has not seen.
    """

    problem: SyntheticProblem
    result: FusionResult
    t_min: float
    t_max: float
    independent: ScoreGram

    @property
    def weights(self) -> Float64Array:
        """The fitted weights w, (k,)."""
        return self.result.weights

    @property
    def moments(self) -> Contributions:
        """Per-sample terms of the independent samples."""
        assert self.independent.contributions is not None
        return self.independent.contributions

    @cached_property
    def population(self) -> ScoreGram | None:
        """Population statistics on the nodes of the fit; None where they are not known."""
        try:
            return population_gram(self.problem, process=self.result.process, grid=self.result.grid)
        except IntractableError:
            return None

    @cached_property
    def exact(self) -> ScoreGram:
        """Population statistics, or those of the independent samples in their place."""
        return self.independent if self.population is None else self.population

    @cached_property
    def optimum(self) -> Float64Array:
        """The weights w* that :attr:`exact` asks for, (k,)."""
        return np.asarray(solve(self.exact.to_qp(), "active_set", tol=1e-12).weights)

    @cached_property
    def excess(self) -> Estimate:
        """``J(w) - J(w*)``."""
        excess = Estimate(max(self.exact.excess(self.weights, self.optimum), 0.0))
        if self.population is not None:
            return excess
        # Linear in the statistics of the independent samples, whose spread is known.
        step, moments = self.weights - self.optimum, self.moments
        terms = moments.g @ step @ step + 2.0 * (moments.g @ self.optimum - moments.b) @ step
        error = float(np.sqrt(terms.var(ddof=1) / len(terms)))
        return replace(excess, stderr=error, n=len(terms), method="independent stream")


_BOUNDS: Registry[Callable[[Run], Iterable[CheckedBound]]] = Registry(
    "bound",
    "sfbench.bounds",
    {
        "girsanov": "sfbench.bounds.checks:girsanov",
        "rates": "sfbench.bounds.checks:rates",
        "solver_gap": "sfbench.bounds.checks:solver_gap",
        "aggregation": "sfbench.bounds.checks:aggregation",
    },
)
known_bounds = _BOUNDS.names
register_bound = _BOUNDS.register


def check_bounds(
    problem: SyntheticProblem,
    *,
    n: int = 1024,
    process: ForwardProcess | None = None,
    t_min: float = 1e-3,
    t_max: float | None = None,
    estimator: Estimator = "antithetic",
    solver: str = "auto",
    seed: int = 0,
) -> tuple[FusionResult, list[CheckedBound]]:
    """Fit a problem's weights to n samples and check every bound against the truth.

    Parameters
    ----------
    problem : SyntheticProblem
    n : int
        Target samples of the fit.
    process : ForwardProcess, optional
        Default: Ornstein-Uhlenbeck.
    t_min, t_max, estimator, solver
        As in :func:`sfbench.fuse`.
    seed : int
        Seed of data, noise, and the independent stream that moments come from.
    """
    as_kind("problem", problem, SyntheticProblem)
    process = OrnsteinUhlenbeck() if process is None else as_process(process)
    final_time = process.horizon if t_max is None else t_max
    data, noise, stream = np.random.default_rng(seed).spawn(3)
    result = fuse(
        problem.auxiliaries,
        problem.target.sample(n, rng=data),
        process=process,
        t_min=t_min,
        t_max=final_time,
        estimator=estimator,
        solver=solver,
        rng=noise,
    )
    settings = GramSettings(process, result.grid, estimator)
    independent = simulated_grams(
        problem.auxiliaries, problem.target, settings, [_MOMENT_SAMPLES], keep=_MOMENT_SAMPLES, rng=stream
    )[0]
    run = Run(problem, result, t_min, final_time, independent)
    return result, [row for name in known_bounds() for row in _checked(name, run)]


def check_cost(
    k: int, n: int, process: ForwardProcess, *, t_min: float, t_max: float | None, estimator: Estimator
) -> int:
    """Score evaluations of :func:`check_bounds` with k auxiliaries, beside those of exact quantities."""
    grid = time_grid(t_min, process.horizon if t_max is None else t_max)
    return GramSettings(process, grid, estimator).evaluations(k, n + _MOMENT_SAMPLES)


def _checked(name: str, run: Run) -> list[CheckedBound]:
    rows = list(_BOUNDS[name](run))
    for row in rows:
        if not isinstance(row, CheckedBound):
            raise SfbenchError(f"bound {name!r} must return CheckedBound items, got {row!r}")
    return rows


# ---------------------------------------------------------------------- the certificate of the run
def girsanov(run: Run) -> list[CheckedBound]:
    """KL and TV between the noised target and the fused law, and their certificates."""
    names = ("KL(q_delta || P_w)", "TV(q_delta, P_w)")
    core, process = _core_problem(run.problem), run.result.process
    try:
        kl_bound = certificate(core, run.weights, process=process, t_min=run.t_min, t_max=run.t_max)
        observed = _fused_against_target(core, run.weights, process, run.t_min, run.t_max)
    except (IntractableError, GramError) as error:
        return [CheckedBound(name, None, str(error)) for name in names]
    limits = (kl_bound, total_variation_certificate(kl_bound))
    return [
        CheckedBound(name, None, "not computed in the plane")
        if value is None
        else CheckedBound(name, check(value, bound))
        for name, value, bound in zip(names, observed, limits, strict=True)
    ]


def _core_problem(problem: SyntheticProblem) -> SyntheticProblem:
    """The problem in the coordinates in which its laws differ, if there are at most two."""
    subspace = problem.subspace()
    if subspace is None or subspace.rank > 2:
        return problem
    return replace(problem, target=subspace.core_of(problem.target), auxiliaries=subspace.cores[: problem.k])


def _fused_against_target(
    problem: SyntheticProblem, weights: Float64Array, process: ForwardProcess, t_min: float, t_max: float
) -> tuple[Estimate | None, Estimate]:
    """KL and TV between the noised target and the exact fused law."""
    from .. import laws  # brings solvers of differential equations

    alpha, sigma = float(process.alpha(t_min)), float(process.sigma(t_min))
    gaussians = [law for law in map(as_gaussian_mixture, problem.auxiliaries) if law is not None]
    target = as_gaussian_mixture(problem.target)
    if are_gaussian(gaussians) and len(gaussians) == problem.k and target is not None:
        fused = laws.affine_fused_law(gaussians, weights, process=process, t_min=t_min, t_max=t_max)
        noised = target.diffuse(alpha, sigma)
        return kl_divergence(noised, fused), total_variation(noised, fused)
    if problem.dim > 2:
        raise IntractableError("the exact fused law needs Gaussians, or laws that differ in at most two dimensions")
    score = FusedScore(problem.auxiliaries, weights, process=process)
    truth = _NoisedTarget(problem.target, alpha, sigma)
    if problem.dim == 1:
        line = laws.fokker_planck_1d(score, t_min=t_min, t_max=t_max)
        return line.kl_from(truth), line.total_variation(truth)
    return None, laws.fokker_planck_2d(score, t_min=t_min, t_max=t_max).total_variation(truth)


@final
@dataclass(frozen=True, eq=False)
class _NoisedTarget:
    """Law of ``alpha X + sigma Z`` for a mixture or a pool of rank 1 or 2."""

    law: Law
    alpha: float
    sigma: float

    def log_prob(self, x: Float64Array) -> FloatArray:
        """Log density at points (n, r); in the plane those of a tensor grid."""
        mixture = as_gaussian_mixture(self.law)
        if mixture is not None:
            return mixture.diffuse(self.alpha, self.sigma).log_prob(x)
        if x.shape[1] == 1:
            parts = [x[i : i + _POINTS] for i in range(0, len(x), _POINTS)]
            grids = [Grid((part[:, 0],), part, 1.0) for part in parts]
        else:
            grids = [Grid((np.unique(x[:, 0]), np.unique(x[:, 1])), x, 1.0)]
        density = np.concatenate([noised_pool(self.law, grid, self.alpha, self.sigma)[0] for grid in grids])
        return np.asarray(np.log(np.maximum(density, 1e-320)))


# ---------------------------------------------------------------------- statistics and optimiser
def rates(run: Run) -> list[CheckedBound]:
    """The excess objective against the slow bound and, for an interior optimum, the fast rate."""
    name, n = "J(w) - J(w*)", run.result.gram.n
    slow = slow_rate(run.moments, n, _DELTA)
    gap = "the solver's certified gap added"
    slow = replace(slow, value=slow.value + run.result.solver.gap, assumptions=(*slow.assumptions, gap))
    rows = [CheckedBound(name, check(run.excess, slow))]
    if run.problem.k < 2:
        return [*rows, CheckedBound(name, None, "one auxiliary: nothing to learn")]
    try:
        fast = fast_rate(run.exact, run.moments, n, run.optimum)
    except GramError as error:
        return [*rows, CheckedBound(name, None, str(error))]
    return [*rows, CheckedBound(name, check(run.excess, fast))]


def solver_gap(run: Run) -> list[CheckedBound]:
    """The empirical objective over its minimum against the gap that the solver certified."""
    gram, solver = run.result.gram, run.result.solver
    reference = solve(gram.to_qp(), "active_set", tol=1e-12)
    observed = max(gram.excess(run.weights, reference.weights), 0.0)
    label = f"certified gap of solver {solver.solver!r}"
    gap = Bound(max(solver.gap, 0.0), label, "upper", ("convexity of the empirical objective",))
    # Where the fit is exact both sides are rounding of the objective.
    rounding = 1e-12 * max(1.0, float(np.abs(gram.G).max()))
    return [CheckedBound("J_n(w) - min J_n", check(0.0 if observed <= rounding else observed, gap))]


def aggregation(run: Run) -> list[CheckedBound]:
    """The excess objective against the aggregation bound, where the Gram matrix does not depend on the data."""
    name, gap = "J(w) - J(w*)", run.result.solver.gap
    if run.moments.variances()[0].max() > _FIXED * np.square(run.exact.G).max():
        return [CheckedBound(name, None, "the aggregation bound needs a Gram matrix that does not depend on the data")]
    covariance = run.moments.gradient_covariance(run.optimum)
    found = aggregation_rate(run.exact, covariance, run.result.gram.n, run.optimum, delta=_DELTA)
    assumptions = (*found.assumptions, "the solver's certified gap added")
    return [CheckedBound(name, check(run.excess, replace(found, value=found.value + gap, assumptions=assumptions)))]
