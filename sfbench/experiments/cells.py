r"""What a study computes: a versioned pure function of frozen specs.

A cell's **key** is the sha256 of the function's name, algorithm version, record schema, dtype and spec. The name is a
choice, not an import path (unless none is chosen): files may move, and results stay. Its **randomness**
(:func:`cell_rng`) is seeded by the spec and nothing else, through ``numpy.random.SeedSequence``. So a result depends
neither on order, nor on the number of workers, nor on which other cells exist; and since the version is not part of the
seed, two versions of an algorithm see the same random numbers and can be compared draw by draw.

Inputs that are too large for a spec are files in the folder of the study (:func:`study_folder`), named in specs by a
hash of their content. Workers of a cluster need that folder on a file system that they share with the study's process.
"""

import dataclasses
import hashlib
import importlib
import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from .canonical import encode_spec, imported, place_of, places_of_classes
from .errors import StudyError

RECORD_SCHEMA = 1  # of the engine: how a record becomes text

_FOLDER: ContextVar[Path | None] = ContextVar("study_folder", default=None)


def cell_rng(spec: Any, purpose: str = "") -> np.random.Generator:
    """Generator that depends on the content of a frozen spec and nothing else."""
    text = json.dumps([dataclasses.asdict(spec), purpose], sort_keys=True)
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint32))


def cell_key(function: str, version: str, schema: int, dtype: str, spec_text: str) -> str:
    """Key of a cell: the hash of everything that its record depends on."""
    parts = (function, version, str(RECORD_SCHEMA), str(schema), dtype, spec_text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@final
@dataclass(frozen=True, eq=False)
class CellFunction:
    """A pure function with what its results depend on besides the spec.

    Parameters
    ----------
    function : callable
        ``spec -> record``; or, if ``group`` is given, ``sequence of specs -> list of records``.
    version, dtype, schema : str, str, int
        Of the algorithm, its precision and its record: change them whenever results or columns change, and every cell
        is computed anew.
    group : callable or None
        ``spec -> hashable``: specs of one group share a pass; a record must still depend on its own spec alone.
    volatile, factors : tuple of str
        Columns that differ from run to run (times), left out of comparisons; columns that say which experiment a row
        belongs to, in the order in which a report offers them.
    replicate : str
        The column that numbers independent repetitions.
    alone : bool
        Cells are timed: whatever the settings of a run, they are computed here, one after the other.
    bounds, labels : mapping
        Columns that bound another, with its name (``NAME_bound`` bounds ``NAME`` in any case); columns in words.
    name : str
        What keys hold, by default ``place``: a file that moves takes its results along only if a name is given.
    """

    function: Callable[..., Any]
    version: str = "1"
    dtype: str = "float64"
    schema: int = 1
    group: Callable[[Any], Hashable] | None = None
    volatile: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    replicate: str = "seed"
    alone: bool = False
    bounds: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        name, script = self.function.__qualname__, self.function.__module__ == "__main__"
        if script or "<" in name:
            raise StudyError(
                f"cell function {name!r} is defined {'in a script' if script else 'inside another function'}; move it "
                "to the top level of a module of its own, so that worker processes and a later resume can import it"
            )
        given = {"version": str(self.version), "name": self.name or self.place, "__doc__": self.function.__doc__}
        self.__dict__.update(given)

    @property
    def place(self) -> str:
        """Where the function is imported from, ``module:qualname``."""
        return place_of(self.function)

    def __call__(self, spec: Any) -> Any:
        """Compute one cell (or one group, if the function takes groups) directly."""
        return self.function(spec)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        module, qualname = self.place.split(":")
        if getattr(importlib.import_module(module), qualname, None) is self:
            return load_cell_function, (self.place,)
        return CellFunction, tuple(getattr(self, entry.name) for entry in dataclasses.fields(self))

    def records(self, specs: Sequence[Any]) -> list[Any]:
        """Records of specs that belong together."""
        if self.group is None:
            return [self.function(spec) for spec in specs]
        records = list(self.function(specs))
        if len(records) != len(specs):
            raise StudyError(f"{self.name} returned {len(records)} records for {len(specs)} specs")
        return records

    def key(self, spec_text: str) -> str:
        """Key of the cell with this encoded spec."""
        return cell_key(self.name, self.version, self.schema, self.dtype, spec_text)


def study_cells(**settings: Any) -> Callable[[Callable[..., Any]], CellFunction]:
    """Decorator that makes a function a :class:`CellFunction`; takes its parameters by name."""
    return lambda function: CellFunction(function, **settings)


def load_cell_function(place: str) -> CellFunction:
    """Import what was declared to be a cell function; raises StudyError for anything else."""
    if not isinstance(found := imported(place, "a cell function"), CellFunction):
        raise StudyError(f"{place!r} is not declared a cell function (decorate it with study_cells)")
    return found


@final
@dataclass(frozen=True, eq=False)
class Study:
    """A name, a cell function and a grid of specs without repetitions; made by :func:`make_study`.

    ``texts`` and ``keys`` are those of the specs, ``spec_class`` is the place of their class, which no key depends on,
    ``class_places`` are those of classes of specs inside specs, by name.
    """

    name: str
    function: CellFunction
    specs: Sequence[Any]
    texts: tuple[str, ...] = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    spec_class: str
    class_places: Mapping[str, str]


def make_study(name: str, run_cell: Callable[[Any], Any], specs: Sequence[Any]) -> Study:
    """A study of a (versioned or plain) function over specs, which are frozen dataclasses of one class.

    Raises StudyError for no specs, specs of several classes, or a name that is not one line.
    """
    if not name.strip() or not name.isprintable():
        raise StudyError(f"a study needs a name of one line of printable text, got {name!r}")
    if not (kinds := {type(spec) for spec in specs}):
        raise StudyError(f"study {name!r} has no cells")
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise StudyError(f"study {name!r} mixes specs of the classes {names}; give each its own study")
    function = run_cell if isinstance(run_cell, CellFunction) else CellFunction(run_cell)
    unique = {encode_spec(spec): spec for spec in specs}
    keys = tuple(map(function.key, unique))
    place, classes = place_of(kinds.pop()), places_of_classes(unique)
    return Study(name, function, tuple(unique.values()), tuple(unique), keys, place, classes)


# ---------------------------------------------------------------------- files of a study
def study_folder() -> Path:
    """Folder of the study whose cell is being computed, or that of ``in_study_folder``; StudyError outside both."""
    if (folder := _FOLDER.get()) is None:
        raise StudyError("no study is running here; call the cell inside `with in_study_folder(path):`")
    return folder


@contextmanager
def in_study_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Let cells called inside find their files in ``folder``."""
    token = _FOLDER.set(Path(folder))
    try:
        yield
    finally:
        _FOLDER.reset(token)
