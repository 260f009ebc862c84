"""Specs and records as canonical JSON text: what is hashed, stored and compared.

Python writes the shortest decimal that reads back as the same float64, so text and number determine each other and
equal texts mean equal bits.
"""

import dataclasses
import json
import math
from typing import Any

import numpy as np

from .errors import StudyError

Scalar = None | bool | int | float | str


def encode_spec(spec: Any) -> str:
    """A frozen dataclass of plain values as JSON with sorted names.

    Raises
    ------
    StudyError
        If the spec is not a frozen dataclass or holds anything but None, bool, int, finite float, str and tuples.
    """
    kind = type(spec)
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise StudyError(f"a cell's spec must be a frozen dataclass, got {kind.__name__}")
    values = {name: getattr(spec, name) for name in kind.__dataclass_fields__}
    for name, value in values.items():
        _check_plain(value, kind.__name__, name)
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _check_plain(value: object, kind: str, name: str) -> None:
    if type(value) is tuple:
        for item in value:
            _check_plain(item, kind, name)
    elif type(value) is float:
        if not math.isfinite(value):
            raise StudyError(f"field {name!r} of {kind} is {value}; specs hold finite numbers only")
    elif value is not None and type(value) not in (bool, int, str):
        raise StudyError(
            f"field {name!r} of {kind} is a {type(value).__name__}; specs hold None, bool, int, float, str and tuples "
            "of them (convert arrays with tuple(a.tolist()))"
        )


def decode_spec(text: str, kind: type[Any]) -> Any:
    """The spec that :func:`encode_spec` wrote.

    Raises
    ------
    StudyError
        If its fields are not those of ``kind``.
    """
    values = json.loads(text)
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    if unknown := sorted(set(values) ^ known):
        raise StudyError(
            f"stored specs of {kind.__qualname__} differ from the class in field(s) {', '.join(unknown)}; "
            "run the study's own command again, which writes a new grid"
        )
    return kind(**{name: _as_tuples(value) for name, value in values.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def encode_record(record: Any) -> str:
    """A cell's result as JSON; numpy scalars and arrays become numbers and lists.

    Raises
    ------
    StudyError
        If it holds something that JSON does not, or a number that is not finite; names the place.
    """
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False, default=_plain, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        place = _offending(record, "record")
        raise StudyError(place or f"a record must be JSON data: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON data")


def _offending(value: Any, place: str) -> str | None:
    """First thing in a record that cannot be stored, in words."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        bad_key = next((key for key in value if not isinstance(key, str)), None)
        if bad_key is not None:
            return f"{place} has the key {bad_key!r}; names must be text"
        return next((found for key, item in value.items() if (found := _offending(item, f"{place}[{key!r}]"))), None)
    if isinstance(value, list | tuple):
        return next((found for i, item in enumerate(value) if (found := _offending(item, f"{place}[{i}]"))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}; store None where a number does not exist, or mend the cell"
    if value is None or isinstance(value, bool | int | float | str):
        return None
    return f"{place} is a {type(value).__name__}, which is not JSON data"


def decode_record(text: str) -> Any:
    """The record that :func:`encode_record` wrote."""
    return json.loads(text)
