"""Score networks: build, train, fine-tune, save, and use them wherever a score model is expected.

A :class:`NetworkScore` wraps any ``torch.nn.Module`` with ``forward(x, t)`` and works in :func:`sfbench.fuse`,
:class:`sfbench.FusedScore`, :func:`sfbench.sample` and the likelihood code. Importing :mod:`sfbench` does not import
torch; importing this package does.
"""

from typing import TYPE_CHECKING

from .._internal.lazy import lazy_names
from .adapter import NetworkScore
from .architectures import (
    Architecture,
    ScoreMLP,
    ScoreUNet,
    build_network,
    known_architectures,
    register_architecture,
)
from .checkpoint import checkpoint_summary, load_checkpoint, save_checkpoint
from .divergence import NetworkDivergence
from .guidance import GuidedScore
from .lora import fine_tune, fine_tune_lora
from .losses import denoising_loss
from .parameterisation import EDM, Parameterisation, from_score, to_score
from .settings import DivergedError, TrainingError, TrainingSettings
from .tensor_files import CheckpointError
from .training import TrainingResult, train_score_network

if TYPE_CHECKING:
    from ..fusion.windows import WindowReport, inspect_windows

__all__ = [
    "EDM",
    "Architecture",
    "CheckpointError",
    "DivergedError",
    "GuidedScore",
    "NetworkDivergence",
    "NetworkScore",
    "Parameterisation",
    "ScoreMLP",
    "ScoreUNet",
    "TrainingError",
    "TrainingResult",
    "TrainingSettings",
    "WindowReport",
    "build_network",
    "checkpoint_summary",
    "denoising_loss",
    "fine_tune",
    "fine_tune_lora",
    "from_score",
    "inspect_windows",
    "known_architectures",
    "load_checkpoint",
    "register_architecture",
    "save_checkpoint",
    "to_score",
    "train_score_network",
]

# Fitting stands above this package; the names stay reachable here.
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "..fusion"))
