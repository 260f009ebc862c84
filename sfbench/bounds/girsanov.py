r"""Certificates of one run: the KL between target and fused law by Girsanov's theorem, and what follows from it.

    KL(q_delta || P_w) <= KL(q_T || prior) + J(w),      TV <= min( sqrt(KL/2), sqrt(1 - exp(-KL)) ),

with J the ``girsanov``-weighted objective on [delta, T], its constant included: for any weights, models and target.
"""

import numpy as np

from synthetic import GaussianMixture, Law, common_subspace
from synthetic.quadrature import cover

from ..errors import GramError, GridError
from ..metrics import kl_divergence
from ..processes import ForwardProcess
from .bound import Bound


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
    mixture = target.as_mixture() if hasattr(target, "as_mixture") else None
    if mixture is not None:
        noised = mixture.diffuse(alpha, sigma)
        core, subspace, outside = noised.core, noised.subspace, 0.0
        if subspace is not None and subspace.variance is not None:  # the prior is centred in R^d
            inside = subspace.frame.T @ subspace.shift
            core, rest = core.affine(1.0, inside), subspace.shift - subspace.frame @ inside
            outside = _isotropic_kl(subspace.variance, float(rest @ rest), std**2, noised.dim - core.dim)
        pieces = [
            w * kl_divergence(_component(core, j), process.prior(core.dim, t_max)).value
            for j, w in enumerate(core.weights)
            if w > 0
        ]
        value = max(float(sum(pieces)) + outside, 0.0)
        return Bound(value, label, "upper", ("convexity of KL over mixture components",))
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
    subspace = common_subspace([target])
    if subspace is None or subspace.rank > 2:
        raise GramError("the prior mismatch of this target needs a mixture, or a pool of rank at most 2")
    core = subspace.core_of(target)
    grid = cover([core])
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
