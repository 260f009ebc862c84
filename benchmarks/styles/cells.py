r"""Cells of the style study: networks, their distances from the target, and all methods on one draw of the target.

The judge is the denoising loss on held-out target images, at fixed times and noise (see :mod:`sfbench.nets.losses`):
equal for all methods, so differences have little noise. With loss L per coordinate and the reference's loss L_0,

    (L - L_0) d Lambda / 2,        Lambda = width of the window in log SNR,

is the excess of ``1/2 int g^2 E |s - s*|^2 dt``: nats of the bound on the KL divergence between target and sampler. All
networks are the same perceptron. The auxiliaries are fine-tunes of one base that saw foreign styles only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from sfbench import FusionResult, fuse
from sfbench._internal.aliases import Float64Array
from sfbench.baselines.networks import average_checkpoints, nearest
from sfbench.experiments import study_folder
from sfbench.nets import NetworkScore, TrainingSettings, build_network, denoising_loss, train_score_network
from sfbench.processes import VariancePreserving

from ..common.fits import quietly
from ..common.networks import NetworkRef, device, load_network, reference
from ..common.study import Row, study_cells
from .data import Images, Level, auxiliary_images, load_images, shown_images

PROCESS = VariancePreserving()
T_MIN, N_NODES, LEVEL = 0.01, 12, 0.95
WIDTH_LOG_SNR = float(PROCESS.log_snr(T_MIN) - PROCESS.log_snr(PROCESS.horizon))


@final
@dataclass(frozen=True)
class Setting:
    """What every result depends on; sizes, draws and levels may be added without computing anything twice."""

    cell_name = "styles/Setting"

    name: str
    images_sha256: str
    held_out: int
    side: int
    width: int
    k: int
    auxiliary_n: int
    base_steps: int
    auxiliary_steps: int
    reference_steps: int
    tuning_steps: int
    scratch_steps: int
    batch: int
    draw_size: int
    seed: int = 0

    @property
    def nats(self) -> float:
        """Nats of the bound for one unit of the loss per coordinate."""
        return 0.5 * self.side**2 * WIDTH_LOG_SNR

    def images(self) -> Images:
        """The images, from the folder of the setting."""
        return load_images(self.images_sha256)


@final
class WeightedNetwork(nn.Module):
    """``sum_i w_i network_i(x, t)``: the fused score as a network, for networks of one linear parameterisation."""

    host_times = broadcasts_time = True  # as the networks take them

    def __init__(self, networks: Sequence[nn.Module], weights: Float64Array) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.weights = [float(w) for w in weights]

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Output (n, d) at points x (n, d) and times t (n,)."""
        parts = [w * net(x, t) for w, net in zip(self.weights, self.networks, strict=True) if w > 0]
        return torch.stack(parts).sum(dim=0)


def fused_network(models: Sequence[NetworkScore], weights: Float64Array) -> NetworkScore:
    """The fused score of networks as one network."""
    return replace(models[0], module=WeightedNetwork([m.module for m in models], weights))


def held_out_loss(setting: Setting, score: NetworkScore) -> tuple[float, float]:
    """Denoising loss per coordinate on held-out target images, and its standard error over images."""
    return denoising_loss(score, setting.images().held_out, t_min=T_MIN, n_draws=2, rng=setting.seed)


# ---------------------------------------------------------------------- networks
@final
@dataclass(frozen=True)
class NetworkSpec:
    """One network to train: on foreign styles, on the target's style, or an auxiliary, which starts from the base."""

    setting: Setting
    role: Literal["base", "reference", "auxiliary"]
    level: Level | None = None
    index: int = 0
    base: NetworkRef | None = None

    @property
    def name(self) -> str:
        """Folder of the network."""
        return self.role if self.level is None else f"{self.role}_{self.level.slug}_{self.index}"


@study_cells(
    version=1,
    dtype="float32",
    volatile=("train_s",),
    factors=("role", "style"),
    replicate="index",
    name="styles/train_network",
)
def train_network(spec: NetworkSpec) -> Row:
    """Train one network into the study's folder."""
    setting, images = spec.setting, spec.setting.images()
    options = {"dim": setting.side**2, "width": setting.width, "depth": 2}
    network = build_network("mlp", options, process=PROCESS, seed=setting.seed)
    if spec.role == "auxiliary":
        assert spec.level is not None
        assert spec.base is not None
        x = auxiliary_images(images, spec.level, spec.index, setting.auxiliary_n, setting.seed)
        network = load_network(spec.base, PROCESS).module
        steps, rate = setting.auxiliary_steps, 5e-4
    elif spec.role == "base":
        x = np.concatenate([pool[: setting.auxiliary_n] for pool in images.foreign[: setting.k]])
        steps, rate = setting.base_steps, 1e-3
    else:
        x, steps, rate = images.own, setting.reference_steps, 1e-3
    settings = TrainingSettings(
        steps=steps,
        batch=setting.batch,
        learning_rate=rate,
        ema=0.995,
        t_min=T_MIN,
        validation_share=min(0.1, 500 / len(x)),
        validation_draws=4,
        validate_every=100,
        patience=8,
        checkpoint_every=500,
    )
    began = process_time()
    result = train_score_network(
        network,
        x,
        settings,
        process=PROCESS,
        folder=study_folder() / spec.name,
        device=device(),
        rng=np.random.default_rng([setting.seed, 4, spec.index]),
    )
    ref = reference(spec.name)
    return {
        "role": spec.role,
        "style": "" if spec.level is None else spec.level.name,
        "index": spec.index,
        "name": ref.name,
        "sha256": ref.sha256,
        "n": len(x),
        "steps": result.steps,
        "best_step": result.best_step,
        "validation_loss": result.best_loss,
        "train_s": process_time() - began,
    }


# ---------------------------------------------------------------------- distances
@final
@dataclass(frozen=True)
class DistanceSpec:
    """The auxiliaries of one level, and the reference network."""

    setting: Setting
    level: Level
    auxiliaries: tuple[NetworkRef, ...]
    reference: NetworkRef


@study_cells(version=1, dtype="float32", factors=("style",), replicate="draw", name="styles/measure_distance")
def measure_distance(spec: DistanceSpec) -> Row:
    """Losses of auxiliaries, of their uniform fusion, and at weights fitted to the held-out images themselves.

    The last is what fusion could reach with very many target images.
    """
    setting = spec.setting
    models = [load_network(ref, PROCESS) for ref in spec.auxiliaries]
    floor, _ = held_out_loss(setting, load_network(spec.reference, PROCESS))
    losses = [held_out_loss(setting, model)[0] for model in models]
    best = fit(models, setting.images().held_out, np.random.default_rng([setting.seed, 5]))
    row: Row = {
        "style": spec.level.name,
        "own": spec.level.own,
        "shuffled": spec.level.shuffled,
        "draw": 0,
        "losses": losses,
        "reference_loss": floor,
        "distance_nats": (min(losses) - floor) * setting.nats,
        "best_weights": best.weights.tolist(),
    }
    even = np.full(len(models), 1.0 / len(models))
    for name, weights in (("uniform", even), ("best", best.weights)):
        row[f"{name}_loss"], _ = held_out_loss(setting, fused_network(models, weights))
    return row


def fit(models: Sequence[NetworkScore], x: Float64Array, rng: np.random.Generator) -> FusionResult:
    """Weights on the window of the loss."""
    return quietly(
        fuse, models, x, process=PROCESS, t_min=T_MIN, n_nodes=N_NODES, n_noise=max(1, 64 // len(x)), rng=rng
    )


# ---------------------------------------------------------------------- one draw of the target
@final
@dataclass(frozen=True)
class DrawSpec:
    """All methods on n images of one draw of the target, with the auxiliaries of one level."""

    setting: Setting
    level: Level
    n: int
    draw: int
    auxiliaries: tuple[NetworkRef, ...]


@final
@dataclass(frozen=True)
class ScratchSpec:
    """Training from scratch on n images of one draw of the target."""

    setting: Setting
    n: int
    draw: int


@study_cells(
    version=1,
    dtype="float32",
    volatile=("fit_s", "tune_s"),
    factors=("style", "method", "n"),
    replicate="draw",
    name="styles/draw",
)
def run_draw(spec: DrawSpec) -> list[Row]:
    """Held-out losses of fusion, fine-tuning and their combination."""
    setting, n, draw = spec.setting, spec.n, spec.draw
    models = [load_network(ref, PROCESS) for ref in spec.auxiliaries]
    x = shown_images(setting.images(), n, draw, setting.draw_size)
    began = process_time()
    result = fit(models, x, np.random.default_rng([setting.seed, 6, n, draw]))
    fit_s = process_time() - began
    interval = result.confidence_interval(LEVEL)
    closest = nearest(result.gram)
    merged = average_checkpoints(models, result.weights)
    common: Row = {"style": spec.level.name, "n": n, "draw": draw}
    rows: list[Row] = []

    def judged(method: str, score: NetworkScore, **more: Any) -> None:
        loss, _ = held_out_loss(setting, score)
        rows.append(common | {"method": method, "loss": loss} | more)

    judged(
        "fused",
        fused_network(models, result.weights),
        fit_s=fit_s,
        weights=result.weights.tolist(),
        low=interval[:, 0].tolist(),
        high=interval[:, 1].tolist(),
        notes=list(result.warnings),
    )
    judged("nearest auxiliary", models[closest], index=closest)
    judged("parameter average", merged)
    for method, start in (("fine-tuned", models[closest]), ("fused, fine-tuned", merged)):
        began = process_time()
        tuned, best_step = fine_tuned(start, x, setting, np.random.default_rng([setting.seed, 7, n, draw]))
        judged(method, tuned, best_step=best_step, tune_s=process_time() - began)
    return rows


@study_cells(
    version=1, dtype="float32", volatile=("tune_s",), factors=("method", "n"), replicate="draw", name="styles/scratch"
)
def run_scratch(spec: ScratchSpec) -> Row:
    """Held-out loss of a network trained on the target images alone."""
    setting = spec.setting
    x = shown_images(setting.images(), spec.n, spec.draw, setting.draw_size)
    options = {"dim": setting.side**2, "width": setting.width, "depth": 2}
    network = build_network("mlp", options, process=PROCESS, seed=spec.draw)
    settings = replace(_tuning(setting, spec.n), steps=setting.scratch_steps, learning_rate=1e-3)
    began = process_time()
    result = train_score_network(
        network,
        x,
        settings,
        process=PROCESS,
        device=device(),
        rng=np.random.default_rng([setting.seed, 8, spec.n, spec.draw]),
    )
    return {
        "style": "",
        "n": spec.n,
        "draw": spec.draw,
        "method": "from scratch",
        "loss": held_out_loss(setting, result.score)[0],
        "best_step": result.best_step,
        "tune_s": process_time() - began,
    }


def fine_tuned(
    start: NetworkScore, x: Float64Array, setting: Setting, rng: np.random.Generator
) -> tuple[NetworkScore, int]:
    """Go on training on x; a fifth of it decides when to stop, and whether to leave the network as it is."""
    settings = _tuning(setting, len(x))
    held = max(2, round(settings.validation_share * len(x)))
    order = rng.permutation(len(x))
    train, validation = x[order[held:]], x[order[:held]]
    seed = int(rng.integers(0, 2**31))

    def loss(score: NetworkScore) -> float:
        return denoising_loss(score, validation, t_min=T_MIN, n_draws=settings.validation_draws, rng=seed)[0]

    result = train_score_network(
        start.module, train, settings, process=PROCESS, validation=validation, device=start.device, rng=seed
    )
    kept = loss(start) <= loss(result.score)
    return (start, 0) if kept else (result.score, result.best_step)


def _tuning(setting: Setting, n: int) -> TrainingSettings:
    return TrainingSettings(
        steps=setting.tuning_steps,
        batch=min(setting.batch, n),
        learning_rate=5e-4,
        ema=0.98,
        t_min=T_MIN,
        validation_share=0.2,
        validation_draws=max(4, 512 // n),
        validate_every=25,
        patience=4,
    )
