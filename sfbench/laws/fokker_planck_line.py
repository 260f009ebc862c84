r"""The law of the reverse SDE on the line, without Monte Carlo.

With reverse time tau and drift ``b = -f x + g^2 s(x, t)``, diffusion ``D = g^2 / 2``, the density solves

    d rho / d tau = - d/dx (b rho - D d rho / dx).

Finite volumes with Chang-Cooper (Scharfetter-Gummel) fluxes, ``Pe = b h / D`` and ``B(z) = z / (e^z - 1)``,

    flux = D / h [B(-Pe) rho_left - B(Pe) rho_right],

conserve mass, keep rho positive and are exact for the stationary state of a frozen drift. Time steps are implicit Euler
on a log-SNR grid; runs with s and 2 s steps are extrapolated geometrically, ``rho = rho_2s^2 / rho_s``, which is second
order and stays positive. Cells are placed where mass passes: a coarse run on a uniform grid, whose domain doubles until
nothing reaches its ends, gives the monitor ``sqrt(rho)`` that the fine grid equidistributes.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from scipy.linalg import solve_banded

from .._internal.aliases import Float64Array
from .._internal.validation import as_count
from ..errors import GridError, ModelError, NotFiniteError, ProcessMismatchError
from ..processes import ForwardProcess
from ..processes.base import as_process
from ..processes.times import TimeSteps, time_steps
from ..scores import ScoreModel, process_of
from .grid_density import GridDensity

_LEAKAGE = 1e-9
_KEPT = 2**25  # scores
_MOST_DOUBLINGS = 12


def fokker_planck_1d(
    score: ScoreModel,
    *,
    process: ForwardProcess | None = None,
    n_cells: int = 3000,
    steps: TimeSteps | int = 300,
    t_min: float | None = None,
    t_max: float | None = None,
) -> GridDensity:
    """Law at ``t_min`` of the reverse SDE driven by a one-dimensional score, started at the process's prior.

    For a :class:`FusedScore` this is the fused law ``P_w``.

    Parameters
    ----------
    score : ScoreModel
        With ``dim`` 1.
    process : ForwardProcess, optional
        Needed unless the score says its own.
    n_cells : int
        Cells of the fine grid.
    steps : TimeSteps or int
        Time steps; the run is repeated with twice as many.
    t_min, t_max : float, optional
        Window if ``steps`` is a number.

    Returns
    -------
    GridDensity
        Its ``error`` adds the change made by the extrapolation in time and that made by halving the cells.

    Raises
    ------
    ModelError
        If the score is not one-dimensional, or no process is known.
    GridError
        If mass keeps reaching the ends of the domain.
    NotFiniteError
        If the score is not finite somewhere on the grid.

    Notes
    -----
    Costs about ``2 steps`` score evaluations (kept to 256 MB) and ``4 steps`` tridiagonal solves on ``n_cells`` points.
    """
    process = known_process(score, process)
    if score.dim != 1:
        raise ModelError(f"fokker_planck_1d needs a score on the line, got dim {score.dim}; fused_law takes embeddings")
    check_cells(n_cells)
    if not isinstance(steps, TimeSteps):
        steps = time_steps(process, steps, t_min=t_min, t_max=t_max)
    edges = _adapted_edges(score, process, n_cells, steps)
    at = lru_cache(_KEPT // len(edges))(partial(_scores, score, edges[1:-1]))  # the three runs meet at the same points
    single = _evolve(process, edges, steps, at)
    double = _evolve(process, edges, steps.refined(process), at)
    widths = np.diff(edges)
    fine = extrapolated(single, double)
    fine /= fine @ widths
    half = edges[::2] if len(edges) % 2 else np.append(edges[:-1:2], edges[-1])
    coarse = _evolve(process, half, steps, lambda t: at(t)[1::2])
    merged = np.add.reduceat(single * widths, np.arange(0, len(widths), 2))
    in_space = 0.5 * float(np.abs(merged - coarse * np.diff(half)).sum()) / 3.0  # second order: a third of the change
    in_time = 0.5 * float(np.abs((fine - double) * widths).sum()) ** 2  # the extrapolation is one order better
    log_error = np.abs(np.log(np.maximum(fine, 1e-300)) - np.log(np.maximum(double, 1e-300)))
    method = f"Fokker-Planck, {len(widths)} cells, {len(steps)} steps"
    return GridDensity(edges, fine, in_space + in_time, method, log_error)


def check_cells(n_cells: int) -> None:
    """Refuse grids that are not of at least 16 cells."""
    as_count("n_cells", n_cells, at_least=16, at_most=2**20, error=GridError)


def known_process(score: ScoreModel, process: ForwardProcess | None) -> ForwardProcess:
    """The process given, or that of the score; both must agree."""
    if hasattr(score, "diffuse"):
        raise ModelError(f"a {type(score).__name__} is a law without time; pass AnalyticScore(law, process)")
    if not isinstance(score, ScoreModel):
        raise ModelError(f"score is a {type(score).__name__}; a score model needs `dim` and `score(x, t)`")
    own = process_of(score)
    found = own if process is None else as_process(process)
    if found is None:
        raise ModelError(f"a {type(score).__name__} does not say its forward process; pass process=...")
    if own is not None and found != own:
        raise ProcessMismatchError(f"the score belongs to {own!r} but process={process!r} was given; leave it out")
    return found


def _adapted_edges(score: ScoreModel, process: ForwardProcess, n_cells: int, steps: TimeSteps) -> Float64Array:
    few = TimeSteps(np.append(steps.times[: -1 : max(1, len(steps) // 60)], steps.times[-1]))
    half_width = 8.0 * process.prior_std(float(steps.times[0]))
    for _ in range(_MOST_DOUBLINGS):
        edges = np.linspace(-half_width, half_width, max(1025, n_cells // 2) | 1)
        history: list[Float64Array] = []
        _evolve(process, edges, few, partial(_scores, score, edges[1:-1]), history)
        rim = len(edges) // 40
        leak = max(float(max(rho[:rim].sum(), rho[-rim:].sum())) * (edges[1] - edges[0]) for rho in history)
        if leak < _LEAKAGE:
            roots = np.sqrt(np.maximum(np.stack(history), 0.0))
            monitor = np.mean(roots / roots.sum(axis=1, keepdims=True), axis=0) + 0.05 / (len(edges) - 1)
            # Smoothing keeps neighbouring cells alike, on which the order of the fluxes rests.
            kernel = np.hanning(31) / np.hanning(31).sum()
            monitor = np.convolve(np.pad(monitor, 15, mode="edge"), kernel, mode="valid")
            cumulative = np.concatenate([[0.0], np.cumsum(monitor)])
            return np.interp(np.linspace(0.0, cumulative[-1], n_cells + 1), cumulative, edges)
        half_width *= 2.0
    raise GridError(
        f"mass reaches the ends of [-{half_width:.3g}, {half_width:.3g}]: the reverse process seems to diverge"
    )


def _evolve(
    process: ForwardProcess,
    edges: Float64Array,
    steps: TimeSteps,
    scores: Callable[[float], Float64Array],
    history: list[Float64Array] | None = None,
) -> Float64Array:
    """Cell densities (c,) after all steps, from scores at the inner faces; appends those after each to ``history``."""
    centres, widths = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    gaps = np.diff(centres)
    inner = edges[1:-1]
    std = process.prior_std(float(steps.times[0]))
    rho = np.exp(-0.5 * (centres / std) ** 2)
    rho /= rho @ widths
    bands = np.zeros((3, len(rho)))
    for t, t_next in zip(steps.times[:-1], steps.times[1:], strict=True):
        up, down = _rates(process, inner, gaps, float(t_next), scores(float(t_next)))
        dt = float(t - t_next)
        bands[0, 1:] = -dt * down / widths[:-1]
        bands[1] = 1.0
        bands[1, :-1] += dt * up / widths[:-1]
        bands[1, 1:] += dt * down / widths[1:]
        bands[2, :-1] = -dt * up / widths[1:]
        rho = solve_banded((1, 1), bands, rho, check_finite=False)
        if history is not None:
            history.append(rho)
    return np.asarray(np.maximum(rho, 0.0))


def _scores(score: ScoreModel, faces: Float64Array, t: float) -> Float64Array:
    s = np.asarray(score.score(faces[:, None], t), np.float64)[:, 0]
    if not np.all(np.isfinite(s)):
        raise NotFiniteError(f"score is {s[~np.isfinite(s)][0]} at x = {faces[~np.isfinite(s)][0]:.6g}, t = {t:.6g}")
    return s


def _rates(
    process: ForwardProcess, faces: Float64Array, gaps: Float64Array, t: float, s: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Flux coefficients at the inner faces, from the score there: ``flux = up rho_left - down rho_right``."""
    diffusion = 0.5 * float(process.g(t)) ** 2
    drift = -float(process.f(t)) * faces + 2.0 * diffusion * s
    peclet = drift * gaps / diffusion
    rate = diffusion / gaps
    return np.asarray(rate * bernoulli(-peclet)), np.asarray(rate * bernoulli(peclet))


def bernoulli(z: Float64Array) -> Float64Array:
    """``z / (e^z - 1)``, elementwise, without cancellation or overflow."""
    small = np.abs(z) < 1e-8
    safe = np.where(small, 1.0, np.clip(z, -700.0, 700.0))
    out = np.where(small, 1.0 - 0.5 * z, safe / np.expm1(safe))
    return np.where(z < -700.0, -z, out)


def extrapolated(single: Float64Array, double: Float64Array) -> Float64Array:
    """Geometric Richardson extrapolation, kept within a factor 4 of the finer run."""
    return np.asarray(double * np.clip(np.maximum(double, 1e-300) / np.maximum(single, 1e-300), 0.25, 4.0))
