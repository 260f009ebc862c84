"""Settings of the documentation site; `make docs` builds it into docs/_build/html, which opens from a file."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import matplotlib as mpl

mpl.use("agg")

from _site import gallery, reference, results, source_links
from _site.reference import PAGES

import sfbench

project = "sfbench"
author = "The sfbench developers"
project_copyright = author
release = version = sfbench.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
root_doc = "index"
exclude_patterns = ["_build", "_site", "gallery", "tutorials", "**/sg_execution_times.rst", "sg_execution_times.rst"]
templates_path = ["_templates"]

# Markdown: the pages are read on forges too, so the plain syntax, with formulas between dollars.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["config.cache"]  # the gallery's settings hold functions

# Reference: one page for each public name, made from `__all__`.
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # numpydoc shows the types that the docstrings state
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # members stand on the page of their class
numpydoc_xref_param_type = False

# Gallery: every script is run; the reference links back to the scripts that use a name.
sphinx_gallery_conf = gallery.settings(DOCS, PAGES, only=os.environ.get("SFBENCH_GALLERY", ""))

# Pages: nothing is fetched when they are read, and formulas are set by a copy of MathJax beside them.
html_theme = "pydata_sphinx_theme"
html_title = f"sfbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
mathjax_path = "mathjax/tex-svg.js"
mathjax_options = {"defer": "defer"}
html_theme_options = {
    "logo": {"text": "sfbench"},
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "navbar_align": "left",
    "navigation_with_keys": False,
    "collapse_navigation": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True


def setup(app):
    """Write the pages of the reference and the index of results before Sphinx looks for them, and resolve links."""
    app.connect("builder-inited", reference.write_pages)
    app.connect("builder-inited", results.write_index)
    app.connect("autodoc-skip-member", reference.skip_foreign)
    source_links.setup(app)
