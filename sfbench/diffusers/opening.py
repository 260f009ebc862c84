"""Opening a pipeline by name: the local cache first, and one clear error where there is no internet."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import SfbenchError
from .errors import DiffusersError
from .experts import find_denoiser
from .switching import AdapterSwitch

_SECONDS = 5.0


def open_pipeline(name: str, **options: Any) -> Any:
    """A pipeline from a folder, the local cache, or the hub.

    Parameters
    ----------
    name : str
        Folder, or ``owner/name`` on the hub.
    options
        As for ``DiffusionPipeline.from_pretrained``.

    Raises
    ------
    DiffusersError
        If it is neither here nor can the hub be reached; at once, without retries.
    """
    from diffusers import DiffusionPipeline

    here = as_path("name", name, DiffusersError).is_dir()
    try:
        if here:
            return DiffusionPipeline.from_pretrained(name, **options)
        try:
            return DiffusionPipeline.from_pretrained(name, local_files_only=True, **options)
        except OSError:
            _check_hub(name)
        return DiffusionPipeline.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        where = "in this folder" if here else "neither a folder nor a pipeline of the hub"
        raise DiffusersError(f"no pipeline opens as {str(name)!r} ({where}): {str(error).splitlines()[0]}") from error


def open_on(name: str, device: str = "auto") -> Any:
    """A pipeline on a device, ``"auto"`` being a GPU if there is one: float32 on the CPU, bfloat16 elsewhere."""
    import torch

    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise DiffusersError(f"device={device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch_dtype")  # its new name is not known to releases before 0.36
        return open_pipeline(name, torch_dtype=torch.float32 if place == "cpu" else torch.bfloat16).to(place)


def load_adapter(pipe: Any, name: str, where: str) -> None:
    """Load an adapter (LoRA) under a name, from a file or from a repository.

    Raises
    ------
    DiffusersError
        If it is not there, is none, or was made for another network.
    """
    path = as_path("where", where, DiffusersError)
    if path.suffix == ".safetensors" and not path.is_file():
        raise DiffusersError(f"adapter {name}={where}: there is no such file")
    place = {"weight_name": path.name} if path.is_file() else {}
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # another adapter is expected here
            pipe.load_lora_weights(str(path.parent) if path.is_file() else where, adapter_name=name, **place)
    except Exception as error:  # whatever the hub's client and the file's reader raise
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        more = f" (and {len(lines) - 2} more)" if len(lines) > 2 else ""
        raise DiffusersError(f"adapter {name}={where} cannot be loaded: {' '.join(lines[:2])}{more}") from None
    if name not in AdapterSwitch(network := find_denoiser(pipe)[1]).names():
        raise DiffusersError(f"adapter {name}={where} has no weights for a {type(network).__name__}: take another file")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' words on text encoders that an adapter leaves alone, and on errors that are raised anyway."""
    loggers = [logging.getLogger(f"diffusers.loaders.{name}") for name in ("lora_base", "peft")]
    silent = re.compile("No LoRA keys associated|Loading .* was unsuccessful")

    def keep(record: logging.LogRecord) -> bool:
        return silent.match(record.getMessage()) is None

    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)


def _check_hub(name: str) -> None:
    import huggingface_hub

    endpoint = huggingface_hub.constants.ENDPOINT
    reason = "HF_HUB_OFFLINE is set" if huggingface_hub.constants.HF_HUB_OFFLINE else None
    if reason is None:
        try:
            huggingface_hub.get_session().head(endpoint, timeout=_SECONDS)
        except Exception as error:  # whatever the client raises
            reason = type(error).__name__
    if reason is not None:
        raise DiffusersError(
            f"{name!r} is neither a folder nor in the local cache, and {endpoint} cannot be reached ({reason}); copy "
            "the pipeline here and pass its folder"
        )


def as_path(name: str, value: object, error: type[SfbenchError]) -> Path:
    """The path that an argument says."""
    if not isinstance(value, str | PathLike):
        raise error(f"{name} must be a path, got {value!r}")
    return Path(value)
