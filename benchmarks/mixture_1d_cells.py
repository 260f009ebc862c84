"""Cells of the 1-D study: pure functions of frozen specs, each writing one JSON file when it is done."""

import dataclasses
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import process_time
from typing import Any, final

import numpy as np

from sfbench import FusedScore, GramSettings, ScoreGram, fuse, population_weights, sample, score_gram, time_grid
from sfbench._typing import Float64Array, FloatArray
from sfbench.baselines.networks import average_checkpoints, fine_tuned_nearest, from_scratch, nearest, sample_mixture
from sfbench.baselines.published_fusion import published_fusion
from sfbench.files import prepare_folder, write_json
from sfbench.metrics import wasserstein_1d
from sfbench.metrics.from_samples import mode_mass_error, total_variation_floor, total_variation_from_samples
from sfbench.metrics.reduction import cdf
from sfbench.nets import (
    NetworkScore,
    TrainingSettings,
    build_network,
    denoising_loss,
    inspect_windows,
    load_checkpoint,
    train_score_network,
)
from sfbench.processes import VarianceExploding
from sfbench.sampling import TrustWarning
from sfbench.scores import ScoreModel
from sfbench.time_steps import time_steps
from solvers import solve
from synthetic import GaussianMixture, SyntheticProblem, make_problem

PROCESS = VarianceExploding(25.0)
UNIT = float(np.sqrt(0.64 + 0.6 * 0.4 * 12.0**2))  # standard deviation of the published target: one aligned unit
T_MIN, N_NODES = 1e-3, 16
_AUXILIARY_POINTS = 20_000
_HELD_OUT = 4_000


@final
@dataclass(frozen=True)
class Scale:
    """How much work to do."""

    auxiliary_steps: int
    scratch_steps: int
    tuning_steps: int
    points: int
    steps: int
    sizes: tuple[int, ...]
    seeds: int
    epochs: int


QUICK = Scale(500, 400, 200, 1000, 32, (32, 256), 2, 20)
FULL = Scale(3000, 1500, 700, 3000, 48, (32, 64, 128, 256, 512, 1024), 5, 100)


@final
@dataclass(frozen=True)
class Cell:
    """One draw of the target data."""

    n: int
    draw: int
    seed: int
    scale: Scale
    folder: str
    device: str


@lru_cache(maxsize=1)
def problem() -> SyntheticProblem:
    """The published problem in own-moment-aligned coordinates, as in the authors' code."""
    return make_problem("paper_mixture_1d", space="aligned", target="mixture")


def law(i: int) -> GaussianMixture:
    """Law of auxiliary i."""
    found = problem().auxiliaries[i]
    assert isinstance(found, GaussianMixture)
    return found


def target() -> GaussianMixture:
    """The published target."""
    found = problem().target
    assert isinstance(found, GaussianMixture)
    return found


def train_auxiliary(i: int, scale: Scale, folder: str, seed: int, device: str) -> dict[str, Any]:
    """Train auxiliary i into ``folder/auxiliary_i`` unless it is there; returns its errors."""
    path = Path(folder) / f"auxiliary_{i}"
    rng = np.random.default_rng([seed, 100 + i])
    x, held_out = law(i).sample(_AUXILIARY_POINTS, rng=rng), law(i).sample(_HELD_OUT, rng=rng)
    network = build_network("mlp", {"dim": 1, "width": 64, "depth": 2}, process=PROCESS, seed=seed + i)
    settings = TrainingSettings(
        steps=scale.auxiliary_steps, batch=256, learning_rate=2e-3, t_min=T_MIN, patience=0, checkpoint_every=500
    )
    began = process_time()
    result = train_score_network(
        network, x, settings, process=PROCESS, validation=held_out[: _HELD_OUT // 2], folder=path, device=device,
        rng=np.random.default_rng([seed, 200 + i]),
    )  # fmt: skip
    loss, error = denoising_loss(result.score, held_out[_HELD_OUT // 2 :], t_min=T_MIN)
    return {
        "auxiliary": i,
        "held_out_loss": loss,
        "stderr": error,
        "steps": result.steps,
        "cpu_s": process_time() - began,
    }


def auxiliaries(folder: str, device: str) -> list[NetworkScore]:
    """The trained auxiliaries."""
    return [load_checkpoint(Path(folder) / f"auxiliary_{i}", process=PROCESS, device=device) for i in range(2)]


def find_window(folder: str, seed: int, device: str) -> dict[str, Any]:
    """Which nodes may be used to fit, from held-out data of the auxiliaries alone."""
    rng = np.random.default_rng([seed, 300])
    held_out = [law(i).sample(_HELD_OUT, rng=rng) for i in range(2)]
    grid = time_grid(T_MIN, PROCESS.horizon, N_NODES)
    report = inspect_windows(auxiliaries(folder, device), held_out, process=PROCESS, grid=grid, rng=rng)
    low, high = report.window()
    rows = [
        {"t": float(t), "ratio": ratio.tolist(), "meaningful": bool(ok)}
        for t, ratio, ok in zip(report.nodes, report.ratio, report.meaningful, strict=True)
    ]
    wide = [float(v) for v in population_weights(problem(), process=PROCESS, grid=grid)]
    narrow = [float(v) for v in population_weights(problem(), process=PROCESS, grid=time_grid(low, high, N_NODES))]
    models = auxiliaries(folder, device)
    x = target().sample(20_000, rng=rng)
    through = {
        name: solve(score_gram(models, x, GramSettings(PROCESS, g), rng=rng).to_qp()).weights.tolist()
        for name, g in (("whole", grid), ("window", time_grid(low, high, N_NODES)))
    }
    single = []
    for t in grid.nodes:  # the affine optimum of one node: what data.md's example shows
        at = GramSettings(PROCESS, time_grid(t, t), weighting=np.ones_like)
        gram = score_gram(models, x, at, rng=rng)
        exact = population_weights(problem(), process=PROCESS, grid=time_grid(t, t))
        single.append({"t": float(t), "network": 1.0 - float(gram.b[1] / gram.G[1, 1]), "exact": float(exact[0])})
    return {
        "t_min": low, "t_max": high, "nodes": rows, "messages": report.messages(), "single_node_weight": single,
        "population_weights": {"whole": wide, "window": narrow}, "network_weights_n_20000": through,
    }  # fmt: skip


def run_cell(cell: Cell) -> dict[str, Any]:
    """All methods on one draw of the target data."""
    path = Path(cell.folder) / "cells" / f"n{cell.n}_draw{cell.draw}.json"
    if path.exists():
        stored: dict[str, Any] = json.loads(path.read_text())
        if stored["spec"] == _spec(cell):
            return stored
    prepare_folder(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # recorded per row
        record = {"spec": _spec(cell)} | _methods(cell)
    write_json(path, record)
    return json.loads(path.read_text())  # type: ignore[no-any-return]  # as a resumed run reads it, to the byte


def _spec(cell: Cell) -> dict[str, Any]:
    spec = dataclasses.asdict(cell)
    del spec["folder"], spec["device"]
    return json.loads(json.dumps(spec))  # type: ignore[no-any-return]


def _methods(cell: Cell) -> dict[str, Any]:
    scale, models = cell.scale, auxiliaries(cell.folder, cell.device)
    window = json.loads((Path(cell.folder) / "window.json").read_text())
    rng = np.random.default_rng([cell.seed, 400, cell.draw])  # draws are nested: n = 32 is the start of n = 64
    x = target().sample(1024, rng=rng)[: cell.n]
    streams = np.random.default_rng([cell.seed, 500, cell.draw, cell.n])
    steps = time_steps(PROCESS, scale.steps, t_min=T_MIN)

    def draw(model: ScoreModel, count: int, stream: np.random.Generator) -> Float64Array:
        return np.asarray(sample(model, count, process=PROCESS, steps=steps, rng=stream).x)

    began = process_time()
    result = fuse(
        models, x, process=PROCESS, t_min=window["t_min"], t_max=window["t_max"], n_nodes=N_NODES, rng=streams
    )
    cpu = {"fused": process_time() - began}
    low, high = result.confidence_interval(0.95)[0]
    record: dict[str, Any] = {"weight": float(result.weights[0]), "low": float(low), "high": float(high)}
    rows = []

    def judge(name: str, points: FloatArray, log_weights: Float64Array | None = None, note: str = "") -> None:
        rows.append({"method": name, "note": note} | _scores(np.asarray(points, dtype=np.float64), log_weights, x))

    judge("fused", draw(result.score, scale.points, streams))
    exact = FusedScore(problem().auxiliaries, result.weights, process=PROCESS)
    judge("fused, exact scores", draw(exact, scale.points, streams))
    corrected = sample(result, scale.points, "corrected", steps=steps, rng=streams)
    judge("corrected", corrected.x, corrected.log_weights, "; ".join(corrected.diagnostics.messages))
    uniform = FusedScore(models, [0.5, 0.5], process=PROCESS)
    judge("uniform weights", draw(uniform, scale.points, streams))
    judge("arithmetic mixture", sample_mixture(models, result.weights, scale.points, draw, rng=streams))
    judge("parameter average", draw(average_checkpoints(models, result.weights), scale.points, streams))
    closest = nearest(result.gram)
    judge("nearest auxiliary", draw(models[closest], scale.points, streams), note=str(closest))
    began = process_time()
    settings = TrainingSettings(
        steps=scale.scratch_steps, batch=256, learning_rate=2e-3, ema=0.995, t_min=T_MIN, validation_share=0.25,
        validation_draws=max(4, 1024 // cell.n), validate_every=50, patience=12,
    )  # fmt: skip
    candidates = [("mlp", {"dim": 1, "width": width, "depth": 2}) for width in (16, 64)]
    common: dict[str, Any] = {"device": cell.device}
    scratch = from_scratch(x, candidates, settings, process=PROCESS, seed=cell.draw, **common)
    cpu["from scratch"] = process_time() - began
    judge("from scratch", draw(scratch.score, scale.points, streams), note=f"best step {scratch.best_step}")
    began = process_time()
    settings = dataclasses.replace(settings, steps=scale.tuning_steps, learning_rate=5e-4)
    _, tuned = fine_tuned_nearest(models, x, result.gram, settings, rng=cell.draw)
    cpu["fine-tuned"] = process_time() - began
    judge("fine-tuned", draw(tuned.score, scale.points, streams), note=f"best step {tuned.best_step}")
    judge("a sample of the target", target().sample(scale.points, rng=streams))
    return record | {"rows": rows, "cpu_s": cpu, "warnings": list(result.warnings)}


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


def published_way(n: int, draw: int, scale: Scale, folder: str, seed: int, device: str) -> dict[str, Any]:
    """Stochastic gradients on softmax logits against one antithetic pass and one quadratic program."""
    models = auxiliaries(folder, device)
    window = json.loads((Path(folder) / "window.json").read_text())
    grid = time_grid(window["t_min"], window["t_max"], N_NODES)
    settings = GramSettings(PROCESS, grid)
    x = target().sample(n, rng=np.random.default_rng([seed, 600, draw]))
    judge = _population(models, settings, seed)
    floor = solve(judge.to_qp()).value
    timed: dict[str, tuple[float, Float64Array]] = {}

    def run(name: str, fit: Callable[[], Float64Array]) -> None:
        began = process_time()
        weights = fit()
        timed[name] = process_time() - began, weights

    published_fusion(models, x[:64], process=PROCESS, grid=grid, epochs=1, rng=0)  # imports and caches, not timed
    run("one pass", lambda: solve(score_gram(models, x, settings, rng=draw).to_qp()).weights)
    for name, epochs in (("set-up", 0), ("published", scale.epochs)):
        # A run of one step pays for imports, set-up and the certificate; only what steps cost beyond it counts.
        options = {"epochs": max(epochs, 1), "batch": 64 if epochs else 64 * n}
        run(name, lambda o=options: published_fusion(models, x, process=PROCESS, grid=grid, rng=draw, **o).weights)  # type: ignore[misc]
    cost = max(timed["published"][0] - timed["set-up"][0], 0.0)
    excess = {name: judge.value(w) - judge.value(solve(judge.to_qp()).weights) for name, (_, w) in timed.items()}
    return {
        "n": n, "draw": draw, "epochs": scale.epochs, "cpu_ratio": cost / timed["one pass"][0], "optimum": floor,
        "excess_one_pass": excess["one pass"], "excess_published": excess["published"],
        "weight_one_pass": float(timed["one pass"][1][0]), "weight_published": float(timed["published"][1][0]),
    }  # fmt: skip


def _population(models: list[NetworkScore], settings: GramSettings, seed: int) -> ScoreGram:
    """The objective through the networks on many fresh target data."""
    return score_gram(models, target().sample(50_000, rng=np.random.default_rng([seed, 700])), settings, rng=seed)
