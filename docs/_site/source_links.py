"""Links that work on a forge and in the site: short names in docstrings, folders of results, scripts that are run."""

import re
from typing import Any

from sphinx.util.nodes import make_refnode

from . import reference

_RESULTS = re.compile(r"\]\(\.\./benchmarks/results/(?P<study>\w+)(?:/(?P<part>\w+))?/?\)")
_BACK = re.compile(r"generated/(?P<page>[\w.]+)\.html#(?P<anchor>[\w.]+)")
_SCRIPTS = re.compile(r"\]\((?P<up>(?:\.\./)*)(?P<kind>tutorials|gallery)/(?P<name>plot_\w+)\.py\)")


def to_pages(app: Any, docname: str, content: list[str]) -> None:
    """A link to a folder of committed tables, or to a script, leads, in the site, to the page made of it."""
    up = "../" * docname.count("/")

    def page(match: re.Match[str]) -> str:
        return f"]({up}results/{match['study']}.md{'#' + match['part'] if match['part'] else ''})"

    content[0] = _RESULTS.sub(page, content[0])
    content[0] = _SCRIPTS.sub(r"](\g<up>auto_\g<kind>/\g<name>.rst)", content[0])


def to_documented(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Links from source code to the reference: Sphinx takes all names of a file to be documented in one package."""
    if pagename.startswith("_modules/"):
        context["body"] = _BACK.sub(_own_anchor, context["body"])


def _own_anchor(match: re.Match[str]) -> str:
    name = match["page"].rpartition(".")[2]
    _, found, member = f".{match['anchor']}.".partition(f".{name}.")
    return f"generated/{match['page']}.html#{match['page']}.{member}".rstrip(".") if found else match[0]


def to_reference(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A short name in a docstring leads to its page of the reference."""
    page = reference.page_of(node.get("reftarget", "")) if node.get("refdomain") == "py" else None
    if page is None:
        return None
    return make_refnode(app.builder, node["refdoc"], f"reference/generated/{page}", page, contnode)


def setup(app: Any) -> None:
    """Rewrite pages when they are read, and resolve what Sphinx itself does not."""
    app.connect("source-read", to_pages)
    app.connect("html-page-context", to_documented)
    app.connect("missing-reference", to_reference, priority=400)
