"""Distances between laws and samples; every metric returns an :class:`synthetic.Estimate`, never a bare float."""

from .kl_divergence import kl_divergence
from .total_variation import total_variation
from .wasserstein import wasserstein_1d

__all__ = ["kl_divergence", "total_variation", "wasserstein_1d"]
