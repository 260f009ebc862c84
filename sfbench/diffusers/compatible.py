"""Whether another pipeline or network can be fused with this one: every field that differs is named."""

import inspect
from typing import Any

from torch import nn

from .errors import IncompatibleExpertsError, NoiseScheduleError
from .experts import find_denoiser, same_weights
from .schedules import from_scheduler

_NETWORK = (
    "in_channels",
    "out_channels",
    "patch_size",
    "cross_attention_dim",
    "encoder_hid_dim",
    "joint_attention_dim",
    "pooled_projection_dim",
    "caption_channels",
    "addition_embed_type",
    "projection_class_embeddings_input_dim",
    "num_class_embeds",
    "num_embeds_ada_norm",
    "time_cond_proj_dim",
    "guidance_embeds",
    "vocab_size",
)
_LATENTS = ("latent_channels", "scaling_factor", "shift_factor", "latents_mean", "latents_std")


def check_compatible(name: str, pipe: Any, other: Any) -> None:
    """Refuse an expert whose inputs, outputs, latent space or schedule are others; names all fields that differ."""
    own, theirs = find_denoiser(pipe)[1], find_denoiser(other)[1]
    differences = _network_differences(own, theirs)
    if not isinstance(other, nn.Module) and not isinstance(pipe, nn.Module):
        differences += _latent_differences(getattr(pipe, "vae", None), getattr(other, "vae", None))
        differences += _schedule_differences(pipe.scheduler, other.scheduler)
    if differences:
        listed = "; ".join(f"{field}: {a!r} here, {b!r} there" for field, a, b in differences)
        raise IncompatibleExpertsError(f"expert {name!r} cannot be fused with this {type(pipe).__name__}: {listed}")


Differences = list[tuple[str, Any, Any]]


def _network_differences(own: nn.Module, theirs: nn.Module) -> Differences:
    found: Differences = []
    a, b = getattr(own, "config", None), getattr(theirs, "config", None)
    if a is not None and b is not None:
        found += _field_differences(a, b, _NETWORK)
    a, b = getattr(own, "dtype", None), getattr(theirs, "dtype", None)
    if a != b:
        found.append(("dtype", str(a), str(b)))
    arguments, others = _required(own), _required(theirs)
    if arguments != others:
        found.append(("arguments of forward", sorted(arguments), sorted(others)))
    return found


def _required(module: nn.Module) -> set[str]:
    """Arguments without which the network cannot be called; a superset of optional ones does no harm."""
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name for p in parameters if p.default is p.empty and p.kind not in kinds}


def _latent_differences(own: Any, theirs: Any) -> Differences:
    if own is None or theirs is None:
        return [] if own is theirs else [("latent space", _kind(own), _kind(theirs))]
    found = [(f"latent space ({f})", x, y) for f, x, y in _field_differences(own.config, theirs.config, _LATENTS)]
    alike = not found and type(own) is type(theirs) and hasattr(own, "encoder")
    if alike and not same_weights(own.encoder, theirs.encoder):
        found.append(("latent space (weights of the VAE's encoder)", "these", "others"))
    return found


def _field_differences(a: Any, b: Any, fields: tuple[str, ...]) -> Differences:
    return [(f, x, y) for f in fields if (x := getattr(a, f, None)) != (y := getattr(b, f, None))]


def _kind(vae: Any) -> str:
    return "pixels" if vae is None else type(vae).__name__


def _schedule_differences(own: Any, theirs: Any) -> Differences:
    """Differences of what the networks were trained with; steps and samplers may differ."""
    try:
        a, b = from_scheduler(own), from_scheduler(theirs)
    except NoiseScheduleError:  # a discrete or distilled scheduler: the class must do
        x, y = type(own).__name__, type(theirs).__name__
        return [] if x == y else [("scheduler", x, y)]
    found: Differences = []
    if a.prediction != b.prediction:
        found.append(("prediction type", a.prediction, b.prediction))
    if a.process != b.process:
        found.append(("noise schedule", a.process, b.process))
    return found
