r"""Log-likelihoods of data in their original units.

Models live in scaled coordinates ``x = (raw - shift) / scale``. Densities change with coordinates,

    log p_raw(raw) = log p_x(x) - sum_e log scale_e,

and leaving the Jacobian out shifts every figure: for pixels divided by 0.3081, by log2 0.3081 = -1.70 bits per
dimension.
Bits per dimension are ``-log p_raw / (d log 2)`` with raw in units of one integer level (0 ... 255 for 8-bit pixels,
with uniform noise in [0, 1) added), so that they bound a code length.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from synthetic import Estimate

from .._internal.aliases import Array, Float64Array, SeedLike
from .._internal.arrays import as_tensor_points, is_tensor, to_kind
from .._internal.validation import as_kind, as_points, as_real
from ..errors import SfbenchError
from ..processes import ForwardProcess
from ..processes.times import TimeSteps
from ..scores import ScoreModel
from .ode_density import ode_log_density


@final
@dataclass(frozen=True, eq=False)
class DataScaling:
    """``x = (raw - shift) / scale``; both numbers or one per coordinate."""

    scale: Float64Array
    shift: Float64Array

    def __init__(self, scale: ArrayLike = 1.0, shift: ArrayLike = 0.0) -> None:
        a: Float64Array = as_real("scale", scale).astype(np.float64)
        b: Float64Array = as_real("shift", shift).astype(np.float64)
        if a.ndim > 1 or b.ndim > 1 or not (np.all(np.isfinite(a)) and np.all(a > 0) and np.all(np.isfinite(b))):
            raise SfbenchError(f"scale must be finite and positive and shift finite, got {scale!r}, {shift!r}")
        object.__setattr__(self, "scale", a)
        object.__setattr__(self, "shift", b)

    def apply(self, raw: Any) -> Array:
        """Scaled data (n, d), float64; a tensor stays one, in its precision."""
        points = as_tensor_points("raw", raw, SfbenchError) if is_tensor(raw) else as_points("raw", raw)
        if points.ndim != 2:
            raise SfbenchError(f"raw must have shape (n, d), got {tuple(points.shape)}")
        for name, values in (("shift", self.shift), ("scale", self.scale)):
            if values.shape not in ((), (1,), tuple(points.shape[1:])):
                raise SfbenchError(f"{name} has {values.size} entries, but raw data have {points.shape[1]} coordinates")
        if is_tensor(points):
            return (points - to_kind(self.shift, points)) / to_kind(self.scale, points)
        return np.asarray((points.astype(np.float64) - self.shift) / self.scale)

    def log_jacobian(self, dim: int) -> float:
        """``log |dx / draw| = -sum_e log scale_e`` in dimension ``dim``."""
        return -float(np.broadcast_to(np.log(self.scale), (dim,)).sum())


@final
@dataclass(frozen=True, eq=False)
class Likelihood:
    """Log-likelihoods of raw data.

    Attributes
    ----------
    log_prob : array (n,)
        Nats per point, in raw units.
    nats : Estimate
        Their mean; the standard error covers the data and the divergence probes.
    bits_per_dim : Estimate
        ``-nats / (d log 2)``.
    log_jacobian : float
        What the scaling added to every point.
    """

    log_prob: Float64Array
    nats: Estimate
    bits_per_dim: Estimate
    log_jacobian: float


def log_likelihood(
    score: ScoreModel,
    raw: Any,
    *,
    scaling: DataScaling,
    process: ForwardProcess | None = None,
    steps: TimeSteps | int = 128,
    n_probes: int = 8,
    rng: SeedLike = None,
) -> Likelihood:
    """Likelihood of raw data (n, d), an array or a tensor, under the probability flow of a model of scaled data.

    ``scaling`` has no default: say ``DataScaling()`` if the model was trained on raw units. See :func:`ode_log_density`
    for the other parameters, errors and cost. The density is that at ``t_min``.
    """
    x = as_kind("scaling", scaling, DataScaling).apply(raw)
    densities = ode_log_density(score, x, process=process, steps=steps, n_probes=n_probes, rng=rng)
    n, dim = x.shape
    jacobian = scaling.log_jacobian(dim)
    values = densities.values + jacobian
    spread = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float(densities.stderr[0])
    nats = Estimate(float(values.mean()), spread, n, densities.method)
    unit = dim * float(np.log(2.0))
    bits = Estimate(-nats.value / unit, spread / unit, n, densities.method)
    return Likelihood(values, nats, bits, jacobian)
