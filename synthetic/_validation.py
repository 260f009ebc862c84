"""Checks of user input, shared by every public constructor and method."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._typing import Float64Array, FloatArray, SeedLike
from .errors import IntractableError, NotFiniteError, ShapeError, SimplexError, SyntheticError, UnknownNameError

LARGEST = 1e150  # magnitude of the largest number that can still be squared and summed
_SIMPLEX_TOLERANCE = 1e-8
_MOST_NUMBERS = 1 << 30  # of one array: 8 GiB


def as_finite(name: str, value: ArrayLike, *, keep_float32: bool = False) -> FloatArray:
    """Return ``value`` as a real floating array, refusing NaN, infinities, huge values and non-numeric dtypes."""
    array = _as_array(name, value)
    if array.dtype.kind not in "fiub":
        text = f", the text {array.item()!r}" if array.dtype.kind in "US" and array.ndim == 0 else ""
        raise NotFiniteError(f"{name} must hold real numbers, got dtype {array.dtype}{text}")
    if not (keep_float32 and array.dtype == np.float32):
        with np.errstate(over="ignore"):  # of a longer float: reported below
            array = array.astype(np.float64, copy=False)
    if not float(np.maximum(array.max(initial=0.0), -array.min(initial=0.0))) <= LARGEST:  # also if it is NaN
        raise not_finite(name, array)
    return array


def _as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{name} is ragged: {error}") from None


def not_finite(name: str, array: FloatArray, largest: float = LARGEST, first_row: int = 0) -> NotFiniteError:
    """Build the error that names the first entry beyond ``largest`` (or the largest entry, if only their sum is).

    ``first_row`` is the place of the array's first row in the array that the user knows.
    """
    bad = ~(np.abs(array) <= np.float64(largest))
    flat = int(np.argmax(bad if bad.any() else np.abs(array)))
    index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
    value = array[index]
    if index:
        name = f"{name}[{', '.join(map(str, (index[0] + first_row, *index[1:])))}]"
    return NotFiniteError(f"{name} is {value}; every entry must be finite and at most {largest:g} in magnitude")


def as_points(x: ArrayLike, dim: int, name: str = "x") -> FloatArray:
    """Return points as an (n, dim) float32 or float64 array; their values are checked where they are used."""
    points = _as_array(name, x)
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


def as_number(name: str, value: float | ArrayLike) -> float:
    """Return a finite float."""
    if isinstance(value, int | float) and abs(value) <= LARGEST:
        return float(value)
    array = as_finite(name, value)
    if array.shape != ():
        raise ShapeError(f"{name} must be a number, got an array of shape {array.shape}")
    return float(array)


def as_positive(name: str, value: float | ArrayLike) -> float:
    """Return a finite positive float."""
    number = as_number(name, value)
    if number <= 0:
        raise NotFiniteError(f"{name} must be finite and positive, got {number!r}")
    return number


def as_generator(rng: SeedLike) -> np.random.Generator:
    """Return the generator itself, or a new one from a seed; None draws a seed from the system."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise SyntheticError(f"rng must be a Generator, a non-negative integer seed or None, got {rng!r}") from None


def refuse_huge(what: str, *shape: int) -> None:
    """Refuse an array of this shape up front if it would not fit in memory."""
    size = math.prod(shape)
    if size > _MOST_NUMBERS:
        gib = f"{size >> 27} GiB (limit {_MOST_NUMBERS >> 27})"
        raise IntractableError(f"{what} of shape {shape} would take {gib}; ask for fewer, or work in blocks")


def close_matches(name: str, known: Iterable[str], noun: str) -> UnknownNameError:
    """Build the error for an unknown registry name."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {noun} {name!r}; {hint}")
