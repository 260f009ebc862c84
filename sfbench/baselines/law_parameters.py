r"""Checkpoint merging for mixtures: ``theta_w = sum_i w_i theta_i``.

The parameters of a Gaussian mixture are its log weights, means and covariances, component by component in the order
stored, just as checkpoint merging pairs neurons by index. Pairing matters: the same laws stored in another order merge
to another law. Unlike pooling, nothing in this depends on where the laws have mass.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from synthetic import GaussianMixture

from .._internal.validation import as_weights
from ..errors import ModelError


def parameter_average(mixtures: Sequence[GaussianMixture], weights: ArrayLike) -> GaussianMixture:
    """Mixture with averaged log weights (normalised), means and covariances.

    Raises
    ------
    ModelError
        If the mixtures have no components to pair, or the weights are off the simplex.
    """
    w = as_weights(weights, len(mixtures), ModelError)
    shapes = {p.means.shape for p in mixtures}
    if len(shapes) > 1:
        raise ModelError(f"parameters can only be averaged between mixtures of one shape, got {sorted(shapes)}")
    kept = [(wi, p) for wi, p in zip(w, mixtures, strict=True) if wi > 0]
    if any(np.any(p.weights == 0) for _, p in kept):
        raise ModelError("a mixture has a component of weight zero, whose logarithm cannot be averaged; drop it")
    logs = np.sum([wi * np.log(p.weights) for wi, p in kept], axis=0)
    shares = np.exp(logs - logs.max())
    means = np.sum([wi * p.means for wi, p in kept], axis=0)
    if all(p.is_isotropic for _, p in kept):
        covariances = np.sum([wi * p.spectrum.values[:, 0] for wi, p in kept], axis=0)
    else:
        covariances = np.sum([wi * p.spectrum.dense() for wi, p in kept], axis=0)
    return GaussianMixture(shares / shares.sum(), means, covariances)
