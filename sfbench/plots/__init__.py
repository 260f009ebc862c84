"""Figures of fits and samples, on matplotlib axes of the caller's or on new ones.

Every function takes ``ax=`` and returns the axes, so that figures can be arranged, styled and saved by their owner:
``plot_samples(sample, law).figure.savefig("samples.pdf")``. Fits have theirs as methods (``result.plot_weights()``),
which draw with :mod:`sfbench.plots.fits`. matplotlib is imported when the first figure is drawn.
"""

from typing import TYPE_CHECKING

from .._internal.lazy import lazy_names

if TYPE_CHECKING:
    from .images import plot_images
    from .samples import plot_samples

__all__ = ["plot_images", "plot_samples"]

__getattr__, __dir__ = lazy_names(__name__, {"plot_images": ".images", "plot_samples": ".samples"})
