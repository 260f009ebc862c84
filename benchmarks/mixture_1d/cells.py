"""Cells of the 1-D study (see :mod:`benchmarks.mixture_1d`): networks, window, all methods on one draw of the target
data, and the published way of fitting weights."""

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import process_time
from typing import Any, final

import numpy as np

from sfbench import FusedScore, GramSettings, ScoreGram, fuse, population_weights, sample, score_gram, time_grid
from sfbench._internal.aliases import Float64Array, FloatArray
from sfbench.baselines.networks import average_checkpoints, fine_tuned_nearest, from_scratch, nearest, sample_mixture
from sfbench.baselines.published_fusion import published_fusion
from sfbench.experiments import study_folder
from sfbench.metrics import wasserstein_1d
from sfbench.metrics.from_samples import mode_mass_error, total_variation_floor, total_variation_from_samples
from sfbench.metrics.law_pairs import cdf
from sfbench.nets import (
    NetworkScore,
    TrainingSettings,
    build_network,
    denoising_loss,
    inspect_windows,
    train_score_network,
)
from sfbench.processes import VarianceExploding
from sfbench.processes.times import time_steps
from sfbench.sampling import TrustWarning
from sfbench.scores import ScoreModel
from solvers import solve
from synthetic import GaussianMixture, SyntheticProblem, as_gaussian_mixture, make_problem

from ..common.fits import quietly
from ..common.networks import NetworkRef, device, load_network, reference
from ..common.study import Row, study_cells

PROCESS = VarianceExploding(25.0)
UNIT = float(np.sqrt(0.64 + 0.6 * 0.4 * 12.0**2))  # standard deviation of the published target: one aligned unit
T_MIN, N_NODES = 1e-3, 16
_AUXILIARY_POINTS = 20_000
_HELD_OUT = 4_000
_LARGEST_N = 1024
_BATCH = 4096


@final
@dataclass(frozen=True)
class Work:
    """How much work a cell does."""

    cell_name = "benchmarks.mixture_1d_cells:Work"  # of the results that are kept; the file may move

    scratch_steps: int
    tuning_steps: int
    points: int
    steps: int


@final
@dataclass(frozen=True)
class Scale:
    """How much work the study does."""

    auxiliary_steps: int
    work: Work
    sizes: tuple[int, ...]
    draws: int
    epochs: int


QUICK = Scale(500, Work(400, 200, 1000, 32), (32, 256), 2, 20)
FULL = Scale(3000, Work(1500, 700, 3000, 48), (32, 64, 128, 256, 512, 1024), 5, 100)


@final
@dataclass(frozen=True)
class TrainingSpec:
    """One auxiliary."""

    auxiliary: int
    steps: int
    seed: int

    @property
    def name(self) -> str:
        """Folder of the network."""
        return f"auxiliary_{self.auxiliary}"


@final
@dataclass(frozen=True)
class WindowSpec:
    """Held-out data of the auxiliaries against the auxiliaries."""

    seed: int
    networks: tuple[NetworkRef, ...]


@final
@dataclass(frozen=True)
class MethodsSpec:
    """One draw of the target data."""

    n: int
    draw: int
    seed: int
    work: Work
    networks: tuple[NetworkRef, ...]
    t_min: float
    t_max: float


@final
@dataclass(frozen=True)
class PublishedSpec:
    """One draw of the target data for the two ways of fitting."""

    n: int
    draw: int
    seed: int
    epochs: int
    networks: tuple[NetworkRef, ...]
    t_min: float
    t_max: float


@lru_cache(maxsize=1)
def problem() -> SyntheticProblem:
    """The published problem in own-moment-aligned coordinates, as in the authors' code."""
    return make_problem("paper_mixture_1d", space="aligned", target="mixture")


def law(i: int) -> GaussianMixture:
    """Law of auxiliary i."""
    found = as_gaussian_mixture(problem().auxiliaries[i])
    assert found is not None
    return found


def target() -> GaussianMixture:
    """The published target."""
    found = as_gaussian_mixture(problem().target)
    assert found is not None
    return found


@study_cells(
    version=1, factors=("auxiliary",), volatile=("train_s",), name="benchmarks.mixture_1d_cells:train_auxiliary"
)
def train_auxiliary(spec: TrainingSpec) -> Row:
    """Train an auxiliary into the folder of the study; the record holds its errors on data that chose nothing."""
    i, name = spec.auxiliary, spec.name
    rng = np.random.default_rng([spec.seed, 100 + i])
    x, held_out = law(i).sample(_AUXILIARY_POINTS, rng=rng), law(i).sample(_HELD_OUT, rng=rng)
    network = build_network("mlp", {"dim": 1, "width": 64, "depth": 2}, process=PROCESS, seed=spec.seed + i)
    settings = TrainingSettings(
        steps=spec.steps, batch=256, learning_rate=2e-3, t_min=T_MIN, patience=0, checkpoint_every=500
    )
    began = process_time()
    result = train_score_network(
        network,
        x,
        settings,
        process=PROCESS,
        validation=held_out[: _HELD_OUT // 2],
        folder=study_folder() / name,
        device=device(),
        rng=np.random.default_rng([spec.seed, 200 + i]),
    )
    loss, error = denoising_loss(result.score, held_out[_HELD_OUT // 2 :], t_min=T_MIN)
    return {
        "auxiliary": i,
        "name": name,
        "sha256": reference(name).sha256,
        "held_out_loss": loss,
        "stderr": error,
        "steps": result.steps,
        "train_s": process_time() - began,
    }


def _models(networks: tuple[NetworkRef, ...]) -> list[NetworkScore]:
    return [load_network(ref, PROCESS, batch=_BATCH) for ref in networks]


@study_cells(version=1, name="benchmarks.mixture_1d_cells:window_cell")
def window_cell(spec: WindowSpec) -> Row:
    """Which nodes may be used to fit, from held-out data of the auxiliaries alone; and what the weights would be."""
    rng, models = np.random.default_rng([spec.seed, 300]), _models(spec.networks)
    held_out = [law(i).sample(_HELD_OUT, rng=rng) for i in range(2)]
    grid = time_grid(T_MIN, PROCESS.horizon, N_NODES)
    report = inspect_windows(models, held_out, process=PROCESS, grid=grid, rng=rng)
    low, high = report.window()
    narrow = time_grid(low, high, N_NODES)
    x = target().sample(20_000, rng=rng)
    through = score_gram(models, x, GramSettings(PROCESS, narrow), rng=rng)
    single = []
    for t in grid.nodes:  # the affine optimum of one node: what data.md's example shows
        at = GramSettings(PROCESS, time_grid(t, t), weighting=np.ones_like)
        gram = score_gram(models, x, at, rng=rng)
        exact = population_weights(problem(), process=PROCESS, grid=time_grid(t, t))
        single.append({"t": float(t), "network": 1.0 - float(gram.b[1] / gram.G[1, 1]), "exact": float(exact[0])})
    return {
        "t_min": low,
        "t_max": high,
        "t": report.nodes,
        "ratio": report.ratio,
        "meaningful": report.meaningful,
        "messages": report.messages(),
        "single_node_weight": single,
        "population_weight": float(population_weights(problem(), process=PROCESS, grid=narrow)[0]),
        "population_weight_whole": float(population_weights(problem(), process=PROCESS, grid=grid)[0]),
        "network_weight": float(solve(through.to_qp()).weights[0]),
    }


@study_cells(
    version=1,
    factors=("method", "n"),
    replicate="draw",
    volatile=("work_s",),
    name="benchmarks.mixture_1d_cells:methods_cell",
)
def methods_cell(spec: MethodsSpec) -> list[Row]:
    """All methods on one draw of the target data; ``work_s`` is CPU time of fitting or training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # recorded per row
        return _methods(spec)


def _methods(spec: MethodsSpec) -> list[Row]:
    work, models = spec.work, _models(spec.networks)
    rng = np.random.default_rng([spec.seed, 400, spec.draw])  # draws are nested: n = 32 is the start of n = 64
    x = target().sample(_LARGEST_N, rng=rng)[: spec.n]
    streams = np.random.default_rng([spec.seed, 500, spec.draw, spec.n])
    steps = time_steps(PROCESS, work.steps, t_min=T_MIN)
    rows: list[Row] = []

    def draw(model: ScoreModel, count: int, stream: np.random.Generator) -> Float64Array:
        return np.asarray(sample(model, count, process=PROCESS, steps=steps, rng=stream).x)

    def judge(name: str, points: FloatArray, log_weights: Float64Array | None = None, **more: Any) -> None:
        distances = _scores(np.asarray(points, dtype=np.float64), log_weights, x)
        rows.append({"n": spec.n, "draw": spec.draw, "method": name} | distances | more)

    began = process_time()
    result = quietly(fuse, models, x, process=PROCESS, t_min=spec.t_min, t_max=spec.t_max, n_nodes=N_NODES, rng=streams)
    fit_s = process_time() - began
    low, high = result.confidence_interval(0.95)[0]
    fit: Row = {
        "weight": result.weights[0],
        "low": low,
        "high": high,
        "note": "; ".join(result.warnings),
        "work_s": fit_s,
    }
    judge("fused", draw(result.score, work.points, streams), **fit)
    exact = FusedScore(problem().auxiliaries, result.weights, process=PROCESS)
    judge("fused, exact scores", draw(exact, work.points, streams))
    corrected = sample(result, work.points, "corrected", steps=steps, rng=streams)
    judge("corrected", corrected.x, corrected.log_weights, note="; ".join(corrected.diagnostics.messages))
    uniform = FusedScore(models, [0.5, 0.5], process=PROCESS)
    judge("uniform weights", draw(uniform, work.points, streams))
    judge("arithmetic mixture", sample_mixture(models, result.weights, work.points, draw, rng=streams))
    judge("parameter average", draw(average_checkpoints(models, result.weights), work.points, streams))
    closest = nearest(result.gram)
    judge("nearest auxiliary", draw(models[closest], work.points, streams), note=str(closest))
    settings = TrainingSettings(
        steps=work.scratch_steps,
        batch=256,
        learning_rate=2e-3,
        ema=0.995,
        t_min=T_MIN,
        validation_share=0.25,
        validation_draws=max(4, 1024 // spec.n),
        validate_every=50,
        patience=12,
    )
    candidates = [("mlp", {"dim": 1, "width": width, "depth": 2}) for width in (16, 64)]
    began = process_time()
    scratch = from_scratch(x, candidates, settings, process=PROCESS, seed=spec.draw, device=device())
    cost: Row = {"work_s": process_time() - began, "note": f"best step {scratch.best_step}"}
    judge("from scratch", draw(scratch.score, work.points, streams), **cost)
    settings = dataclasses.replace(settings, steps=work.tuning_steps, learning_rate=5e-4)
    began = process_time()
    _, tuned = fine_tuned_nearest(models, x, result.gram, settings, rng=spec.draw)
    cost = {"work_s": process_time() - began, "note": f"best step {tuned.best_step}"}
    judge("fine-tuned", draw(tuned.score, work.points, streams), **cost)
    judge("a sample of the target", target().sample(work.points, rng=streams))
    return rows


def _scores(points: Float64Array, log_weights: Float64Array | None, x: Float64Array) -> dict[str, float]:
    """Distances to the target in its own units; clipping is to the data's range widened by a tenth of it."""
    kept = points if log_weights is None else _equal_weights(points, log_weights)
    margin = 0.1 * float(np.ptp(x))
    clipped = np.clip(kept, float(x.min()) - margin, float(x.max()) + margin)
    reference = _reference()
    return {
        "w1": UNIT * wasserstein_1d(kept, reference).value,
        "w1_clipped": UNIT * wasserstein_1d(clipped, reference).value,
        "tv": total_variation_from_samples(kept, target(), method="kde").value,
        "tv_floor": total_variation_floor(kept, target(), method="kde"),
        "mode_mass_error": mode_mass_error(kept, target()).value,
    }


def _equal_weights(points: Float64Array, log_weights: Float64Array) -> Float64Array:
    """Quantiles of the weighted sample at evenly spread levels: a sample of equal weights with the same law."""
    order = np.argsort(points[:, 0])
    cumulative = np.cumsum(np.exp(log_weights[order]))
    levels = (np.arange(len(points)) + 0.5) / len(points) * cumulative[-1]
    drawn: Float64Array = points[order][np.minimum(np.searchsorted(cumulative, levels), len(points) - 1)]
    return drawn


@lru_cache(maxsize=1)
def _reference() -> Float64Array:
    """Quantiles of the target at 20,000 evenly spread levels: W1 to the law is below 1e-3 of a unit."""
    law = target()
    half = float(np.abs(law.means).max() + 8.0 * np.sqrt(law.spectrum.values.max()))
    grid = np.linspace(-half, half, 200_001)
    levels = (np.arange(20_000) + 0.5) / 20_000
    return np.interp(levels, cdf(law, grid), grid)[:, None]


@study_cells(
    version=1,
    factors=("n",),
    replicate="draw",
    volatile=("cpu_ratio",),
    alone=True,
    name="benchmarks.mixture_1d_cells:published_cell",
)
def published_cell(spec: PublishedSpec) -> Row:
    """Stochastic gradients on softmax logits against one antithetic pass and one quadratic program."""
    models, grid = _models(spec.networks), time_grid(spec.t_min, spec.t_max, N_NODES)
    settings = GramSettings(PROCESS, grid)
    x = target().sample(spec.n, rng=np.random.default_rng([spec.seed, 600, spec.draw]))
    judge = _population(models, settings, spec.seed)
    best = judge.value(solve(judge.to_qp()).weights)
    timed: dict[str, tuple[float, Float64Array]] = {}

    def run(name: str, fit: Callable[[], Float64Array]) -> None:
        began = process_time()
        weights = fit()
        timed[name] = process_time() - began, weights

    def published(epochs: int, batch: int) -> Float64Array:
        fitted = published_fusion(models, x, process=PROCESS, grid=grid, epochs=epochs, batch=batch, rng=spec.draw)
        return fitted.weights

    published_fusion(models, x[:64], process=PROCESS, grid=grid, epochs=1, rng=0)  # imports and caches, not timed
    run("one pass", lambda: solve(score_gram(models, x, settings, rng=spec.draw).to_qp()).weights)
    # A run of one step pays for imports, set-up and the certificate; only what steps cost beyond it counts.
    run("set-up", lambda: published(1, 64 * spec.n))
    run("published", lambda: published(spec.epochs, 64))
    cost = max(timed["published"][0] - timed["set-up"][0], 0.0)
    excess = {name: judge.value(w) - best for name, (_, w) in timed.items()}
    return {
        "n": spec.n,
        "draw": spec.draw,
        "epochs": spec.epochs,
        "cpu_ratio": cost / timed["one pass"][0],
        "excess_one_pass": excess["one pass"],
        "excess_published": excess["published"],
        "weight_one_pass": float(timed["one pass"][1][0]),
        "weight_published": float(timed["published"][1][0]),
    }


def _population(models: list[NetworkScore], settings: GramSettings, seed: int) -> ScoreGram:
    """The objective through the networks on many fresh target data."""
    return score_gram(models, target().sample(50_000, rng=np.random.default_rng([seed, 700])), settings, rng=seed)
