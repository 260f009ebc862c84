"""Cells of the digits study (see :mod:`benchmarks.digits`): all methods on one draw of the target data, and what is the
same for every draw, once."""

import base64
import dataclasses
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from time import process_time
from typing import Any, final

import numpy as np
import torch

from sfbench import FusedScore, fuse, sample, time_grid
from sfbench._internal.aliases import Float64Array, FloatArray
from sfbench.baselines.networks import average_checkpoints, fine_tuned_nearest, from_scratch, nearest, sample_mixture
from sfbench.data import make_populations
from sfbench.laws.likelihood import log_likelihood
from sfbench.nets import NetworkScore, TrainingSettings, inspect_windows
from sfbench.processes.times import time_steps
from sfbench.sampling import TrustWarning
from sfbench.scores import ScoreModel

from ..common.fits import quietly
from ..common.networks import NetworkRef, device, load_network
from ..common.study import Row, study_cells
from .judge import Judge, train_judge
from .models import (
    NINE,
    PROCESS,
    SEVEN,
    SHARES,
    T_MIN,
    TARGET_SHARE,
    Evaluation,
    Training,
    dequantised,
    load_pools,
    populations,
)

N_NODES = 12
_SHOWN = 16
_MIX = {SEVEN: TARGET_SHARE, NINE: 1.0 - TARGET_SHARE}


@final
@dataclass(frozen=True)
class WindowSpec:
    """Held-out data of the auxiliaries against the auxiliaries."""

    training: Training
    seed: int
    networks: tuple[NetworkRef, ...]


@final
@dataclass(frozen=True)
class FixedSpec:
    """A method that no target data change: an auxiliary by its name, uniform weights, real digits."""

    method: str
    draw: int
    seed: int
    training: Training
    evaluation: Evaluation
    networks: tuple[NetworkRef, ...]


@final
@dataclass(frozen=True)
class MethodsSpec:
    """One draw of the target data."""

    n: int
    draw: int
    seed: int
    training: Training
    evaluation: Evaluation
    networks: tuple[NetworkRef, ...]
    t_min: float
    t_max: float


def fixed_methods() -> list[str]:
    """Names that :class:`FixedSpec` knows."""
    return [*(f"auxiliary {i}" for i in range(len(SHARES))), "uniform weights", "real digits"]


@lru_cache(maxsize=2)
def judge_of(data: str, levels: int, seed: int) -> Judge:
    """The judge, once per process."""
    return train_judge(load_pools(data, seed), levels - 1, seed)


@lru_cache(maxsize=2)
def target_sides(data: str, held_out: int, seed: int) -> tuple[Float64Array, Float64Array, np.ndarray]:
    """Held-out target images (one set for all draws and methods), and the rest with its labels."""
    pools = load_pools(data, seed)
    rng = np.random.default_rng([seed, 900])
    [(kept, _, index)] = make_populations(pools.target_x, pools.target_y, [_MIX], held_out, rng=rng)
    rest = np.setdiff1d(np.arange(len(pools.target_y)), index)
    return kept, pools.target_x[rest], pools.target_y[rest]


@study_cells(version=1, name="benchmarks.digits_cells:window_cell")
def window_cell(spec: WindowSpec) -> Row:
    """Times at which the auxiliaries differ by more than they err, from their own held-out data."""
    grid = time_grid(T_MIN, PROCESS.horizon, N_NODES)
    models = [load_network(ref, PROCESS) for ref in spec.networks]
    held_out = populations(spec.training, spec.seed)[1]
    report = inspect_windows(models, held_out, process=PROCESS, grid=grid, n_noise=2, rng=spec.seed)
    low, high, chosen = T_MIN, PROCESS.horizon, "the whole window"
    if report.meaningful.any():
        (low, high), chosen = report.window(), "the longest run of meaningful nodes"
    return {
        "t_min": float(low),
        "t_max": float(high),
        "chosen": chosen,
        "t": report.nodes,
        "ratio": report.ratio,
        "meaningful": report.meaningful,
        "undecided": report.undecided,
        "messages": report.messages(),
    }


class _Bench:
    """What every method is drawn and judged with."""

    def __init__(self, spec: FixedSpec | MethodsSpec, stream: list[int]) -> None:
        self.training, self.evaluation, self.draw_number = spec.training, spec.evaluation, spec.draw
        self.judge = judge_of(spec.training.data, spec.training.levels, spec.seed)
        self.held_out, self.pool_x, self.pool_y = target_sides(spec.training.data, spec.evaluation.held_out, spec.seed)
        noise = np.random.default_rng([spec.seed, 901]).random(self.held_out.shape)
        self.held_out = (self.held_out + noise)[: spec.evaluation.likelihood_points]
        self.models = [load_network(ref, PROCESS) for ref in spec.networks]
        self.rng = np.random.default_rng([spec.seed, *stream])
        self.steps = time_steps(PROCESS, spec.evaluation.sampler_steps, t_min=T_MIN)

    def draw(self, model: ScoreModel, count: int, rng: np.random.Generator) -> Float64Array:
        """Points of a model by the reverse SDE."""
        return np.asarray(sample(model, count, process=PROCESS, steps=self.steps, rng=rng).x)

    def sampled(self, model: ScoreModel) -> Float64Array:
        """As many points as methods are judged by."""
        return self.draw(model, self.evaluation.generated, self.rng)

    def fused(self, weights: FloatArray, dtype: torch.dtype = torch.float32) -> FusedScore:
        """Averaged score of the auxiliaries."""
        return FusedScore([m.to(dtype=dtype) for m in self.models], weights, process=PROCESS)

    def judged(self, method: str, points: FloatArray, log_weights: Float64Array | None = None) -> Row:
        """Share of sevens and digit-FID; pictures for the first draw."""
        scaling = self.training.scaling
        raw = points * scaling.scale + scaling.shift
        weights = None if log_weights is None else np.exp(log_weights)
        share = self.judge.share(raw, weights)
        equal = raw if weights is None else raw[self.rng.choice(len(raw), len(raw), p=weights / weights.sum())]
        tiles = np.clip(np.floor(equal[:_SHOWN]), 0, self.training.levels - 1).astype(np.uint8)
        return {
            "method": method,
            "draw": self.draw_number,
            "share": share.value,
            "share_stderr": share.stderr,
            "fid": self.judge.frechet(equal),
            "pixels": pack_pixels(tiles) if self.draw_number == 0 else None,
        }

    def bits(self, score: ScoreModel) -> Row:
        """Bits per dimension of the held-out target images; the score must be float64 (differences of it are taken)."""
        found = log_likelihood(
            score,
            self.held_out,
            scaling=self.training.scaling,
            process=PROCESS,
            steps=time_steps(PROCESS, self.evaluation.likelihood_steps, t_min=T_MIN),
            n_probes=2,
            rng=0,
        )
        return {"bits": found.bits_per_dim.value, "bits_stderr": found.bits_per_dim.stderr}


def pack_pixels(tiles: np.ndarray) -> str:
    """Small images (m, d) of bytes as text."""
    return base64.b64encode(zlib.compress(tiles.tobytes(), 9)).decode()


def unpack_pixels(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """The images (m, height, width) behind :func:`pack_pixels`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(-1, *shape)


@study_cells(version=1, factors=("method",), replicate="draw", name="benchmarks.digits_cells:fixed_cell")
def fixed_cell(spec: FixedSpec) -> Row:
    """A method that no target data change. The likelihood, which no draw changes either, is that of draw 0."""
    bench = _Bench(spec, [2000, fixed_methods().index(spec.method), spec.draw])
    if spec.method == "real digits":
        most = int(min(np.bincount(bench.pool_y)[[SEVEN, NINE]] / [TARGET_SHARE, 1 - TARGET_SHARE]))
        count = min(spec.evaluation.generated, most)
        [(real, _, _)] = make_populations(bench.pool_x, bench.pool_y, [_MIX], count, rng=bench.rng)
        return bench.judged(spec.method, spec.training.scaling.apply(real + 0.5))
    if spec.method == "uniform weights":
        weights = np.full(len(bench.models), 1.0 / len(bench.models))
    else:
        weights = np.eye(len(bench.models))[int(spec.method.removeprefix("auxiliary "))]
    row = bench.judged(spec.method, bench.sampled(bench.fused(weights)))
    return row | (bench.bits(bench.fused(weights, torch.float64)) if spec.draw == 0 else {})


@study_cells(
    version=1,
    factors=("method", "n"),
    replicate="draw",
    volatile=("work_s",),
    name="benchmarks.digits_cells:methods_cell",
)
def methods_cell(spec: MethodsSpec) -> list[Row]:
    """All methods on one draw of the target data; ``work_s`` is CPU time of fitting or training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # recorded with the row
        return [{"n": spec.n} | row for row in _methods(spec)]


def _methods(spec: MethodsSpec) -> list[Row]:
    bench = _Bench(spec, [1000, spec.draw, spec.n])
    models, rng, rows = bench.models, bench.rng, list[Row]()
    [(shown, _, _)] = make_populations(bench.pool_x, bench.pool_y, [_MIX], spec.n, rng=rng)
    x = dequantised(shown, spec.training, rng)
    began = process_time()
    result = quietly(
        fuse,
        models,
        x,
        process=PROCESS,
        t_min=spec.t_min,
        t_max=spec.t_max,
        n_nodes=N_NODES,
        n_noise=max(1, 128 // spec.n),
        rng=rng,
    )
    fit_s, w, interval = process_time() - began, result.weights, result.confidence_interval(0.95)
    closest = nearest(result.gram)
    fit: Row = {
        "weights": w,
        "low": interval[:, 0],
        "high": interval[:, 1],
        "nearest": closest,
        "geometric_share": pooled_share(w, np.array(SHARES)),
        "arithmetic_share": float(w @ np.array(SHARES)),
        "note": "; ".join(result.warnings),
        "work_s": fit_s,
    }
    rows.append(bench.judged("fused", bench.sampled(result.score)) | bench.bits(bench.fused(w, torch.float64)) | fit)
    corrected = sample(result, spec.evaluation.generated, "corrected", steps=bench.steps, rng=rng)
    note = {"note": "; ".join(corrected.diagnostics.messages), "trusted": corrected.diagnostics.trustworthy}
    rows.append(bench.judged("corrected", corrected.x, corrected.log_weights) | note)
    mixture = sample_mixture(models, w, spec.evaluation.generated, bench.draw, rng=rng)
    rows.append(bench.judged("arithmetic mixture", mixture))
    merged = average_checkpoints(models, w)
    rows.append(bench.judged("parameter average", bench.sampled(merged)) | bench.bits(merged.to(dtype=torch.float64)))

    def trained(method: str, score: NetworkScore, best_step: int, seconds: float) -> None:
        points = bench.sampled(dataclasses.replace(score, batch=512))
        row = bench.judged(method, points) | bench.bits(score.to(dtype=torch.float64))
        rows.append(row | {"note": f"best step {best_step}", "work_s": seconds})

    settings = TrainingSettings(
        steps=spec.evaluation.target_steps,
        batch=min(spec.training.batch, 4 * spec.n),
        learning_rate=2e-4,
        ema=0.99,
        t_min=T_MIN,
        validation_share=0.2,
        validation_draws=max(4, 512 // spec.n),
        validate_every=50,
        patience=8,
    )
    began = process_time()
    _, tuned = fine_tuned_nearest(models, x, result.gram, settings, rng=spec.draw)
    trained("fine-tuned", tuned.score, tuned.best_step, process_time() - began)
    began = process_time()
    scratch = from_scratch(
        x,
        [(spec.training.network, dict(spec.training.options))],
        dataclasses.replace(settings, learning_rate=1e-3),
        process=PROCESS,
        seed=spec.draw,
        device=device(),
    )
    trained("from scratch", scratch.score, scratch.best_step, process_time() - began)
    return rows


def pooled_share(weights: Any, shares: Float64Array) -> float:
    """Share of sevens of the pool if sevens and nines do not overlap and class laws are shared."""
    logits = np.log(shares / (1.0 - shares))
    return float(1.0 / (1.0 + np.exp(-np.asarray(weights) @ logits)))
