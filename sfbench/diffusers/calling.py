"""Calling a pipeline without knowing which one it is: prompts, classes or a count, as its signature wants them."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._internal.lazy import did_you_mean
from .._internal.validation import as_choice
from ..errors import SfbenchError
from .errors import DiffusersError

_OURS = {
    **dict.fromkeys(("num_images_per_prompt", "batch_size"), "n= says how many images are drawn"),
    "generator": "rng= says which noise is drawn",
    "class_labels": "the prompt is the class",
}
_OUTPUTS = ("pil", "np", "pt", "latent")


def accepted(pipe: Any) -> set[str]:
    """Names of the arguments that a pipeline takes."""
    if hasattr(pipe, "update_components"):
        return {entry.name for entry in pipe.blocks.inputs}
    return set(inspect.signature(type(pipe).__call__).parameters)


def run(pipe: Any, prompt: Any, n: int, generator: torch.Generator, options: dict[str, Any]) -> list[Any]:
    """Images of one call of the pipeline: n of one prompt, or one for each of n prompts (a list)."""
    known = accepted(pipe)
    given = dict(options)
    _check_options(pipe, given, known)
    several = isinstance(prompt, list | tuple)
    if several and len(prompt) != n:
        raise DiffusersError(f"{len(prompt)} prompts are given for {n} images")
    if "generator" in known:
        given["generator"] = generator
    if "class_labels" in known:
        given["class_labels"] = [_as_class(pipe, label) for label in (prompt if several else [prompt] * n)]
    elif "num_images_per_prompt" in known:
        _check_prompts(prompt, several)
        given["num_images_per_prompt"] = 1 if several else n
        if prompt is not None:
            given["prompt"] = list(prompt) if several else prompt
    elif "batch_size" in known:
        if prompt is not None:
            raise DiffusersError(f"a {type(pipe).__name__} takes no prompt, got {prompt!r}")
        given["batch_size"] = n
    else:
        raise DiffusersError(f"how a {type(pipe).__name__} draws several images is not known; call it directly")
    try:
        if hasattr(pipe, "update_components"):
            return list(pipe(output="images", **given))
        return list(pipe(**given).images)
    except SfbenchError:
        raise
    except (TypeError, ValueError) as error:
        raise DiffusersError(f"the {type(pipe).__name__} refuses to draw: {error}") from error


def _check_options(pipe: Any, options: dict[str, Any], known: set[str]) -> None:
    name = next((name for name in options if name in _OURS), None)
    if name is not None:
        raise DiffusersError(f"{name}={options[name]!r} is not an option here: {_OURS[name]}")
    if "output_type" in options:
        as_choice("output_type", options["output_type"], _OUTPUTS, DiffusersError)
    for name in sorted(options.keys() - known):
        hint = did_you_mean(name, [other for other in known if other])
        if hint or not known & {"kwargs", None}:  # those that take anything swallow misspelled names
            raise DiffusersError(f"a {type(pipe).__name__} has no option {name!r}{hint}; leave it out")


def _as_class(pipe: Any, label: Any) -> int:
    if isinstance(label, bool) or not isinstance(label, int | np.integer):
        raise DiffusersError(f"a {type(pipe).__name__} needs a class as its prompt, an integer; got {label!r}")
    return int(label)


def _check_prompts(prompt: Any, several: bool) -> None:
    prompts: Sequence[Any] = prompt if several else [] if prompt is None else [prompt]
    if not all(isinstance(text, str) for text in prompts):
        raise DiffusersError(f"a prompt must be one string, got {prompt!r}")
