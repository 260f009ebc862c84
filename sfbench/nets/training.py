r"""Denoising score matching for networks.

For ``x_t = alpha x_0 + sigma z`` the loss is, with predicted noise ``z_theta = -sigma s_theta``,

    L(theta) = E_lambda E |z_theta(x_t, t) - z|^2,        lambda = log(alpha^2 / sigma^2) uniform on the window.

Since ``dlambda / dt = -g^2 / sigma^2``, this is ``int g^2 E |s_theta - s*|^2 dt`` up to a factor and a constant: the
objective that bounds the KL divergence of the sampler. It is formed from noise whatever the network predicts, so
parameterisations can be compared. Times and noise are drawn on the CPU from one generator, so a seed fixes the run
there and differs on an accelerator by rounding only.

The averaged weights with the lowest loss on a validation set of fixed points, times and noise are the result. A loop of
one device needs no launcher; accelerate would add nothing to these two hundred lines.
"""

import math
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .._typing import SeedLike
from .._validation import as_generator
from ..errors import ModelError, NotFiniteError
from ..processes import ForwardProcess
from .adapter import NetworkScore
from .architectures import ScoreMLP, ScoreUNet, describe_network
from .checkpoint import check_layout, describe_process, describe_wiring, save_checkpoint
from .losses import Batch, TimeTable, loss_per_point, losses_of, noised, validation_batch
from .parameterisation import Parameterisation, as_parameterisation
from .progress import TrainingBar
from .settings import DivergedError, TrainingError, TrainingSettings
from .tensor_files import CheckpointError, open_files, write_files
from .wiring import Wiring, as_device, as_wiring

_GENERATOR_STATE = 1 << 16  # bytes, with room
Value = TypeVar("Value")


@final
@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained network and how it got there.

    Attributes
    ----------
    score : NetworkScore
        The averaged weights of the best validation.
    best_loss : float
        Its loss on the fixed validation set, per coordinate (a network that predicts no noise has 1).
    best_step, steps : int
        Where it was reached, and how many steps were taken.
    history : list of (step, training loss, validation loss)
    reason : str
        Why the run ended.
    """

    score: NetworkScore
    best_loss: float
    best_step: int
    steps: int
    history: list[tuple[int, float, float]]
    reason: str


def train_score_network(
    network: nn.Module | NetworkScore,
    x: ArrayLike,
    settings: TrainingSettings | None = None,
    *,
    process: ForwardProcess | None = None,
    parameterisation: Parameterisation | str | None = None,
    validation: ArrayLike | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    on_step: Callable[[int, float], None] | None = None,
    rng: SeedLike = None,
) -> TrainingResult:
    """Train (or fine-tune) a score network; the network passed in is not changed.

    Parameters
    ----------
    network : nn.Module or NetworkScore
        Called as a :class:`NetworkScore` calls it; its present weights are the start, so a trained network is
        fine-tuned. What is not a plain ``network(x, t)`` on points (n, d) is described by a :class:`NetworkScore`.
    x : array_like (n, d)
        Training data, in coordinates of about unit scale.
    settings : TrainingSettings, optional
    process : ForwardProcess
        Needed for a bare module.
    parameterisation : str or EDM, optional
        What the network is to predict; by default what it says itself, else "v".
    validation : array_like (m, d), optional
        Held-out data; by default a share of ``x`` drawn with ``rng``.
    folder : path, optional
        Keep a resumable state and the best network here; the network must be of a known architecture. If it holds a
        state of the same run, that run goes on, and ends with the same bits as one that was never stopped; the state of
        another run is refused.
    device : str or torch.device
    progress : bool
        Show a progress bar with both losses.
    on_step : function, optional
        Called as ``on_step(step, loss)`` after every step; may raise to stop.
    rng : Generator, SeedSequence, int or None
        Validation split, batches, times and noise.

    Raises
    ------
    DivergedError
        At the first loss that is not finite; what is in ``folder`` stays.
    TrainingError, ModelError, NotFiniteError, CheckpointError
        For data, networks or folders that cannot be used.
    """
    settings = TrainingSettings() if settings is None else settings
    module, wiring = _wired(network, process, parameterisation)
    generator = as_generator(rng)
    train, held_out = _split(x, validation, settings, generator)
    seed, validation_seed = (int(v) for v in generator.integers(0, 2**62, 2))
    for name, wanted in (("dim", train.shape[1]), ("process", wiring.process)):
        own = getattr(network, name, None)
        if own is not None and own != wanted:
            raise ModelError(f"the network was built for {name} {own!r}, the training run has {wanted!r}")
    path = None if folder is None else Path(folder)
    if path is not None:
        describe_network(module)  # what could not be saved in the end is refused before the first step
        describe_wiring(wiring)
    run = _Run(module, train, settings, wiring, as_device(device), seed)
    run.fix_validation(held_out, validation_seed)
    identity = _identity(run, train, held_out, seed)
    if path is not None and (path / "state" / "manifest.json").exists():
        run.restore(path / "state", identity)
    _loop(run, path, identity, progress, on_step)
    horizon = wiring.process.horizon
    score = NetworkScore(
        run.best_network(),
        int(train.shape[1]),
        wiring.process,
        wiring.parameterisation,
        shape=wiring.shape,
        time=wiring.time,
        condition_name=wiring.condition_name,
        t_range=(settings.t_min * horizon, horizon),
    )
    p = run.progress
    result = TrainingResult(score, p.best_loss, p.best_step, p.step, list(p.history), p.reason)
    if path is not None:
        summary = {"validation_loss": p.best_loss, "best_step": p.best_step, "steps": p.step, "reason": p.reason}
        save_checkpoint(path, score, summary=summary | {"n": len(train), "settings": asdict(settings)})
    return result


def _wired(
    network: nn.Module | NetworkScore, process: ForwardProcess | None, parameterisation: Parameterisation | str | None
) -> tuple[nn.Module, Wiring]:
    """The module to train and how it is called."""
    own = getattr(network, "process", None)
    if process is None:
        process = own
    if process is None:
        raise ModelError("process= must say under which forward process the network is trained")
    if isinstance(network, NetworkScore):
        chosen = network.parameterisation if parameterisation is None else parameterisation
        return network.module, replace(network.wiring, process=process, parameterisation=as_parameterisation(chosen))
    if not isinstance(network, nn.Module):
        raise ModelError(f"network is a {type(network).__name__}; a torch.nn.Module or a NetworkScore is needed")
    return network, as_wiring(process, parameterisation or getattr(network, "parameterisation", "v"))


# ---------------------------------------------------------------------- state of a run
@dataclass
class _Progress:
    """What a resumed run must remember besides tensors."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0
    reason: str = ""
    window: list[float] = field(default_factory=list)
    history: list[tuple[int, float, float]] = field(default_factory=list)


class _Run:
    """Network, average, optimiser, generator and validation set of one training run."""

    def __init__(
        self,
        network: nn.Module,
        train: Tensor,
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
        self.progress = _Progress()
        self.validation: Batch | None = None

    def fix_validation(self, points: Tensor, seed: int) -> None:
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
        rows = torch.randint(len(self.train), (s.batch,), generator=self.generator)
        z = torch.randn((s.batch, self.train.shape[1]), generator=self.generator)
        t = self.times.stratified(s.batch, self.generator)
        batch = noised(self.train[rows], z, t, self.process)
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
            self.progress = _Progress(**values)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise CheckpointError(f"{source} is incomplete: {error!r}") from None


def _part(named: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    return {k[len(prefix) :]: v for k, v in named.items() if k.startswith(prefix)}


def _loop(
    run: _Run,
    folder: Path | None,
    identity: dict[str, Any],
    progress: bool,
    on_step: Callable[[int, float], None] | None,
) -> None:
    s, p = run.settings, run.progress
    with TrainingBar(s.steps, p.step, progress) as bar:
        while not p.reason:
            try:
                loss = run.take_step()
                p.window.append(loss)
                if p.step % s.validate_every == 0 or p.step == s.steps:
                    value = run.validate()
                    p.history.append((p.step, float(np.mean(p.window)), value))
                    p.window = []
            except DivergedError as error:
                raise DivergedError(f"training diverged: {error}; {_last_good(run, folder)}") from None
            bar.show(p)
            if p.step >= s.steps:
                p.reason = f"all {s.steps} steps taken"
            elif s.patience and p.stale >= s.patience:
                p.reason = f"no better validation loss in {s.patience} validations"
            if folder is not None and (p.reason or p.step % s.checkpoint_every == 0):
                run.save(folder / "state", identity)
            if on_step is not None:
                on_step(p.step, loss)


def _last_good(run: _Run, folder: Path | None) -> str:
    advice = "lower the learning rate or the clipping norm"
    if folder is None or not (folder / "state" / "manifest.json").exists():
        best = run.progress.best_step
        kept = f"best validation was at step {best}, not kept: no folder was given" if folder is None else "none saved"
        return f"{kept}; {advice}"
    return f"the last good state stays in {str(folder / 'state')!r}; {advice}"


# ---------------------------------------------------------------------- data and identity
def _split(
    x: ArrayLike, validation: ArrayLike | None, settings: TrainingSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    data = _checked(x, "x")
    if validation is not None:
        held_out = _checked(validation, "validation")
        if held_out.shape[1] != data.shape[1]:
            raise TrainingError(f"validation has {held_out.shape[1]} coordinates, x has {data.shape[1]}")
        return torch.from_numpy(data), torch.from_numpy(held_out)
    count = max(1, round(settings.validation_share * len(data)))
    if len(data) - count < 1:
        raise TrainingError(f"{len(data)} points cannot be split into training and validation data; give at least 2")
    order = rng.permutation(len(data))
    return torch.from_numpy(data[order[count:]]), torch.from_numpy(data[order[:count]])


def _checked(x: ArrayLike, name: str) -> np.ndarray:
    data = np.array(x, dtype=np.float32)
    if data.ndim != 2 or 0 in data.shape:
        raise TrainingError(f"{name} must have shape (n, d) with n, d >= 1, got {data.shape}")
    if not np.all(np.isfinite(data)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise NotFiniteError(f"{name}[{row}, {column}] is {data[row, column]}; every entry must be finite")
    return data


def _identity(
    run: _Run,
    train: Tensor,
    held_out: Tensor,
    seed: int,
) -> dict[str, Any]:
    """What makes two runs the same run, as digests and plain values."""
    import hashlib

    def digest(tensors: list[Tensor]) -> str:
        out = hashlib.sha256()
        for tensor in tensors:
            out.update(str(tuple(tensor.shape)).encode())
            out.update(tensor.detach().to("cpu").contiguous().view(torch.uint8).numpy().tobytes())
        return out.hexdigest()

    return {
        "data": digest([train, held_out]),
        "initial weights": digest([v.reshape(-1) for v in run.network.state_dict().values()]),
        "settings": asdict(run.settings),
        "process": describe_process(run.process),
        **describe_wiring(run.wiring),
        "seed": seed,
    }
