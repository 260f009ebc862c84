"""Trained networks on their data: what precision does to the weights, and the published way beside one pass.

**Precision.** The same data and noise, the same networks in float64, float32 and bfloat16, compiled, and with their
channels side by side. The change of a weight is given in half-widths of its 90 % interval: below 1 the precision hides
behind the noise of the data. The U-Nets of sevens and nines see images that they drew themselves, fused.

**The published way** learns softmax logits by Adam through the networks (:mod:`sfbench.baselines.published_fusion`);
both minimise the same objective on the same data. Its excess over its minimum is judged by a pass over the same data
with 32 fresh noise vectors a point; "4 vectors" is one pass with four of its own. A run of one step is taken off the
published way's time: set-up, and the certificate.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfbench
from sfbench.baselines.published_fusion import published_fusion
from sfbench.data import load_data
from sfbench.nets import NetworkScore, load_checkpoint
from sfbench.processes import VarianceExploding, VariancePreserving
from sfbench.statistics import GramSettings, score_gram
from solvers import solve
from synthetic import make_problem

from ..common.fits import quietly
from ..common.study import Row

_RESULTS = Path(__file__).parents[1] / "results"
_DIGITS8 = ("auxiliary_90_foreign_0", "auxiliary_90_foreign_1", "auxiliary_foreign_shuffled_0", "base")
_NODES, _BATCH, _EPOCHS = 8, 64, (3, 10, 30, 100)
Case = tuple[str, list[NetworkScore], np.ndarray, GramSettings]
_WAYS: dict[str, tuple[torch.dtype, dict[str, bool]]] = {
    "float64": (torch.float64, {}),
    "float32": (torch.float32, {}),
    "float32, compiled": (torch.float32, {"compile": True}),
    "float32, channels last": (torch.float32, {"channels_last": True}),
    "bfloat16": (torch.bfloat16, {}),
    "bfloat16, channels last, compiled": (torch.bfloat16, {"channels_last": True, "compile": True}),
    "bfloat16, compiled": (torch.bfloat16, {"compile": True}),
}


def cases(n: int, device: torch.device) -> list[Case]:
    """Name, networks, data (n, d) in single precision, and how to fit."""
    line, plane = VarianceExploding(25.0), VariancePreserving()
    problem = make_problem("paper_mixture_1d", space="aligned", target="mixture")
    x = problem.target.sample(n, rng=np.random.default_rng(0))
    digits = np.random.default_rng(0).permutation(load_data("digits8")[0])[:n].reshape(-1, 64) / 8.0 - 1.0
    found = []
    for name, process, folder, members, data in (
        ("line, k = 2", line, "mixture_1d", ("auxiliary_0", "auxiliary_1"), x),
        ("digits 8x8, k = 4", plane, "styles/digits8", _DIGITS8, digits),
    ):
        models = [load_checkpoint(_RESULTS / folder / m, process=process, device=str(device)) for m in members]
        settings = GramSettings(process, sfbench.time_grid(1e-2, process.horizon, _NODES), dtype=np.float32)
        found.append((name, models, data.astype(np.float32), settings))
    return found


def images(n: int, device: torch.device) -> Case:
    """The U-Nets of :mod:`benchmarks.digits`, and n images that they draw together at uneven weights."""
    process = VariancePreserving()
    members = (_RESULTS / f"digits_mnist/auxiliary_{i}" for i in range(4))
    models = [load_checkpoint(member, process=process, device=str(device)) for member in members]
    settings = GramSettings(process, sfbench.time_grid(1e-2, process.horizon, _NODES), dtype=np.float32)
    fused = sfbench.FusedScore(models, [0.1, 0.2, 0.3, 0.4], process=process)
    x = quietly(sfbench.sample, fused, n, steps=16, check_steps=False, dtype=np.float32, rng=0).x
    return "digits 28x28, U-Nets, k = 4", models, x, settings


def precision(found: Sequence[Case], compiled: bool) -> list[Row]:
    """Rows: largest change of a weight against float64, itself and in half-widths of its 90 % interval."""
    rows: list[Row] = []
    for name, models, x, settings in found:
        fits = {}
        for way, (dtype, options) in _WAYS.items():
            flat = not any(weight.ndim == 4 for weight in models[0].module.parameters())
            if ("channels_last" in options and flat) or ("compile" in options and not compiled):
                continue
            own = [replace(model.to(dtype=dtype), batch=_BATCH, **options) for model in models]  # type: ignore[arg-type]
            points = x.astype(np.float64 if dtype == torch.float64 else np.float32)
            t_min, t_max = float(settings.grid.nodes[0]), float(settings.grid.nodes[-1])
            given: dict[str, Any] = {"n_nodes": _NODES, "t_min": t_min, "t_max": t_max, "check_models": False, "rng": 0}
            fits[way] = quietly(sfbench.fuse, own, points, process=settings.process, **given)
        exact = fits["float64"]
        half = 0.5 * np.ptp(exact.confidence_interval(), axis=1)
        for way, fit in fits.items():
            change = np.abs(fit.weights - exact.weights)
            shares = change[half > 0] / half[half > 0]
            rows.append(
                {
                    "networks": name,
                    "dtype": way,
                    "n": len(x),
                    "change": float(change.max()),
                    "half_widths": float(shares.max(initial=0.0)),
                    "weights": " ".join(f"{w:.4f}" for w in fit.weights),
                }
            )
    return rows


def one_pass(case: Case, n_noise: int, draw: int) -> np.ndarray:
    """Weights by one pass and one quadratic program."""
    _, models, x, settings = case
    return solve(score_gram(models, x, replace(settings, n_noise=n_noise), rng=draw).to_qp()).weights


def learn(case: Case, epochs: int, draw: int, batch: int = _BATCH) -> np.ndarray:
    """Weights by stochastic gradients on softmax logits."""
    _, models, x, settings = case
    options = {"grid": settings.grid, "epochs": epochs, "batch": batch, "rng": draw}
    return published_fusion(models, x, process=settings.process, **options).weights  # type: ignore[arg-type]


def published(found: Sequence[Case], draws: int) -> list[Row]:
    """Rows: seconds and excess of one pass and of the published way at several numbers of epochs."""
    rows: list[Row] = []
    for case in found:
        name, models, x, settings = case
        judge = score_gram(models, x, GramSettings(settings.process, settings.grid, n_noise=32), rng=99).to_qp()
        best = solve(judge, tol=1e-12).value
        learn(case, 1, 0, len(x))  # what is imported on first use
        for draw in range(draws):
            setup, _ = _timed(learn, case, 1, draw, len(x))
            contenders: list[tuple[str, float, Callable[..., np.ndarray], int]] = [
                ("one pass", 0.0, one_pass, 1),
                ("4 vectors", 0.0, one_pass, 4),
                *((f"{epochs} epochs", setup, learn, epochs) for epochs in _EPOCHS),
            ]
            for way, free, function, effort in contenders:
                seconds, weights = _timed(function, case, effort, draw)
                excess = judge.value(weights) - best
                rows.append({"networks": name, "draw": draw, "way": way, "seconds": seconds - free, "excess": excess})
    return rows


def _timed(function: Callable[..., np.ndarray], *arguments: object) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    weights = function(*arguments)
    return time.perf_counter() - start, weights


Spread = tuple[float, float, float]


def summary(learnt: Sequence[Row]) -> list[tuple[str, Spread, Spread]]:
    """Networks and way, its time over that of one pass, and its excess: median, least and largest over draws."""
    groups: dict[str, list[tuple[float, float]]] = {}
    passes = {(r["networks"], r["draw"]): r for r in learnt if r["way"] == "one pass"}
    for row in learnt:
        pair = (row["seconds"] / passes[row["networks"], row["draw"]]["seconds"], row["excess"])
        groups.setdefault(f"{row['networks']}, {row['way']}", []).append(pair)
    found = []
    for name, pairs in groups.items():
        times, excess = ((float(np.median(v)), min(v), max(v)) for v in zip(*pairs, strict=True))
        found.append((name, times, excess))
    return found
