"""What governs a training run."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from .._internal.validation import as_choice
from ..errors import SfbenchError

LossWeighting = Literal["girsanov", "min_snr"]


class TrainingError(SfbenchError):
    """Training data or settings cannot be used."""


class DivergedError(ArithmeticError):
    """Training met a loss or weight that is not finite; names the step, and where the last good state is."""


@final
@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Parameters
    ----------
    steps, batch : int
        Largest number of optimiser steps, and points in each (drawn with replacement).
    learning_rate : float
    schedule : {"cosine", "constant"}
        The cosine falls to zero at ``steps``.
    weight_decay, clip : float
        AdamW's decay, and the norm to which gradients are clipped.
    ema : float
        Decay of the averaged weights, which are validated and kept; approached as ``(1 + step) / (10 + step)``.
    weighting : {"girsanov", "min_snr"}
        Loss ``E |predicted noise - noise|^2`` at times uniform in log SNR, which is the objective whose integral
        bounds a KL divergence; ``min_snr`` multiplies it by ``min(SNR, 5) / SNR``, which spends less on small noise.
    t_min : float
        Smallest time, as a share of the process's horizon.
    validation_share : float
        Share of the data held out if no validation data are given.
    validation_draws : int
        Noise draws per held-out point. They are fixed once: losses at different steps differ by the network alone.
    validate_every, patience : int
        Steps between validations, and how many without a new best end the run; patience 0 never stops early.
    checkpoint_every : int
        Steps between resumable states, if a folder is given.
    precision : {"float32", "bfloat16"}
        ``bfloat16`` runs the forward pass in mixed precision (meant for GPUs).
    """

    steps: int = 5000
    batch: int = 256
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    weighting: LossWeighting = "girsanov"
    t_min: float = 1e-4
    validation_share: float = 0.1
    validation_draws: int = 8
    validate_every: int = 200
    patience: int = 10
    checkpoint_every: int = 1000
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validation_draws", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < np.inf:
                raise TrainingError(f"{name} must be positive and finite, got {getattr(self, name)!r}")
        if not 0 <= self.ema < 1 or not 0 <= self.weight_decay < np.inf or self.patience < 0:
            raise TrainingError("need 0 <= ema < 1, weight_decay >= 0 and patience >= 0")
        if not 0 < self.t_min < 1 or not 0 < self.validation_share < 1:
            raise TrainingError("t_min and validation_share are shares and must lie strictly between 0 and 1")
        for name, choices in (
            ("schedule", ("cosine", "constant")),
            ("weighting", ("girsanov", "min_snr")),
            ("precision", ("float32", "bfloat16")),
        ):
            as_choice(name, getattr(self, name), choices, TrainingError)
