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

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .._internal.aliases import SeedLike
from .._internal.arrays import as_device
from .._internal.validation import as_generator
from ..errors import ModelError
from ..processes import ForwardProcess, describe_process
from .adapter import NetworkScore
from .architectures import describe_network
from .checkpoint import describe_wiring, save_checkpoint
from .losses import Data, as_data
from .parameterisation import Parameterisation, as_parameterisation
from .run import TrainingRun, take_steps
from .settings import TrainingError, TrainingSettings
from .tensor_files import CheckpointError
from .wiring import Wiring, as_wiring

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
    labels: ArrayLike | None = None,
    validation_labels: ArrayLike | None = None,
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
    labels, validation_labels : array_like of int (n,), (m,), optional
        For networks that take a condition. A tenth of them becomes the network's ``null_condition``, if it has one.
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
    given = None if validation is None else as_data(validation, validation_labels, "validation")
    train, held_out = _split(as_data(x, labels), given, settings, generator)
    if train.labels is not None and wiring.condition_name is None:
        raise TrainingError(
            "labels need a network that takes them: ScoreMLP(classes=...), or NetworkScore(condition_name=)"
        )
    seed, validation_seed = (int(v) for v in generator.integers(0, 2**62, 2))
    for name, wanted in (("dim", train.x.shape[1]), ("process", wiring.process)):
        own = getattr(network, name, None)
        if own is not None and own != wanted:
            raise ModelError(f"the network was built for {name} {own!r}, the training run has {wanted!r}")
    path = None if folder is None else Path(folder)
    if path is not None:
        describe_network(module)  # what could not be saved in the end is refused before the first step
        describe_wiring(wiring)
    run = TrainingRun(module, train, settings, wiring, as_device(device, ModelError), seed)
    run.fix_validation(held_out, validation_seed)
    identity = _identity(run, train, held_out, seed)
    if path is not None and (path / "state" / "manifest.json").exists():
        run.restore(path / "state", identity)
    take_steps(run, path, identity, progress, on_step)
    horizon = wiring.process.horizon
    score = NetworkScore(
        run.best_network(),
        int(train.x.shape[1]),
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
        save_checkpoint(path, score, summary=summary | {"n": len(train.x), "settings": asdict(settings)})
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
    return network, as_wiring(network, process, parameterisation or getattr(network, "parameterisation", "v"))


# ---------------------------------------------------------------------- data and identity
def _split(
    data: Data, validation: Data | None, settings: TrainingSettings, rng: np.random.Generator
) -> tuple[Data, Data]:
    if validation is not None:
        if validation.x.shape[1] != data.x.shape[1]:
            raise TrainingError(f"validation has {validation.x.shape[1]} coordinates, x has {data.x.shape[1]}")
        if (validation.labels is None) != (data.labels is None):
            raise TrainingError("labels and validation_labels go together: both data have them, or neither")
        return data, validation
    n = len(data.x)
    count = max(1, round(settings.validation_share * n))
    if n - count < 1:
        raise TrainingError(f"{n} points cannot be split into training and validation data; give at least 2")
    order = torch.from_numpy(rng.permutation(n))
    train, held_out = (
        Data(data.x[rows], None if data.labels is None else data.labels[rows])
        for rows in (order[count:], order[:count])
    )
    return train, held_out


def _identity(run: TrainingRun, train: Data, held_out: Data, seed: int) -> dict[str, Any]:
    """What makes two runs the same run, as digests and plain values."""
    import hashlib

    def digest(tensors: list[Tensor]) -> str:
        out = hashlib.sha256()
        for tensor in tensors:
            out.update(str(tuple(tensor.shape)).encode())
            out.update(tensor.detach().to("cpu").contiguous().view(torch.uint8).numpy().tobytes())
        return out.hexdigest()

    return {
        "data": digest([v for v in (train.x, held_out.x, train.labels, held_out.labels) if v is not None]),
        "initial weights": digest([v.reshape(-1) for v in run.network.state_dict().values()]),
        "settings": asdict(run.settings),
        "process": describe_process(run.process, CheckpointError),
        **describe_wiring(run.wiring),
        "seed": seed,
    }
