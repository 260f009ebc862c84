"""The gate for user input: counts, numbers, windows, weights, arrays, generators and names.

Each function returns the checked value or raises the error class it is given, with the argument's name, its value and
what to do. Arrays that would lose something on the way to numpy (a mask, an imaginary part, a calendar, gradients) are
refused by name; shapes are looked at before values, so that a huge view is refused without being read.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from synthetic import SyntheticError
from synthetic._memory import refuse_huge
from synthetic._validation import as_real as real_array

from ..errors import GridError, NotFiniteError, SfbenchError
from .aliases import Float64Array, FloatArray, SeedLike
from .lazy import did_you_mean

T = TypeVar("T")

_SUM_TOLERANCE = 1e-8  # of weights given by hand; sums of float64 weights are far closer


def as_generator(rng: SeedLike) -> np.random.Generator:
    """Return the generator itself, or a new one from a seed; None draws a seed from the system."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise SfbenchError(f"rng must be a Generator, a non-negative integer seed or None, got {rng!r}") from None


def as_count(
    name: str, value: object, *, at_least: int = 1, at_most: int | None = None, error: type[SfbenchError] = SfbenchError
) -> int:
    """Return an integer between the limits; booleans and floats are not counts."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise error(f"{name} must be an integer of at least {at_least}, got {value!r}")
    if at_most is not None and value > at_most:
        raise error(f"{name} must be at most {at_most}, got {value!r}")
    return int(value)


def as_number(name: str, value: object, error: type[SfbenchError] = SfbenchError) -> float:
    """Return a finite real number as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise error(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise error(f"{name} must be finite, got {value!r}")
    return number


def as_positive(name: str, value: object, error: type[SfbenchError] = SfbenchError) -> float:
    """Return a finite number above zero as a float."""
    number = as_number(name, value, error)
    if not number > 0:
        raise error(f"{name} must be finite and positive, got {value!r}")
    return number


def as_kind(name: str, value: object, kind: type[T], error: type[SfbenchError] = SfbenchError) -> T:
    """Return an object of the class, or say that it should have been one."""
    if not isinstance(value, kind):
        raise error(f"{name} must be a {kind.__name__}, got {value!r}")
    return value


def as_items(name: str, values: Iterable[T], what: str, error: type[SfbenchError] = SfbenchError) -> tuple[T, ...]:
    """Return what an iterable holds; a generator is read once, here. Arrays without a dimension are none."""
    try:
        return tuple(values)
    except TypeError:
        raise error(f"{name} must be a sequence of {what}, got a {type(values).__name__}") from None


def as_flag(name: str, value: object, error: type[SfbenchError] = SfbenchError) -> bool:
    """Return True or False; nothing else is a truth value."""
    if not isinstance(value, bool | np.bool_):
        raise error(f"{name} must be True or False, got {value!r}")
    return bool(value)


def as_window(t_min: object, t_max: object, *, strict: bool = False) -> tuple[float, float]:
    """Return the ends of a time window: ``0 < t_min <= t_max`` (``<`` if strict), both finite."""
    try:
        low, high = as_number("t_min", t_min, GridError), as_number("t_max", t_max, GridError)
    except GridError:
        low, high = np.nan, np.nan
    if not 0 < low <= high or (strict and low == high):
        relation = "<" if strict else "<="
        raise GridError(f"need 0 < t_min {relation} t_max, both finite; got t_min={t_min!r}, t_max={t_max!r}")
    return low, high


def as_real(name: str, values: Any, error: type[SfbenchError] = SfbenchError) -> FloatArray:
    """Return an array of float32 or float64; values are not looked at (:func:`synthetic._validation.as_real`)."""
    try:
        return real_array(name, values)
    except SyntheticError as reason:
        raise error(str(reason)) from None


def as_vector(
    name: str, values: Any, length: int | None = None, error: type[SfbenchError] = SfbenchError
) -> Float64Array:
    """Return a finite float64 vector, of the given length if there is one."""
    array = as_real(name, values, error)
    if array.ndim != 1 or (length is not None and len(array) != length):
        raise error(f"{name} must have shape ({'n' if length is None else length},), got {array.shape}")
    vector: Float64Array = array.astype(np.float64, copy=False)
    if not np.all(np.isfinite(vector)):
        index = int(np.argmin(np.isfinite(vector)))
        raise error(f"{name} must be finite, but {name}[{index}] is {vector[index]}")
    return vector


def as_weights(weights: Any, k: int, error: type[SfbenchError] = SfbenchError) -> Float64Array:
    """Return simplex weights (k,): real, finite, non-negative, of sum 1."""
    w = as_vector("weights", weights, k, error)
    with np.errstate(over="ignore"):
        total = float(w.sum())
    if np.any(w < 0) or abs(total - 1.0) > _SUM_TOLERANCE:
        raise error(
            f"weights must be non-negative, finite and sum to 1; got {w.tolist()}, of sum {total:.9g} "
            "(divide weights by their sum)"
        )
    return w


def as_sample_weight(values: Any, n: int, error: type[SfbenchError] = SfbenchError) -> Float64Array:
    """Return weights of n rows, scaled to mean 1: finite, not negative, not all zero."""
    w = as_vector("sample_weight", values, n, error)
    if np.any(w < 0):
        row = int(np.argmax(w < 0))
        raise error(f"sample_weight must not be negative, but sample_weight[{row}] is {w[row]:g}")
    largest = float(w.max())
    if largest == 0:
        raise error("sample_weight is zero for every row: nothing is left to fit")
    w = w / largest  # sums of huge weights overflow
    return w * (n / float(w.sum()))


def as_points(name: str, values: Any, dim: int | None = None, error: type[SfbenchError] = SfbenchError) -> FloatArray:
    """Return finite points (n, d), n >= 1, float32 kept and everything else as float64."""
    array = as_real(name, values, error)
    wanted = "(n, d)" if dim is None else f"(n, {dim})"
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim):
        hint = f"; use {name}[:, None] for 1-D data" if array.ndim == 1 else ""
        hint = f"; use {name}.reshape(len({name}), -1)" if array.ndim > 2 else hint
        raise error(f"{name} must have shape {wanted}, got {array.shape}{hint}")
    if len(array) == 0:
        raise error(f"{name} are empty: n = 0; at least one row is needed")
    refuse_huge(name, *array.shape)  # also a view that holds one number
    points = array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
    # A column sum is finite unless an entry is not (or it overflows): no temporary of the size of the data.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.all(np.isfinite(points.sum(axis=0)))
    if suspicious and not np.all(np.isfinite(points)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(points))[0])
        raise NotFiniteError(f"{name}[{row}, {column}] is {points[row, column]}; every entry must be finite")
    return points


def as_choice(name: str, value: object, known: Iterable[str], error: type[Exception] = SfbenchError) -> str:
    """Return one of the known words."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    raise error(f"unknown {name} {value!r}{did_you_mean(value, names)}; use {' or '.join(map(repr, names))}")
