"""The border of the package: every array, number, count, name and generator that a user passes comes through here.

Arrays must hold real numbers. What numpy would make real numbers of in silence, or after a warning, is refused by name:
masked arrays, complex numbers, dates and durations, text, objects and truth values. Shapes and sizes are checked before
values are looked at, so that a broadcast view of a trillion ones is refused at once. Nothing here writes to its input.
"""

import difflib
import itertools
import operator
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray, SeedLike
from .errors import DataTypeError, NotFiniteError, ShapeError, SimplexError, SyntheticError, UnknownNameError

LARGEST = 1e150  # magnitude of the largest number that can still be squared and summed
_LARGEST_COUNT = 1 << 62
_SIMPLEX_TOLERANCE = 1e-8
_SHOWN = 80  # characters of a value in a message
_ADVICE = {
    "c": "take {name}.real if the imaginary parts are zero",
    "b": "convert truth values with {name}.astype(float) if 0 and 1 are meant",
    "M": "subtract a date and divide by a unit of time first",
    "m": "divide by a unit of time first, such as numpy.timedelta64(1, 's')",
}


# ---------------------------------------------------------------------- arrays
def as_real(name: str, value: ArrayLike) -> FloatArray:
    """``value`` as an array of float32 or float64, not scanned and copied only if its dtype is another.

    Raises
    ------
    DataTypeError
        For what does not hold real numbers.
    ShapeError
        For rows of unequal length.
    IntractableError
        If converting it would take more memory than there is.
    """
    array = _as_array(name, value)
    if array.dtype in (np.float64, np.float32):
        return array
    if array.dtype.kind not in "fiu":
        text = f", the text {show(array.item())}" if array.dtype.kind in "US" and array.ndim == 0 else ""
        advice = _ADVICE.get(array.dtype.kind, "convert it with astype(float)").format(name=name)
        raise DataTypeError(f"{name} must hold real numbers, got dtype {array.dtype}{text}; {advice}")
    refuse_huge(name, *array.shape)
    with np.errstate(over="ignore"):  # of a longer float: it becomes infinite, which is refused where values are read
        return array.astype(np.float64)


def as_finite(name: str, value: ArrayLike, *shapes: tuple[int, ...]) -> Float64Array:
    """``value`` as a float64 array of its own, in one of the ``shapes`` if there are any, and finite."""
    array = as_real(name, value)
    if shapes and array.shape not in shapes:
        wanted = " or ".join("be a number" if shape == () else f"have shape {shape}" for shape in shapes)
        raise ShapeError(f"{name} must {wanted}, got {array.shape}")
    refuse_huge(name, *array.shape)
    return require_finite(name, np.array(array, dtype=np.float64, order="C"))


def require_finite(name: str, array: Float64Array) -> Float64Array:
    """The array itself, unless it holds NaN, an infinity or a number beyond ``LARGEST``."""
    if not float(np.maximum(array.max(initial=0.0), -array.min(initial=0.0))) <= LARGEST:  # also if it is NaN
        raise not_finite(name, array)
    return array


def _as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    if any(issubclass(kind, np.ma.MaskedArray) for kind in _kinds(value)):
        raise DataTypeError(
            f"{name} is a masked array, and what is masked would count as numbers; drop that first "
            f"({name}.compressed(), or whole rows) or fill it ({name}.filled(value))"
        )
    convert = None if hasattr(value, "__array__") else getattr(value, "to_numpy", None)  # of some data frames
    try:
        return np.asarray(value if convert is None else convert())
    except ValueError as error:
        raise ShapeError(f"{name} is ragged: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a foreign __array__ raises
        parts: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        tensor = next(filter(_is_tensor, parts), None)
        reason = f"cannot be read as an array: {error}" if tensor is None else _tensor_advice(tensor, name)
        raise DataTypeError(f"{name} {reason}") from None


def _kinds(value: object) -> set[type]:
    """Types of a value and, if it is a list of parts (of parts), of these."""
    kinds = {type(value)}
    if isinstance(value, list | tuple):
        kinds.update(map(type, value))
        kinds.update(map(type, itertools.chain.from_iterable(p for p in value if isinstance(p, list | tuple))))
    return kinds


def _is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch, without importing it."""
    return any(base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__)


def _tensor_advice(tensor: Any, name: str) -> str:
    """What to do with a torch tensor that numpy cannot read."""
    layout, device, dtype = (str(getattr(tensor, what, "")) for what in ("layout", "device", "dtype"))
    if device == "meta":
        return "is a torch tensor on the meta device, which holds no values; make it on a real device"
    calls = (".detach()" if getattr(tensor, "requires_grad", False) else "") + ("" if device == "cpu" else ".cpu()")
    calls += ".to_dense()" if "strided" not in layout else ""
    calls += ".dequantize()" if getattr(tensor, "is_quantized", False) else ""
    calls += ".float()" if dtype.rpartition(".")[2].startswith(("bfloat", "float8", "float4")) else ""
    fix = f"pass {name}{calls or '.numpy()'}"
    return f"is a torch tensor ({dtype}, {layout}, on {device}) that numpy cannot read; {fix}"


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
    array = _as_array(name, x)  # the shape first: converting costs memory
    if array.ndim != 2 or array.shape[1] != dim:
        hint = f"; use {name}[:, None]" if array.ndim == 1 and dim == 1 else ""
        raise ShapeError(f"{name} must have shape (n, {dim}), got {array.shape}{hint}")
    return as_real(name, array)


def new_array(name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> FloatArray:
    """An array for a result, refused if it does not fit in memory."""
    refuse_huge(name, *shape, itemsize=np.dtype(dtype).itemsize)
    return np.empty(shape, dtype)


def finite_result(name: str, x: FloatArray, out: FloatArray) -> FloatArray:
    """The linear result ``out`` itself, which is finite just where all of the points x are; refuses others by name."""
    if not np.all(np.isfinite(out)):
        raise not_finite(name, x)
    return out


def as_simplex(weights: ArrayLike, length: int | None = None, name: str = "weights") -> Float64Array:
    """Return probability weights summing to one, refusing negative or unnormalised input.

    Weights of a shorter dtype may miss 1 by its rounding.
    """
    given = as_real(name, weights)
    if given.ndim != 1 or given.size == 0:
        raise ShapeError(f"{name} must be a non-empty vector, got shape {given.shape}")
    if length is not None and given.size != length:
        raise ShapeError(f"{name} must have length {length}, got {given.size}")
    w = as_finite(name, given)
    if np.any(w < 0):
        index = int(np.argmin(w))
        raise SimplexError(f"{name}[{index}] is {w[index]:.6g}; weights must be non-negative")
    total = float(w.sum())
    dtype = getattr(weights, "dtype", None)
    rounding = float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0
    if abs(total - 1.0) > max(_SIMPLEX_TOLERANCE, rounding):
        raise SimplexError(f"{name} sum to {total:.9g}, not 1; divide them by their sum")
    return np.asarray(w / total, dtype=np.float64)


# ---------------------------------------------------------------------- numbers
def as_count(name: str, value: int, *, at_least: int = 1) -> int:
    """Return a count as int, refusing values below ``at_least``."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, int | np.integer):
        raise ShapeError(f"{name} must be an integer, got {show(value)}")
    count = operator.index(value)
    if count < at_least:
        raise ShapeError(f"{name} must be at least {at_least}, got {show(count)}")
    if count > _LARGEST_COUNT:
        raise ShapeError(f"{name} must be at most 2^62, got a number of {count.bit_length()} bits")
    return count


def as_number(name: str, value: float | ArrayLike) -> float:
    """Return a finite float."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= LARGEST:  # also if it is NaN
            raise NotFiniteError(f"{name} is {show(value)}; it must be finite and at most {LARGEST:g} in magnitude")
        return float(value)
    array = as_real(name, value)
    if array.shape != ():
        raise ShapeError(f"{name} must be a number, got an array of shape {array.shape}")
    return float(as_finite(name, array))


def as_positive(name: str, value: float | ArrayLike) -> float:
    """Return a finite positive float."""
    number = as_number(name, value)
    if number <= 0:
        raise NotFiniteError(f"{name} must be finite and positive, got {number!r}")
    return number


def as_generator(rng: SeedLike) -> np.random.Generator:
    """Return the generator itself, or a new one from a seed; None draws a seed from the system.

    A mapping is the state of a bit generator, such as :attr:`SyntheticProblem.seed` may hold.
    """
    try:
        if isinstance(rng, Mapping):
            source = getattr(np.random, str(rng["bit_generator"]))()
            source.state = rng
            return np.random.Generator(source)
        if not isinstance(rng, bool):
            return np.random.default_rng(rng)
    except (TypeError, ValueError, KeyError, AttributeError):
        pass  # refused below, as truth values are
    raise SyntheticError(f"rng must be a Generator, a non-negative integer seed or None, got {show(rng)}")


# ---------------------------------------------------------------------- laws, names and messages
def as_laws(name: str, laws: Iterable[Any], *kinds: type, alike: bool = True) -> tuple[Any, ...]:
    """Return laws, at least one, of given kinds (default: anything with dim and log_prob), on one R^d if ``alike``."""
    try:
        found = tuple(laws)
    except TypeError:  # also of arrays without axes
        raise SyntheticError(f"{name} must be a sequence of laws, got {show(laws)}") from None
    if not found:
        raise ShapeError(f"{name} is empty; at least one law is needed")
    for i, law in enumerate(found):
        if not (isinstance(law, kinds) if kinds else hasattr(law, "dim") and hasattr(law, "log_prob")):
            wanted = " or ".join(kind.__name__ for kind in kinds) or "law with dim and log_prob"
            raise SyntheticError(f"{name}[{i}] is a {type(law).__name__}; it must be a {wanted}")
    dims = [law.dim for law in found]
    if alike and len(set(dims)) > 1:
        raise ShapeError(f"{name} must live in one dimension, got {show(dims)}")
    return found


def as_choice(name: str, value: str, options: Collection[str]) -> str:
    """Return one of a few names."""
    if not (isinstance(value, str) and value in options):
        listed = [repr(option) for option in options]
        raise SyntheticError(f"{name} must be {', '.join(listed[:-1])} or {listed[-1]}, got {show(value)}")
    return value


def close_matches(name: object, known: Iterable[str], noun: str, otherwise: str = "") -> UnknownNameError:
    """Build the error for an unknown registry name; ``otherwise`` says what else could be done."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) if isinstance(name, str) else []
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {noun} {show(name)}; {hint}{otherwise}")


def show(value: object) -> str:
    """What a message shows of a value: its repr, if that is short."""
    if isinstance(value, list | tuple) and len(value) > _SHOWN:
        return f"a {type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except Exception:  # a foreign __repr__, or an integer of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
