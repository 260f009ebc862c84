r"""Fine-tuning few weights: low-rank adapters through peft.

Every linear layer and convolution ``W`` is replaced by ``W + (a / r) B A`` with A, B of rank r (of a convolution A has
the kernel of W, and B is 1 x 1), and only A and B are trained. What comes back is a plain network: the product is
merged into W, so checkpoints, fusion and samplers see no difference.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike
from torch import nn

from .._internal.aliases import SeedLike
from .._internal.validation import as_generator
from ..errors import ModelError
from .adapter import NetworkScore
from .settings import TrainingSettings
from .training import TrainingResult, train_score_network


def fine_tune(
    score: NetworkScore, x: ArrayLike, settings: TrainingSettings | None = None, **options: Any
) -> TrainingResult:
    """Go on training all weights of a network on other data; options as for :func:`train_score_network`."""
    return train_score_network(score, x, settings, **({"device": score.device} | options))


def fine_tune_lora(
    score: NetworkScore,
    x: ArrayLike,
    settings: TrainingSettings | None = None,
    *,
    rank: int = 4,
    alpha: float | None = None,
    rng: SeedLike = None,
    **options: Any,
) -> TrainingResult:
    """Train low-rank adapters of a network's linear layers and convolutions on other data and merge them.

    Parameters
    ----------
    score : NetworkScore
        The network to start from; unchanged.
    rank : int
        Rank of the adapters.
    alpha : float, optional
        Scale ``a``; twice the rank by default.
    rng : Generator, SeedSequence, int or None
        Of the first weights of the adapters, then of the training.
    options
        As for :func:`train_score_network`.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ImportError("LoRA needs peft: pip install -c constraints.txt 'sfbench[hf]'") from None
    if rank < 1:
        raise ModelError(f"rank must be at least 1, got {rank!r}")
    base = deepcopy(score.module)
    names = [name for name, layer in base.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not names:
        raise ModelError(f"a {type(base).__name__} has no linear or convolution layer for an adapter")
    import torch

    config = LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=names)
    generator = as_generator(rng)
    with torch.random.fork_rng(devices=[]):  # peft draws from torch's global generator
        torch.manual_seed(int(generator.integers(2**62)))
        adapted = inject_adapter_in_model(config, base)
    if options.get("folder") is not None:
        raise ModelError("checkpoints of unmerged adapters are not supported; save_checkpoint(folder, result.score)")
    result = train_score_network(
        replace(score, module=adapted), x, settings, rng=generator, **({"device": score.device} | options)
    )
    final = replace(result.score, module=_merge(result.score.module, score.module), batch=score.batch)
    return TrainingResult(
        final, result.best_loss, result.best_step, result.steps, result.history, f"LoRA of rank {rank}: {result.reason}"
    )


def _merge(adapted: nn.Module, original: nn.Module) -> nn.Module:
    """The original network with the adapters' products added to its weights."""
    plain = deepcopy(original)
    layers: Any = dict(adapted.named_modules())
    for name, layer in plain.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.weight.data += layers[name].get_delta_weight("default").to(layer.weight)
    return plain
