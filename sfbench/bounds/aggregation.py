r"""What more auxiliaries cost: bounds of the mean excess that hold for every n and for weights at the boundary.

Let ``xi = (G_n - G) w* - (b_n - b)``, half the noise of the gradient at the optimum w*, and ``D = w_hat - w*``. Where G
does not depend on the data (auxiliaries with one covariance), first-order optimality of w_hat gives

    J(w_hat) - J(w*)  <=  -2 <xi, D> - D'G D.                                                                (1)

**Split.** Eigenvectors of G on the tangent space of the simplex, largest eigenvalue first, part D into s directions and
the rest. In the former (1) is at most ``sum_j (u_j' xi)^2 / lambda_j``. In the latter, with Q the projection on them,
``-2 <Q xi, w_hat - w*>`` has a mean of at most ``2 E max_i (-Q xi)_i <= 2 max_i sd((Q xi)_i) sqrt(2 log k)``:

    E excess  <=  min_s [ sum_{j <= s} Var(u_j' xi) / (n lambda_j) + 2 max_i sd((Q_s xi)_i) sqrt(2 log k / n) ].

``s = 0`` is a slow rate without k/n, ``s = k - 1`` the limit of the fast rate; between them near-duplicates are free.

**Sparse.** D lies in the cone of feasible directions at w*. With ``G >= lambda I`` on the tangent space, (1) is at most
``dist(-xi, N)^2 / lambda``, N the normal cone: all entries ``tau`` on the support, at most ``tau`` off it. So with
``v_i = Var xi_i``

    E excess  <=  min_tau [ sum_{support} (v_i + tau^2) + sum_{rest} E (sqrt(v_i) g - tau)_+^2 ] / (n lambda),

about ``s log(k/s)`` in place of k for a target that needs s of k auxiliaries: the simplex selects by itself.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from .._internal.validation import as_count, as_kind, as_number, as_real, as_weights
from ..errors import GramError
from ..statistics.gram import ScoreGram, tangent_basis
from .bound import Bound

_NULL = 1e-12  # eigenvalues below this share of the largest are directions that change nothing


def aggregation_rate(
    population: ScoreGram,
    gradient_covariance: ArrayLike,
    n: int,
    weights: ArrayLike,
    *,
    delta: float | None = None,
) -> Bound:
    r"""Bound of ``E[J(w_hat) - J(w*)]``: the smaller of the split and the sparse bound above.

    **Guarantee**: upper, at every n, for the mean over data, or with ``delta`` for single fits with probability ``1 -
    delta`` (by Markov's inequality); w* may lie on the boundary and J(w*) may be positive.
    **Assumptions**: i.i.d. samples, a Gram matrix G that does not depend on the data, Gaussian gradient noise. With
    other auxiliaries G_n has noise too, and the bound is one up to terms of higher order in 1/n.

    Parameters
    ----------
    population : ScoreGram
        Population statistics: their G.
    gradient_covariance : array_like, shape (k, k)
        Covariance of the per-sample gradient of J at w*: ``moments.gradient_covariance(weights)``.
    n : int
        Sample size of the fit.
    weights : array_like, shape (k,)
        The population optimum w*; weights of zero are those that the sparse bound profits from.
    delta : float, optional
        Probability with which a bound of single fits may fail.

    Raises
    ------
    GramError
        For ``n < 1``, delta outside (0, 1), weights off the simplex, or a covariance that is not a (k, k) positive
        semidefinite matrix.

    Notes
    -----
    Costs ``O(k^3)``.
    """
    as_count("n", n, at_most=10**18, error=GramError)
    k = as_kind("population", population, ScoreGram, GramError).k
    w = as_weights(weights, k, GramError)
    if delta is not None and not 0 < as_number("delta", delta, GramError) < 1:
        raise GramError(f"delta must be strictly between 0 and 1, got {delta!r}")
    noise = 0.25 * _covariance(gradient_covariance, k)
    if k == 1:
        return _bound(0.0, "one auxiliary", delta)
    basis = tangent_basis(k)
    values, vectors = np.linalg.eigh(basis.T @ population.G @ basis)
    values, directions = values[::-1], basis @ vectors[:, ::-1]  # (k - 1,), (k, k - 1)
    rotated = directions.T @ noise @ directions
    split, s = _split(values, directions, rotated, n)
    sparse = _sparse(values[-1], values[0], np.einsum("ij,jl,il->i", directions, rotated, directions), w > 0) / n
    if sparse < split:
        return _bound(sparse, f"support of {int((w > 0).sum())} of {k}", delta)
    return _bound(split, f"effective dimension {s} of {k - 1}", delta)


def _split(values: Float64Array, directions: Float64Array, rotated: Float64Array, n: int) -> tuple[float, int]:
    """The split bound and its number of directions s."""
    k, count = len(directions), len(values)
    used = int((values > _NULL * max(values[0], 0.0)).sum())
    heads = np.concatenate([[0.0], np.cumsum(np.diag(rotated)[:used] / values[:used])]) / n
    # Variances of Q_s xi for every s: directions come back one by one, from the last.
    variances = np.zeros((count + 1, k))
    for s in range(count - 1, -1, -1):
        column = directions[:, s]
        crossed = directions[:, s + 1 :] @ rotated[s + 1 :, s]
        variances[s] = variances[s + 1] + column * (2.0 * crossed + column * rotated[s, s])
    tails = 2.0 * np.sqrt(np.maximum(variances[: used + 1].max(axis=1), 0.0) * (2.0 * np.log(k) / n))
    best = int(np.argmin(heads + tails))
    return float((heads + tails)[best]), best


def _sparse(least: float, largest: float, variances: Float64Array, support: np.ndarray) -> float:
    """The sparse bound times n; infinite where a direction changes nothing."""
    if least <= _NULL * largest:
        return float("inf")
    inside, outside = variances[support], np.sqrt(np.maximum(variances[~support], 0.0))

    def total(tau: float) -> float:
        ratio = tau / np.maximum(outside, np.finfo(float).tiny)
        density = np.exp(-0.5 * ratio**2) / np.sqrt(2.0 * np.pi)
        beyond = (outside**2 + tau**2) * scipy.special.ndtr(-ratio) - outside * tau * density
        return float((inside + tau**2).sum() + np.maximum(beyond, 0.0).sum())

    if not outside.size:
        return float(inside.sum()) / least
    highest = float(outside.max()) * np.sqrt(2.0 * np.log(len(variances)) + 1.0)
    found = scipy.optimize.minimize_scalar(total, bounds=(0.0, highest + np.finfo(float).tiny), method="bounded")
    return min(total(0.0), float(found.fun)) / least


def _covariance(given: ArrayLike, k: int) -> Float64Array:
    matrix = as_real("gradient_covariance", given, GramError).astype(np.float64)
    if matrix.shape != (k, k) or not np.all(np.isfinite(matrix)):
        raise GramError(f"gradient_covariance must be a finite matrix of shape ({k}, {k}), got shape {matrix.shape}")
    scale = float(np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > 1e-8 * scale:
        raise GramError(f"gradient_covariance must be symmetric; its largest entry is {scale:.3g}")
    if scale and np.linalg.eigvalsh(matrix / scale)[0] < -1e-8 * k:
        raise GramError("gradient_covariance must be positive semidefinite, as the covariance of anything is")
    return 0.5 * (matrix + matrix.T)


def _bound(mean: float, form: str, delta: float | None) -> Bound:
    assumptions = ("i.i.d. samples", "a Gram matrix that does not depend on the data", "Gaussian gradient noise")
    if delta is None:
        return Bound(mean, f"expected excess objective, {form}", "upper", assumptions)
    return Bound(mean / delta, f"excess objective, {form}, probability {1 - delta:g}", "upper", assumptions)
