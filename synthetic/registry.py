"""Names of problem families, built in, yours, or of other distributions.

:func:`family` registers a function in this process. A family reaches other processes, such as the workers of a study,
in one of two ways:

- another distribution declares it as an entry point of the group ``sfbench.problems`` (name -> ``"module:function"``);
- its name is ``"module:function"`` or ``"path/to/file.py:function"``, which is imported where it is used.

A built-in family is never replaced.
"""

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeGuard

import numpy as np

from ._typing import SeedLike
from ._validation import as_generator, close_matches, show
from .errors import SyntheticError
from .problems import SyntheticProblem

ENTRY_POINT_GROUP = "sfbench.problems"
Family = Callable[..., SyntheticProblem]
_FAMILIES: dict[str, Family] = {}
_BUILT_IN = f"{__package__}.families"
_HOW = (
    "; a family of your own is a function decorated with @synthetic.family and loaded by synthetic.load_families, "
    f"named 'module:function', or an entry point of the group {ENTRY_POINT_GROUP!r}"
)


def family(function: Family) -> Family:
    """Register a problem family under its function name; the first docstring line describes it.

    Parameters
    ----------
    function : callable
        Takes ``rng``, a Generator for the problem's own geometry, and any further parameters by keyword, each with a
        default; returns a :class:`SyntheticProblem`.

    Raises
    ------
    SyntheticError
        For parameters of another kind, or the name of a family of another module, such as a built-in one.

    Examples
    --------
    A file ``my_families.py``, complete:

    >>> import numpy as np
    >>> from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, family, make_problem
    >>> @family
    ... def ring(*, rng: np.random.Generator, k: int = 3, radius: float = 2.0) -> SyntheticProblem:
    ...     '''Two-component mixtures on a circle; the target is their barycenter at equal weights.'''
    ...     angles = 2 * np.pi * (np.arange(k) / k + rng.random())
    ...     places = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ...     laws = [GaussianMixture([0.5, 0.5], [place, 1.5 * place], 0.3) for place in places]
    ...     weights = np.full(k, 1 / k)
    ...     return SyntheticProblem("ring", LogLinearPool(laws, weights), laws, weights)
    >>> make_problem("ring", k=4, rng=1)
    SyntheticProblem('ring', k=4, radius=2.0, rng=1)

    Elsewhere: ``synthetic.load_families("my_families")`` and then ``make_problem("ring")``, or at once
    ``make_problem("my_families:ring")``, which works in every process that can import the module.
    """
    name = getattr(function, "__name__", None)
    if not callable(function) or name is None:
        raise SyntheticError(f"a family is a function, got {show(function)}")
    parameters = signature(function).parameters
    unfit = [
        key
        for key, p in parameters.items()
        if key == "name"
        or p.kind not in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        or (key != "rng" and p.default is Parameter.empty)
    ]
    if "rng" not in parameters or unfit:
        raise SyntheticError(
            f"family {name!r} must take `rng` and other parameters by keyword, each of these with a default (and none "
            f"called `name`); {f'see {unfit[0]!r}' if unfit else 'it takes no rng'}"
        )
    other = _FAMILIES.get(name)
    if other is not None and other.__module__ != function.__module__:
        kind = "a built-in family" if other.__module__ == _BUILT_IN else f"a family of {other.__module__}"
        raise SyntheticError(f"{name!r} is the name of {kind}; rename the one of {function.__module__}")
    _FAMILIES[name] = function
    return function


def known_problems() -> dict[str, str]:
    """Names of the problem families, built in, registered here or of plugins, and a line about each."""
    return {name: _describe(name) for name in sorted({*_FAMILIES, *_plugins()})}


def problem_parameters(name: str) -> dict[str, Any]:
    """Parameters of a problem family and their defaults; see :func:`make_problem`.

    Raises
    ------
    UnknownNameError
        For an unknown family; lists close matches.
    """
    return {key: p.default for key, p in signature(_find(name)).parameters.items() if key != "rng"}


def make_problem(name: str, *, rng: SeedLike = 0, **params: Any) -> SyntheticProblem:
    """Build a named problem.

    Parameters
    ----------
    name : str
        One of :func:`known_problems`, or ``"module:function"`` for a family of your own (see :func:`family`).
    rng : Generator, int, mapping or None
        Randomness of the problem's own geometry (means, rotations, true weights), not of any data.
    **params
        Parameters of the family; see its docstring.

    Returns
    -------
    SyntheticProblem
        Its ``recipe`` builds it again: ``make_problem(**problem.recipe)``.

    Raises
    ------
    UnknownNameError
        For an unknown family; lists close matches.
    SyntheticError
        For a parameter that the family does not take, a bad value, or a plugin that does not build a problem.
    """
    function = _find(name)
    accepted = problem_parameters(name)
    unknown = sorted(set(params) - set(accepted))
    if unknown:
        raise SyntheticError(f"problem {name!r} takes no parameter {unknown[0]!r}; it takes {', '.join(accepted)}")
    seed: Any = np.random.SeedSequence().entropy if rng is None else rng
    generator = as_generator(seed)
    if not isinstance(seed, int | np.integer):
        seed = generator.bit_generator.state
    problem = function(rng=generator, **params)
    if not isinstance(problem, SyntheticProblem):
        raise SyntheticError(f"family {name!r} must return a SyntheticProblem, got {show(problem)}")
    used = {key: _plain(value) for key, value in (accepted | params | dict(problem.params)).items()}
    used = {key: value for key, value in used.items() if value is not None}
    return replace(problem, name=name, params=used, seed=int(seed) if isinstance(seed, np.integer) else seed)


def load_families(where: str | Path) -> tuple[str, ...]:
    """Import a module, or a Python file, and return the names of the families that it registers.

    Parameters
    ----------
    where : str or path
        ``"my_families"`` (on the import path, or a file of that name in the working folder) or
        ``"path/to/my_families.py"``. Loading the same one again does nothing.

    Raises
    ------
    SyntheticError
        If there is no such module or file, importing it fails, or it holds no families.
    """
    module = load_module(where)
    held = list(vars(module).values())
    names = tuple(name for name, function in _FAMILIES.items() if any(function is value for value in held))
    names = tuple(name for name in names if _FAMILIES[name].__module__ != _BUILT_IN)
    if not names:
        raise SyntheticError(f"{str(where)!r} holds no problem families: decorate functions with @synthetic.family")
    return names


def load_module(where: str | Path) -> ModuleType:
    """Import a module by name, or a Python file by its path, once; what it registers can be used by name from then on.

    Parameters
    ----------
    where : str or path
        ``"my_parts"`` (on the import path, or a file of that name in the working folder) or ``"path/to/my_parts.py"``.

    Raises
    ------
    SyntheticError
        If there is no such module or file, or importing it fails.
    """
    if isinstance(where, str) and all(part.isidentifier() for part in where.split(".")) and not where.endswith(".py"):
        name, beside = where, Path(f"{where.replace('.', '/')}.py")
        try:
            found = name in sys.modules or importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            found = False
        if found or not beside.is_file():
            return _run(name, lambda: importlib.import_module(name))
        where = beside
    if not isinstance(where, str | Path) or Path(where).suffix != ".py":
        raise SyntheticError(f"where must be the name of a module or the path of a Python file, got {show(where)}")
    path = Path(where).resolve()
    if not path.is_file():
        raise SyntheticError(f"there is no file {str(where)!r}")
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        if Path(getattr(loaded, "__file__", None) or "").resolve() == path:
            return loaded
        raise SyntheticError(f"a module called {path.stem!r} is loaded already, from elsewhere; rename {str(where)!r}")
    return _run(str(where), lambda: _import_file(path))


def _find(name: str) -> Family:
    if isinstance(name, str):
        if name in _FAMILIES:
            return _FAMILIES[name]
        if name in _plugins():
            return _load_plugin(name)
        where, colon, attribute = name.rpartition(":")
        if colon:
            function = getattr(load_module(where), attribute, None)
            if not _takes_rng(function):
                raise close_matches(attribute, load_families(where), f"family of {where}")
            return function
    raise close_matches(name, {*_FAMILIES, *_plugins()}, "problem", _HOW)


def _describe(name: str) -> str:
    try:
        return ((_find(name).__doc__ or "").strip().splitlines() or [""])[0]
    except SyntheticError as error:  # a plugin that cannot be loaded takes nothing from the others
        return str(error)


def _plain(value: Any) -> Any:
    """A parameter as it can be written down: numbers and lists of Python."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value


# ---------------------------------------------------------------------- other modules and distributions
@functools.cache
def _plugins() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        built_in = getattr(_FAMILIES.get(point.name), "__module__", None) == _BUILT_IN
        if built_in or point.name in found:
            holder = "a built-in family" if built_in else f"plugin {found[point.name].value!r}"
            message = f"plugin {point.value!r} is ignored: {point.name!r} is the name of {holder}; rename it"
            warnings.warn(message, stacklevel=4)
        else:
            found[point.name] = point
    return found


def _load_plugin(name: str) -> Family:
    point = _plugins()[name]
    try:
        function = point.load()
    except Exception as error:
        raise SyntheticError(f"plugin {point.value!r} of problem {name!r} cannot be loaded: {error}") from error
    if not _takes_rng(function):
        raise SyntheticError(f"plugin {point.value!r} of problem {name!r} is not a family: a function that takes rng")
    return function


def _takes_rng(function: Any) -> TypeGuard[Family]:
    try:
        return "rng" in signature(function).parameters
    except (TypeError, ValueError):  # not callable, or built into Python
        return False


class _TextLoader(SourceFileLoader):
    """Loads the text as it is now: bytecode is found by size and whole seconds, which an edit may leave as they are."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"no bytecode of {path!r} is read or written")


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=_TextLoader(path.stem, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _run(where: str, load: Callable[[], ModuleType]) -> ModuleType:
    try:
        return load()
    except SyntheticError:
        raise
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name is not None and where.startswith(error.name)
        hint = "; put its folder on the import path (PYTHONPATH), or name its file: path/to/file.py" if missing else ""
        raise SyntheticError(f"cannot import {where!r}: {type(error).__name__}: {error}{hint}") from error
