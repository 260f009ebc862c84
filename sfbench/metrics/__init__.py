"""Distances between laws and samples; every metric returns an :class:`synthetic.Estimate`, never a bare float.

Between laws: :func:`total_variation`, :func:`kl_divergence`, :func:`wasserstein_1d`. Between a sample and a law:
:func:`total_variation_from_samples` (with its noise floor, :func:`total_variation_floor`) and :func:`mode_mass_error`.
Between samples: :func:`wasserstein`, :func:`wasserstein1_1d`, :func:`sliced_wasserstein1`, :func:`squared_mmd`,
:func:`energy_distance`. Those of samples are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .kl_divergence import kl_divergence
from .total_variation import total_variation
from .wasserstein_1d import wasserstein_1d

if TYPE_CHECKING:
    from .from_samples import mode_mass_error, total_variation_floor, total_variation_from_samples
    from .from_samples_kernels import energy_distance, squared_mmd
    from .from_samples_transport import sliced_wasserstein1, wasserstein, wasserstein1_1d

__all__ = [
    "energy_distance",
    "kl_divergence",
    "mode_mass_error",
    "sliced_wasserstein1",
    "squared_mmd",
    "total_variation",
    "total_variation_floor",
    "total_variation_from_samples",
    "wasserstein",
    "wasserstein1_1d",
    "wasserstein_1d",
]

_LAZY = {
    "energy_distance": "from_samples_kernels",
    "mode_mass_error": "from_samples",
    "sliced_wasserstein1": "from_samples_transport",
    "squared_mmd": "from_samples_kernels",
    "total_variation_floor": "from_samples",
    "total_variation_from_samples": "from_samples",
    "wasserstein": "from_samples_transport",
    "wasserstein1_1d": "from_samples_transport",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
