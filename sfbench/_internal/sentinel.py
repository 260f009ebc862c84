"""Are ``solvers`` and ``synthetic`` ours? Checked when ``sfbench`` is imported, before either of them is.

Their names are common ones: a folder or script of that name in the working directory, or another distribution, comes
first on ``sys.path`` and would be imported instead. Specs are found without running a line of foreign code.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

OWN_PACKAGES = ("solvers", "synthetic")
_HOME = Path(__file__).resolve().parents[2]


class ShadowedPackageError(ImportError):
    """Another package of the same name is found before ours."""


def shadowed(names: Sequence[str] = OWN_PACKAGES) -> dict[str, str]:
    """Packages that are not the ones installed next to ``sfbench``, and the file (or folder) found instead."""
    found = {name: _place(name) for name in names}
    return {
        name: str(place)
        for name, place in found.items()
        if place is None or place.resolve() != (_HOME / name).resolve()
    }


def require_own_packages() -> None:
    """Refuse to go on with foreign packages.

    Raises
    ------
    ShadowedPackageError
        Names the file found and how to repair it. The console script ends in that one line instead: it imports this
        package before any code of its own could catch the error.
    """
    foreign = shadowed()
    if not foreign:
        return
    message = "; ".join(explain(name, place) for name, place in foreign.items())
    if Path(sys.argv[0]).stem == "sfbench":
        raise SystemExit(f"sfbench: {message}")
    raise ShadowedPackageError(message)


def explain(name: str, place: str) -> str:
    """What shadows a package and the way out."""
    ours = _HOME / name
    if place == "None":
        return f"package {name!r} is missing: it should be {ours}; reinstall sfbench"
    return (
        f"package {name!r} is not sfbench's: {place} comes before {ours} on sys.path; rename or move that file, run "
        f"from another folder, or install sfbench into a virtual environment of its own (without the distribution that "
        f"owns it)"
    )


def _place(name: str) -> Path | None:
    """Folder of a package, or file of a module, that an import would find."""
    try:
        spec: ModuleSpec | None = find_spec(name)
    except ValueError:  # already imported by something that left no spec
        return Path(str(getattr(sys.modules[name], "__file__", "unknown")))
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or "unknown")


require_own_packages()
