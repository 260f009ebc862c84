r"""Weighted particles for the KL barycenter (Feynman-Kac correction, sequential Monte Carlo).

Let ``P_i`` be the path law of the reverse SDE driven by ``s_i``. All ``P_i`` share the forward noising kernel, so the
geometric mean of the path laws has marginal ``prod_i p_{i,t}^{w_i}`` at its current end. Against the fused path law

    prod_i (dP_i / dP_w)^{w_i} = exp(-1/2 int g^2 V dtau),     V = sum_i w_i |s_i - s_w|^2 >= 0,

and its mean is ``Z_t(w) / Z_T(w)``. The same holds *exactly* for chains: a step of an affine integrator has the kernel
``N(keep x + pull Dbar_i, noise^2)`` for model i, and the geometric mean of Gaussian kernels of one variance is

    prod_i K_i^{w_i} = K_w exp(-1/2 (pull / noise)^2 sum_i w_i |Dbar_i - Dbar_w|^2),

so particles moved by ``K_w`` with this weight follow the log-linear pool of the *discrete* chains: at a vertex the
weight is 1, and the only discretisation error is that of each auxiliary's own chain. The weight depends on the point
before it moves; particles are weighted, resampled, then moved, so that copies part at once.

The variance of the weights grows with the number of dimensions in which the auxiliaries differ, not with d. Problems
that factorise over blocks of coordinates can be resampled block by block, at the cost of a problem of one block's size.
Where every block is one coordinate the noise can come from lattices (:mod:`sfbench.sampling.lattice`), which divide the
sampling error of 20,000 particles by about 10.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np

from .._internal.aliases import Array
from .._internal.arrays import Normals, all_finite, device_of, dtype_name, library, on_device, to_host
from ..processes.times import TimeSteps
from ..scores import FusedScore
from .base import Observer
from .changing_weights import check_changes, jump
from .device_particles import DeviceParticles
from .guard import CountedScore, Survivors
from .integrators import AffineIntegrator, ReverseProcess
from .lattice import LatticeNoise, islands
from .moves import LangevinMoves
from .particles import Blocks, Particles
from .resampling import Scheme


@final
@dataclass(eq=False)
class ParticleRun:
    """One run of the particle system; :func:`run_corrected` drives it.

    Arrays of the size of x are written into buffers that last: fresh ones cost more than what is computed in them.
    """

    fused: FusedScore
    integrator: AffineIntegrator
    blocks: Blocks
    threshold: float
    scheme: Scheme
    moves: LangevinMoves | None
    normals: Normals
    lattice: LatticeNoise | None = None
    looks: bool = True

    def __post_init__(self) -> None:
        check_changes(self.fused, self.blocks)
        self._support = self.fused.support
        self.models = [CountedScore(self.fused.models[i], f"models[{i}]") for i in self._support]

    @property
    def evaluations(self) -> int:
        """Evaluations of the fused score so far."""
        return self.models[0].evaluations

    def weights_at(self, t: float) -> list[float]:
        """Weights of the active models at time t."""
        weights: list[float] = self.fused.weights_at(t)[self._support].tolist()
        return weights

    def predict(self, x: Array, t: float, into: list[Array], scratch: Array) -> None:
        """Data predictions at x (n, d) and time t: their weighted mean into ``into[0]``, the difference of each to the
        first into the others. With ``D = (x + sigma^2 s) / alpha`` differences are those of scores times sigma^2/alpha.

        Differences to one model, not ``sum w |D_i|^2 - |D_w|^2``, which cancels for near-duplicates.
        """
        mean, first, xp = into[0], self.models[0].unchecked(x, t), library(x)
        mean[...] = first
        for weight, model, e in zip(self.weights_at(t)[1:], self.models[1:], into[1:], strict=True):
            xp.subtract(model.unchecked(x, t), first, out=e)
            mean += xp.multiply(e, weight, out=scratch)
        if self.looks and not all_finite(mean):
            self._name_the_model(x, t)
        alpha, sigma = float(self.fused.process.alpha(t)), float(self.fused.process.sigma(t))
        for array in into:
            array *= sigma * sigma / alpha
        mean += xp.multiply(x, 1.0 / alpha, out=scratch)

    def dispersion(self, w: list[float], differences: list[Array], scratch: Array) -> Array:
        """``sum_i w_i |D_i - D_w|^2`` per block and point (b, n), from differences to the first; may use scratch."""
        if len(differences) == 1:
            squares = self.blocks.square_norms(differences[0], scratch)
            squares *= w[0] * w[1]
            return squares
        mean: Array = sum(wi * e for wi, e in zip(w[1:], differences, strict=True))
        total: Array = sum(wi * self.blocks.square_norms(e, scratch) for wi, e in zip(w[1:], differences, strict=True))
        total -= self.blocks.square_norms(mean, scratch)
        return total.clip(0.0)

    def mean_score(self, x: Array, t: float) -> Array:
        """The fused score alone."""
        weights = self.weights_at(t)
        mean: Array = weights[0] * self.models[0].unchecked(x, t)
        for weight, model in zip(weights[1:], self.models[1:], strict=True):
            mean += weight * model.unchecked(x, t)
        if self.looks and not all_finite(mean):
            self._name_the_model(x, t)
        return mean

    def noise(self, x: Array, bounds: np.ndarray, out: Array) -> Array:
        """Standard normals shaped like x, from lattices where there are any; those are made on the host."""
        if self.lattice is None:
            return self.normals.fill(out)
        out[...] = on_device(self.lattice(to_host(x), bounds, to_host(out)), device_of(out))
        return out

    def _name_the_model(self, x: Array, t: float) -> None:
        for model in self.models:
            model(x, t)  # raises for the one that is not finite


def run_corrected(
    run: ParticleRun,
    start: Array,
    steps: TimeSteps,
    survivors: Survivors,
    observer: Observer | None,
    order: Iterable[int],
) -> Particles:
    """Move and weight particles from the prior along the steps.

    ``start`` (n, d) is where they begin: what it holds is overwritten. ``order`` yields the step numbers (a progress
    bar may wrap them).
    """
    process, times, x, xp = run.fused.process, steps.times, start, library(start)
    bounds = islands(len(x)) if run.lattice is not None else np.array([0, len(x)])
    run.noise(x, bounds, x)
    x *= process.prior_std(float(times[0]))
    particles: Particles | DeviceParticles
    particles = Particles.start(x, len(run.blocks), bounds) if run.looks else DeviceParticles(x, run.normals)
    particles.origin, scratch = x + 0.0, xp.empty_like(x)
    present, before = ([xp.empty_like(x) for _ in run.models] for _ in range(2))
    reverse = ReverseProcess(run.mean_score, process, lambda like: run.normals(tuple(like.shape), dtype_name(like)))
    remembers = False  # whether ``before`` holds the data predictions of the step before
    for j in order:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is lost, and reported
            t, t_next = float(times[j]), float(times[j + 1])
            run.predict(particles.x, t, present, scratch)
            c = run.integrator.step(process, float(times[j - 1]) if remembers else None, t, t_next)
            blended = present
            if remembers and c.extrapolate:
                for now, past in zip(present, before, strict=True):
                    past *= -c.extrapolate
                    past += xp.multiply(now, 1.0 + c.extrapolate, out=scratch)
                blended = before
            particles.x *= c.keep
            particles.x += xp.multiply(blended[0], c.pull, out=scratch)
            remembers = run.integrator.multistep and run.moves is None
            if len(blended) > 1:
                tilt = run.dispersion(run.weights_at(t), blended[1:], scratch)
                tilt *= 0.5 * (c.pull / c.noise) ** 2
                particles.tilt(tilt)
                if j < len(steps) - 1:  # nothing is gained by resampling what will not move again
                    memory = present if remembers else []
                    particles.resample(run.blocks, run.threshold, run.scheme, run.normals.rng, memory)
            noise = run.noise(particles.x, particles.bounds, scratch)
            noise *= c.noise
            particles.x += noise
            present, before = before, present
            kept = particles.drop_lost(before, survivors, t_next)
            if kept is not before:
                before, scratch = kept, xp.empty_like(particles.x)
                present = [xp.empty_like(particles.x) for _ in run.models]
            change = jump(run.fused, particles.x, t, t_next)
            if change is not None:
                particles.tilt(-change)
                remembers = False  # what is remembered is a mean at the old weights
            if run.moves is not None:
                particles.x = run.moves.apply(reverse, particles.x, t_next)
            if observer is not None:  # a copy, since the points will move
                observer(j + 1, t_next, particles.x + 0.0, particles.log_weights.sum(axis=0))
    particles.note_ess()
    return particles.on_host()
