"""Metrics by name: those of this package, registered ones, and those of other distributions.

A metric is a function ``metric(p, q, **options) -> Estimate`` of two laws, a sample and a law, or two samples, that
raises :class:`synthetic.IntractableError` where it does not apply.
"""

from collections.abc import Callable
from typing import Any

from synthetic import Estimate

from .._internal.lazy import Registry
from ..errors import SfbenchError

_METRICS: Registry[Callable[..., Estimate]] = Registry(
    "metric",
    "sfbench.metrics",
    {
        name: f"sfbench.metrics:{name}"
        for name in (
            *("total_variation", "kl_divergence", "wasserstein_1d"),
            *("total_variation_from_samples", "mode_mass_error"),
            *("wasserstein", "sliced_wasserstein1", "squared_mmd", "energy_distance"),
        )
    },
)
known_metrics = _METRICS.names
register_metric = _METRICS.register


def get_metric(metric: str | Callable[..., Estimate]) -> Callable[..., Estimate]:
    """The metric of that name, or the function itself; SfbenchError if it is neither."""
    found = _METRICS[metric] if isinstance(metric, str) else metric
    if not callable(found):
        raise SfbenchError(f"metric must be a function of two laws or one of {known_metrics()}, got {metric!r}")
    return found


def measure(metric: str | Callable[..., Estimate], p: Any, q: Any, **options: Any) -> Estimate:
    """Distance of p and q by a metric or its name; options are the metric's own.

    Raises
    ------
    SfbenchError
        For an unknown name, or a metric that returns anything but an :class:`synthetic.Estimate`.
    """
    found = get_metric(metric)(p, q, **options)
    if not isinstance(found, Estimate):
        raise SfbenchError(f"metric {metric!r} must return a synthetic.Estimate, got {found!r}")
    return found
