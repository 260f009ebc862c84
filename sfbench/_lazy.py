"""Names that are imported on first use: those that a package hands on, and those of a registry of implementations."""

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, final

from .errors import SfbenchError

T = TypeVar("T")


def lazy_names(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose ``names`` come from other modules.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    names : mapping of str to str
        For every public name the module that defines it, relative to the package; a module that is itself the public
        name maps to itself with a dot: ``{"fuse": ".fusion.api", "metrics": ".metrics"}``.
    """

    def getattr_(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(names[name], package)
        return module if names[name].rpartition(".")[2] == name else getattr(module, name)

    return getattr_, lambda: sorted(names)


@final
class Registry(Generic[T]):
    """Names of implementations: built in, registered by a program, or found through an entry point.

    Parameters
    ----------
    noun : str
        What is registered, for error messages: ``"process"``.
    group : str
        Entry-point group through which other distributions add theirs: ``"sfbench.processes"``.
    builtin : mapping of str to str
        ``"package.module:attribute"`` by name, imported on first use.
    """

    def __init__(self, noun: str, group: str, builtin: Mapping[str, str]) -> None:
        self.noun, self.group, self.builtin = noun, group, dict(builtin)
        self.own: dict[str, T] = {}

    def register(self, name: str, item: T) -> T:
        """Add an implementation under a name that is not built in; returns it, so that it serves as a decorator's end.

        Raises
        ------
        SfbenchError
            If the name is built in, or not a string.
        """
        if not isinstance(name, str) or name in self.builtin:
            raise SfbenchError(f"{self.noun} {name!r} cannot be registered: a name is a string that is not built in")
        self.own[name] = item
        return item

    def names(self) -> list[str]:
        """All names, built-in ones first."""
        return list(dict.fromkeys([*self.builtin, *self.own, *self._plugins()]))

    def __getitem__(self, name: str) -> T:
        if isinstance(name, str):
            if name in self.builtin:
                module, _, attribute = self.builtin[name].partition(":")
                found: T = getattr(import_module(module), attribute)
                return found
            if name in self.own:
                return self.own[name]
            if name in (plugins := self._plugins()):
                loaded: T = plugins[name].load()
                return loaded
        known = self.names()
        close = difflib.get_close_matches(str(name), known, n=2)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"use one of {', '.join(known)}"
        raise SfbenchError(f"unknown {self.noun} {name!r}; {hint}")

    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group) if point.name not in self.builtin}
