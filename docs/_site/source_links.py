"""Links that work on a forge and in the site: short names in docstrings, and files outside the folder of the pages."""

from typing import Any

from docutils import nodes
from sphinx.util.nodes import make_refnode

from . import reference

REPOSITORY_PATHS = ("../benchmarks/", "../examples/", "../tests/", "../CONTRIBUTING.md", "../CITATION.cff", "../constraints.txt")


def resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A short name leads to its page in the reference; a file of the repository is named, not linked."""
    target = node.get("reftarget", "")
    if node.get("refdomain") == "py":
        page = reference.page_of(target)
        if page is None:
            return None
        docname = f"reference/generated/{page}"
        return make_refnode(app.builder, node["refdoc"], docname, page, contnode)
    if node.get("reftype") == "myst" and target.startswith(REPOSITORY_PATHS):
        return nodes.inline("", "", *contnode.children or [contnode])
    return None


def setup(app: Any) -> None:
    """Listen for links that Sphinx itself does not resolve."""
    app.connect("missing-reference", resolve, priority=400)
