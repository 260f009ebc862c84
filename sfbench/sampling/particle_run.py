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
from numpy.typing import DTypeLike

from .._arrays import all_finite
from .._typing import FloatArray
from ..scores import FusedScore
from ..times import TimeSteps
from .base import Observer
from .changing_weights import check_changes, jump
from .guard import CountedScore, Survivors
from .integrators import AffineIntegrator
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
    rng: np.random.Generator
    lattice: LatticeNoise | None = None

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

    def predict(self, x: FloatArray, t: float, into: list[FloatArray], scratch: FloatArray) -> None:
        """Data predictions at x (n, d) and time t: their weighted mean into ``into[0]``, the difference of each to the
        first into the others. With ``D = (x + sigma^2 s) / alpha`` differences are those of scores times sigma^2/alpha.

        Differences to one model, not ``sum w |D_i|^2 - |D_w|^2``, which cancels for near-duplicates.
        """
        mean, first = into[0], self.models[0].unchecked(x, t)
        np.copyto(mean, first)
        for weight, model, e in zip(self.weights_at(t)[1:], self.models[1:], into[1:], strict=True):
            np.subtract(model.unchecked(x, t), first, out=e)
            mean += np.multiply(e, weight, out=scratch)
        if not all_finite(mean):
            self._name_the_model(x, t)
        alpha, sigma = float(self.fused.process.alpha(t)), float(self.fused.process.sigma(t))
        for array in into:
            array *= sigma * sigma / alpha
        mean += np.multiply(x, 1.0 / alpha, out=scratch)

    def dispersion(self, w: list[float], differences: list[FloatArray], scratch: FloatArray) -> FloatArray:
        """``sum_i w_i |D_i - D_w|^2`` per block and point (b, n), from differences to the first; may use scratch."""
        if len(differences) == 1:
            squares = self.blocks.square_norms(differences[0], scratch)
            squares *= w[0] * w[1]
            return squares
        mean: FloatArray = np.sum([wi * e for wi, e in zip(w[1:], differences, strict=True)], axis=0)
        total: FloatArray = np.sum(
            [wi * self.blocks.square_norms(e, scratch) for wi, e in zip(w[1:], differences, strict=True)], axis=0
        )
        return np.maximum(total - self.blocks.square_norms(mean, scratch), 0.0)

    def mean_score(self, x: FloatArray, t: float) -> FloatArray:
        """The fused score alone."""
        weights = self.weights_at(t)
        mean: FloatArray = weights[0] * self.models[0].unchecked(x, t)
        for weight, model in zip(weights[1:], self.models[1:], strict=True):
            mean += weight * model.unchecked(x, t)
        if not all_finite(mean):
            self._name_the_model(x, t)
        return mean

    def noise(self, x: FloatArray, bounds: np.ndarray, out: FloatArray) -> FloatArray:
        """Standard normals shaped like x, from lattices where there are any."""
        if self.lattice is not None:
            return self.lattice(x, bounds, out)
        if x.dtype == np.float32:
            return self.rng.standard_normal(dtype=np.float32, out=out)
        return self.rng.standard_normal(out=out)

    def independent_noise(self, x: FloatArray) -> FloatArray:
        """Independent standard normals shaped like x."""
        return self.rng.standard_normal(x.shape, dtype=np.float32 if x.dtype == np.float32 else np.float64)

    def _name_the_model(self, x: FloatArray, t: float) -> None:
        for model in self.models:
            model(x, t)  # raises for the one that is not finite


def run_corrected(
    run: ParticleRun,
    n: int,
    dtype: DTypeLike,
    steps: TimeSteps,
    survivors: Survivors,
    observer: Observer | None,
    order: Iterable[int],
) -> Particles:
    """Start n particles at the prior, move and weight them along the steps.

    ``order`` yields the step numbers (a progress bar may wrap them).
    """
    process, times = run.fused.process, steps.times
    bounds = islands(n) if run.lattice is not None else np.array([0, n])
    particles = Particles.start(np.zeros((n, run.fused.dim), dtype=dtype), len(run.blocks), bounds)
    x = particles.x
    x[:] = run.noise(x, bounds, np.empty_like(x))
    x *= process.prior_std(float(times[0]))
    particles.origin = x.copy()
    scratch = np.empty_like(x)
    present, before = ([np.empty_like(x) for _ in run.models] for _ in range(2))
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
                    past += np.multiply(now, 1.0 + c.extrapolate, out=scratch)
                blended = before
            particles.x *= c.keep
            particles.x += np.multiply(blended[0], c.pull, out=scratch)
            remembers = run.integrator.multistep and run.moves is None
            if len(blended) > 1:
                tilt = run.dispersion(run.weights_at(t), blended[1:], scratch)
                tilt *= 0.5 * (c.pull / c.noise) ** 2
                particles.log_weights -= tilt
                if j < len(steps) - 1:  # nothing is gained by resampling what will not move again
                    particles.resample(run.blocks, run.threshold, run.scheme, run.rng, present if remembers else [])
            noise = run.noise(particles.x, particles.bounds, scratch)
            noise *= c.noise
            particles.x += noise
            present, before = before, present
            kept = particles.drop_lost(before, survivors, t_next)
            if kept is not before:
                before, scratch = kept, np.empty_like(particles.x)
                present = [np.empty_like(particles.x) for _ in run.models]
            change = jump(run.fused, particles.x, t, t_next)
            if change is not None:
                particles.log_weights += change
                remembers = False  # what is remembered is a mean at the old weights
            if run.moves is not None:
                particles.x = run.moves.apply(
                    run.mean_score, run.fused, particles.x, t_next, run.independent_noise, run.rng
                )
            if observer is not None:  # a copy, since the points will move
                observer(j + 1, t_next, particles.x.copy(), particles.log_weights.sum(axis=0))
    particles.note_ess()
    return particles
