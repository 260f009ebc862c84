"""What can go wrong when pipelines are fused; each message names the argument, the value and what to do."""

from ..errors import SfbenchError


class DiffusersError(SfbenchError):
    """Base class of the input errors of :mod:`sfbench.diffusers`."""


class IncompatibleExpertsError(DiffusersError):
    """Experts that cannot be averaged; the message names every field that differs."""


class NoiseScheduleError(DiffusersError):
    """A scheduler that is not a diffusion, or that a sampler cannot use."""


class NotFusedError(DiffusersError):
    """A pipeline ran without the fusion: the images are those of one model."""


class RecipeError(DiffusersError):
    """A recipe that cannot be written, read, or followed with the models at hand."""
