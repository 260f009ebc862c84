r"""Is a process of one's own what it says? The identities that everything here relies on, each checked at 33 times.

    f = (log alpha)',    g^2 = (sigma^2)' - 2 f sigma^2,    lambda = log(alpha^2/sigma^2) strictly decreasing,

positive finite alpha and sigma inside (0, horizon], elementwise methods, ``time_at`` the inverse of ``log_snr``, and
equality by value: two processes with the same schedule must compare equal, or models that share it cannot be averaged.
"""

import copy
import math
from typing import Any

import numpy as np

from ..errors import GridError
from .base import ForwardProcess

_TIMES = 33
_RELATIVE = 1e-3  # of the identities; central differences are good to about 1e-8
_STEP = 1e-4


def check_process(process: Any) -> ForwardProcess:
    """Return the process, or say which identity fails.

    Parameters
    ----------
    process : ForwardProcess
        An object of a subclass of :class:`ForwardProcess`.

    Raises
    ------
    GridError
        Names the method, the time, and what was expected there.
    """
    if not isinstance(process, ForwardProcess):
        raise GridError(
            f"process must be a ForwardProcess such as OrnsteinUhlenbeck(), got {_short(process)}{_hint(process)}"
        )
    horizon = process.horizon
    if not (isinstance(horizon, int | float | np.floating) and 0 < float(horizon) < math.inf):
        raise GridError(
            f"{_name(process)}.horizon must be a finite positive number (a property), got {_short(horizon)}"
        )
    times = float(horizon) * np.exp(np.linspace(math.log(1e-4), math.log(0.98), _TIMES))
    values = {name: _values(process, name, times) for name in ("alpha", "sigma", "f", "g")}
    for name in ("alpha", "sigma"):
        _require(process, name, times, values[name] > 0, values[name], "positive")
    ratio = process.log_snr(times)
    _require(process, "log_snr", times[1:], np.diff(ratio) < 0, ratio[1:], "strictly decreasing in t")
    above, below = times * math.exp(_STEP), times * math.exp(-_STEP)
    width = above - below
    alpha, sigma = process.alpha, process.sigma
    drift = (np.log(alpha(above)) - np.log(alpha(below))) / width
    _agree(process, "f", "(log alpha)'", times, values["f"], drift, 1.0 / times)
    growth = (sigma(above) ** 2 - sigma(below) ** 2) / width - 2.0 * drift * values["sigma"] ** 2
    _agree(process, "g", "the root of (sigma^2)' - 2 f sigma^2", times, values["g"] ** 2, growth, growth)
    _agree(process, "time_at", "the inverse of log_snr", times, np.asarray(process.time_at(ratio)), times, times)
    if not math.isfinite(float(process.prior_std(float(horizon)))) or float(process.prior_std(float(horizon))) <= 0:
        raise GridError(f"{_name(process)}.prior_std(horizon) must be finite and positive")
    if copy.copy(process) != process:
        raise GridError(
            f"two equal processes of class {_name(process)} do not compare equal, so models that share one cannot be "
            "averaged; make the class a frozen dataclass, or give it __eq__ and __hash__"
        )
    return process


def _values(process: ForwardProcess, name: str, times: np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(getattr(process, name)(times), dtype=np.float64)
        single = float(np.asarray(getattr(process, name)(float(times[3]))))
    except (TypeError, ValueError, AttributeError) as error:
        raise GridError(f"{_name(process)}.{name} must take a float and an array of times: {error}") from None
    if found.shape != times.shape:
        raise GridError(f"{_name(process)}.{name} must be elementwise in t: shape {times.shape} gave {found.shape}")
    _require(process, name, times, np.isfinite(found), found, "finite")
    if not math.isclose(single, float(found[3]), rel_tol=1e-9, abs_tol=1e-300):
        raise GridError(
            f"{_name(process)}.{name} gives {found[3]:.6g} in an array and {single:.6g} alone, at t = {times[3]:.4g}"
        )
    return found


def _require(
    process: ForwardProcess, name: str, times: np.ndarray, holds: np.ndarray, values: np.ndarray, what: str
) -> None:
    if not holds.all():
        at = int(np.argmin(holds))
        raise GridError(f"{_name(process)}.{name} must be {what}; it is {values[at]:.6g} at t = {times[at]:.4g}")


def _agree(
    process: ForwardProcess,
    name: str,
    what: str,
    times: np.ndarray,
    found: np.ndarray,
    expected: np.ndarray,
    scale: np.ndarray,
) -> None:
    off = np.abs(found - expected) > _RELATIVE * np.maximum(np.abs(expected), _STEP * np.abs(scale))
    if off.any():
        at = int(np.argmax(off))
        shown = f"{name}^2" if name == "g" else name
        raise GridError(
            f"{_name(process)}.{name} contradicts alpha and sigma: it must be {what}; at t = {times[at]:.4g} {shown} "
            f"is {found[at]:.6g} and should be {expected[at]:.6g}"
        )


def _name(process: object) -> str:
    return type(process).__name__


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"a {type(value).__name__}"


def _hint(value: object) -> str:
    if hasattr(value, "betas"):
        return "; for a diffusers scheduler take sfbench.processes.from_betas(scheduler.betas)"
    return "; call the class" if isinstance(value, type) else ""
