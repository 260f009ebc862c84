"""Distances between laws and samples; every metric returns an :class:`synthetic.Estimate`, never a bare float.

Between laws: :func:`total_variation`, :func:`kl_divergence`, :func:`wasserstein_1d`. Between a sample and a law:
:func:`total_variation_from_samples` (with its noise floor, :func:`total_variation_floor`) and :func:`mode_mass_error`.
Between samples: :func:`wasserstein`, :func:`wasserstein1_1d`, :func:`sliced_wasserstein1`, :func:`squared_mmd`,
:func:`energy_distance`. By name, one's own among them: :func:`measure`, :func:`known_metrics`, :func:`register_metric`,
entry points ``sfbench.metrics``.
"""

from .from_samples import mode_mass_error, total_variation_floor, total_variation_from_samples
from .kernel_distances import energy_distance, squared_mmd
from .kl import kl_divergence
from .line import wasserstein1_1d, wasserstein_1d
from .named import get_metric, known_metrics, measure, register_metric
from .transport import sliced_wasserstein1, wasserstein
from .tv import total_variation

__all__ = [
    "energy_distance",
    "get_metric",
    "kl_divergence",
    "known_metrics",
    "measure",
    "mode_mass_error",
    "register_metric",
    "sliced_wasserstein1",
    "squared_mmd",
    "total_variation",
    "total_variation_floor",
    "total_variation_from_samples",
    "wasserstein",
    "wasserstein1_1d",
    "wasserstein_1d",
]
