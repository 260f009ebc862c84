r"""Guarantees, computed from a problem's own quantities and checked with no slack of our own.

Notation: ``J(w) = int_delta^T g^2/2 E||s_w - s*||^2 dt = w'Gw - 2b'w + c``, w* its minimiser on the simplex, w_hat that
of the empirical ``J_n``; P_w the law of the reverse SDE driven by s_w from the prior at T down to delta.

Each function returns a :class:`Bound` that states its guarantee kind:

- ``upper``: holds for every run (certificate) or with the stated probability;
- ``asymptotic``: a limit as n grows, tight but without a rate of approach.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike

from synthetic import Estimate, GaussianMixture, Law, LogLinearPool
from synthetic.quadrature import cover
from synthetic.subspace import common_subspace

from ._typing import Float64Array
from .errors import GramError, GridError
from .gram import Contributions, ScoreGram, tangent_basis
from .intervals import gradient_covariance
from .metrics import kl_divergence
from .metrics.reduction import mixtures_of
from .processes import ForwardProcess

Guarantee = Literal["upper", "asymptotic"]


@final
@dataclass(frozen=True)
class Bound:
    """A number that something must not exceed, and on what grounds.

    Attributes
    ----------
    value : float
    label : str
        What it bounds and how it is derived.
    guarantee : {"upper", "asymptotic"}
    assumptions : tuple of str
    """

    value: float
    label: str
    guarantee: Guarantee
    assumptions: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.value >= 0:  # also if it is NaN
            raise GramError(f"a bound must be a number of at least 0, got {self.value!r} ({self.label})")


@final
@dataclass(frozen=True)
class BoundCheck:
    """An observed quantity against its bound.

    ``slack`` is bound minus observation (less ``z`` standard errors of the latter); negative means violated.
    """

    observed: Estimate
    bound: Bound
    holds: bool
    slack: float


@final
@dataclass(frozen=True)
class ErrorTerms:
    """The separate contributions to the distance between target and fused law, in nats of KL.

    ``prior_mismatch + best_in_simplex + statistical_excess + optimiser_gap`` bounds the KL of the run.
    """

    prior_mismatch: float
    best_in_simplex: float
    statistical_excess: float
    optimiser_gap: float

    @property
    def total(self) -> float:
        """Sum of the terms."""
        return self.prior_mismatch + self.best_in_simplex + self.statistical_excess + self.optimiser_gap


def check(observed: Estimate | float, bound: Bound, *, z: float = 5.0) -> BoundCheck:
    """Compare an observation with a bound, allowing z standard errors of a Monte Carlo observation.

    Raises
    ------
    GramError, NotFiniteError
        For a negative z, or an observation that is not finite.
    """
    if not z >= 0:  # also if it is NaN
        raise GramError(f"z must be at least 0 standard errors, got {z!r}")
    estimate = observed if isinstance(observed, Estimate) else Estimate(float(observed))
    # Rounding of the observation itself: exact quantities may touch their bound.
    rounding = 1e-12 * max(1.0, abs(bound.value), abs(estimate.value))
    slack = bound.value - (estimate.value - z * estimate.stderr)
    return BoundCheck(estimate, bound, slack >= -rounding, slack)


def prior_mismatch(target: Law, process: ForwardProcess, t_max: float) -> Bound:
    r"""``KL(q_T || prior)``: what the reverse process loses by starting from the prior.

    **Guarantee**: upper, by convexity of KL: ``KL(sum_j w_j N_j || prior) <= sum_j w_j KL(N_j || prior)`` for a mixture
    (exact for a Gaussian), and ``E KL(N(alpha x_0, sigma^2 I) || prior)``, a second moment, for a pool.

    **Assumptions**: the target is a mixture, or a pool of rank at most 2.

    Raises
    ------
    GridError, GramError
        For a final time that is not positive and finite, or a target beyond the assumptions.
    """
    if not 0 < t_max < np.inf:
        raise GridError(f"t_max must be positive and finite, got {t_max!r}")
    alpha, sigma, std = float(process.alpha(t_max)), float(process.sigma(t_max)), process.prior_std(t_max)
    label = f"KL(q_T || prior) at T={t_max:g}"
    mixtures = mixtures_of(target)
    if not isinstance(target, LogLinearPool) and mixtures:
        noised = mixtures[0].diffuse(alpha, sigma)
        if isinstance(noised, GaussianMixture):
            pieces = [
                w * kl_divergence(_component(noised, j), process.prior(noised.dim, t_max)).value
                for j, w in enumerate(noised.weights)
                if w > 0
            ]
            return Bound(max(float(sum(pieces)), 0.0), label, "upper", ("convexity of KL over mixture components",))
        core = noised.core.affine(1.0, noised.frame.T @ noised.shift)  # the prior is centred in R^d
        pieces = [
            w * kl_divergence(_component(core, j), process.prior(core.dim, t_max)).value
            for j, w in enumerate(core.weights)
            if w > 0
        ]
        rest = noised.shift - noised.frame @ (noised.frame.T @ noised.shift)
        outside = _isotropic_kl(noised.variance, float(rest @ rest), std**2, noised.dim - core.dim)
        return Bound(
            max(float(sum(pieces)) + outside, 0.0), label, "upper", ("convexity of KL over mixture components",)
        )
    second, dim = _second_moment(target), target.dim
    value = _isotropic_kl(sigma**2, alpha**2 * second, std**2, dim)
    return Bound(max(value, 0.0), label, "upper", ("convexity of KL over x_0", "second moment by quadrature"))


def _component(mixture: GaussianMixture, j: int) -> GaussianMixture:
    return GaussianMixture([1.0], mixture.means[j : j + 1], mixture.covariances[j : j + 1])


def _isotropic_kl(variance: float, mean_square: float, prior_variance: float, dim: int) -> float:
    """``KL(N(m, v I) || N(0, p I))`` with ``|m|^2 = mean_square``."""
    ratio = (variance - prior_variance) / prior_variance
    return 0.5 * (dim * (ratio - float(np.log1p(ratio))) + mean_square / prior_variance)


def _second_moment(target: Law) -> float:
    """``E|x|^2`` of a pool of rank at most 2, by quadrature in its core and exactly in the complement."""
    subspace = common_subspace(mixtures_of(target)) if isinstance(target, LogLinearPool) else None
    if subspace is None or not isinstance(target, LogLinearPool) or subspace.rank > 2:
        raise GramError("the prior mismatch of this target needs a mixture, or a pool of rank at most 2")
    core = LogLinearPool(subspace.cores, target.weights)
    grid = cover(subspace.cores)
    mass = np.exp(core.log_prob(grid.nodes)) * grid.cell
    points = grid.nodes @ subspace.frame.T + subspace.shift
    inside = float(mass @ np.einsum("nd,nd->n", points, points))
    return inside + (0.0 if subspace.variance is None else subspace.variance * (target.dim - subspace.rank))


def instance_certificate(objective: float, mismatch: Bound) -> Bound:
    r"""``KL(q_delta || P_w) <= KL(q_T || prior) + J(w)``: Girsanov's theorem and the data processing inequality.

    **Guarantee**: upper, for any weights, score models and target. **Assumptions**: J(w) is the ``girsanov``-weighted
    objective with the target's true score on [delta, T], Novikov's condition, exact solution of the reverse SDE.

    Parameters
    ----------
    objective : float
        J(w), with its constant c: ``population.value(weights)`` of :func:`sfbench.population_gram`.
    mismatch : Bound
        :func:`prior_mismatch` at T.

    Raises
    ------
    GramError
        If J(w) is negative or not finite.
    """
    if not np.isfinite(objective) or objective < -1e-9:
        raise GramError(f"J(w) must be a finite non-negative number (with its constant c), got {objective!r}")
    label = "KL(q_delta || P_w) by Girsanov"
    value = max(objective, 0.0) + mismatch.value
    return Bound(value, label, "upper", ("girsanov weighting", "true target score", *mismatch.assumptions))


def total_variation_certificate(kl: Bound) -> Bound:
    """The smaller of ``sqrt(KL/2)`` (Pinsker) and ``sqrt(1 - exp(-KL))`` (Bretagnolle-Huber). **Guarantee**: upper."""
    pinsker = float(np.sqrt(0.5 * kl.value))
    bretagnolle_huber = float(np.sqrt(-np.expm1(-kl.value)))
    name = "Pinsker" if pinsker <= bretagnolle_huber else "Bretagnolle-Huber"
    return Bound(min(pinsker, bretagnolle_huber), f"TV by {name} from {kl.label}", "upper", kl.assumptions)


def slow_rate(moments: Contributions, n: int, delta: float = 0.05) -> Bound:
    r"""``J(w_hat) - J(w*) <= 2 sup_Delta |J_n - J|`` with probability ``1 - delta``.

    On the simplex ``||w|| <= 1``, so ``|J_n - J| = |w'(G_n - G)w - 2(b_n - b)'w| <= ||G_n - G||_F + 2||b_n - b||``. By
    Minkowski's and Markov's inequalities for second moments the right side is, with probability ``1 - delta``, at most
    ``sqrt(sum_ij Var g_ij / (n delta)) + 2 sqrt(sum_i Var b_i / (n delta))``.

    **Guarantee**: upper with probability ``1 - delta``, any target (the slow rate ``n^{-1/2}``, TV ``n^{-1/4}``).
    **Assumptions**: i.i.d. samples with finite fourth moments of scores; variances from an independent stream.

    Parameters
    ----------
    moments : Contributions
        Per-sample terms of an independent stream: ``score_gram(..., keep=n).contributions``.
    n : int
        Sample size of the fit.
    delta : float
        Probability with which the bound may fail.

    Raises
    ------
    GramError
        For ``n < 1``, delta outside (0, 1), or fewer than two rows of moments.
    """
    _check_n_delta(n, delta)
    _check_moments(moments)
    variance_g, variance_b = moments.variances()
    deviation = np.sqrt(variance_g.sum() / (n * delta)) + 2.0 * np.sqrt(variance_b.sum() / (n * delta))
    label = f"excess objective, slow rate, probability {1 - delta:g}"
    assumptions = ("i.i.d. samples", "second moments of per-sample statistics from an independent stream")
    return Bound(float(2.0 * deviation), label, "upper", assumptions)


def fast_rate(population: ScoreGram, moments: Contributions, n: int, weights: ArrayLike) -> Bound:
    r"""``n E[J(w_hat) - J(w*)] -> tr(H^+ S)/2`` for an interior optimum.

    H = 2G on the tangent space of the simplex, S the covariance of per-sample gradients at w*.

    **Guarantee**: asymptotic and tight (the fast rate ``n^{-1}``, TV ``n^{-1/2}``), for the mean of the excess.
    **Assumptions**: w* interior, G positive definite on the tangent space, i.i.d. samples.

    Parameters
    ----------
    population : ScoreGram
        Population statistics: their G.
    moments : Contributions
        Per-sample terms of an independent stream, for S.
    n : int
        Sample size of the fit.
    weights : array_like, shape (k,)
        The population optimum w*.

    Raises
    ------
    GramError
        For an optimum on the boundary or off the simplex, ``n < 1``, or fewer than two rows of moments.
    """
    _check_n_delta(n, 0.5)
    _check_moments(moments)
    w = _checked_weights(weights, population.k)
    if np.any(w <= 0):
        raise GramError(f"the fast rate needs an interior optimum; weight {int(np.argmin(w))} is {w.min():.3g}")
    basis = tangent_basis(population.k)
    H = basis.T @ (2.0 * population.G) @ basis
    S = basis.T @ gradient_covariance(moments, w) @ basis
    value = 0.5 * float(np.trace(np.linalg.pinv(H, hermitian=True) @ S)) / n
    assumptions = ("interior optimum", "positive definite Gram on the tangent space", "i.i.d. samples")
    return Bound(value, "expected excess objective, fast rate", "asymptotic", assumptions)


def error_terms(
    population: ScoreGram, weights: ArrayLike, optimum: ArrayLike, gap: float, mismatch: Bound
) -> ErrorTerms:
    """Separate the error of a run into its terms; the excess is that of the weights over the population optimum.

    Parameters
    ----------
    population : ScoreGram
        Population statistics with their constant c.
    weights, optimum : array_like, shape (k,)
        Fitted weights and population optimum.
    gap : float
        Certified duality gap of the fit.
    mismatch : Bound
        :func:`prior_mismatch` at T.

    Raises
    ------
    GramError
        If c is not known.
    """
    if population.c is None:
        raise GramError("error terms need the constant c of the objective: a target whose own score is known")
    best = max(population.value(optimum), 0.0)
    return ErrorTerms(mismatch.value, best, max(population.excess(weights, optimum), 0.0), float(gap))


def gaussian_fused_law(
    means: Float64Array, weights: ArrayLike, process: ForwardProcess, t_min: float, t_max: float
) -> tuple[Float64Array, float]:
    r"""Mean (d,) and variance of the fused law of unit isotropic Gaussians with the given means (k, d).

    With one covariance, ``s_w`` is the exact score of ``N(mu_w, I)`` under the process, so the reverse SDE applies the
    exact conditional law of X_delta given X_T to the prior:

        mean = alpha_d mu_w - r alpha_T mu_w,   variance = v_d - r^2 v_T + r^2 p,    r = v_d (alpha_T/alpha_d) / v_T,

    with ``v_t = alpha_t^2 + sigma_t^2`` and p the prior's variance.
    """
    if not 0 < t_min <= t_max < np.inf:
        raise GridError(f"need 0 < t_min <= t_max, both finite; got t_min={t_min!r}, t_max={t_max!r}")
    mu = _checked_weights(weights, len(means)) @ means
    a_d, a_T = float(process.alpha(t_min)), float(process.alpha(t_max))
    v_d, v_T = a_d**2 + float(process.sigma(t_min)) ** 2, a_T**2 + float(process.sigma(t_max)) ** 2
    r = v_d * (a_T / a_d) / v_T
    return (a_d - r * a_T) * mu, v_d + r**2 * (process.prior_std(t_max) ** 2 - v_T)


def _checked_weights(weights: ArrayLike, k: int) -> Float64Array:
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (k,):
        raise GramError(f"weights must have shape ({k},), got {w.shape}")
    if not np.all(np.isfinite(w)) or np.any(w < 0) or abs(float(w.sum()) - 1.0) > 1e-8:
        raise GramError(f"weights must be non-negative, finite and sum to 1; got {w.tolist()}")
    return w


def _check_moments(moments: Contributions) -> None:
    rows = len(moments.counts)
    if rows < 2:
        raise GramError(f"moments hold {rows} sample; their spread needs at least 2")


def _check_n_delta(n: int, delta: float) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise GramError(f"n must be an integer of at least 1, got {n!r}")
    if not 0 < delta < 1:
        raise GramError(f"delta must be strictly between 0 and 1, got {delta!r}")
