"""Names of solvers, resolved on first use.

Adding a built-in solver is one file and one line of `_BUILTIN`. Other distributions add theirs with an entry point in
the group ``sfbench.solvers`` (name -> ``"module:Class"``); such a plugin can never replace a built-in.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, cast

from .base import SimplexSolver
from .errors import ArgumentTypeError, MissingExtraError, SolverFailureError, UnknownSolverError

ENTRY_POINT_GROUP = "sfbench.solvers"


class _Entry(NamedTuple):
    target: str  # "module:Class"
    needs: str = ""  # module that must be importable
    extra: str = ""  # extra of this distribution that provides it; empty for a core dependency


_BUILTIN: dict[str, _Entry] = {
    "auto": _Entry("solvers.auto:Auto"),
    "active_set": _Entry("solvers.active_set:ActiveSet"),
    "piqp": _Entry("solvers.piqp_dense:Piqp", "piqp"),
    "daqp": _Entry("solvers.daqp_dual:Daqp", "daqp", "daqp"),
    "proxqp": _Entry("solvers.proxqp_dense:Proxqp", "proxsuite", "proxqp"),
    "clarabel": _Entry("solvers.clarabel_conic:Clarabel", "clarabel", "clarabel"),
    "osqp": _Entry("solvers.osqp_admm:Osqp", "osqp", "osqp"),
    "cvxpy": _Entry("solvers.cvxpy_conic:Cvxpy", "cvxpy"),
    "qpsolvers": _Entry("solvers.qpsolvers_bridge:Qpsolvers", "qpsolvers", "qpsolvers"),
    "scipy_slsqp": _Entry("solvers.scipy_slsqp:ScipySlsqp"),
    "newton": _Entry("solvers.newton:Newton"),
    "projected_gradient": _Entry("solvers.projected_gradient:ProjectedGradient"),
    "exponentiated_gradient": _Entry("solvers.exponentiated_gradient:ExponentiatedGradient"),
    "frank_wolfe": _Entry("solvers.frank_wolfe:FrankWolfe"),
    "torch": _Entry("solvers.torch_softmax:TorchSoftmax", "torch"),
    "torch_projected": _Entry("solvers.torch_projected:TorchProjected", "torch"),
}


def known_solvers() -> tuple[str, ...]:
    """Names of every built-in solver, installed or not, then of the plugins."""
    return (*_BUILTIN, *_plugins())


def available_solvers() -> tuple[str, ...]:
    """The known names whose library can be imported here; nothing is imported to find out."""
    missing = {name for name, entry in _BUILTIN.items() if entry.needs and not _importable(entry.needs)}
    return tuple(name for name in known_solvers() if name not in missing)


def get_solver(name: str, **options: Any) -> SimplexSolver:
    """Instantiate the solver called `name` with its `options` (the fields of its dataclass).

    Raises
    ------
    UnknownSolverError
        Lists the closest names.
    MissingExtraError
        An `ImportError` with the exact ``pip install`` line.
    ArgumentTypeError
        An option the solver does not have; the message lists those it has. A `TypeError` too.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"name must be one of known_solvers(), a str, got a {type(name).__name__}")
    if not options:
        return _default(name)
    cls = _load(name)
    known = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    unknown = sorted(set(options) - set(known))
    if unknown:
        listed = f"its options: {', '.join(known)}" if known else "it takes none"
        raise ArgumentTypeError(f"solver {name!r} has no option {', '.join(unknown)}; {listed}")
    return cast(SimplexSolver, cls(**options))


def resolve_solver(solver: str | SimplexSolver, options: Mapping[str, Any] | None = None) -> SimplexSolver:
    """The solver called `solver` with its `options`, or `solver` itself when it is one already.

    Raises
    ------
    ArgumentTypeError
        If `solver` is neither, or options come with a solver that has its own.
    """
    if isinstance(solver, str):
        return get_solver(solver, **options) if options else _default(solver)
    if isinstance(solver, type) or not (hasattr(solver, "solve") and hasattr(solver, "requires")):
        raise ArgumentTypeError(f"solver must be a name of known_solvers() or a solver object, got {solver!r}")
    if options:
        raise ArgumentTypeError(f"options {', '.join(options)} go with a solver's name; give them to {solver!r} itself")
    return solver


def describe_solver(name: str) -> tuple[str, str]:
    """What objective a solver needs, and its documentation's first sentence; for a missing library, how to get it."""
    if not isinstance(name, str):
        raise ArgumentTypeError(f"name must be one of known_solvers(), a str, got a {type(name).__name__}")
    try:
        cls = _load(name)
    except (MissingExtraError, SolverFailureError) as error:
        return "", str(error)
    return str(getattr(cls, "requires", "")), (cls.__doc__ or "").strip().split("\n")[0].split(". ")[0].rstrip(".")


def is_builtin(solver: SimplexSolver) -> bool:
    """Whether `solver` is one of this package, which keeps to its time limit by itself."""
    return _is_builtin(type(solver))


@functools.cache
def _is_builtin(cls: type[Any]) -> bool:
    return f"{cls.__module__}:{cls.__qualname__}" in {entry.target for entry in _BUILTIN.values()}


def is_available(name: str) -> bool:
    """Whether the library behind the built-in solver `name` can be imported."""
    needs = _BUILTIN[name].needs
    return not needs or _importable(needs)


def missing_line(name: str) -> str:
    """The ``pip install`` line that makes the built-in solver `name` available."""
    extra = _BUILTIN[name].extra
    return f"pip install 'sfbench[{extra}]'" if extra else "pip install sfbench"


@functools.cache
def _default(name: str) -> SimplexSolver:
    """The solver with default options; solvers are immutable, so one instance serves all."""
    cls = _load(name)
    try:
        return cast(SimplexSolver, cls())
    except Exception as error:  # only a plugin can fail here
        raise SolverFailureError(f"solver {name!r} cannot be made without options: {error}") from error


@functools.cache
def _load(name: str) -> type[Any]:
    entry = _BUILTIN.get(name)
    if entry is not None:
        if entry.needs and not _importable(entry.needs):
            raise MissingExtraError(f"solver {name!r} needs the library {entry.needs!r}: {missing_line(name)}")
        module, _, attribute = entry.target.partition(":")
        return cast(type[Any], getattr(importlib.import_module(module), attribute))
    plugin = _plugins().get(name)
    if plugin is None:
        close = difflib.get_close_matches(name, known_solvers(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known_solvers())}"
        raise UnknownSolverError(f"unknown solver {name!r}; {hint}")
    try:
        return cast(type[Any], plugin.load())
    except Exception as error:  # whatever the plugin's module does when it is imported
        raise SolverFailureError(f"plugin {plugin.value!r} of solver {name!r} cannot be loaded: {error}") from error


@functools.cache
def _plugins() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in _BUILTIN:
            warnings.warn(
                f"plugin {point.value!r} is ignored: {point.name!r} is the name of a built-in solver; rename it",
                stacklevel=3,
            )
        else:
            found.setdefault(point.name, point)
    return found


@functools.cache
def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
