"""Settings of sphinx-gallery: every script is run, and every public name links back to the scripts that use it."""

from pathlib import Path
from typing import Any


def settings(docs: Path, pages: list[str], *, only: str = "") -> dict[str, Any]:
    """What ``conf.py`` gives to sphinx-gallery; ``only`` is a pattern of the scripts to run (empty: all)."""
    return {
        "examples_dirs": [str(docs / "tutorials"), str(docs / "gallery")],
        "gallery_dirs": ["auto_tutorials", "auto_gallery"],
        "ignore_pattern": r"_cells\.py$",  # a module that a script imports
        "backreferences_dir": "reference/generated/backreferences",
        "doc_module": ("sfbench", "solvers", "synthetic"),
        "prefer_full_module": {page.replace(".", r"\.") for page in pages},
        "filename_pattern": only or r".*\.py",
        "within_subsection_order": "FileNameSortKey",
        "download_all_examples": False,
        "show_memory": False,
        "show_signature": False,
        "remove_config_comments": True,
        "matplotlib_animations": False,
        "abort_on_example_error": True,
        "plot_gallery": True,
        "image_srcset": [],
        "min_reported_time": 10,
    }
