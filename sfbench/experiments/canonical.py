"""Specs and records as canonical JSON text: what is hashed, stored and compared.

Python writes the shortest decimal that reads back as the same float64, so text and number determine each other and
equal texts mean equal bits. Specs inside a spec are stored with the name of their class, a part of the text and so of
every key: ``module:class``, or an attribute ``cell_name`` of the class, which a file that moves does not change.
"""

import dataclasses
import functools
import importlib
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np

from .errors import StudyError

_CLASS = "__class__"
_CLASS_IN_TEXT = re.compile(rf'"{_CLASS}":("(?:[^"\\]|\\.)*")')
_PLAIN = frozenset({str, int, float, bool, type(None)})
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)
_KINDS: dict[str, type[Any]] = {}  # classes of this process by their names
_BROKEN = re.compile("[\ud800-\udfff]")  # halves of surrogate pairs, which UTF-8 has no bytes for


# ---------------------------------------------------------------------- names and places
def place_of(thing: Any) -> str:
    """Where a function or class is imported from, ``module:qualname``."""
    return f"{thing.__module__}:{thing.__qualname__}"


def imported(place: str, what: str) -> Any:
    """What lies at a place that a store names; raises StudyError if it cannot be imported.

    A store may name any module, and importing one runs it: a module whose text declares neither cells nor dataclasses
    is not imported to find out.
    """
    module, _, qualname = place.partition(":")
    try:
        if module not in sys.modules:
            _look_before_import(module)
        return getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise StudyError(
            f"cannot import {what} from {place!r} here ({error}); run from the folder that holds its module, or run "
            "the study's own command, which records where it lies now"
        ) from None


def _look_before_import(module: str) -> None:
    """Find and read a module without running it or the packages around it."""
    parts, path = module.split("."), None
    for i in range(len(parts)):
        if (spec := PathFinder.find_spec(".".join(parts[: i + 1]), path)) is None:
            break
        path = spec.submodule_search_locations
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    text = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
    if not re.search("study_cells|CellFunction|dataclass", text):
        raise ImportError("its module declares neither cells nor dataclasses")


def class_name(kind: type[Any]) -> str:
    """Name of a spec class in keys, which no other has: its own ``cell_name`` (not inherited) or its place."""
    name = str(vars(kind).get("cell_name") or place_of(kind))
    other = _KINDS.setdefault(name, kind)
    if place_of(other) != place_of(kind):
        raise StudyError(f"the spec classes {place_of(other)} and {place_of(kind)} share the cell_name {name!r}")
    return name


def places_of_classes(texts: Iterable[str]) -> dict[str, str]:
    """Places of the classes that encoded specs name, by name."""
    found = {json.loads(name) for text in texts if _CLASS in text for name in _CLASS_IN_TEXT.findall(text)}
    return {name: place_of(_KINDS[name]) for name in sorted(found) if name in _KINDS}


def load_class(place: str) -> type[Any]:
    """Import a frozen dataclass; raises StudyError if it is something else."""
    found = imported(place, "a spec class")
    if not _is_frozen(found):
        raise StudyError(f"{place!r} is not a frozen dataclass")
    return found  # type: ignore[no-any-return]


def _is_frozen(kind: Any) -> bool:
    return bool(getattr(getattr(kind, "__dataclass_params__", None), "frozen", False))


# ---------------------------------------------------------------------- specs
def encode_spec(spec: Any) -> str:
    """A frozen dataclass as JSON with sorted names; raises StudyError for what specs may not hold."""
    if not _is_frozen(type(spec)):
        raise StudyError(f"a cell's spec must be a frozen dataclass, got {type(spec).__name__}")
    return json.dumps(_plain_fields(spec), sort_keys=True, separators=(",", ":"))


def _plain_fields(spec: Any) -> dict[str, Any]:
    return {f.name: _plain_value(getattr(spec, f.name), type(spec), f.name) for f in dataclasses.fields(spec)}


def _plain_value(value: Any, kind: type[Any], name: str) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is tuple:
        return [_plain_value(item, kind, name) for item in value]
    if type(value) is float:
        if not math.isfinite(value):
            raise StudyError(f"field {name!r} of {kind.__name__} is {value}; specs hold finite numbers only")
        return value
    if _is_frozen(type(value)):
        return {_CLASS: class_name(type(value)), **_plain_fields(value)}
    raise StudyError(
        f"field {name!r} of {kind.__name__} is a {type(value).__name__}; specs hold None, bool, int, float, str, "
        "tuples of them and frozen dataclasses (convert arrays with tuple(a.tolist()))"
    )


def decode_spec(text: str, kind: type[Any], places: Mapping[str, str] | None = None) -> Any:
    """The spec that :func:`encode_spec` wrote; ``places`` say where classes lie whose name is not their place."""
    return _build(json.loads(text), kind, places or {})


def _build(values: dict[str, Any], kind: Any, places: Mapping[str, str]) -> Any:
    if unknown := sorted(values.keys() ^ _names(kind)):
        raise StudyError(
            f"stored specs of {kind.__qualname__} differ from the class in field(s) {', '.join(unknown)}; "
            "run the study's own command again, which writes a new grid"
        )
    return kind(**{name: _rebuilt(value, places) for name, value in values.items()})


@functools.cache
def _names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind) if field.init)


def _rebuilt(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return tuple(_rebuilt(item, places) for item in value)
    if isinstance(value, dict):
        name = value.pop(_CLASS)
        return _build(value, load_class(places.get(name, name)), places)
    return value


# ---------------------------------------------------------------------- records
def encode_record(record: Any) -> tuple[str, Any]:
    """A cell's result as JSON, and what that reads back as: numpy becomes numbers and lists, tuples become lists.

    What JSON or UTF-8 does not hold, or a number that is not finite, is a StudyError that names the place.
    """
    plain = None
    try:
        plain = _plain_record(record, "record")
        text = _ENCODER.encode(plain)
        text.encode()  # as the store will
    except StudyError:
        raise
    except RecursionError:
        raise StudyError("a record must be JSON data, nested less deeply") from None
    except ValueError as error:
        raise StudyError(_offending(plain, "record") or f"a record must be JSON data: {error}") from None
    return text, plain


def _plain_record(value: Any, place: str) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        return [v if type(v) in _PLAIN else _plain_record(v, f"{place}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict):
        if wrong := [key for key in value if type(key) is not str and type(key) is not int]:
            raise StudyError(f"{place} has the key {wrong[0]!r}; names must be text, in whole characters")
        return {f"{k}": v if type(v) in _PLAIN else _plain_record(v, f"{place}[{k!r}]") for k, v in value.items()}
    if isinstance(value, np.generic | np.ndarray) and type(plain := value.tolist()) is not type(value):
        done = value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
        return plain if done else _plain_record(plain, place)
    if isinstance(value, str | int | float):  # of a class of their own, such as enumerations
        return json.loads(json.dumps(value))
    raise StudyError(f"{place} is a {type(value).__name__}, which is not JSON data")


def _offending(value: Any, place: str) -> str | None:
    """First number or text in plain data that cannot be stored, in words."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and _BROKEN.search(key):
                return f"{place} has the key {key!r}; names must be text, in whole characters"
            if found := _offending(item, f"{place}[{key!r}]"):
                return found
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}; store None where a number does not exist, or repair the cell"
    if isinstance(value, str) and _BROKEN.search(value):
        return f"{place} is {value!r}, which is not whole characters (a file name that is not UTF-8?)"
    return None


def decode_record(text: str) -> Any:
    """The record that :func:`encode_record` wrote; raises StudyError if it wrote no such thing."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise StudyError(f"a stored record does not read back: {error}") from None


def printable(text: str) -> str:
    """Text that a terminal shows and does not obey; lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def last_line(text: str) -> str:
    """What a traceback says."""
    return (text.strip().splitlines() or ["no message"])[-1].strip()
