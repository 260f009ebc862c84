r"""Rates: how fast the fitted weights approach the best ones, with explicit constants.

Notation: ``J(w) = int_delta^T g^2/2 E||s_w - s*||^2 dt = w'Gw - 2b'w + c``, w* its minimiser on the simplex, w_hat that
of the empirical ``J_n``; P_w the law of the reverse SDE driven by s_w from the prior at T down to delta.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from .._internal.validation import as_count, as_kind, as_number, as_weights
from ..errors import GramError
from ..statistics.gram import Contributions, ScoreGram, tangent_basis
from .bound import Bound


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
    w = as_weights(weights, as_kind("population", population, ScoreGram, GramError).k, GramError)
    if np.any(w <= 0):
        raise GramError(f"the fast rate needs an interior optimum; weight {int(np.argmin(w))} is {w.min():.3g}")
    basis = tangent_basis(population.k)
    H = basis.T @ (2.0 * population.G) @ basis
    S = basis.T @ moments.gradient_covariance(w) @ basis
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
    gap = as_number("gap", gap, GramError)
    if as_kind("population", population, ScoreGram, GramError).c is None:
        raise GramError("error terms need the constant c of the objective: a target whose own score is known")
    best = max(population.value(optimum), 0.0)
    return ErrorTerms(
        as_kind("mismatch", mismatch, Bound, GramError).value,
        best,
        max(population.excess(weights, optimum), 0.0),
        float(gap),
    )


def _check_moments(moments: Contributions) -> None:
    if not isinstance(moments, Contributions):
        raise GramError(
            f"moments must be the contributions of a Gram, score_gram(..., keep=n).contributions; got {moments!r}"
        )
    rows = len(moments.counts)
    if rows < 2:
        raise GramError(f"moments hold {rows} sample; their spread needs at least 2")


def _check_n_delta(n: int, delta: float) -> None:
    as_count("n", n, at_most=10**18, error=GramError)
    if not 0 < as_number("delta", delta, GramError) < 1:
        raise GramError(f"delta must be strictly between 0 and 1, got {delta!r}")
