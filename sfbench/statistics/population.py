r"""Population statistics: the objective's exact G, b and c, without sampling.

- **Gaussian auxiliaries, mixture target**: closed form per time node, any dimension (:mod:`.affine`). The constant c
  has one when the target is Gaussian; for other targets it is computed if the next rule applies, else None.
- **Problems of rank 1 and 2** (see :mod:`synthetic.subspace`): quadrature. A mixture target has an analytic noised
  density. A pool ``p_w`` has not: its noised density and gradient are computed by a rule that stays accurate at both
  ends,

      q_t(y) = int p_w(x) N(y; alpha x, sigma^2) dx          on the pool's own grid, when sigma/alpha resolves it,
      q_t(y) = E_z p_w((y - sigma z)/alpha) / alpha^r        by Gauss-Hermite, when the noise is narrower than that.

The only error left is that of the time grid.
"""

from collections.abc import Callable, Sequence

import numpy as np

from solvers import solve
from synthetic import (
    GaussianMixture,
    IntractableError,
    Law,
    SyntheticProblem,
    as_gaussian_mixture,
    components_of,
)
from synthetic.quadrature import Grid, cover

from .._typing import Float64Array
from ..processes import ForwardProcess
from ..times import TimeGrid, Weighting, objective_weights
from .affine import Gaussians, are_gaussian, gaussian_moments
from .gram import ScoreGram

_HERMITE_NODES = {1: 32, 2: 12}
_LEAST_DENSITY = 1e-200
# The kernel form samples the noise kernel on the pool's grid, whose step is then at most a third of the kernel's width.
_RESOLVED = 3.0


def population_gram(
    problem: SyntheticProblem, *, process: ForwardProcess, grid: TimeGrid, weighting: Weighting = "girsanov"
) -> ScoreGram:
    """Exact statistics of a problem's objective (``n = 0``).

    Raises
    ------
    IntractableError
        If neither closed forms nor quadrature in rank 1 or 2 apply; estimate from an independent stream instead.
    """
    description = f"{process!r}, t in [{grid.nodes[0]:.6g}, {grid.nodes[-1]:.6g}], {len(grid)} nodes, population"
    node: Callable[[float, float], tuple[Float64Array, Float64Array, float | None]]
    target, subspace = problem.target, problem.subspace()
    mixture = as_gaussian_mixture(target) if are_gaussian(problem.auxiliaries) else None
    if mixture is not None and (mixture.n_components == 1 or subspace is None or subspace.rank > 2):
        node = _gaussian_node(problem.auxiliaries, mixture)  # type: ignore[arg-type]  # just checked
    else:
        node = _quadrature_node(problem)
    omega = objective_weights(grid, process, weighting)
    k = problem.k
    G, b, c = np.zeros((k, k)), np.zeros(k), 0.0
    known = True
    for t, factor in zip(grid.nodes, omega, strict=True):
        pairs, cross, constant = node(float(process.alpha(t)), float(process.sigma(t)))
        G += factor * pairs
        b += factor * cross
        known &= constant is not None
        c += factor * (constant or 0.0)
    return ScoreGram(0.5 * (G + G.T), b, c if known else None, 0, description)


def population_weights(
    problem: SyntheticProblem, *, process: ForwardProcess, grid: TimeGrid, weighting: Weighting = "girsanov"
) -> Float64Array:
    """Minimiser of the population objective on the simplex, (k,)."""
    gram = population_gram(problem, process=process, grid=grid, weighting=weighting)
    return np.asarray(solve(gram.to_qp(), "active_set").weights)


def _gaussian_node(
    auxiliaries: Sequence[GaussianMixture], target: GaussianMixture
) -> Callable[[float, float], tuple[Float64Array, Float64Array, float | None]]:
    k = len(auxiliaries)
    laws = (*auxiliaries, target) if target.n_components == 1 else tuple(auxiliaries)
    gaussians = Gaussians(laws)
    mean, covariance = gaussian_moments(target, dense=gaussians.dense)
    identity: Float64Array = np.eye(target.dim) if gaussians.dense else np.ones(target.dim)

    def node(alpha: float, sigma: float) -> tuple[Float64Array, Float64Array, float | None]:
        scores = gaussians.scores(alpha, sigma, mean)
        pairs, base = scores.expectations(np.zeros_like(mean), alpha**2 * covariance + sigma**2 * identity)
        # The score of a Gaussian target is the last of the affine scores.
        constant = float(pairs[k, k]) if len(laws) > k else None
        return pairs[:k, :k], (scores.traces - base)[:k], constant

    return node


def _quadrature_node(problem: SyntheticProblem) -> Callable[[float, float], tuple[Float64Array, Float64Array, float]]:
    subspace = problem.subspace()
    if subspace is None or subspace.rank > 2:
        raise IntractableError(
            f"{problem!r} has no population statistics in closed form or of rank at most 2; use score_gram on a large "
            "independent sample"
        )
    cores, target = subspace.cores[: problem.k], subspace.core_of(problem.target)
    return lambda alpha, sigma: _integrate(cores, target, alpha, sigma)


def _integrate(
    cores: Sequence[GaussianMixture], target: Law, alpha: float, sigma: float
) -> tuple[Float64Array, Float64Array, float]:
    noised = [core.diffuse(alpha, sigma) for core in cores]
    mixture = as_gaussian_mixture(target)
    if mixture is not None:
        law = mixture.diffuse(alpha, sigma)
        grid = cover([*noised, law])
        density, true_score = np.exp(law.log_prob(grid.nodes)), law.score(grid.nodes)
    else:
        grid = cover([*noised, *(part.diffuse(alpha, sigma) for part in components_of(target))])
        density, gradient = noised_pool(target, grid, alpha, sigma)
        true_score = np.where(density[:, None] > _LEAST_DENSITY, gradient / np.maximum(density, 1e-300)[:, None], 0.0)
    mass = density * grid.cell
    base = np.asarray(noised[0].score(grid.nodes))
    difference = np.stack([np.asarray(law.score(grid.nodes)) - base for law in noised])
    weighted = (difference * mass[:, None]).reshape(len(cores), -1)
    residual = true_score - base
    pairs = weighted @ difference.reshape(len(cores), -1).T
    return pairs, weighted @ residual.ravel(), float(mass @ np.einsum("nd,nd->n", residual, residual))


def noised_pool(pool: Law, grid: Grid, alpha: float, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Density (n,) of ``alpha X + sigma Z`` for X from a law of rank 1 or 2, and its gradient (n, r), on a grid."""
    source = cover([pool])
    steps = [axis[1] - axis[0] for axis in source.axes]
    if sigma >= _RESOLVED * alpha * max(steps):
        values = np.exp(pool.log_prob(source.nodes)).reshape(source.shape) * source.cell
        kernels, slopes = [], []
        for axis, points in zip(source.axes, grid.axes, strict=True):
            offset = (points[:, None] - alpha * axis[None]) / sigma
            kernel = np.exp(-0.5 * offset**2) / (sigma * np.sqrt(2 * np.pi))
            kernels.append(kernel)
            slopes.append(kernel * (-offset / sigma))
        density = _contract(values, kernels)
        gradient = [
            _contract(values, [slopes[f] if f == e else kernels[f] for f in range(len(kernels))])
            for e in range(len(kernels))
        ]
        return density.ravel(), np.column_stack([part.ravel() for part in gradient])
    r = len(source.axes)
    points, weights = np.polynomial.hermite_e.hermegauss(_HERMITE_NODES[r])
    weights = weights / np.sqrt(2 * np.pi)
    density, slope = np.zeros(len(grid.nodes)), np.zeros((len(grid.nodes), r))
    for index in np.ndindex(*([len(points)] * r)):
        where = (grid.nodes - sigma * points[list(index)]) / alpha
        share = float(np.prod(weights[list(index)])) / alpha**r * np.exp(pool.log_prob(where))
        density += share
        slope += share[:, None] * pool.score(where) / alpha
    return density, slope


def _contract(values: Float64Array, kernels: Sequence[Float64Array]) -> Float64Array:
    """Apply one kernel per axis of ``values``."""
    out = kernels[0] @ values
    return np.asarray(out if len(kernels) == 1 else out @ kernels[1].T)
