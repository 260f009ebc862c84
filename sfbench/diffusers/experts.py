"""What can be fused: adapters of the pipeline's own network, other networks, other pipelines."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from .errors import DiffusersError
from .switching import BASE, AdapterSwitch

DENOISERS = ("unet", "transformer", "model")
Forward = Callable[..., Any]


def find_denoiser(pipe: Any) -> tuple[str, nn.Module]:
    """Name and module of the one network that a pipeline calls at every step (a bare module is its own)."""
    if isinstance(pipe, nn.Module):
        return "", pipe
    found = [name for name in DENOISERS if isinstance(getattr(pipe, name, None), nn.Module)]
    second = [f"{name}_2" for name in DENOISERS if isinstance(getattr(pipe, f"{name}_2", None), nn.Module)]
    if not found:
        raise DiffusersError(
            f"a {type(pipe).__name__} has no `unet`, `transformer` or `model`; pass a loaded pipeline or a network"
        )
    if len(found) + len(second) > 1:
        raise DiffusersError(
            f"a {type(pipe).__name__} has several networks ({', '.join(found + second)}); not supported"
        )
    return found[0], getattr(pipe, found[0])


def text_encoders(pipe: Any) -> dict[str, nn.Module]:
    """The text encoders of a pipeline by name."""
    names = [name for name in ("text_encoder", "text_encoder_2", "text_encoder_3") if hasattr(pipe, name)]
    return {name: getattr(pipe, name) for name in names if isinstance(getattr(pipe, name), nn.Module)}


class AbstractExpert(ABC):
    """One model of a fusion."""

    name: str
    encodes: bool = False  # a prompt otherwise than the pipeline does
    switches: bool = False  # leaves the adapters of the pipeline's network switched

    @abstractmethod
    def evaluate(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Output of the expert for the arguments of the pipeline's network; ``own`` is that network's forward."""

    @abstractmethod
    def encode(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``encode_prompt`` returns for this expert; ``own`` is the pipeline's."""


@final
@dataclass(frozen=True, eq=False)
class AdapterExpert(AbstractExpert):
    """The pipeline's network with one adapter active, at the scale that was set for it (``"__base__"``: with none).

    Must be evaluated inside ``switch.restored()``.
    """

    name: str
    adapter: str
    switch: AdapterSwitch
    encoders: tuple[AdapterSwitch, ...] = ()
    encodes: bool = False
    switches = True

    def evaluate(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Switch, then run the pipeline's own network."""
        self.switch.only([] if self.adapter == BASE else [self.adapter])
        return own(*args, **kwargs)

    def encode(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The prompt under this adapter's text encoders."""
        with ExitStack() as stack:
            for encoder in self.encoders:
                stack.enter_context(encoder.restored())
                encoder.only([self.adapter] if self.adapter in encoder.names() else [])
            return own(*args, **kwargs)


@final
@dataclass(frozen=True, eq=False)
class OwnExpert(AbstractExpert):
    """The pipeline's own network as it stands, with whatever adapters are active."""

    name: str

    def evaluate(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the pipeline's own network."""
        return own(*args, **kwargs)

    encode = evaluate


@final
@dataclass(frozen=True, eq=False)
class NetworkExpert(AbstractExpert):
    """Another network, and the pipeline that it belongs to, if there is one."""

    name: str
    module: nn.Module
    pipe: Any = None
    encodes: bool = False

    def evaluate(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the other network."""
        return self.module(*args, **kwargs)

    def encode(self, own: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The prompt under the other pipeline's text encoders."""
        return self.pipe.encode_prompt(*args, **kwargs) if self.encodes else own(*args, **kwargs)


def as_experts(pipe: Any, denoiser: nn.Module, experts: Any) -> list[AbstractExpert]:
    """Experts from what a user gives: names of loaded adapters, pipelines, networks; a mapping gives them names."""
    if isinstance(experts, str) or not isinstance(experts, Sequence | Mapping) or not experts:
        raise DiffusersError(f"experts must be a sequence of adapters, pipelines or networks, got {experts!r:.200}")
    given = list(experts.items()) if isinstance(experts, Mapping) else [(None, expert) for expert in experts]
    switch = AdapterSwitch(denoiser)
    encoders = () if isinstance(pipe, nn.Module) else tuple(map(AdapterSwitch, text_encoders(pipe).values()))
    encodes = any(encoder.layers for encoder in encoders)
    made: list[AbstractExpert] = []
    for label, expert in given:
        name = _unused(_name(expert) if label is None else str(label), [other.name for other in made])
        if isinstance(expert, str):
            switch.check(expert)
            made.append(AdapterExpert(name, expert, switch, encoders, encodes))
            continue
        other = None if isinstance(expert, nn.Module) else expert
        module = find_denoiser(expert)[1]
        if module is denoiser:
            made.append(OwnExpert(name))
        else:
            made.append(NetworkExpert(name, module, other, other is not None and not same_text_encoders(pipe, other)))
    return made


def by_name(models: Sequence[AbstractExpert], experts: Any) -> dict[str, Any]:
    """What a user gave, by the names of the experts that it became."""
    given = experts.values() if isinstance(experts, Mapping) else experts
    return dict(zip([model.name for model in models], given, strict=True))


def _name(expert: Any) -> str:
    if isinstance(expert, str):
        return expert
    return str(getattr(expert, "name_or_path", None) or type(expert).__name__)


def _unused(name: str, used: list[str]) -> str:
    """The name itself, or with a number."""
    tries = (name if i == 1 else f"{name} {i}" for i in itertools.count(1))
    return next(candidate for candidate in tries if candidate not in used)


def same_text_encoders(pipe: Any, other: Any) -> bool:
    """Whether two pipelines turn prompts into the same numbers: equal weights of all text encoders."""
    own, theirs = text_encoders(pipe), text_encoders(other)
    return own.keys() == theirs.keys() and all(same_weights(own[name], theirs[name]) for name in own)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules hold equal tensors."""
    if a is b:
        return True
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        x.shape == second[name].shape and torch.equal(x.cpu(), second[name].cpu()) for name, x in first.items()
    )
