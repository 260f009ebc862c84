"""Names that a package hands on and imports on first use, so that importing sfbench costs little."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


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
