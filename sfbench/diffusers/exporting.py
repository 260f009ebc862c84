"""Experts of a plain pipeline as score models of the package: no prompt, no VAE, so pixels are the points."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..nets import NetworkScore
from .errors import DiffusersError
from .experts import as_experts, by_name, find_denoiser
from .merging import merge
from .schedules import Schedule, from_scheduler


def score_models(pipe: Any, experts: Sequence[Any] | Mapping[str, Any], **options: Any) -> dict[str, NetworkScore]:
    """Experts as score models for :func:`sfbench.fuse`, :class:`sfbench.FusedScore`, :func:`sfbench.sample`, metrics.

    Points are pixels scaled to [-1, 1], flattened from (channels, height, width); time t is that of
    ``scheduler_process(pipe.scheduler)``. The pipeline stays as it is.

    Parameters
    ----------
    pipe : pipeline
        Without prompts and without a VAE, such as ``DDPMPipeline``.
    experts
        As for :func:`sfbench.diffusers.fuse`. Adapters are merged into copies of the network: k times its memory.
    options
        Handed to :class:`sfbench.nets.NetworkScore`: ``batch``, ``dtype``, ``compile``, ...

    Returns
    -------
    dict of str to NetworkScore
        By the names of the experts.

    Raises
    ------
    DiffusersError
        For pipelines with prompts, classes or a VAE, and networks that predict a variance too.
    NoiseScheduleError
        For schedulers that are not of a diffusion.
    """
    _, module = find_denoiser(pipe)
    needed = [
        name
        for name, argument in inspect.signature(type(module).forward).parameters.items()
        if argument.default is argument.empty and name not in ("self", "sample", "timestep")
    ]
    config: Any = module.config
    size = getattr(config, "sample_size", None)
    shape = (config.in_channels, *(size if isinstance(size, list | tuple) else (size, size)))
    if needed or getattr(pipe, "vae", None) is not None or None in shape:
        why = f"its network needs {', '.join(needed)}" if needed else "it has a VAE, or a network of no fixed size"
        raise DiffusersError(
            f"a {type(pipe).__name__} is not a plain pipeline: {why}; use learn_weights and sample here"
        )
    if config.out_channels != config.in_channels:
        raise DiffusersError(f"the {type(module).__name__} predicts a variance too, which score models do not")
    schedule, models = from_scheduler(pipe.scheduler), as_experts(pipe, module, experts)
    if taken := options.keys() & {"process", "parameterisation", "shape", "time", "dim"}:
        raise DiffusersError(f"{sorted(taken)} are read from the pipeline: leave them out")
    return {
        name: NetworkScore(
            merge(pipe, [expert], [1.0]) if isinstance(expert, str) else find_denoiser(expert)[1],
            shape,
            schedule.process,
            schedule.prediction,
            time=partial(_timesteps, schedule),
            **options,
        )
        for name, expert in by_name(models, experts).items()
    }


def _timesteps(schedule: Schedule, t: Any) -> Any:
    """What the networks are given for times (n,)."""
    return t.new_tensor([schedule.timestep(float(value)) for value in np.asarray(t)])
