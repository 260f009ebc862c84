r"""The law of the reverse SDE in the plane, and of fused laws that reduce to the line or the plane.

The same finite volumes as on the line, dimension by dimension: a step is half an implicit step along x, one along y,
half along x (Strang splitting), each with Chang-Cooper fluxes, so mass and positivity are kept. Runs with s and 2 s
steps are extrapolated geometrically. Cells are uniform on a rectangle that a coarse run finds.

Auxiliaries that differ in a plane (:func:`synthetic.common_subspace`) have a fused law that is the plane's times their
common Gaussian complement, so total variations in R^d are those of the plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import EmbeddedMixture, Estimate, GaussianMixture, IntractableError, common_subspace

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_points
from ..errors import GridError, ModelError, NotFiniteError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps, time_steps
from ..scores import FusedScore, ScoreModel
from .fokker_planck_line import bernoulli, check_cells, extrapolated, fokker_planck_1d, known_process
from .grid_density import GridDensity

_LEAKAGE = 1e-8
_MOST_DOUBLINGS = 8


@final
@dataclass(frozen=True, eq=False)
class PlanarDensity:
    """Piecewise constant density on a rectangle.

    Attributes
    ----------
    x_edges, y_edges : array (a + 1,), (b + 1,)
        Increasing, evenly spaced cell edges.
    density : array (a, b)
        Cell averages; they integrate to one.
    error : float
        Estimate of the total variation to the law meant.
    method : str
        How it was computed.
    """

    x_edges: Float64Array
    y_edges: Float64Array
    density: Float64Array
    error: float
    method: str

    @property
    def dim(self) -> int:
        """2."""
        return 2

    @property
    def cell(self) -> float:
        """Area of a cell."""
        return float((self.x_edges[1] - self.x_edges[0]) * (self.y_edges[1] - self.y_edges[0]))

    @property
    def centres(self) -> Float64Array:
        """Cell midpoints (a b, 2)."""
        return _points(_middles(self.x_edges), _middles(self.y_edges))

    def raw_moments(self, of: object = None) -> tuple[Float64Array, Float64Array]:
        """Means of x and x^2, each (2,); ``of`` is for laws made of others."""
        masses = self.density.ravel() * self.cell
        return masses @ self.centres, masses @ self.centres**2

    def marginal(self, axis: int) -> GridDensity:
        """Law of one coordinate, 0 or 1."""
        edges = (self.x_edges, self.y_edges)[axis]
        return GridDensity(edges, self.density.sum(axis=1 - axis), self.error, self.method)

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log of the density interpolated between midpoints of cells, at x (n, 2), shape (n,); -inf beyond them."""
        points = as_points("x", x, 2, GridError)
        axes = (_middles(self.x_edges), _middles(self.y_edges))
        inside = scipy.interpolate.RegularGridInterpolator(axes, self.density, bounds_error=False, fill_value=0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(inside(points)))

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draws (n, 2) of the interpolated density: a midpoint, and a triangular deviation along each axis."""
        generator = as_generator(rng)
        chosen = generator.choice(
            self.density.size, size=as_count("n", n, at_least=0), p=self.density.ravel() * self.cell
        )
        sides = [self.x_edges[1] - self.x_edges[0], self.y_edges[1] - self.y_edges[0]]
        deviation = generator.random((2, len(chosen), 2)).sum(axis=0) - 1.0
        return np.asarray(self.centres[chosen] + deviation * sides)

    def total_variation(self, other: Any) -> Estimate:
        """Total variation to a law on R^2 with ``log_prob``; ``stderr`` is the error of this density."""
        masses = np.exp(np.asarray(other.log_prob(self.centres), np.float64)) * self.cell
        gap = float(np.abs(self.density.ravel() * self.cell - masses).sum()) + abs(1.0 - float(masses.sum()))
        return Estimate(0.5 * gap, self.error, self.density.size, self.method)


def fused_law(
    auxiliaries: Sequence[GaussianMixture | EmbeddedMixture],
    weights: Sequence[float] | Float64Array,
    *,
    process: ForwardProcess,
    **options: Any,
) -> GridDensity | PlanarDensity:
    """Fused law ``P_w`` of laws that differ in at most two dimensions, in the coordinates of their common subspace.

    ``options`` go to the solver. The prior is taken to be centred in those coordinates; the offset of their origin is
    scaled by ``alpha_T``.

    Raises
    ------
    IntractableError
        If the laws share no subspace of at most two dimensions.
    """
    subspace = common_subspace(auxiliaries)
    if subspace is None or subspace.rank > 2:
        raise IntractableError(
            "the exact fused law needs auxiliaries that differ in at most two dimensions; sample it instead"
        )
    fused = FusedScore(subspace.cores, weights, process=process)
    return fokker_planck_1d(fused, **options) if subspace.rank == 1 else fokker_planck_2d(fused, **options)


def fokker_planck_2d(
    score: ScoreModel,
    *,
    process: ForwardProcess | None = None,
    n_cells: int = 160,
    steps: TimeSteps | int = 120,
    t_min: float | None = None,
    t_max: float | None = None,
) -> PlanarDensity:
    """Law at ``t_min`` of the reverse SDE driven by a two-dimensional score; see :func:`fokker_planck_1d`.

    Parameters
    ----------
    score, process, steps, t_min, t_max
        As on the line.
    n_cells : int
        Cells per axis, rounded up to an even number.

    Returns
    -------
    PlanarDensity
        Its ``error`` adds the change made by halving the cells per axis and that by the extrapolation in time.

    Notes
    -----
    Costs about ``6 steps`` score evaluations on ``n_cells^2`` points.
    """
    process = known_process(score, process)
    if score.dim != 2:
        raise ModelError(f"fokker_planck_2d needs a score on the plane, got dim {score.dim}")
    check_cells(n_cells)
    n_cells += n_cells % 2  # cells are merged in pairs for the error
    if not isinstance(steps, TimeSteps):
        steps = time_steps(process, steps, t_min=t_min, t_max=t_max)
    box = _find_box(score, process, steps)
    axes = tuple(np.linspace(low, high, n_cells + 1) for low, high in box)
    single = _evolve(score, process, axes, steps)[0]
    double = _evolve(score, process, axes, steps.refined(process))[0]
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    fine = extrapolated(single, double)
    fine /= fine.sum() * cell
    half = tuple(np.linspace(low, high, n_cells // 2 + 1) for low, high in box)
    coarse = _evolve(score, process, half, steps)[0]
    merged = single.reshape(n_cells // 2, 2, n_cells // 2, 2).mean(axis=(1, 3))
    # The whole change: a third of it, right at second order, fell short of the true error on coarse grids by half.
    in_space = 0.5 * float(np.abs(merged - coarse).sum()) * 4.0 * cell
    in_time = (0.5 * float(np.abs(fine - double).sum()) * cell) ** 2
    return PlanarDensity(
        axes[0], axes[1], fine, in_space + in_time, f"Fokker-Planck, {n_cells}^2 cells, {len(steps)} steps"
    )


def _find_box(score: ScoreModel, process: ForwardProcess, steps: TimeSteps) -> list[tuple[float, float]]:
    """A rectangle that mass does not leave at any time, from a coarse run on growing squares."""
    few = TimeSteps(np.append(steps.times[: -1 : max(1, len(steps) // 24)], steps.times[-1]))
    reach = 6.0 * process.prior_std(float(steps.times[0]))
    for _ in range(_MOST_DOUBLINGS):
        axis = np.linspace(-reach, reach, 97)
        _, largest = _evolve(score, process, (axis, axis), few)
        rim = max(float(part.sum()) for part in (largest[:2], largest[-2:], largest[:, :2], largest[:, -2:]))
        if rim * (axis[1] - axis[0]) ** 2 < _LEAKAGE:
            box = []
            for other in (1, 0):
                seen = np.flatnonzero(largest.sum(axis=other) * (axis[1] - axis[0]) ** 2 > 1e-7)
                box.append((float(axis[max(seen[0] - 1, 0)]), float(axis[min(seen[-1] + 2, 96)])))
            return box
        reach *= 1.6
    raise GridError(f"mass reaches the ends of [-{reach:.3g}, {reach:.3g}]^2: the reverse process seems to diverge")


def _evolve(
    score: ScoreModel, process: ForwardProcess, axes: tuple[Float64Array, ...], steps: TimeSteps
) -> tuple[Float64Array, Float64Array]:
    """Final cell averages (a, b), and the largest of each cell over time."""
    x, y = (_middles(axis) for axis in axes)
    hx, hy = float(axes[0][1] - axes[0][0]), float(axes[1][1] - axes[1][0])
    std = process.prior_std(float(steps.times[0]))
    rho = np.exp(-0.5 * (x[:, None] ** 2 + y[None] ** 2) / std**2)
    rho /= rho.sum() * hx * hy
    largest = rho.copy()
    for t, t_next in pairwise(steps.times):
        dt, end = float(t - t_next), float(t_next)
        along_x = _rates(score, process, _points(axes[0][1:-1], y), 0, hx, end).reshape(2, len(x) - 1, len(y))
        along_y = _rates(score, process, _points(x, axes[1][1:-1]), 1, hy, end).reshape(2, len(x), len(y) - 1)
        rho = _implicit(rho, along_x, 0.5 * dt / hx)
        rho = _implicit(rho.T, along_y.transpose(0, 2, 1), dt / hy).T
        rho = _implicit(rho, along_x, 0.5 * dt / hx)
        np.maximum(largest, rho, out=largest)
    return np.asarray(rho), largest


def _rates(
    score: ScoreModel, process: ForwardProcess, faces: Float64Array, axis: int, h: float, t: float
) -> Float64Array:
    """Coefficients (2, faces) of ``flux = up rho_left - down rho_right``."""
    s = np.asarray(score.score(faces, t), np.float64)[:, axis]
    if not np.all(np.isfinite(s)):
        row = int(np.argmin(np.isfinite(s)))
        raise NotFiniteError(f"score is {s[row]} at x = {faces[row].tolist()}, t = {t:.6g}")
    diffusion = 0.5 * float(process.g(t)) ** 2
    peclet = (-float(process.f(t)) * faces[:, axis] + 2.0 * diffusion * s) * h / diffusion
    return np.stack([bernoulli(-peclet), bernoulli(peclet)]) * (diffusion / h)


def _implicit(rho: Float64Array, rates: Float64Array, share: float) -> Float64Array:
    """Implicit step along the first axis, all lines at once (Thomas algorithm; diagonally dominant, no pivots)."""
    up, down = share * rates[0], share * rates[1]
    n = len(rho)
    diagonal = np.ones_like(rho)
    diagonal[:-1] += up
    diagonal[1:] += down
    upper = np.empty_like(up)
    out = np.empty_like(rho)
    upper[0] = -down[0] / diagonal[0]
    out[0] = rho[0] / diagonal[0]
    for i in range(1, n):
        pivot = diagonal[i] + up[i - 1] * upper[i - 1]
        if i < n - 1:
            upper[i] = -down[i] / pivot
        out[i] = (rho[i] + up[i - 1] * out[i - 1]) / pivot
    for i in range(n - 2, -1, -1):
        out[i] -= upper[i] * out[i + 1]
    return out


def _middles(edges: Float64Array) -> Float64Array:
    return np.asarray(0.5 * (edges[1:] + edges[:-1]))


def _points(x: Float64Array, y: Float64Array) -> Float64Array:
    return np.stack([part.ravel() for part in np.meshgrid(x, y, indexing="ij")], axis=1)
