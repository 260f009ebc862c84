r"""A score model moved to other data coordinates.

If a model was trained on ``y = (x - shift) / scale`` (each data set standardised by its own moments, say), its law in
the common coordinates x is ``p_x(x) = p_y((x - shift) / scale) / scale^d``, and *without noise* the chain rule gives
the score ``s_y((x - shift) / scale) / scale``. With noise, coordinates and time move together: the law of
``alpha X + sigma Z`` is that of ``scale' (alpha' Y + sigma' Z) + alpha shift`` when

    alpha'_t' / sigma'_t'  =  scale alpha_t / sigma_t,        scale' = sigma_t / sigma'_t',

so the model must be asked at the time t' of *its own* process with that signal-to-noise ratio:

    s_x(x, t) = s_y((x - alpha_t shift) / scale', t') / scale'.

Averaging scores of models that live in different coordinates without this is a mistake that no shape check can find.
"""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import to_kind
from .._internal.validation import as_number, as_real
from ..errors import GridError, ModelError
from ..processes import ForwardProcess
from .models import ScoreModel, score_and_divergence

_REACHED = 1e-6  # relative error of a log SNR that counts as reached
_BEYOND = 4.0  # analytic processes may be followed this many horizons far


@final
@dataclass(frozen=True, eq=False)
class AlignedScore:
    """Score in common coordinates of a model trained on ``(x - shift) / scale``.

    Parameters
    ----------
    model : ScoreModel
        The model, in its own coordinates and under its own process.
    scale : float
        Positive number: one common unit of the model's coordinates in common coordinates. A different scale per
        coordinate would make the noise anisotropic, which a score at one time cannot express.
    shift : array_like, scalar or (d,)
        Where the origin of the model's coordinates lies in common coordinates.
    process : ForwardProcess
        Process of the common coordinates.
    own_process : ForwardProcess, optional
        Process under which the model was trained; the same by default.
    """

    model: ScoreModel
    scale: float
    shift: Float64Array
    process: ForwardProcess
    own_process: ForwardProcess

    def __init__(
        self,
        model: ScoreModel,
        scale: float,
        shift: ArrayLike = 0.0,
        *,
        process: ForwardProcess,
        own_process: ForwardProcess | None = None,
    ) -> None:
        if not isinstance(model, ScoreModel):
            raise ModelError(f"model is a {type(model).__name__}; a score model needs `dim` and `score(x, t)`")
        if not (isinstance(scale, int | float | np.integer | np.floating) and 0 < scale < 1e300):
            raise ModelError(f"scale must be one finite positive number for all coordinates, got {scale!r}")
        for name, value in (("process", process), ("own_process", own_process)):
            if not isinstance(value, ForwardProcess | None) or (name == "process" and value is None):
                raise ModelError(f"{name} must be a ForwardProcess such as OrnsteinUhlenbeck(), got {value!r}")
        offset = as_real("shift", shift, ModelError)
        if offset.shape not in ((), (model.dim,)) or not np.all(np.isfinite(offset)):
            raise ModelError(f"shift must be a finite number or have shape ({model.dim},), got {shift!r}")
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "scale", float(scale))
        object.__setattr__(self, "shift", np.broadcast_to(offset, (model.dim,)).astype(np.float64))
        object.__setattr__(self, "process", process)
        object.__setattr__(self, "own_process", process if own_process is None else own_process)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.model.dim

    @property
    def t_range(self) -> tuple[float, float] | None:
        """Common times at which the model is valid at its own, None if it does not say."""
        own = getattr(self.model, "t_range", None)
        if own is None:
            return None
        last = min(own[1], _BEYOND * self.own_process.horizon)
        with np.errstate(divide="ignore"):
            ratios = self.own_process.log_snr(np.array([own[0], last])) - 2.0 * math.log(self.scale)
            low, high = self.process.time_at(ratios).tolist()
        return (low if own[0] > 0 else 0.0), high

    def own_time(self, t: float) -> float:
        """The time of the model's own process at which its coordinates carry as much noise as the common ones at t.

        Raises
        ------
        GridError
            If the model's process never reaches that signal-to-noise ratio.
        """
        if not as_number("t", t, GridError) > 0:
            raise GridError(f"t must be positive, got {t!r}")
        if self.scale == 1.0 and self.own_process == self.process:
            return t
        wanted = float(self.process.log_snr(t)) + 2.0 * math.log(self.scale)
        own = float(self.own_process.time_at(wanted))
        missed = abs(float(self.own_process.log_snr(own)) - wanted)
        if own > _BEYOND * self.own_process.horizon or not missed <= _REACHED * max(1.0, abs(wanted)):
            raise GridError(
                f"at t = {t:.4g} the aligned model is needed at log SNR {wanted:.4g}, which {self.own_process!r} does "
                "not reach; sample over a window with less noise (smaller t_max), or align to a larger unit"
            )
        return own

    @property
    def device(self) -> Any:
        """Where the model computes, None if it does not say."""
        return getattr(self.model, "device", None)

    def _inward(self, x: Array, t: float) -> tuple[Array, float, float]:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ModelError(f"x must have shape (n, {self.dim}), got {tuple(x.shape)}")
        own = self.own_time(t)
        unit = float(self.process.sigma(t)) / float(self.own_process.sigma(own))
        y = x - to_kind(float(self.process.alpha(t)) * self.shift, x)
        y *= 1.0 / unit
        return y, own, unit

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) in common coordinates and time t, shape (n, d)."""
        y, own, unit = self._inward(x, t)
        return self.model.score(y, own) * (1.0 / unit)

    def score_and_divergence(self, x: Array, t: float) -> tuple[Array, Array]:
        """Score (n, d) and its divergence (n,)."""
        y, own, unit = self._inward(x, t)
        score, divergence = score_and_divergence(self.model, y, own)
        return score * (1.0 / unit), divergence * (1.0 / unit**2)
