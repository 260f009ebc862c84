r"""Certificates of one run: the KL between target and fused law by Girsanov's theorem, and what follows from it.

    KL(q_delta || P_w) <= KL(q_T || prior) + J(w),      TV <= min( sqrt(KL/2), sqrt(1 - exp(-KL)) ),

with J the ``girsanov``-weighted objective on [delta, T], its constant included: for any weights, models and target.
A certificate needs the whole time integral: a rule of few nodes is short where components are narrow (16 nodes miss
0.5 % of J at standard deviation 0.02). :func:`certificate` integrates adaptively and adds the error that is left.
"""

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate, GaussianMixture, Law, SyntheticProblem, common_subspace
from synthetic.quadrature import cover

from .._internal.validation import as_kind, as_number, as_window
from ..errors import GramError, GridError
from ..metrics import kl_divergence
from ..processes import ForwardProcess
from ..processes.base import as_process
from ..processes.times import TimeGrid
from ..scores import WeightsOverTime
from ..scores.weights import as_schedule
from ..statistics import population_gram
from .bound import Bound

_ROUNDING = 16 * float(np.finfo(np.float64).eps)
_INTEGRAL_ERROR = 1e-4  # of J, relative: where the adaptive quadrature stops


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
    as_process(process)
    if not as_number("t_max", t_max, GridError) > 0:
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


def certificate(
    problem: SyntheticProblem,
    weights: ArrayLike | WeightsOverTime,
    *,
    process: ForwardProcess,
    t_min: float = 1e-3,
    t_max: float | None = None,
) -> Bound:
    r"""The certificate of a run on a problem with exact statistics: :func:`instance_certificate` with everything in it.

    **Guarantee**: upper, for any weights. **Assumptions**: those of :func:`instance_certificate` and of
    :func:`prior_mismatch`.

    Parameters
    ----------
    problem : SyntheticProblem
        With population statistics, their constant included (see :func:`sfbench.population_gram`).
    weights : array_like, shape (k,), or WeightsOverTime
    process : ForwardProcess
    t_min, t_max : float
        Window delta, T; ``t_max`` defaults to the process's horizon.

    Raises
    ------
    IntractableError, GramError
        If the problem's population statistics, their constant, or its prior mismatch are not known.
    """
    final = as_process(process).horizon if t_max is None else t_max
    objective = objective_integral(problem, weights, process, t_min, final)
    return instance_certificate(objective, prior_mismatch(problem.target, process, final))


def objective_integral(
    problem: SyntheticProblem,
    weights: ArrayLike | WeightsOverTime,
    process: ForwardProcess,
    t_min: float,
    t_max: float,
) -> Estimate:
    """``J(w)`` on the window by adaptive Gauss-Kronrod quadrature in log t, with a bound of its error as ``stderr``.

    Panels are halved until the error is below 1e-4 of J; about 15 to 200 population statistics of one node.

    Raises
    ------
    IntractableError, GramError
        If the population statistics, or their constant, are not known.
    """
    low, high = as_window(t_min, t_max)
    as_kind("problem", problem, SyntheticProblem, GramError)
    schedule = as_schedule(weights, problem.k)
    breaks = [float(t) for t in schedule.edges[1:-1] if low < t < high]

    largest = 0.0  # of the terms that cancel in J at a node

    def integrand(log_t: float) -> float:
        nonlocal largest
        t = float(np.exp(log_t))
        node = population_gram(problem, process=process, grid=TimeGrid(np.array([t]), np.array([t])))
        if node.c is None:
            raise GramError("J(w) needs its constant c: the target's own noised score is not known for this problem")
        largest = max(largest, node.c)
        return max(node.value(schedule(t)), 0.0)  # negative by rounding only

    value, error, report = scipy.integrate.quad_vec(
        integrand,
        np.log(low),
        np.log(high),
        epsrel=_INTEGRAL_ERROR,
        epsabs=1e-13,
        quadrature="gk15",
        limit=400,
        full_output=True,
        points=np.log(breaks),
    )
    rounding = _ROUNDING * largest * float(np.log(high / low))
    return Estimate(float(value), float(error) + rounding, int(report.neval), "adaptive quadrature, error bounded")


def instance_certificate(objective: Estimate | float, mismatch: Bound) -> Bound:
    r"""``KL(q_delta || P_w) <= KL(q_T || prior) + J(w)``: Girsanov's theorem and the data processing inequality.

    **Guarantee**: upper, for any weights, score models and target. **Assumptions**: J(w) is the ``girsanov``-weighted
    objective with the target's true score on [delta, T], Novikov's condition, exact solution of the reverse SDE.

    Parameters
    ----------
    objective : Estimate or float
        J(w), with its constant c. The error of an estimate (:func:`objective_integral`) is added; a bare number must be
        the whole integral.
    mismatch : Bound
        :func:`prior_mismatch` at T.

    Raises
    ------
    GramError
        If J(w) is negative or not finite.
    """
    given = objective if isinstance(objective, Estimate) else Estimate(as_number("J(w)", objective, GramError))
    if given.value < -1e-9:
        raise GramError(f"J(w) must be a finite non-negative number (with its constant c), got {given.value!r}")
    value = max(given.value, 0.0) + given.stderr + as_kind("mismatch", mismatch, Bound, GramError).value
    assumptions = ("girsanov weighting", "true target score", *mismatch.assumptions)
    return Bound(value, "KL(q_delta || P_w) by Girsanov", "upper", assumptions)


def total_variation_certificate(kl: Bound) -> Bound:
    """The smaller of ``sqrt(KL/2)`` (Pinsker) and ``sqrt(1 - exp(-KL))`` (Bretagnolle-Huber). **Guarantee**: upper."""
    as_kind("kl", kl, Bound, GramError)
    pinsker = float(np.sqrt(0.5 * kl.value))
    bretagnolle_huber = float(np.sqrt(-np.expm1(-kl.value)))
    name = "Pinsker" if pinsker <= bretagnolle_huber else "Bretagnolle-Huber"
    return Bound(min(pinsker, bretagnolle_huber), f"TV by {name} from {kl.label}", "upper", kl.assumptions)
