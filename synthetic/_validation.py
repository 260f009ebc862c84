"""Checks of user input, shared by every public constructor and method."""

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from ._typing import Float64Array, FloatArray
from .errors import NotFiniteError, ShapeError, SimplexError, UnknownNameError

_SIMPLEX_TOLERANCE = 1e-8


def as_finite(name: str, value: ArrayLike, *, keep_float32: bool = False) -> FloatArray:
    """Return ``value`` as a real floating array, refusing NaN, infinities and non-numeric dtypes."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{name} is ragged: {error}") from None
    if array.dtype.kind not in "fiub":
        raise NotFiniteError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if not (keep_float32 and array.dtype == np.float32):
        array = array.astype(np.float64, copy=False)
    # One reduction decides the usual case: a sum is finite unless an entry is not (or it overflows).
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(np.sum(array))
    if suspicious and not np.all(np.isfinite(array)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NotFiniteError(f"{name}[{', '.join(map(str, index))}] is {array[index]}; every entry must be finite")
    return array


def as_points(x: ArrayLike, dim: int, name: str = "x") -> FloatArray:
    """Return points as an (n, dim) float32 or float64 array; their values are checked where they are used."""
    points = np.asarray(x)
    if points.dtype not in (np.float32, np.float64):
        points = as_finite(name, x)
    if points.ndim != 2 or points.shape[1] != dim:
        hint = f"; use {name}[:, None]" if points.ndim == 1 and dim == 1 else ""
        raise ShapeError(f"{name} must have shape (n, {dim}), got {points.shape}{hint}")
    return points


def as_simplex(weights: ArrayLike, length: int | None = None, name: str = "weights") -> Float64Array:
    """Return probability weights summing to one, refusing negative or unnormalised input."""
    w = as_finite(name, weights).astype(np.float64)
    if w.ndim != 1 or w.size == 0:
        raise ShapeError(f"{name} must be a non-empty vector, got shape {w.shape}")
    if length is not None and w.size != length:
        raise ShapeError(f"{name} must have length {length}, got {w.size}")
    if np.any(w < 0):
        index = int(np.argmin(w))
        raise SimplexError(f"{name}[{index}] is {w[index]:.6g}; weights must be non-negative")
    total = float(w.sum())
    if abs(total - 1.0) > _SIMPLEX_TOLERANCE:
        raise SimplexError(f"{name} sum to {total:.9g}, not 1; divide them by their sum")
    return np.asarray(w / total, dtype=np.float64)


def as_count(name: str, value: int, *, at_least: int = 1) -> int:
    """Return a count as int, refusing values below ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ShapeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ShapeError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def as_positive(name: str, value: float) -> float:
    """Return a finite positive float."""
    number = float(value)
    if not np.isfinite(number) or number <= 0:
        raise NotFiniteError(f"{name} must be finite and positive, got {value!r}")
    return number


def close_matches(name: str, known: Iterable[str], noun: str) -> UnknownNameError:
    """Build the error for an unknown registry name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {noun} {name!r}; {hint}")
