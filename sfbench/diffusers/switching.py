"""Switching low-rank adapters quickly: the layers are found once, and what was active before comes back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from .errors import DiffusersError

BASE = "__base__"  # peft's name of the model without adapters


@final
class AdapterSwitch:
    """The adapters of one module.

    ``set_adapter`` walks over all modules and touches all weights: 148 ms for the U-Net of SDXL (measured). Writing
    the name into the layers that have adapters takes 5 ms. peft's attributes ``_active_adapter`` and
    ``_disable_adapters`` are private; a test holds them against ``set_adapter``.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._layers: list[Any] | None = None
        self._known: tuple[str, ...] = ()
        self._parameters: dict[str, list[nn.Parameter]] = {}
        self._frozen: list[nn.Parameter] = []  # made to require gradients inside ``restored``

    @property
    def layers(self) -> list[Any]:
        """Layers with adapters, found again if adapters were added or deleted."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        configured = tuple(getattr(self.module, "peft_config", None) or ())
        if self._layers is None or configured != self._known:
            self._known = configured
            self._layers = [layer for layer in self.module.modules() if isinstance(layer, BaseTunerLayer)]
            self._parameters.clear()
        return self._layers

    def names(self) -> list[str]:
        """Adapters of any layer, in order of their first appearance."""
        found: dict[str, None] = {}
        for layer in self.layers:
            for part in layer.adapter_layer_names:
                found.update(dict.fromkeys(getattr(layer, part).keys()))
        return list(found)

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Weights of one adapter."""
        layers = self.layers
        if name not in self._parameters:
            parts = [getattr(layer, part) for layer in layers for part in layer.adapter_layer_names]
            found = [part[name] for part in parts if name in part]
            groups = [[item] if isinstance(item, nn.Parameter) else list(item.parameters()) for item in found]
            self._parameters[name] = [parameter for group in groups for parameter in group]
        return self._parameters[name]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Whatever is switched inside is switched back at the end, however it ends."""
        layers = self.layers
        before = [(layer._active_adapter, layer._disable_adapters) for layer in layers]
        self._frozen.clear()
        try:
            yield
        finally:
            for layer, (active, disabled) in zip(layers, before, strict=True):
                layer._active_adapter, layer._disable_adapters = active, disabled
            for parameter in self._frozen:
                parameter.requires_grad = False

    def only(self, names: Sequence[str]) -> None:
        """Make these adapters active, alone; none of them is the bare model. Only inside :meth:`restored`."""
        active, disabled = list(names), not names
        for layer in self.layers:
            if disabled:
                layer._disable_adapters = True
            else:
                layer._active_adapter, layer._disable_adapters = active, False
        # Products with weights that require gradients are folded in another way, with other last bits; ``set_adapter``
        # makes the active adapter's require them.
        if not torch.is_grad_enabled():
            for name in names:
                for parameter in self.parameters(name):
                    if not parameter.requires_grad and parameter.is_floating_point():
                        parameter.requires_grad = True
                        self._frozen.append(parameter)

    def check(self, name: str) -> None:
        """Refuse an adapter that is not loaded, and adapters that were merged into the weights."""
        loaded = self.names()
        if name not in loaded and name != BASE:
            raise DiffusersError(
                f"expert {name!r} is not a loaded adapter of the {type(self.module).__name__}; loaded are: "
                f"{', '.join(map(repr, loaded)) or 'none'}. Load it first: "
                f"pipe.load_lora_weights(..., adapter_name={name!r})"
            )
        merged = sorted({name for layer in self.layers for name in layer.merged_adapters})
        if merged:
            raise DiffusersError(f"adapters {merged} are merged into the weights; call pipe.unfuse_lora() first")


def own_state(module: nn.Module) -> dict[str, Tensor]:
    """A network's own parameters and buffers, by the names that they have without adapters."""
    adapters = tuple(f"{path}{part}." for path, layer in _adapted(module) for part in _parts(layer))
    own = {k: v for k, v in module.state_dict().items() if not (adapters and k.startswith(adapters))}
    return {k.replace(".base_layer.", "."): v for k, v in own.items()}


def adapter_state(module: nn.Module, name: str) -> dict[str, Tensor]:
    """The weights of one adapter."""
    prefixes = [f"{path}{part}.{name}" for path, layer in _adapted(module) for part in _parts(layer)]
    tensors = module.state_dict() if prefixes else {}
    return {k: v for k, v in tensors.items() if any(k == p or k.startswith(p + ".") for p in prefixes)}


def _adapted(module: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)]
    return [(f"{path}." if path else "", layer) for path, layer in layers]


def _parts(layer: Any) -> list[str]:
    return [*layer.adapter_layer_names, *layer.other_param_names]
