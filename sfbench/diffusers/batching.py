"""All adapters in one forward of a batch k times as large: the base weights are read once.

peft lets every row of a batch have an adapter of its own. Which arguments have a batch axis is known for the networks
below only; Flux's image positions, for one, have none.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from .errors import DiffusersError
from .experts import AbstractExpert, AdapterExpert, Forward
from .outputs import prediction_of, with_prediction
from .switching import BASE

WITHOUT_BATCH_AXIS = ("img_ids", "txt_ids")
_NETWORKS = (
    "UNet2DModel",
    "UNet2DConditionModel",
    "DiTTransformer2DModel",
    "PixArtTransformer2DModel",
    "SD3Transformer2DModel",
    "FluxTransformer2DModel",
)


@final
class BatchedAdapters:
    """Evaluates adapters of one network side by side; refuses DoRA, other experts, and networks it does not know."""

    def __init__(self, module: nn.Module, experts: Sequence[AbstractExpert]) -> None:
        name = type(module).__name__
        if name not in _NETWORKS:
            raise DiffusersError(
                f"method='batched' is known for {', '.join(_NETWORKS)} only, not for a {name}; take 'sequential'"
            )
        adapters = [expert for expert in experts if isinstance(expert, AdapterExpert)]
        if others := [expert.name for expert in experts if expert not in adapters]:
            raise DiffusersError(f"method='batched' needs adapters only; {others} are networks: take 'sequential'")
        self.switch = adapters[0].switch
        self.names = [expert.adapter for expert in adapters]
        special = [
            n for n in self.names if any(n in getattr(layer, "lora_variant", {}) for layer in self.switch.layers)
        ]
        if special:
            raise DiffusersError(
                f"adapters {special} are variants of LoRA (DoRA, for one) that peft cannot batch; take 'sequential'"
            )

    def evaluate(
        self, own: Forward, active: Sequence[int], inputs: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]
    ) -> list[Any]:
        """Outputs of the experts of these numbers, each for its arguments (args, kwargs)."""
        names = [self.names[i] for i in active]
        first_args, first_kwargs = inputs[0]
        sample = next(value for value in (*first_args, *first_kwargs.values()) if isinstance(value, Tensor))
        rows, k = len(sample), len(names)
        args = tuple(_stack([given[0][j] for given in inputs], rows) for j in range(len(first_args)))
        kwargs = {
            key: value if key in WITHOUT_BATCH_AXIS else _stack([given[1][key] for given in inputs], rows)
            for key, value in first_kwargs.items()
        }
        labels = [name for name in names for _ in range(rows)]
        layers = self.switch.layers
        self.switch.only([name for name in names if name != BASE] or [BASE])  # their scales follow the active adapters

        def label(_: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return given, named | {"adapter_names": labels}

        handles = [layer.register_forward_pre_hook(label, with_kwargs=True) for layer in layers]
        try:
            output = own(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        return [with_prediction(output, part) for part in prediction_of(output).chunk(k)]


def _stack(values: list[Any], rows: int) -> Any:
    """Values of all experts one below the other, where they have one row for every row of the batch."""

    def stacked(*leaves: Any) -> Any:
        first = leaves[0]
        return torch.cat(leaves) if isinstance(first, Tensor) and first.ndim > 0 and len(first) == rows else first

    return tree_map(stacked, *values)
