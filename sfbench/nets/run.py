r"""The state of one training run: everything that the next step depends on, kept and restored to the bit."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..progress import progress
from .architectures import ScoreMLP, ScoreUNet
from .checkpoint import check_layout
from .losses import Batch, Data, TimeTable, loss_per_point, losses_of, noised, validation_batch
from .settings import DivergedError, TrainingError, TrainingSettings
from .tensor_files import CheckpointError, open_files, write_files
from .wiring import Wiring

_GENERATOR_STATE = 1 << 16  # bytes, with room
_WITHOUT_LABEL = 0.1  # share of labels that become the null label, so that guidance has a model of no condition
Value = TypeVar("Value")


@dataclass
class RunState:
    """What a resumed run must remember besides tensors."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0
    reason: str = ""
    window: list[float] = field(default_factory=list)
    history: list[tuple[int, float, float]] = field(default_factory=list)


class TrainingRun:
    """Network, average, optimiser, generator and validation set of one training run."""

    def __init__(
        self,
        network: nn.Module,
        train: Data,
        settings: TrainingSettings,
        wiring: Wiring,
        device: torch.device,
        seed: int,
    ) -> None:
        self.settings, self.process, self.wiring, self.device = settings, wiring.process, wiring, device
        self.train = train
        self.network = deepcopy(network).to(device).train()
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.best: dict[str, Tensor] = {k: v.clone() for k, v in self.average.state_dict().items()}
        self.trainable: list[Tensor] = [p for p in self.network.parameters() if p.requires_grad]
        if not self.trainable:
            raise TrainingError("the network has no parameter that requires a gradient")
        self.optimiser = torch.optim.AdamW(
            self.trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        # Lists made once: walking the modules at every step costs as much as a small network's forward pass.
        self.averaged: list[Tensor] = [
            a for a, p in zip(self.average.parameters(), self.network.parameters(), strict=True) if p.requires_grad
        ]
        self.generator = torch.Generator().manual_seed(seed)
        self.times = TimeTable(wiring.process, settings.t_min)
        self.progress = RunState()
        self.validation: Batch | None = None

    def fix_validation(self, points: Data, seed: int) -> None:
        """Draw times and noise of the validation set, once."""
        s = self.settings
        self.validation = validation_batch(points, self.process, s.t_min, s.validation_draws, seed)

    def take_step(self) -> float:
        """One optimiser step; returns the loss."""
        s, step = self.settings, self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * (
                0.5 * (1.0 + math.cos(math.pi * step / s.steps)) if s.schedule == "cosine" else 1.0
            )
        rows = torch.randint(len(self.train.x), (s.batch,), generator=self.generator)
        z = torch.randn((s.batch, self.train.x.shape[1]), generator=self.generator)
        t = self.times.stratified(s.batch, self.generator)
        batch = noised(self.train.x[rows], z, t, self.process, self._labels(rows))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.precision == "bfloat16"):
            losses = loss_per_point(self.network, batch, self.wiring, self.device)
        if s.weighting == "min_snr":
            snr = (batch.alpha / batch.sigma)[:, 0] ** 2
            losses = losses * (snr.clamp(max=5.0) / snr).to(losses)
        loss = losses.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trainable, s.clip)
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(float(norm)):
            raise DivergedError(f"loss {value:g} with gradient norm {float(norm):g} at step {step + 1}")
        self.optimiser.step()
        decay = min(s.ema, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.trainable, 1.0 - decay)
            for kept, buffer in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(buffer)
        self.progress.step += 1
        return value

    def _labels(self, rows: Tensor) -> Tensor | None:
        if self.train.labels is None:
            return None
        null = getattr(self.network, "null_condition", None)
        labels = self.train.labels[rows]
        if null is None:
            return labels
        return torch.where(torch.rand(len(rows), generator=self.generator) < _WITHOUT_LABEL, null, labels)

    def validate(self) -> float:
        """Loss of the averaged weights on the fixed validation set; remembers the best."""
        assert self.validation is not None
        loss = float(losses_of(self.average, self.validation, self.wiring, self.device).mean())
        if not math.isfinite(loss):
            raise DivergedError(f"validation loss {loss:g} at step {self.progress.step}")
        p = self.progress
        if loss < p.best_loss:
            p.best_loss, p.best_step, p.stale = loss, p.step, 0
            self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        else:
            p.stale += 1
        return loss

    def best_network(self) -> nn.Module:
        """The averaged network at its best validation."""
        network = deepcopy(self.network).eval()
        network.load_state_dict(self.best)
        if isinstance(network, ScoreMLP | ScoreUNet):
            network.parameterisation = self.wiring.parameterisation
        return network

    def save(self, folder: Path, identity: dict[str, Any]) -> None:
        """Write everything that the next step depends on."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for i, entry in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
        tensors["generator"] = self.generator.get_state()
        record = asdict(self.progress)
        record["best_loss"] = None if math.isinf(self.progress.best_loss) else self.progress.best_loss
        whole = {"identity": identity, "progress": record}
        write_files(folder, "tensors", tensors, "progress", whole, replaceable=True)

    def restore(self, folder: Path, identity: dict[str, Any]) -> None:
        """Read what :meth:`save` wrote, if it belongs to this very run."""
        stored = open_files(folder, "tensors", "progress")
        record = stored.record
        if record.get("identity") != identity:
            found = record.get("identity") or {}
            differs = sorted(k for k in identity if found.get(k) != identity[k])
            raise CheckpointError(
                f"{str(folder)!r} holds the state of another run (different {', '.join(differs)}); "
                "choose another folder, or delete this one to start over"
            )
        source = f"the state in {str(folder)!r}"
        for prefix in ("network.", "average.", "best."):
            check_layout(self.network, _part(stored.layout, prefix), source)
        own = sum(v.numel() for v in self.network.state_dict().values())
        if sum(math.prod(shape) for _, shape in stored.layout.values()) > 6 * own + _GENERATOR_STATE:
            raise CheckpointError(f"{source} holds more numbers than a run of this network has")
        tensors = stored.tensors()
        self.network.load_state_dict(_part(tensors, "network."))
        self.average.load_state_dict(_part(tensors, "average."))
        self.best = {k: v.to(self.device) for k, v in _part(tensors, "best.").items()}
        state: dict[int, dict[str, Tensor]] = {}
        try:
            for name, tensor in _part(tensors, "optimiser.").items():
                index, _, key = name.partition(".")
                state.setdefault(int(index), {})[key] = tensor
            whole = self.optimiser.state_dict()
            self.optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
            self.generator.set_state(tensors["generator"])
            values = dict(record["progress"])
            values["best_loss"] = math.inf if values["best_loss"] is None else float(values["best_loss"])
            values["history"] = [(int(a), float(b), float(c)) for a, b, c in values["history"]]
            self.progress = RunState(**values)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise CheckpointError(f"{source} is incomplete: {error!r}") from None


def _part(named: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    return {k[len(prefix) :]: v for k, v in named.items() if k.startswith(prefix)}


def take_steps(
    run: TrainingRun,
    folder: Path | None,
    identity: dict[str, Any],
    show_progress: bool,
    on_step: Callable[[int, float], None] | None,
) -> None:
    """Train until the run says why it ends, validating and keeping its state on the way."""
    s, p = run.settings, run.progress
    note = ""
    with progress(s.steps, "training", show_progress, done=p.step) as bar:
        while not p.reason:
            try:
                loss = run.take_step()
                p.window.append(loss)
                if p.step % s.validate_every == 0 or p.step == s.steps:
                    value = run.validate()
                    p.history.append((p.step, float(np.mean(p.window)), value))
                    p.window = []
                    note = f"loss {p.history[-1][1]:.4f}, validation {value:.4f}"
            except DivergedError as error:
                raise DivergedError(f"training diverged: {error}; {_last_good(run, folder)}") from None
            bar.advance(note=note)
            if p.step >= s.steps:
                p.reason = f"all {s.steps} steps taken"
            elif s.patience and p.stale >= s.patience:
                p.reason = f"no better validation loss in {s.patience} validations"
            if folder is not None and (p.reason or p.step % s.checkpoint_every == 0):
                run.save(folder / "state", identity)
            if on_step is not None:
                on_step(p.step, loss)


def _last_good(run: TrainingRun, folder: Path | None) -> str:
    advice = "lower the learning rate or the clipping norm"
    if folder is None or not (folder / "state" / "manifest.json").exists():
        best = run.progress.best_step
        kept = f"best validation was at step {best}, not kept: no folder was given" if folder is None else "none saved"
        return f"{kept}; {advice}"
    return f"the last good state stays in {str(folder / 'state')!r}; {advice}"
