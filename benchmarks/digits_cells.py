"""Cells of the digits study: all methods on one draw of the target data, cached as one JSON file and one picture."""

import dataclasses
import json
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, final

import numpy as np
import torch

from sfbench import FusedScore, fuse, sample, time_grid
from sfbench._typing import Float64Array, FloatArray
from sfbench.baselines.networks import average_checkpoints, fine_tuned_nearest, from_scratch, nearest, sample_mixture
from sfbench.data import make_populations
from sfbench.files import prepare_folder, write_atomically, write_json
from sfbench.laws.likelihood import log_likelihood
from sfbench.nets import NetworkScore, TrainingSettings, inspect_windows, load_checkpoint
from sfbench.sampling import TrustWarning
from sfbench.scores import ScoreModel
from sfbench.time_steps import time_steps

from .digits_judge import Judge, train_judge
from .digits_models import NINE, PROCESS, SEVEN, SHARES, TARGET_SHARE, Pools, Study, dequantised, load_pools

T_MIN, N_NODES = 1e-3, 12


@final
@dataclass(frozen=True)
class Cell:
    """One draw of the target data."""

    n: int
    draw: int
    seed: int
    study: Study
    folder: str
    device: str


@lru_cache(maxsize=2)
def pools_and_judge(study: Study, seed: int) -> tuple[Pools, Judge]:
    """Data and judge, once per process."""
    pools = load_pools(study, seed)
    return pools, train_judge(pools, study.levels - 1, seed)


def auxiliaries(folder: str, device: str) -> list[NetworkScore]:
    """The trained auxiliaries."""
    return [
        load_checkpoint(Path(folder) / f"auxiliary_{i}", process=PROCESS, device=device, batch=512)
        for i in range(len(SHARES))
    ]


def find_window(folder: str, held_out: list[Float64Array], device: str, seed: int) -> dict[str, Any]:
    """Times at which the auxiliaries differ by more than they err, from their own held-out data."""
    grid = time_grid(T_MIN, PROCESS.horizon, N_NODES)
    report = inspect_windows(auxiliaries(folder, device), held_out, process=PROCESS, grid=grid, n_noise=2, rng=seed)
    nodes = [
        {"t": float(t), "ratio": r.tolist(), "meaningful": bool(ok), "undecided": bool(u)}
        for t, r, ok, u in zip(report.nodes, report.ratio, report.meaningful, report.undecided, strict=True)
    ]
    record: dict[str, Any] = {"nodes": nodes, "messages": report.messages(), "chosen": "the whole window"}
    low, high = T_MIN, PROCESS.horizon
    if report.meaningful.any():
        low, high = report.window()
        record["chosen"] = "the longest run of meaningful nodes"
    return record | {"t_min": float(low), "t_max": float(high)}


def run_cell(cell: Cell) -> dict[str, Any]:
    """All methods on one draw of the target data; cached."""
    stem = Path(cell.folder) / "cells" / f"n{cell.n}_draw{cell.draw}"
    path = stem.with_suffix(".json")
    spec = {k: v for k, v in dataclasses.asdict(cell).items() if k not in ("folder", "device")}
    spec = json.loads(json.dumps(spec))
    if path.exists():
        stored: dict[str, Any] = json.loads(path.read_text())
        if stored["spec"] == spec:
            return stored
    prepare_folder(path.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # recorded with the row
        record, pictures = _Methods(cell).run()
    write_atomically(stem.with_suffix(".npz"), lambda f: np.savez_compressed(f, **pictures), binary=True)  # type: ignore[arg-type]
    write_json(path, {"spec": spec} | record)
    return json.loads(path.read_text())  # type: ignore[no-any-return]  # as a resumed run reads it, to the byte


class _Methods:
    """Everything that is done with one draw."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.study = cell, cell.study
        self.pools, self.judge = pools_and_judge(cell.study, cell.seed)
        mix = {SEVEN: TARGET_SHARE, NINE: 1.0 - TARGET_SHARE}
        rng = np.random.default_rng([cell.seed, 1000, cell.draw, cell.n])
        shown, held_out = make_populations(
            self.pools.target_x, self.pools.target_y, [mix, mix], [cell.n, cell.study.held_out], rng=rng
        )
        self.x = dequantised(shown[0], cell.study, rng)
        self.held_out = (held_out[0] + rng.random(held_out[0].shape))[: cell.study.likelihood_points]
        self.rng = rng
        self.steps = time_steps(PROCESS, cell.study.sampler_steps, t_min=T_MIN)
        self.rows: list[dict[str, Any]] = []
        self.pictures: dict[str, np.ndarray] = {}

    def draw(self, model: ScoreModel, count: int, rng: np.random.Generator) -> Float64Array:
        """Points of a model by the reverse SDE."""
        return np.asarray(sample(model, count, process=PROCESS, steps=self.steps, rng=rng).x)

    def judge_points(
        self,
        name: str,
        points: FloatArray,
        score: ScoreModel | None,
        log_weights: Float64Array | None = None,
        note: str = "",
    ) -> None:
        """Add a row: share, FID, and bits per dimension where there is a flow."""
        scaling, rng = self.study.scaling, self.rng
        raw = points * scaling.scale + scaling.shift
        weights = None if log_weights is None else np.exp(log_weights)
        share = self.judge.share(raw, weights)
        equal = raw if weights is None else raw[rng.choice(len(raw), len(raw), p=weights / weights.sum())]
        row = {
            "method": name, "note": note, "share": share.value, "share_stderr": share.stderr,
            "fid": self.judge.frechet(equal),
        }  # fmt: skip
        if score is not None:
            likelihood = log_likelihood(
                score, self.held_out, scaling=scaling, process=PROCESS,
                steps=time_steps(PROCESS, self.study.likelihood_steps, t_min=T_MIN), n_probes=2, rng=0,
            )  # fmt: skip
            row |= {"bits": likelihood.bits_per_dim.value, "bits_stderr": likelihood.bits_per_dim.stderr}
        self.rows.append(row)
        self.pictures[name] = np.clip(np.floor(equal[:24]), 0, self.study.levels - 1).astype(np.uint8)

    def run(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Rows of all methods, and pictures."""
        cell, study, count = self.cell, self.study, self.study.generated
        models = auxiliaries(cell.folder, cell.device)
        precise = [model.to(dtype=torch.float64) for model in models]
        window = json.loads((Path(cell.folder) / "window.json").read_text())
        began = perf_counter()
        result = fuse(
            models, self.x, process=PROCESS, t_min=window["t_min"], t_max=window["t_max"], n_nodes=N_NODES,
            n_noise=max(1, 128 // cell.n), rng=self.rng,
        )  # fmt: skip
        seconds = {"fit": perf_counter() - began}
        w = result.weights
        interval = result.confidence_interval(0.95)

        def fused64(weights: Float64Array) -> FusedScore:
            return FusedScore(precise, weights, process=PROCESS)

        self.judge_points("fused", self.draw(result.score, count, self.rng), fused64(w))
        corrected = sample(result, count, "corrected", steps=self.steps, rng=self.rng)
        note = "; ".join(corrected.diagnostics.messages)
        self.judge_points("corrected", corrected.x, None, corrected.log_weights, note)
        even = np.full(len(models), 1.0 / len(models))
        uniform = FusedScore(models, even, process=PROCESS)
        self.judge_points("uniform weights", self.draw(uniform, count, self.rng), fused64(even))
        self.judge_points("arithmetic mixture", sample_mixture(models, w, count, self.draw, rng=self.rng), None)
        merged = average_checkpoints(models, w)
        self.judge_points("parameter average", self.draw(merged, count, self.rng), merged.to(dtype=torch.float64))
        closest = nearest(result.gram)
        self.judge_points(
            "nearest auxiliary", self.draw(models[closest], count, self.rng), precise[closest], None, str(closest)
        )
        settings = TrainingSettings(
            steps=study.target_steps, batch=min(study.batch, 4 * cell.n), learning_rate=1e-3, ema=0.99, t_min=T_MIN,
            validation_share=0.2, validation_draws=max(4, 512 // cell.n), validate_every=50, patience=8,
        )  # fmt: skip
        began = perf_counter()
        _, tuned = fine_tuned_nearest(
            models, self.x, result.gram, dataclasses.replace(settings, learning_rate=2e-4), rng=cell.draw
        )
        seconds["fine-tuned"] = perf_counter() - began
        self._trained("fine-tuned", tuned.score, tuned.best_step)
        began = perf_counter()
        candidates = [(study.network, dict(study.options))]
        scratch = from_scratch(self.x, candidates, settings, process=PROCESS, seed=cell.draw, device=cell.device)
        seconds["from scratch"] = perf_counter() - began
        self._trained("from scratch", scratch.score, scratch.best_step)
        real = make_populations(
            self.pools.target_x, self.pools.target_y, [{SEVEN: TARGET_SHARE, NINE: 1 - TARGET_SHARE}],
            min(count, int(1.2 * min(np.bincount(self.pools.target_y)[[SEVEN, NINE]]))), rng=self.rng,
        )[0][0]  # fmt: skip
        self.judge_points("real digits", study.scaling.apply(real + 0.5), None)
        logits = np.log(np.array(SHARES) / (1 - np.array(SHARES)))
        record = {
            "weights": w.tolist(),
            "low": interval[:, 0].tolist(),
            "high": interval[:, 1].tolist(),
            "geometric_share": float(1.0 / (1.0 + np.exp(-w @ logits))),
            "arithmetic_share": float(w @ np.array(SHARES)),
            "warnings": list(result.warnings),
            "seconds": seconds,
            "rows": self.rows,
        }
        return record, self.pictures

    def _trained(self, name: str, score: NetworkScore, best_step: int) -> None:
        points = self.draw(dataclasses.replace(score, batch=512), self.study.generated, self.rng)
        self.judge_points(name, points, score.to(dtype=torch.float64), None, f"best step {best_step}")
