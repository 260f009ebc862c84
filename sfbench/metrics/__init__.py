"""Distances between laws and samples; every metric returns an :class:`synthetic.Estimate`, never a bare float.

Between laws: :func:`total_variation`, :func:`kl_divergence`, :func:`wasserstein_1d`. Between a sample and a law:
:func:`total_variation_from_samples` (with its noise floor, :func:`total_variation_floor`) and :func:`mode_mass_error`.
Between samples: :func:`wasserstein`, :func:`wasserstein1_1d`, :func:`sliced_wasserstein1`, :func:`squared_mmd`,
:func:`energy_distance`. Those of samples are imported on first use. By name, one's own among them: :func:`measure`,
:func:`known_metrics`, :func:`register_metric`, entry points ``sfbench.metrics``.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(["mode_mass_error", "total_variation_floor", "total_variation_from_samples"], ".from_samples"),
        **dict.fromkeys(["energy_distance", "squared_mmd"], ".kernel_distances"),
        **dict.fromkeys(["sliced_wasserstein1", "wasserstein"], ".transport"),
        **dict.fromkeys(["get_metric", "known_metrics", "measure", "register_metric"], ".named"),
        "kl_divergence": ".kl",
        "total_variation": ".tv",
        "wasserstein1_1d": ".line",
        "wasserstein_1d": ".line",
    },
)
