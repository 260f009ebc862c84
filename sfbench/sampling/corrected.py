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
sampling error by 10 or more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import DTypeLike

from .._typing import Float64Array, FloatArray
from ..scores import FusedScore
from ..time_steps import TimeSteps
from .guard import CountedScore, Herd, all_finite
from .integrators import AffineIntegrator, data_prediction
from .lattice import LatticeNoise, islands
from .moves import LangevinMoves
from .particles import Blocks, Particles
from .resampling import Scheme

Observer = Callable[[int, float, FloatArray, Float64Array], None]


@final
@dataclass(eq=False)
class Spread:
    """Scores of the active models at one set of points: their weighted mean and their differences to the first.

    Differences to one model, not ``sum w |s_i|^2 - |s_w|^2``, which cancels for near-duplicates.
    """

    mean: FloatArray
    differences: list[FloatArray]

    def dispersion(self, weights: Float64Array, blocks: Blocks) -> Float64Array:
        """``sum_i w_i |s_i - s_w|^2`` per point and block, (b, n)."""
        if len(self.differences) == 1:
            e = self.differences[0]
            return np.asarray(float(weights[0] * weights[1]) * blocks.square_norms(e), dtype=np.float64)
        mean = sum(float(w) * e for w, e in zip(weights[1:], self.differences, strict=True))
        total = sum(float(w) * blocks.square_norms(e) for w, e in zip(weights[1:], self.differences, strict=True))
        return np.maximum(np.asarray(total - blocks.square_norms(np.asarray(mean)), dtype=np.float64), 0.0)


@final
@dataclass(eq=False)
class ParticleRun:
    """One run of the particle system; :func:`run_corrected` drives it."""

    fused: FusedScore
    integrator: AffineIntegrator
    blocks: Blocks
    threshold: float
    scheme: Scheme
    moves: LangevinMoves | None
    rng: np.random.Generator
    lattice: LatticeNoise | None = None

    def __post_init__(self) -> None:
        support = np.flatnonzero(self.fused.weights)
        self.weights: Float64Array = self.fused.weights[support]
        self.models = [CountedScore(self.fused.models[i], f"models[{i}]") for i in support]

    @property
    def evaluations(self) -> int:
        """Evaluations of the fused score so far."""
        return self.models[0].evaluations

    def spread(self, x: FloatArray, t: float) -> Spread:
        """Scores of the active models at x (n, d) and time t."""
        first = self.models[0].unchecked(x, t)
        mean, differences = first, list[FloatArray]()
        for weight, model in zip(self.weights[1:], self.models[1:], strict=True):
            e = model.unchecked(x, t) - first
            differences.append(e)
            mean = mean + float(weight) * e
        if not all_finite(mean):
            for model in self.models:
                model(x, t)  # raises for the one to blame
        return Spread(mean, differences)

    def mean_score(self, x: FloatArray, t: float) -> FloatArray:
        """The fused score alone."""
        return self.spread(x, t).mean

    def noise(self, x: FloatArray, bounds: np.ndarray) -> FloatArray:
        """Standard normals shaped like x, from lattices where there are any."""
        return self.independent_noise(x) if self.lattice is None else self.lattice(x, bounds)

    def independent_noise(self, x: FloatArray) -> FloatArray:
        """Independent standard normals shaped like x."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        return self.rng.standard_normal(x.shape, dtype=dtype)


def run_corrected(
    run: ParticleRun,
    n: int,
    dtype: DTypeLike,
    steps: TimeSteps,
    herd: Herd,
    observer: Observer | None,
    order: Iterable[int],
) -> Particles:
    """Start n particles at the prior, move and weight them along the steps.

    ``order`` yields the step numbers (a progress bar may wrap them).
    """
    process = run.fused.process
    times = steps.times
    bounds = islands(n) if run.lattice is not None else np.array([0, n])
    x = np.zeros((n, run.fused.dim), dtype=dtype)
    particles = Particles.start(x, len(run.blocks), bounds)
    particles.x = process.prior_std(float(times[0])) * run.noise(x, bounds)
    memory: list[FloatArray] = []
    for j in order:
        t_before = float(times[j - 1]) if j and memory else None
        t, t_next = float(times[j]), float(times[j + 1])
        spread = run.spread(particles.x, t)
        scale = float(process.sigma(t)) * float(process.sigma(t)) / float(process.alpha(t))
        # Data predictions: D_i - D_1 = sigma^2 / alpha (s_i - s_1).
        present = [data_prediction(spread.mean, process, particles.x, t)]
        present += [e * scale for e in spread.differences]
        c = run.integrator.step(process, t_before, t, t_next)
        blended = present
        if memory and c.extrapolate:
            ahead, back = 1.0 + c.extrapolate, -c.extrapolate
            blended = [ahead * p + back * q for p, q in zip(present, memory, strict=True)]
        memory = present if run.integrator.multistep and run.moves is None else []
        particles.x = c.keep * particles.x + c.pull * blended[0]
        if spread.differences:
            tilt = Spread(blended[0], blended[1:]).dispersion(run.weights, run.blocks)
            particles.log_weights -= (0.5 * (c.pull / c.noise) ** 2) * tilt
            if j < len(steps) - 1:  # nothing is gained by resampling what will not move again
                particles.resample(run.blocks, run.threshold, run.scheme, run.rng, memory)
        particles.x += c.noise * run.noise(particles.x, particles.bounds)
        memory = particles.drop_lost(memory, herd, t_next)
        if run.moves is not None:
            particles.x = run.moves.apply(
                run.mean_score, run.fused, particles.x, t_next, run.independent_noise, run.rng
            )
        if observer is not None:
            observer(j + 1, t_next, particles.x, particles.log_weights.sum(axis=0))
    particles.note_ess()
    return particles
