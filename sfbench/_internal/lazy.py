"""Names that are imported on first use: those that a package hands on, and those of a registry of implementations."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from ..errors import SfbenchError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def lazy_names(
    package: str, names: Mapping[str, str], elsewhere: Callable[[str], str] = lambda name: ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose ``names`` come from other modules.

    A public name maps to the module that defines it, relative to the package, or to itself with a dot if it is a
    module: ``{"fuse": ".fusion.api", "metrics": ".metrics"}``. The error for other names adds what ``elsewhere`` says.
    """

    def getattr_(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{elsewhere(name)}")
        module = import_module(names[name], package)
        return module if names[name].rpartition(".")[2] == name else getattr(module, name)

    return getattr_, lambda: sorted(names)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`` (did you mean 'this'?)`` for a name close to a known one, else nothing."""
    matches = difflib.get_close_matches(str(name), list(known), n=2)
    return f" (did you mean {' or '.join(map(repr, matches))}?)" if matches else ""


@final
class Registry(Generic[T]):
    """Names of implementations: built in, registered by a program, found through an entry point, or in a module.

    ``"module:name"`` and ``"path/to/file.py:name"`` are names, too: the module is imported where the name is used, in
    worker processes for example, and ``name`` is one that it registers or one of its attributes.

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
        if not isinstance(name, str) or name in self.builtin or ":" in name:
            raise SfbenchError(
                f"{self.noun} {name!r} cannot be registered: a name is a string that is not built in and has no colon"
            )
        self.own[name] = item
        return item

    def names(self) -> list[str]:
        """All names, built-in ones first."""
        return list(dict.fromkeys([*self.builtin, *self.own, *self._plugins()]))

    def __contains__(self, name: object) -> bool:
        """Whether it is a name; looks through installed packages only for names that are not known here."""
        return name in self.builtin or name in self.own or name in self._plugins()

    def __getitem__(self, name: str) -> T:
        if isinstance(name, str):
            if name in self.builtin:
                module, _, attribute = self.builtin[name].partition(":")
                found: T = getattr(import_module(module), attribute)
                return found
            if name in self.own:
                return self.own[name]
            if name in (plugins := self._plugins()):
                return self._loaded(plugins[name])
            where, colon, attribute = name.rpartition(":")
            if colon:
                return self._in_module(where, attribute)
        known = self.names()
        hint = f"{did_you_mean(name, known)}; use one of {', '.join(known)}, or module:name"
        raise SfbenchError(f"unknown {self.noun} {name!r}{hint}")

    def make(self, name: str, **options: Any) -> Any:
        """What the implementation of that name makes, or that object itself if it is not callable."""
        found: Any = self[name]
        try:
            return found(**options) if callable(found) else found
        except TypeError as error:
            raise SfbenchError(f"{self.noun} {name!r} cannot be made: {error}") from error

    def _plugins(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.group) if point.name not in self.builtin}

    def _loaded(self, point: "EntryPoint") -> T:
        try:
            found: T = point.load()
        except Exception as error:
            raise SfbenchError(
                f"{self.noun} {point.name!r}: its plugin {point.value!r} cannot be loaded: {error}"
            ) from error
        return found

    def _in_module(self, where: str, name: str) -> T:
        from synthetic import SyntheticError, load_module

        try:
            module = load_module(where)
        except SyntheticError as error:
            raise SfbenchError(f"{self.noun} {where}:{name}: {error}") from None
        found: T | None = self.own.get(name, getattr(module, name, None))
        if found is None:
            raise SfbenchError(f"{where!r} neither registers {self.noun} {name!r} nor holds anything of that name")
        return found
