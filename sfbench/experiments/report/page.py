"""The interactive page: one HTML file with data, drawing library, style and behaviour inside; it asks nothing of a
network, and its content policy forbids it to.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...files import write_atomically
from .aggregate import Summary


def write_page(path: Path, summaries: Sequence[Summary], provenance: Mapping[str, Any], title: str) -> None:
    """Write the page.

    Parameters
    ----------
    path : path
        The HTML file.
    summaries : sequence of Summary
    provenance : mapping
        Shown as it is: runs, environments, digests.
    title : str

    Raises
    ------
    ImportError
        If plotly is missing; says what to install.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ImportError("reports need plotly: pip install 'sfbench[report]'") from None
    assets = files(__package__)
    data = {"title": title, "studies": [asdict(s) for s in summaries], "provenance": dict(provenance)}
    parts = {
        "TITLE": html.escape(title),
        "STYLE": assets.joinpath("page.css").read_text(encoding="utf-8"),
        "DATA": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        "PLOTLY": get_plotlyjs().replace("</script", "<\\/script"),
        "SCRIPT": assets.joinpath("page.js").read_text(encoding="utf-8"),
    }
    page = assets.joinpath("page.html").read_text(encoding="utf-8")
    page = re.sub("@@([A-Z]+)@@", lambda match: parts[match[1]], page)  # in one go: data may hold such marks
    write_atomically(path, lambda f: f.write(page))
