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
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

import numpy as np

from synthetic import Estimate

from .._typing import Float64Array, FloatArray
from ..errors import SfbenchError
from ..scores import FusedScore
from ..time_steps import TimeSteps
from .guard import CountedScore, Herd, all_finite
from .integrators import AffineIntegrator, data_prediction
from .moves import LangevinMoves
from .resampling import Scheme, effective_size, normalised

Observer = Callable[[int, float, FloatArray, Float64Array], None]


@final
@dataclass(eq=False)
class Spread:
    """Scores of the active models at one set of points: their weighted mean and their differences to the first.

    Differences to one model, not ``sum w |s_i|^2 - |s_w|^2``, which cancels for near-duplicates.
    """

    mean: FloatArray
    differences: list[FloatArray]

    def dispersion(self, weights: Float64Array, blocks: "Blocks") -> Float64Array:
        """``sum_i w_i |s_i - s_w|^2`` per point and block, (n, b)."""
        if len(self.differences) == 1:
            e = self.differences[0]
            return np.asarray(float(weights[0] * weights[1]) * blocks.square_norms(e), dtype=np.float64)
        mean = sum(float(w) * e for w, e in zip(weights[1:], self.differences, strict=True))
        total = sum(float(w) * blocks.square_norms(e) for w, e in zip(weights[1:], self.differences, strict=True))
        return np.maximum(np.asarray(total - blocks.square_norms(np.asarray(mean)), dtype=np.float64), 0.0)


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """Groups of coordinates that are weighted and resampled apart; ``columns`` None means one group of all."""

    columns: tuple[np.ndarray, ...] | None

    def __len__(self) -> int:
        return 1 if self.columns is None else len(self.columns)

    def square_norms(self, e: FloatArray) -> FloatArray:
        """Squared norms per block (n, b) of vectors (n, d)."""
        if self.columns is None:
            whole: FloatArray = np.einsum("nd,nd->n", e, e)[:, None]
            return whole
        squares = e * e
        return np.stack([squares[:, c].sum(axis=1) for c in self.columns], axis=1)


@final
@dataclass(eq=False)
class Particles:
    """State of the particle system: points (n, d), log weights (n, b), founders (n, b), accumulated log Z (b,)."""

    x: FloatArray
    log_weights: Float64Array
    founders: np.ndarray
    log_z: Float64Array
    resamplings: np.ndarray
    ess: list[float]

    @classmethod
    def start(cls, x: FloatArray, n_blocks: int) -> "Particles":
        """Equally weighted particles."""
        n = len(x)
        return cls(
            x,
            np.zeros((n, n_blocks)),
            np.repeat(np.arange(n)[:, None], n_blocks, axis=1),
            np.zeros(n_blocks),
            np.zeros(n_blocks, dtype=np.intp),
            [],
        )

    def log_mean_weight(self) -> Float64Array:
        """Log of the mean weight per block, (b,)."""
        top = self.log_weights.max(axis=0)
        return np.asarray(top + np.log(np.exp(self.log_weights - top).mean(axis=0)))

    def log_partition(self) -> Estimate:
        """``log Z`` with a genealogical standard error.

        The relative variance of a block's Z is estimated by ``sum_e W_e^2 - 1/n``, W_e the weight that descends from
        initial particle e: exact without resampling, on the safe side with it (Lee and Whiteley 2018 subtract what
        multinomial resampling adds; systematic resampling adds less).
        """
        n = len(self.x)
        value = float((self.log_z + self.log_mean_weight()).sum())
        variance = float(np.maximum(self.founder_shares() - 1.0 / n, 0.0).sum())
        return Estimate(value, math.sqrt(variance), n, "weighted particles")

    def founder_shares(self) -> Float64Array:
        """``sum_e W_e^2`` per block, (b,): the inverse of the effective number of founders."""
        out = np.empty(self.log_weights.shape[1])
        for b in range(len(out)):
            mass = np.bincount(self.founders[:, b], weights=normalised(self.log_weights[:, b]))
            out[b] = float(mass @ mass)
        return out

    def effective_shares(self) -> list[float]:
        """Effective share of the particles in every block."""
        return [effective_size(column) for column in self.log_weights.T]

    def resample(
        self, blocks: Blocks, threshold: float, scheme: Scheme, rng: np.random.Generator, memory: list[FloatArray]
    ) -> None:
        """Resample the blocks whose effective share is below the threshold, and the arrays in ``memory`` with them.

        The worst share is added to ``ess``.
        """
        shares = self.effective_shares()
        self.ess.append(min(shares))
        for b, share in enumerate(shares):
            if share < threshold:
                self._resample_block(b, blocks, scheme, rng, memory)

    def _resample_block(
        self, b: int, blocks: Blocks, scheme: Scheme, rng: np.random.Generator, memory: list[FloatArray]
    ) -> None:
        columns = slice(None) if blocks.columns is None else blocks.columns[b]
        points = self.x[:, columns]
        # Sorted 1-D particles make systematic resampling a quadrature rule: error O(1/n), not O(1/sqrt n).
        order = np.argsort(points[:, 0]) if points.shape[1] == 1 else np.arange(len(points))
        log_weights = self.log_weights[:, b]
        ancestors = order[scheme(normalised(log_weights)[order], rng, None)]
        top = float(log_weights.max())
        self.log_z[b] += top + math.log(float(np.exp(log_weights - top).mean()))
        if blocks.columns is None:
            self.x = self.x[ancestors]
            memory[:] = [array[ancestors] for array in memory]
        else:
            self.x[:, columns] = points[ancestors]
            for array in memory:
                array[:, columns] = array[:, columns][ancestors]
        self.founders[:, b] = self.founders[ancestors, b]
        self.log_weights[:, b] = 0.0
        self.resamplings[b] += 1


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

    def noise(self, x: FloatArray) -> FloatArray:
        """Standard normals shaped like x."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        return self.rng.standard_normal(x.shape, dtype=dtype)


def run_corrected(
    run: ParticleRun, x: FloatArray, steps: TimeSteps, herd: Herd, observer: Observer | None, order: Iterable[int]
) -> Particles:
    """Move and weight particles along the steps; ``order`` yields the step numbers (a progress bar may wrap them)."""
    process = run.fused.process
    particles = Particles.start(x, len(run.blocks))
    memory: list[FloatArray] = []
    times = steps.times
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
        particles.x += c.noise * run.noise(particles.x)
        particles, memory = _drop_lost(particles, memory, herd, t_next)
        if run.moves is not None:
            particles.x = run.moves.apply(run.mean_score, run.fused, particles.x, t_next, run.noise, run.rng)
        if observer is not None:
            observer(j + 1, t_next, particles.x, particles.log_weights.sum(axis=1))
    particles.ess.append(min(particles.effective_shares()))
    return particles


def _drop_lost(
    particles: Particles, memory: list[FloatArray], herd: Herd, t: float
) -> tuple[Particles, list[FloatArray]]:
    keep = herd.cull(particles.x, t)
    if keep is None:
        return particles, memory
    n_before = len(particles.x)
    particles.x = particles.x[keep]
    particles.log_weights = particles.log_weights[keep]
    particles.founders = particles.founders[keep]
    particles.log_z = particles.log_z + math.log(len(particles.x) / n_before)  # the lost count as weight zero
    return particles, [array[keep] for array in memory]


def check_blocks(blocks: object, fused: FusedScore, rng: np.random.Generator, t: float) -> Blocks:
    """Blocks from labels (d,), refused if the scores do not factorise over them.

    A score factorises if its coordinates in one block ignore the points' coordinates in the others; this is tested on
    random points.
    """
    if blocks is None:
        return Blocks(None)
    labels = np.asarray(blocks)
    if labels.shape != (fused.dim,):
        raise SfbenchError(f"blocks must label every coordinate, shape ({fused.dim},), got {labels.shape}")
    columns = tuple(np.flatnonzero(labels == label) for label in np.unique(labels))
    if len(columns) == 1:
        return Blocks(None)
    spread = fused.process.prior_std(fused.process.horizon)
    x, other = spread * rng.standard_normal((2, 16, fused.dim))
    for i in np.flatnonzero(fused.weights):
        reference = np.asarray(fused.models[i].score(x, t))
        for c in (columns[0], columns[-1]):
            mixed = other.copy()
            mixed[:, c] = x[:, c]
            error = float(np.abs(np.asarray(fused.models[i].score(mixed, t))[:, c] - reference[:, c]).max())
            if error > 1e-6 * max(1.0, float(np.abs(reference).max())):
                raise SfbenchError(
                    f"models[{i}] does not factorise over the given blocks: its score in block of coordinates "
                    f"{c.tolist()[:4]} changes by {error:.2g} with the others; blocked resampling would be biased"
                )
    return Blocks(columns)
