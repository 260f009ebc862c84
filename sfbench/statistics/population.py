r"""Population statistics: the objective's exact G, b and c, without sampling.

- **Gaussian auxiliaries, mixture target**: closed form per time node, any dimension (:mod:`.affine`). The constant c
  has one when the target is Gaussian; for other targets it is computed if the next rule applies, else None.
- **Problems of rank 1 and 2** (see :mod:`synthetic.subspace`): quadrature. A mixture target has an analytic noised
  density. A pool ``p_w`` has not: its noised density ``q_t(y) = int p_w(x) N(y; alpha x, sigma^2) dx`` is a Fourier
  sum over those frequencies that the noise leaves something of, from the pool on its own grid. Where the noise is
  narrower than the steps of that grid, it is refined in the plane; on the line, Gauss-Hermite quadrature over the noise
  is then cheaper.

The only error left is that of the time grid: finer grids in space move G, b and c by less than 1e-12 of their size (by
1e-10 where auxiliaries and target have become alike and these are differences of nearly equal numbers).
"""

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

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

from .._internal.aliases import Float64Array
from ..errors import GramError
from ..processes import ForwardProcess
from ..processes.times import TimeGrid, Weighting
from .affine import Gaussians, are_gaussian, gaussian_moments
from .gram import ScoreGram
from .settings import GramSettings

_HERMITE_NODES = 32
_LEAST_DENSITY = 1e-13  # of the largest: below, rounding of the band-limited kernel is seen
_FINER = 2.0
_REACH = 12.0  # standard deviations after which noise is gone
_WIDE = 3.0  # steps of the pool's grid: noise of that width hides the frequencies that the grid misses


def population_gram(
    problem: SyntheticProblem, *, process: ForwardProcess, grid: TimeGrid, weighting: Weighting = "girsanov"
) -> ScoreGram:
    """Exact statistics of a problem's objective (``n = 0``).

    Raises
    ------
    GramError, GridError
        For arguments that are not a problem, process, grid or weighting.
    IntractableError
        If neither closed forms nor quadrature in rank 1 or 2 apply; estimate from an independent stream instead.
    """
    settings = GramSettings(process, grid, weighting=weighting)  # refuses what is not a process, a grid, a weighting
    if not isinstance(problem, SyntheticProblem):
        raise GramError(f"problem must be a SyntheticProblem, as from make_problem, got a {type(problem).__name__}")
    description = f"{process!r}, t in [{grid.nodes[0]:.6g}, {grid.nodes[-1]:.6g}], {len(grid)} nodes, population"
    node: Callable[[float, float], tuple[Float64Array, Float64Array, float | None]]
    target, subspace = problem.target, problem.subspace()
    mixture = as_gaussian_mixture(target) if are_gaussian(problem.auxiliaries) else None
    if mixture is not None and (mixture.n_components == 1 or subspace is None or subspace.rank > 2):
        node = _gaussian_node(problem.auxiliaries, mixture)  # type: ignore[arg-type]  # just checked
    else:
        node = _quadrature_node(problem)
    k = problem.k
    G, b, c = np.zeros((k, k)), np.zeros(k), 0.0
    known = True
    for coefficients, factor in zip(settings.coefficients, settings.omega, strict=True):
        pairs, cross, constant = node(*coefficients)
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
        density = np.exp(law.log_prob(grid.nodes))
        gradient = density[:, None] * law.score(grid.nodes)
    else:
        grid = cover([*noised, *(part.diffuse(alpha, sigma) for part in components_of(target))])
        density, gradient = noised_pool(target, grid, alpha, sigma)
    base = np.asarray(noised[0].score(grid.nodes))
    difference = np.stack([np.asarray(law.score(grid.nodes)) - base for law in noised]).reshape(len(cores), -1)
    pairs = (difference * np.repeat(density, base.shape[1])) @ difference.T
    residual = gradient - density[:, None] * base  # density times (s* - s_0): nothing is divided
    seen = density > _LEAST_DENSITY * density.max()
    constant = float((residual[seen] ** 2).sum(axis=1) @ (1.0 / density[seen]))
    return grid.cell * pairs, grid.cell * difference @ residual.ravel(), grid.cell * constant


def noised_pool(pool: Law, grid: Grid, alpha: float, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Density (n,) of ``alpha X + sigma Z`` for X from a law of rank 1 or 2, and its gradient (n, r), on a grid.

    Errors are about 1e-15 of the largest density, so that values far below that are noise.
    """
    source = cover([pool])
    if len(source.axes) == 1 and sigma < _WIDE * alpha * (source.axes[0][1] - source.axes[0][0]):
        return _by_hermite(pool, grid, alpha, sigma)
    if sigma < _WIDE * alpha * max(axis[1] - axis[0] for axis in source.axes):
        source = cover([pool], refine=_FINER)
    values = np.exp(pool.log_prob(source.nodes)).reshape(source.shape) * source.cell
    noises = [_Noise(*axes, alpha, sigma) for axes in zip(source.axes, grid.axes, strict=True)]

    def field(e: int | None = None) -> Float64Array:
        """The noised density, or its slope along one axis."""
        found = values
        for f, noise in enumerate(noises):  # each moves its axis to the end
            found = np.moveaxis(noise.spread(found, slope=e == f), 0, -1)
        return found.ravel()

    return field(), np.column_stack([field(e) for e in range(len(noises))])


@final
class _Noise:
    """The kernel ``N(y; alpha x, sigma^2)`` from nodes x of an axis to points y (p,), as a Fourier sum.

    Less the frequencies that the noise leaves nothing of, or the axis misses. ``exp(2 pi i m y / n)`` of a frequency m
    is a product of two of which there are few: no matrix of points and frequencies is needed.
    """

    def __init__(self, axis: Float64Array, points: Float64Array, alpha: float, sigma: float) -> None:
        step, noise = float(axis[-1] - axis[0]) / (len(axis) - 1), sigma / alpha  # a difference has fewer digits
        margin = _REACH * noise / step
        self.n = n = len(axis) + int(np.ceil(2.0 * margin))  # the period, in steps
        wanted = min((n + 1) // 2, 2 + int(_REACH / noise * n * step / (2.0 * np.pi)))
        self.few = few = int(np.ceil(np.sqrt(wanted)))
        m = np.arange(few * few)
        k = 2.0 * np.pi / (n * step) * m
        self.share = (m < wanted) * np.where(m > 0, 2.0, 1.0) / (alpha * n * step) * np.exp(-0.5 * (k * noise) ** 2)
        self.slope = 1j * k / alpha
        places = (points / alpha - axis[0]) / step
        self.since, self.to = self._phases(np.arange(float(len(axis)))), self._phases(places)
        self.to[1][(places < -margin) | (places > len(axis) - 1 + margin)] = 0.0  # where the next period would be seen

    def _phases(self, places: Float64Array) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Phases of the first few frequencies, and of their multiples by few, at places in steps."""
        whole, few = np.rint(places), np.arange(self.few)

        def turned(m: NDArray[np.int64]) -> NDArray[np.complex128]:  # whole turns are taken off exactly
            turns = np.outer(whole, m) % self.n + np.outer(places - whole, m)
            return np.asarray(np.exp(2j * np.pi / self.n * turns))

        return turned(few), turned(self.few * few)

    def spread(self, values: Float64Array, *, slope: bool) -> Float64Array:
        """Sums (p, ...) of values (n, ...) on the axis over the kernel or its slope in y."""
        shares = self.share * self.slope if slope else self.share
        if values.ndim == 1:  # no matrix of nodes and frequencies is made
            (low, high), (to_low, to_high) = self.since, self.to
            waves = (low.conj().T * values) @ high.conj() * shares.reshape(self.few, self.few).T
            return np.asarray(((to_low @ waves) * to_high).sum(axis=1).real)
        since, to = ((high[:, :, None] * low[:, None, :]).reshape(len(low), -1) for low, high in (self.since, self.to))
        waves = shares[:, None] * (since.real.T @ values - 1j * (since.imag.T @ values))
        return np.asarray(to.real @ waves.real - to.imag @ waves.imag)


def _by_hermite(pool: Law, grid: Grid, alpha: float, sigma: float) -> tuple[Float64Array, Float64Array]:
    """The noised density and its slope on a grid of the line, for noise narrower than the pool."""
    points, weights = np.polynomial.hermite_e.hermegauss(_HERMITE_NODES)
    density, slope = np.zeros(len(grid.nodes)), np.zeros((len(grid.nodes), 1))
    for z, weight in zip(points.tolist(), (weights / np.sqrt(2 * np.pi)).tolist(), strict=True):
        where = (grid.nodes - sigma * z) / alpha
        share = weight / alpha * np.exp(pool.log_prob(where))
        density += share
        slope += share[:, None] * pool.score(where) / alpha
    return density, slope
