r"""What a network predicts, turned into a score: the only place where this is done.

With ``x = alpha x0 + sigma z`` and ``r = sqrt(alpha^2 + sigma^2)``, a network at ``(x, t)`` may estimate the mean,
given x, of

============  =============================================  ==========================================
``epsilon``   the noise ``z``                                ``score = -z / sigma``
``x0``        the data ``x0``                                ``score = (alpha x0 - x) / sigma^2``
``v``         ``v = (alpha z - sigma x0) / r``               ``score = -(alpha v + sigma x / r) / (r sigma)``
``velocity``  ``u = z - x0``                                 ``score = -(x + alpha u) / (sigma (alpha + sigma))``
``score``     ``grad log p_t(x)`` itself                     ``score``
============  =============================================  ==========================================

``r = 1`` for variance-preserving processes, where ``v`` is the usual one; in general ``x / r`` and ``v`` are the data
and noise pair turned by the angle ``atan(sigma / alpha)``. ``velocity`` is the time derivative of x on the straight
path ``alpha = 1 - t, sigma = t`` of flow matching. :class:`EDM` is a network F behind ``x0 = c_skip x + c_out F``
(Karras et al. 2022, table 1). diffusers' names are understood too: "eps", "v_prediction", "sample", "flow_prediction".

All are affine in the score with coefficients that depend on (x, t) alone, so averages with weights of sum one commute
with the conversion. The arithmetic is the same for numpy arrays and torch tensors.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from .._internal.lazy import did_you_mean
from .._internal.validation import as_number
from ..errors import ModelError

Prediction = Literal["epsilon", "v", "x0", "score", "velocity"]
_PREDICTIONS = get_args(Prediction)
_ALIASES = {"eps": "epsilon", "v_prediction": "v", "sample": "x0", "flow_prediction": "velocity"}


@final
@dataclass(frozen=True)
class EDM:
    r"""A network F behind the preconditioning ``x0 = c_skip y + c_out F(c_in y, c_noise)``, with ``y = x / alpha``.

    In ``s = sigma / alpha``: ``c_skip = d^2 / (s^2 + d^2)``, ``c_out = s d / sqrt(s^2 + d^2)``,
    ``c_in = 1 / sqrt(s^2 + d^2)``, ``c_noise = log(s) / 4``. The network is given ``c_in y`` and, unless told
    otherwise, ``c_noise``.

    Parameters
    ----------
    sigma_data : float
        ``d``, the standard deviation of the data that the network was built for.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if as_number("sigma_data", self.sigma_data, ModelError) <= 0:
            raise ModelError(f"sigma_data must be positive, got {self.sigma_data!r}")


Parameterisation = Prediction | EDM


def as_parameterisation(what: object) -> Parameterisation:
    """The parameterisation of that name, or itself."""
    if isinstance(what, EDM) or (isinstance(what, str) and what in _PREDICTIONS):
        return what  # type: ignore[return-value]
    name = _ALIASES.get(what, what) if isinstance(what, str) else ""
    if name in _PREDICTIONS:
        return name  # type: ignore[return-value]
    if name == "edm":
        return EDM()
    known = (*_PREDICTIONS, "edm")
    raise ModelError(
        f"unknown parameterisation {what!r}{did_you_mean(what, known)}; a network predicts one of "
        f"{', '.join(map(repr, known))} (of other data scales: EDM(sigma_data=...))"
    )


def input_scale(alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """Factor by which the points are multiplied before the network sees them."""
    if isinstance(parameterisation, EDM):
        return 1.0 / (sigma**2 + (parameterisation.sigma_data * alpha) ** 2) ** 0.5
    return 1.0


def noise_coefficients(alpha: Any, sigma: Any, parameterisation: Parameterisation) -> tuple[Any, Any]:
    """``(a, b)`` of the predicted noise ``a x + b output``."""
    if isinstance(parameterisation, EDM):
        scale = parameterisation.sigma_data * alpha
        return sigma / (sigma**2 + scale**2), -scale / (sigma**2 + scale**2) ** 0.5
    if parameterisation == "epsilon":
        return 0.0, 1.0
    if parameterisation == "score":
        return 0.0, -sigma
    if parameterisation == "x0":
        return 1.0 / sigma, -alpha / sigma
    if parameterisation == "velocity":
        return 1.0 / (alpha + sigma), alpha / (alpha + sigma)
    r2 = alpha**2 + sigma**2
    return sigma / r2, alpha / r2**0.5


def to_noise(output: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """Predicted noise ``-sigma score`` (n, d): the form in which losses are of order one at every time."""
    a, b = noise_coefficients(alpha, sigma, as_parameterisation(parameterisation))
    return _affine(a, x, b, output)


def to_score(output: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """Score (n, d) from a network's output (n, d) at points x (n, d); alpha and sigma broadcast against x."""
    a, b = noise_coefficients(alpha, sigma, as_parameterisation(parameterisation))
    return _affine(a / -sigma, x, 1.0 if parameterisation == "score" else b / -sigma, output)


def from_score(score: Any, x: Any, alpha: Any, sigma: Any, parameterisation: Parameterisation) -> Any:
    """The network output that stands for a score: the inverse of :func:`to_score`."""
    a, b = noise_coefficients(alpha, sigma, as_parameterisation(parameterisation))
    return score if parameterisation == "score" else _affine(-a / b, x, -sigma / b, score)


def _affine(a: Any, x: Any, b: Any, y: Any) -> Any:
    """``a x + b y``; for a zero and a one that are plain numbers without arithmetic, so that y keeps its bits."""
    scaled = y if isinstance(b, float) and b == 1.0 else b * y
    if isinstance(a, float) and hasattr(x, "addcmul"):  # a tensor: one pass instead of two
        return scaled if a == 0.0 else scaled.add(x, alpha=a)
    return scaled if isinstance(a, float) and a == 0.0 else a * x + scaled


def is_singular(alpha: float, sigma: float) -> bool:
    """Whether no score exists at these coefficients: without noise, or where they are not finite."""
    return not (math.isfinite(alpha) and math.isfinite(sigma) and sigma > 0.0)
