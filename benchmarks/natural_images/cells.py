"""Cells of :mod:`benchmarks.natural_images`: networks of one size of patch, trained once, and every method.

The loss is that of denoising, per coordinate, at times even in log SNR. The arithmetic mixture is judged by the network
that denoises a patch best under other noise: ``-log sum_i w_i p_i(x) >= min_i -log p_i(x)``, and the choice costs at
most log k nats a patch, which is nothing beside d coordinates.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import torch

from sfbench import FusedScore, compare, fuse
from sfbench.baselines.networks import average_checkpoints
from sfbench.nets import NetworkScore, ScoreUNet, TrainingSettings, train_score_network
from sfbench.processes import VariancePreserving

from ..common.fits import quietly
from ..common.networks import device
from ..common.study import Row, study_cells
from . import data

PROCESS = VariancePreserving()
T_MIN, N_NODES = 1e-3, 8
_JUDGES = 64  # of each photo


@final
@dataclass(frozen=True)
class NaturalSpec:
    """One size of patch.

    Attributes
    ----------
    px : int
        Side of a patch.
    channels : tuple of int
        Of the U-Nets, which see px as 8 x 8 blocks.
    steps : int
        Training steps of the base; auxiliaries take half as many, fine-tuning an eighth.
    sizes : tuple of int
        Patches of the mixture that methods see.
    single : int
        Patches of the targets of one photo.
    draws, seed : int
    """

    px: int
    channels: tuple[int, ...]
    steps: int
    sizes: tuple[int, ...]
    single: int
    draws: int
    seed: int


@cache
def trained(px: int, channels: tuple[int, ...], steps: int, seed: int) -> tuple[NetworkScore, list[NetworkScore]]:
    """Base network of both photos, and one of each photo that starts from it."""
    torch.manual_seed(seed)
    own = [data.patches_of(i, px).own for i in range(len(data.PHOTOS))]
    start = NetworkScore(ScoreUNet((3, px, px), process=PROCESS, channels=channels, patch=px // 8), 3 * px**2, PROCESS)
    base = train(start, np.concatenate(own), steps, seed)
    return base, [train(base, x, steps // 2, seed + 1 + i, rate=5e-4) for i, x in enumerate(own)]


def train(
    start: NetworkScore, x: np.ndarray, steps: int, seed: int, rate: float = 2e-3, few: bool = False
) -> NetworkScore:
    """A trained copy; of few rows a quarter decides when to stop."""
    settings = TrainingSettings(
        steps=steps,
        batch=64,
        learning_rate=rate,
        ema=0.9 if few else 0.99,
        t_min=T_MIN,
        validate_every=max(steps // 6, 1) if few else steps,
        validation_share=0.25 if few else 0.02,
        validation_draws=2,
    )
    return train_score_network(start.module, x, settings, process=PROCESS, device=device(), rng=seed).score


@study_cells(
    version=2,
    factors=("px", "seed"),
    name="natural_images/methods",
    volatile=("train_s", "fit_s", "tune_s", "microseconds"),
)
def run_cell(spec: NaturalSpec) -> list[Row]:
    """Held-out loss of every method, by target, n and draw."""
    torch.set_num_threads(1)
    started = time.process_time()
    base, networks = trained(spec.px, spec.channels, spec.steps, spec.seed)
    about: Row = {"px": spec.px, "seed": spec.seed, "d": 3 * spec.px**2}
    about["parameters"] = sum(p.numel() for p in _parameters(networks[0]))
    about["train_s"] = time.process_time() - started
    about["microseconds"] = _microseconds(networks[0])
    rows = []
    for draw in range(spec.draws):
        rows += _judged(spec, base, networks, "mixture", {n: _seen(spec, "mixture", n, draw) for n in spec.sizes}, draw)
    singles = {name: _seen(spec, name, spec.single, 0) for name in data.PHOTOS}
    for name, x in singles.items():
        (other,) = (rows_of for photo, rows_of in singles.items() if photo != name)
        rows += _judged(spec, base, networks, name, {spec.single: x}, 0, other)
    return [about | row for row in rows]


def _judged(
    spec: NaturalSpec,
    base: NetworkScore,
    networks: list[NetworkScore],
    target: str,
    seen: dict[int, np.ndarray],
    draw: int,
    other: np.ndarray | None = None,
) -> list[Row]:
    """All methods on patches seen; ``other`` are patches of the other photo: a fit that must lose."""
    k = len(networks)
    models: dict[tuple[str, int], Any] = {("auxiliary", i): network for i, network in enumerate(networks)}
    models["base", 0] = base
    facts: dict[int, Row] = {}
    for n, x in seen.items():
        start = time.process_time()
        fit = _fit(networks, x, spec.seed + draw)
        fitted = time.process_time()
        merged = average_checkpoints(networks, fit.weights / fit.weights.sum())
        models |= {("fused", n): fit, ("uniform", n): FusedScore(networks, np.full(k, 1.0 / k), process=PROCESS)}
        models |= {("merged", n): merged, ("fine-tuned", n): merged}
        tuning = time.process_time()
        models["fine-tuned", n] = train(merged, x, spec.steps // 8, spec.seed + draw, rate=3e-4, few=True)
        if other is not None:
            models["exchanged", n] = _fit(networks, other, spec.seed)
        facts[n] = {f"w_{photo}": float(w) for photo, w in zip(data.PHOTOS, fit.weights, strict=True)}
        facts[n] |= {"gap": fit.solver.gap, "evaluations": 2 * k * len(x) * N_NODES, "fit_s": fitted - start}
        facts[n]["tune_s"] = time.process_time() - tuning
        facts[n]["nearest"] = int(np.argmin([fit.gram.value(vertex) for vertex in np.eye(k)]))
    test = data.judges(target, spec.px, _JUDGES)
    loss = dict(zip(models, compare(_named(models), test, n_times=8, t_min=T_MIN, rng=0).by_row, strict=True))
    alone = {key: model for key, model in models.items() if key[0] == "auxiliary"}
    choice = compare(_named(alone), test, n_times=8, t_min=T_MIN, rng=1).by_row.argmin(axis=0)
    each = np.stack([loss[key] for key in alone])
    rows = []
    for n, fact in facts.items():
        found = {method: values for (method, m), values in loss.items() if m == n and method != "auxiliary"}
        found["base"] = loss["base", 0]
        found |= {"mixture": each[choice, np.arange(len(test))], "nearest": each[fact.pop("nearest")]}
        for method, values in found.items():
            above = values - found["fused"]
            row = {"target": target, "n": n, "draw": draw, "method": method, "loss": float(values.mean())}
            row |= {"above_fused": float(above.mean()), "error": float(above.std(ddof=1) / np.sqrt(len(above)))}
            gain = found["uniform"] - values
            row |= {"below_uniform": float(gain.mean()), "gain_error": float(gain.std(ddof=1) / np.sqrt(len(gain)))}
            rows.append(row | (fact if method == "fused" else {}))
    return rows


def _fit(networks: list[NetworkScore], x: np.ndarray, seed: int) -> Any:
    return quietly(
        fuse, networks, x, process=PROCESS, t_min=T_MIN, n_nodes=N_NODES, check_models=False, rng=seed
    )  # their wiring is ours


def _named(models: dict[tuple[str, int], Any]) -> dict[str, Any]:
    return {f"{method} {n}": model for (method, n), model in models.items()}


def _seen(spec: NaturalSpec, target: str, n: int, draw: int) -> np.ndarray:
    return data.target(target, spec.px, n, spec.seed + draw)


def _parameters(network: NetworkScore) -> Any:
    return network.module.parameters()


def _microseconds(network: NetworkScore) -> float:
    """CPU time of one evaluation in a batch of 256, the best of three after one to warm up."""
    x = np.random.default_rng(0).standard_normal((256, network.dim))
    spent = []
    for _ in range(4):
        start = time.process_time()
        network.score(x, 0.5)
        spent.append(time.process_time() - start)
    return 1e6 * min(spent[1:]) / len(x)
