r"""Controlled sequential Monte Carlo: particles that look ahead (Guarniero et al. 2017, Heng et al. 2020).

The corrected chain of :mod:`sfbench.sampling.particle_run` has Gaussian kernels ``N(m_j, c_j^2)`` and weights
``exp(-v_j(x_j))``. For any positive functions ``psi_j`` (``psi_N = 1``) particles may be drawn from a tilted kernel q
and weighted by

    psi_0(x_0),      then      exp(-v_j(x_j)) psi_{j+1}(x_{j+1}) / psi_j(x_j) N(x_{j+1}; m_j, c_j^2) / q(x_{j+1}),

whose product is that of the plain chain whatever psi and q are: Z stays unbiased, and the weighted law the barycenter.
The best psi is ``psi_j(x) = E[exp(-sum_{i >= j} v_i) | x_j = x]``, for which no weight ever varies. It is fitted
backwards on the paths of a run before,

    log psi_j(x) ~ -v_j(x) + log E[psi_{j+1}(x_{j+1}) | x_j = x],

by least squares without noise (the expectation is a quadrature), as a sum over coordinates of piecewise linear
functions. Such sums hold the best psi if models factorise over *coordinates*, without being told; where they do not,
the weights keep what a sum cannot say.

**Tilted kernels.** With ``x' = m + c Phi^{-1}(u)`` a kernel's coordinate is uniform in u, and the tilted one has
density ``psi(x') / E psi``. q has that density's linear interpolation between 15 values of u, drawn by inversion; the
ratio of the two is in the weight.
"""

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import scipy

from .._internal.aliases import Float64Array, FloatArray
from .._internal.validation import as_count
from ..errors import SfbenchError
from .base import Sampler, SampleRequest
from .corrected import check_chain, particle_result
from .guard import Survivors
from .integrators import CORRECTED_LAW, AffineIntegrator, Exponential
from .particle_run import ParticleRun
from .particles import Blocks, Particles
from .resampling import scheme
from .result import SampleResult

_LEVELS = np.concatenate([[0.0], scipy.special.ndtr(np.linspace(-3.0, 3.0, 13)), [1.0]])  # of u
_Z = np.concatenate([[-3.5], np.linspace(-3.0, 3.0, 13), [3.5]])  # where the kernel is looked at for them
_STEPS = np.diff(_LEVELS)[:, None, None]
_SHARES = 0.5 * (np.append(np.diff(_LEVELS), 0.0) + np.append(0.0, np.diff(_LEVELS)))  # of the trapezoidal rule
MOST_ROWS, _FEWEST_ROWS = 4096, 128
_PATH_NUMBERS, _GRID_NUMBERS = 1 << 28, 1 << 17
_DAMPING, _ITERATIONS = 0.1, 30


@final
@dataclass(frozen=True, eq=False)
class AdditiveFunction:
    """A sum over coordinates of functions that are linear between evenly spaced knots and constant beyond."""

    low: Float64Array  # (d,), first knots
    high: Float64Array  # (d,), last ones
    values: Float64Array  # (d, knots)

    @classmethod
    def fitted(cls, x: FloatArray, y: Float64Array, knots: int) -> "AdditiveFunction":
        """Least squares fit of values y (n,) at points x (n, d)."""
        n, d = x.shape
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        high = np.where(high > low, high, low + 1.0)
        cell, share = _place(x, low, high, knots)
        columns = (cell + knots * np.arange(d)).ravel()
        rows = np.repeat(np.arange(n), d)
        entries = (np.concatenate([(1.0 - share).ravel(), share.ravel()]), np.concatenate([columns, columns + 1]))
        design = scipy.sparse.csr_matrix((entries[0], (np.tile(rows, 2), entries[1])), shape=(n, d * knots))
        mean = float(y.mean())
        found = scipy.sparse.linalg.lsqr(design, y - mean, damp=_DAMPING, iter_lim=_ITERATIONS)[0]
        return cls(low, high, found.reshape(d, knots) + mean / d)

    def terms(self, x: FloatArray) -> Float64Array:
        """The terms of the sum, in the shape of x (..., d)."""
        cell, share = _place(x, self.low, self.high, self.values.shape[1])
        column = np.arange(len(self.low))
        return np.asarray(self.values[column, cell] * (1.0 - share) + self.values[column, cell + 1] * share)

    def around(self, mean: FloatArray, spread: float) -> Float64Array:
        """The terms (l, n, d) at ``mean + spread z`` for the levels z of a kernel: linear in the position per cell."""
        knots = self.values.shape[1]
        slopes = np.diff(self.values, axis=1)
        starts = self.values[:, :-1] - slopes * np.arange(knots - 1)
        scale = (knots - 1) / (self.high - self.low)
        position = (mean - self.low) * scale + spread * scale * _Z[:, None, None]
        np.clip(position, 0.0, knots - 1, out=position)
        cell = position.astype(np.intp)
        np.minimum(cell, knots - 2, out=cell)
        cell += (knots - 1) * np.arange(len(self.low))
        position *= slopes.ravel().take(cell, mode="clip")
        position += starts.ravel().take(cell, mode="clip")
        return np.asarray(position)

    def __call__(self, x: FloatArray) -> Float64Array:
        """The sum (n,) at points x (n, d)."""
        return np.asarray(self.terms(x).sum(axis=-1))


def _place(x: FloatArray, low: Float64Array, high: Float64Array, knots: int) -> tuple[np.ndarray, Float64Array]:
    """The cell in which each coordinate lies and how far into it, both in the shape of x."""
    position = np.clip((x - low) / (high - low), 0.0, 1.0) * (knots - 1)
    cell = np.minimum(position.astype(np.intp), knots - 2)
    return cell, position - cell


def tilted(log_psi: AdditiveFunction, mean: FloatArray, spread: float) -> tuple[Float64Array, Float64Array]:
    """``psi`` at the levels (l, n, d) around kernels with means (n, d), over its mean; and the mean's log (n,)."""
    values = log_psi.around(mean, spread)
    top = values.max(axis=0)
    values -= top
    np.exp(values, out=values)
    total = np.einsum("l,lnd->nd", _SHARES, values)
    values /= total
    return values, (top + np.log(total)).sum(axis=1)


def draw_tilted(density: Float64Array, uniform: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Levels u (n, d) from piecewise linear densities (l, n, d) by inversion, and the log densities there (n,)."""
    below = np.cumsum(0.5 * (density[1:] + density[:-1]) * _STEPS, axis=0)
    mass = uniform * below[-1]
    cell = np.minimum((below < mass).sum(axis=0), len(_STEPS) - 1)
    before = np.take_along_axis(below, np.maximum(cell - 1, 0)[None], 0)[0]
    mass -= np.where(cell > 0, before, 0.0)
    start, end = (np.take_along_axis(density, (cell + i)[None], 0)[0] for i in (0, 1))
    width = _STEPS[cell, 0, 0]
    slope = (end - start) / width
    root = np.sqrt(np.maximum(start * start + 2.0 * slope * mass, 0.0))
    into = np.clip(2.0 * mass / (start + root), 0.0, width)  # no cancellation where the slope is small
    levels = np.clip(_LEVELS[cell] + into, 1e-300, 1.0 - 1e-16)
    return levels, np.log(start + slope * into).sum(axis=1)


@final
@dataclass(frozen=True)
class ControlledSampler(Sampler):
    """Weighted particles that follow the KL barycenter and look ahead; for a few dozen to a few hundred coordinates.

    Parameters
    ----------
    sweeps : int
        Fits of the function by which particles look ahead, each from a run of at most 4096 of them.
    knots : int
        Of each coordinate's function.
    integrator : AffineIntegrator
        The chain whose geometric mean is sampled.
    threshold : float
        Resample when the effective share of the particles falls below this.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    sweeps: int = 2
    knots: int = 24
    integrator: AffineIntegrator = field(default_factory=lambda: Exponential(2))
    threshold: float = 0.7
    n_steps: int = 96
    law: ClassVar[str] = CORRECTED_LAW

    def __post_init__(self) -> None:
        as_count("sweeps", self.sweeps)
        as_count("knots", self.knots, at_least=2)
        check_chain("controlled", self.integrator, self.threshold)

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw weighted particles; costs ``1 + sweeps min(1, 4096 / n)`` times the corrected sampler's evaluations."""
        fused, n = request.fused, request.n
        if not fused.is_constant:
            raise SfbenchError("the controlled sampler needs weights that are the same at all times; use score.at(t)")
        rows = min(n, MOST_ROWS, _PATH_NUMBERS // (2 * len(request.steps) * fused.dim))
        if rows < min(n, _FEWEST_ROWS):
            raise SfbenchError(
                f"paths of {len(request.steps)} steps in dimension {fused.dim} are too many numbers to fit functions "
                "to; take fewer steps, or the corrected sampler"
            )
        run = _ControlledRun(self, request)
        ahead: list[AdditiveFunction | None] = [None] * (len(request.steps) + 1)
        if len(run.run.models) > 1:
            for _ in range(self.sweeps):
                run.move(rows, ahead, iter(range(len(request.steps))), pilot=True)
                ahead = run.looked_back(self.knots)
        particles, survivors = run.move(n, ahead, request.order)
        return particle_result(self, request, run.run, particles, survivors, self.law)


@final
class _ControlledRun:
    """The particle system of one request, and the paths of its last pilot."""

    def __init__(self, sampler: ControlledSampler, request: SampleRequest) -> None:
        self.sampler, self.request, self.pick = sampler, request, scheme("systematic")
        self.run = ParticleRun(
            request.fused, sampler.integrator, Blocks(None), sampler.threshold, self.pick, None, request.normals
        )
        self.paths: list[tuple[FloatArray, Float64Array, FloatArray, float]] = []  # x, -v, mean and spread of kernels

    def move(
        self, n: int, ahead: list[AdditiveFunction | None], order: object, *, pilot: bool = False
    ) -> tuple[Particles, Survivors]:
        """Move and weight n particles from the prior, by functions to look ahead."""
        request, run = self.request, self.run
        times, rng, survivors = request.steps.times.tolist(), request.rng, Survivors(n)
        spread = request.fused.process.prior_std(times[0])
        particles = Particles.start(spread * request.normal((n, request.fused.dim)), 1)
        particles.origin = particles.x.copy()
        self.paths = []
        if ahead[0] is not None:
            particles.log_weights[0] += ahead[0](particles.x)
        before: list[FloatArray] = []
        for j in order:  # type: ignore[attr-defined]
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is lost, and reported
                particles.resample(run.blocks, self.sampler.threshold, self.pick, rng, before)
                x, t, t_next = particles.x, times[j], times[j + 1]
                scratch, present = np.empty_like(x), [np.empty_like(x) for _ in run.models]
                run.predict(x, t, present, scratch)
                c = run.integrator.step(request.fused.process, times[j - 1] if before else None, t, t_next)
                blended = present
                if before and c.extrapolate:
                    e = c.extrapolate
                    blended = [(1.0 + e) * now - e * past for now, past in zip(present, before, strict=True)]
                before = present if run.integrator.multistep else []
                mean, weight = c.keep * x + c.pull * blended[0], np.zeros(len(x))
                if len(blended) > 1:
                    weight = -0.5 * (c.pull / c.noise) ** 2 * run.dispersion(run.weights_at(t), blended[1:], scratch)[0]
                if pilot:
                    self.paths.append((x, weight, mean, c.noise))
                here = ahead[j]
                particles.log_weights[0] += weight if here is None else weight - here(x)
                particles.x, gained = self._step(mean, c.noise, ahead[j + 1])
                particles.log_weights[0] += gained
                before = particles.drop_lost(before, survivors, t_next)
                after = ahead[j + 1]
                if not pilot:
                    own = particles.log_weights[0] if after is None else particles.log_weights[0] - after(particles.x)
                    request.observe(j + 1, particles.x.copy(), own)
        particles.note_ess()
        return particles, survivors

    def _step(self, mean: FloatArray, noise: float, ahead: AdditiveFunction | None) -> tuple[FloatArray, Float64Array]:
        """Points (n, d) after a step, and what their log weights gain (n,)."""
        if ahead is None:
            return mean + noise * self.request.normal(mean.shape), np.zeros(len(mean))
        moved, gained = np.empty_like(mean), np.empty(len(mean))
        uniform = self.request.rng.random(mean.shape)
        for part in _pieces(mean.shape):
            levels, log_density = draw_tilted(tilted(ahead, mean[part], noise)[0], uniform[part])
            moved[part] = mean[part] + noise * scipy.special.ndtri(levels)
            gained[part] = ahead(moved[part]) - log_density
        return moved, gained

    def looked_back(self, knots: int) -> list[AdditiveFunction | None]:
        """The functions fitted to the last pilot's paths, from the end to the start."""
        found: list[AdditiveFunction | None] = [None]
        for x, weight, mean, noise in reversed(self.paths):
            value, after = weight.copy(), found[-1]
            if after is not None:
                for part in _pieces(mean.shape):
                    value[part] += tilted(after, mean[part], noise)[1]
            found.append(AdditiveFunction.fitted(x, value, knots))
        return found[::-1]


def _pieces(shape: tuple[int, ...]) -> list[slice]:
    rows = max(1, _GRID_NUMBERS // (len(_LEVELS) * shape[1]))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]
