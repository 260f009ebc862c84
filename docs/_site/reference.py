"""Pages of the reference: one for each public package and one for each name of its ``__all__``.

A name is documented where users meet it first: ``sfbench.fuse`` and not ``sfbench.fusion.fuse``.
"""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

_INDEX = Path(__file__).parents[1] / "reference" / "index.md"
PACKAGES = re.findall(
    r"^generated/([\w.]+)$", _INDEX.read_text(encoding="utf-8"), re.MULTILINE
)  # in the order of the page


def public_names(module: ModuleType) -> dict[str, Any]:
    """Every name of ``__all__``, or that needs an extra, that is not itself a module, with what it means."""
    names = [*getattr(module, "__all__", ()), *getattr(module, "_OPTIONAL", ())]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def _assign() -> dict[str, list[tuple[str, str]]]:
    """For each package, its names and the page that documents each; a name of two packages has one page."""
    homes: dict[int, str] = {}
    table: dict[str, list[tuple[str, str]]] = {}
    for package in PACKAGES:
        rows = []
        for name, value in sorted(
            public_names(importlib.import_module(package)).items(), key=lambda row: row[0].lower()
        ):
            page = f"{package}.{name}"
            if inspect.isclass(value) or inspect.isroutine(value):
                page = homes.setdefault(id(value), page)
            rows.append((name, page))
        table[package] = rows
    return table


TABLE = _assign()
PAGES = sorted({page for rows in TABLE.values() for _, page in rows})
_BY_SHORT_NAME: dict[str, list[str]] = {}
for _page in PAGES:
    _BY_SHORT_NAME.setdefault(_page.rpartition(".")[2], []).append(_page)


def _kind(page: str) -> str:
    package, _, name = page.rpartition(".")
    value = getattr(importlib.import_module(package), name)
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def _heading(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]


def _object_page(page: str) -> str:
    kind = _kind(page)
    members = ["   :members:"] if kind in ("autoclass", "autoexception") else []
    if hasattr(getattr(importlib.import_module(page.rpartition(".")[0]), page.rpartition(".")[2]), "set_fit_request"):
        members.append("   :exclude-members: set_fit_request")  # scikit-learn's own, with links into its own pages
    lines = [*_heading(page.rpartition(".")[2]), f".. {kind}:: {page}", *members, "", f".. minigallery:: {page}"]
    return "\n".join([*lines, "   :add-heading: Examples", ""])


def _package_page(package: str) -> str:
    module, rows = importlib.import_module(package), TABLE[package]
    lines = _heading(package)
    lines += [inspect.cleandoc(module.__doc__ or ""), "", ".. autosummary::", ""]
    lines += [f"   ~{page}" for _, page in rows]
    own = [page for name, page in rows if page == f"{package}.{name}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {page}" for page in own), ""]
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # what is as it was is not built again
        path.write_text(text, encoding="utf-8")


def write_pages(app: Any) -> None:
    """Write the folder ``reference/generated``, and take out of it what no package exports any more."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {page: _object_page(page) for page in PAGES} | {package: _package_page(package) for package in TABLE}
    for name, text in texts.items():
        _write(folder / f"{name}.rst", text)
    for path in folder.glob("*.rst"):
        if path.stem not in texts:
            path.unlink()


def skip_foreign(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Methods that scikit-learn writes onto estimators are documented by scikit-learn; None leaves it to Sphinx."""
    return True if re.fullmatch(r"(.*\.)?set_\w+_request|(.*\.)?get_metadata_routing", name) else None


def page_of(target: str) -> str | None:
    """The one page that a short name in a docstring means, such as ``FusedScore``; None where two are meant or none."""
    pages = _BY_SHORT_NAME.get(target.lstrip("~.").rpartition(".")[2], [])
    return pages[0] if len(pages) == 1 else None
