"""What :func:`sfbench.diffusers.sample` returns."""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import Tensor

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_generator
from ..sampling.resampling import effective_size, systematic
from ..sampling.result import Diagnostics


@final
@dataclass(frozen=True)
class PathIntegral:
    """``int V dlambda`` along paths of the fused process, whose exponential is the weight of an image.

    Weights of log variance v leave about ``n exp(-v)`` of n images, so the correction is in reach while
    ``v <= log n``, with some leave for what resampling on the way saves.

    Attributes
    ----------
    mean, variance : float
        Over the images of a pilot run.
    n : int
        Images in it.
    """

    mean: float
    variance: float
    n: int

    @classmethod
    def of(cls, values: Float64Array) -> "PathIntegral":
        """From one value per image."""
        n = len(values)
        return cls(float(values.mean()), float(values.var(ddof=1)) if n > 1 else float("nan"), n)

    def in_reach(self, n: int) -> bool:
        """Whether n images can carry the weights; False if it cannot be known."""
        return bool(self.variance <= np.log(n))

    def verdict(self, n: int) -> str:
        """One line in words."""
        numbers = f"int V dlambda over {self.n} pilot images: mean {self.mean:.3g}, variance {self.variance:.3g}"
        word = "in reach" if self.in_reach(n) else "out of reach: a few images will carry all weight"
        return f"{numbers}; log n = {np.log(n):.2f} for n = {n}: the KL barycenter is {word}"


@final
@dataclass(frozen=True, eq=False)
class PipelineSample:
    """Weighted images and the name of the law that they follow.

    Attributes
    ----------
    images : tuple
        As the pipeline returns them.
    latents : Tensor (n, ...)
        What the scheduler's last step returned.
    log_weights : array (n,)
        Normalised; all equal for samplers without weights.
    law : str
        The law sampled as steps and (for weighted images) images increase.
    diagnostics : Diagnostics
        Cost and quality, as of :func:`sfbench.sample`.
    seed : int
        Of the pipeline's noise.
    pilot : PathIntegral or None
        What was found beforehand.
    """

    images: tuple[Any, ...]
    latents: Tensor
    log_weights: Float64Array
    law: str
    diagnostics: Diagnostics
    seed: int
    pilot: PathIntegral | None = None
    handle: Any = field(default=None, repr=False)

    @property
    def weights(self) -> Float64Array:
        """Normalised weights (n,)."""
        return np.exp(self.log_weights)

    @property
    def ess(self) -> float:
        """Effective number of images, ``1 / sum weights^2``."""
        return effective_size(self.log_weights) * len(self.log_weights)

    def resampled(self, n: int | None = None, *, rng: SeedLike = None) -> list[Any]:
        """Equally weighted images, drawn from the weighted ones by systematic resampling, in random order."""
        generator = as_generator(rng)
        return [self.images[i] for i in generator.permutation(systematic(self.weights, generator, n))]

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the images as PNG with recipe, seed, law and weight inside; see :func:`save_images`."""
        from .recipe import save_images

        return save_images(self, folder)

    def __repr__(self) -> str:
        d, n = self.diagnostics, len(self.images)
        lines = [f"{n} images from the {self.law}", f"  sampler: {d.sampler}; {d.n_steps} steps, seed {self.seed}"]
        if self.pilot is not None:
            lines.append(f"  {self.pilot.verdict(n)}")
        if d.ess is not None:
            lines.append(
                f"  effective images: {self.ess:.1f} of {n} now, {d.ess.min():.1%} at worst, "
                f"{d.n_resamplings} resamplings"
            )
        lines += [f"  WARNING: {message}" for message in d.messages]
        return "\n".join(lines)
