"""The border: arrays, numbers and limits as the package uses them, or an error that names the argument.

An array is real numbers in float64, C order. Masked arrays are refused (the mask would be lost), and so are complex
numbers, dates, objects and text: nothing is cast in silence. Shape and size are looked at before the entries.
"""

from __future__ import annotations

import decimal
import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ArgumentTypeError, DataTypeError, InvalidArgumentError, NonFiniteError, ShapeError

EPS = float(np.finfo(np.float64).eps)
LARGEST = 1e300
_MOST_ENTRIES = 2**28  # 2 GB
_MOST_STEPS = 2**31 - 1  # the libraries count in 32 bits
FLOAT64 = np.dtype(np.float64)
_Masked = np.ma.MaskedArray


def real_array(values: ArrayLike, name: str, axes: tuple[str, ...] | None = None) -> tuple[NDArray[np.float64], float]:
    """`values` as float64 in C order, and the rounding unit of their own dtype.

    `axes` names the axes expected, for example ``("B", "k", "k")``; any number of axes without it. The result is the
    caller's own array where that is float64 in C order already.

    Raises
    ------
    DataTypeError, ShapeError
    """
    if type(values) is not np.ndarray:
        _refuse_masked(values, name)
        try:
            values = np.asarray(values)
        except ValueError as error:  # rows of unequal length
            raise ShapeError(f"{name} is not a rectangular array: {error}") from None
        except Exception as error:  # whatever a foreign array raises: on a device, recording gradients, too large
            raise DataTypeError(f"{name} cannot be read as an array: {error}") from None
    array = values
    dtype = array.dtype
    kind = dtype.kind
    if kind not in "fiub":
        raise DataTypeError(f"{name} must hold real numbers, got dtype {dtype}; convert it with astype(float)")
    if axes is not None and array.ndim != len(axes):
        raise ShapeError(f"{name} must have shape {shape_text(axes)}, got {array.shape}")
    if dtype == FLOAT64 and array.flags.c_contiguous:
        return array, EPS
    if array.size > _MOST_ENTRIES:
        raise ShapeError(f"{name} has {array.size} entries, more than the {_MOST_ENTRIES} that fit a dense problem")
    eps = float(np.finfo(array.dtype).eps) if kind == "f" else EPS
    with np.errstate(over="ignore"):  # what a wider type holds beyond 1e308 becomes infinite and is refused as such
        return array.astype(np.float64, order="C"), max(eps, EPS)


def shape_text(axes: tuple[str, ...]) -> str:
    """A shape as Python writes it, with names for numbers."""
    return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"


def _refuse_masked(values: Any, name: str) -> None:
    if isinstance(values, _Masked):
        raise DataTypeError(f"{name} is a masked array; fill or drop what is masked first")
    if isinstance(values, list | tuple):
        for value in values:
            if isinstance(value, _Masked | list | tuple):
                _refuse_masked(value, name)


def frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """A copy that nobody can write to: a solver must not be able to change what its answer is judged by.

    An array that owns its memory could be made writeable again; one that looks into `bytes` cannot.
    """
    return np.ndarray(array.shape, FLOAT64, array.tobytes()) if array.size else array.copy()


def real_number(value: Any, name: str) -> float:
    """`value` as a finite float; a number of Python or numpy, or an array of one entry and no axes."""
    if type(value) is not float:
        value = _as_float(value, name)
    if not math.isfinite(value):
        raise NonFiniteError(f"{name} must be finite, got {value}")
    return float(value)


def _as_float(value: Any, name: str) -> float:
    wrong = isinstance(value, bool | np.bool_ | np.timedelta64)
    try:
        if not wrong and isinstance(value, numbers.Real | decimal.Decimal):
            return float(value)
        if not wrong and getattr(value, "shape", None) == () and not isinstance(value, np.generic):
            return float(real_array(value, name)[0])
    except OverflowError:
        raise NonFiniteError(f"{name} must be finite in double precision, got a number beyond 1e308") from None
    except (DataTypeError, ValueError):  # a signalling Decimal is a ValueError
        pass
    raise DataTypeError(f"{name} must be a real number, got {_shown(value)}")


def whole_number(value: Any, name: str) -> int:
    """`value` as an int of at least 1; what exceeds 32 bits is cut to that."""
    try:
        if not isinstance(value, bool | np.bool_ | np.timedelta64) and (number := operator.index(value)) >= 1:
            return min(number, _MOST_STEPS)
    except TypeError:
        pass
    raise InvalidArgumentError(f"{name} must be at least 1, a whole number, got {_shown(value)}")


def positive_number(value: Any, name: str) -> float:
    """`value` as a positive, finite float."""
    try:
        number = real_number(value, name)
        if number > 0.0:
            return number
    except (DataTypeError, NonFiniteError):
        pass
    raise InvalidArgumentError(f"{name} must be positive and finite, got {_shown(value)}")


def seconds(value: Any) -> float:
    """A time limit: positive, infinity allowed."""
    if isinstance(value, float) and value == math.inf:
        return math.inf
    return positive_number(value, "time_limit")


def limits(tol: Any, max_iter: Any) -> tuple[float, int | None]:
    """A tolerance and a number of iterations, None meaning the solver's own default."""
    if type(tol) is float and max_iter is None and 0.0 < tol < math.inf:  # as nearly always
        return tol, None
    return positive_number(tol, "tol"), None if max_iter is None else whole_number(max_iter, "max_iter")


def seed(rng: Any) -> Any:
    """What ``np.random.default_rng`` takes without surprises: a generator or a whole number; 0 for None."""
    if rng is None:
        return 0
    if isinstance(rng, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool | np.timedelta64) and rng >= 0:
        return int(rng)
    raise ArgumentTypeError(f"rng must be a numpy Generator, a whole number from 0, or None, got {_shown(rng)}")


def one_of(value: Any, allowed: Sequence[str], name: str) -> None:
    """Raise unless `value` is one of `allowed`."""
    if not (isinstance(value, str) and value in allowed):
        listed = " or ".join(map(repr, allowed))
        raise InvalidArgumentError(f"{name} must be {listed}, got {_shown(value)}")


def finite_range(array: NDArray[np.float64], name: str) -> tuple[float, float]:
    """Smallest and largest entry; `NonFiniteError` naming the array and its first bad index unless all are finite."""
    # NaN is both the argmin and the argmax; and on a few numbers these are several times faster than min and max.
    low, high = array.item(array.argmin()), array.item(array.argmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = np.argwhere(~np.isfinite(array))
        index = tuple(int(i) for i in bad[0])
        raise NonFiniteError(
            f"{name} has {len(bad)} non-finite entries, the first {name}{list(index)} = {array[index]}; "
            "find the model or sample that produced it"
        )
    return low, high


def require_finite(array: NDArray[np.float64], name: str, largest: float = math.inf) -> None:
    """Raise `NonFiniteError` naming the array if an entry is not finite, or as large as `largest`."""
    if not array.size:
        return
    low, high = finite_range(array, name)
    if not max(high, -low) < largest:
        raise NonFiniteError(f"{name} reaches {max(high, -low):.3g}, near overflow; divide by a common factor first")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a foreign object whose repr fails is still only a wrong argument
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
