"""The page: tables in HTML, figures with plotly's own menus, legend and hover; nothing asks a network.

``plotly.min.js`` is written beside the page, and the page's content policy forbids everything else. Colours follow the
reader's light or dark setting by style sheet alone. The camera above a figure saves it as SVG, for papers.
"""

import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...files import read_regular, write_atomically
from ..errors import StudyError
from .aggregate import Summary
from .plots import figure_data, slices
from .tables import Row
from .words import in_words, number

_POLICY = "default-src 'none'; script-src 'self' file: 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg"},
}
_LARGEST = 10**7  # bytes of claims


def read_claims(folder: Path) -> list[Row]:
    """The claims of ``claims.json`` in a study's folder, if it is there; raises StudyError for anything else in it."""
    path = folder / "claims.json"
    if not path.exists():
        return []
    text = read_regular(path, _LARGEST, StudyError)
    try:
        return [dict(claim.items()) for claim in json.loads(text)["claims"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StudyError(f"{str(path)!r} does not hold claims; write it again with the study's own command") from None


def write_page(
    path: Path, summaries: Sequence[Summary], provenance: Mapping[str, Any], title: str, claims: Sequence[Row] = ()
) -> None:
    """Write the page, and plotly beside it; raises ImportError, which says what to install, if plotly is missing.

    ``provenance`` is shown as it is: runs, environments, digests. Claims are those of ``claims.json``.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ImportError("reports need plotly: pip install 'sfbench[report]'") from None
    title = _text(title.encode(errors="replace").decode())
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#study{i}">{_text(s.table.study.name)}</a>' for i, s in enumerate(summaries))
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title>',
        f'<link rel="icon" href="data:,"><style>{style}</style><script src="plotly.min.js"></script></head><body>',
        f'<header><h1>{title}</h1><label class="quiet"><input type="checkbox" id="flip"> other colours</label>',
        f"</header><nav>{links}</nav><main>",
        _claims(claims),
        *(_study(summary, i) for i, summary in enumerate(summaries)),
        "<h2>Provenance</h2>",
        *(_details(n, f'<pre tabindex="0">{_text(json.dumps(v, indent=1))}</pre>') for n, v in provenance.items()),
        "</main></body></html>\n",
    ]
    write_atomically(path.with_name("plotly.min.js"), lambda f: f.write(get_plotlyjs()))
    write_atomically(path, lambda f: f.write("\n".join(parts)))


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(rows: Sequence[Row]) -> str:
    """Rows of one table; the first cell of a row names it."""
    columns, body = list(dict.fromkeys(column for row in rows for column in row)), ""
    for row in rows:
        first, *rest = (_text(number(row.get(column))) for column in columns)
        kinds = [_kind(column, row.get(column)) for column in columns[1:]]
        cells = "".join(f'<td class="{kind}">{text}</td>' for kind, text in zip(kinds, rest, strict=True))
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    head = "".join(f'<th scope="col">{_text(c)}</th>' for c in columns)
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return table if rows else ""


def _kind(column: str, value: Any) -> str:
    """Class of a cell: numbers that ought to be 0 are bad, and verdicts are what they say."""
    if column == "verdict":
        return {"holds": "good", "reported": ""}.get(value, "bad")
    return "bad" if column in ("violated", "cells missing") and value else ""


def _details(title: str, content: str) -> str:
    return f"<details><summary>{_text(title)}</summary>{content}</details>" if content else ""


def _range(middle: Any, ends: Sequence[Any] | None, digits: int = 3) -> str:
    shown = number(middle, digits)
    return f"{shown} [{number(ends[0], digits)}, {number(ends[1], digits)}]" if ends else shown


def _claims(claims: Sequence[Row]) -> str:
    control = "negative control, which must fail"
    rows = []
    for c in claims:
        row = {"claim": c.get("name"), "verdict": str(c.get("verdict", ""))}
        row |= {"measured": _range(c.get("value"), c.get("interval"), 4), "required": c.get("required")}
        rows.append(row | {control: c.get("control"), "note": c.get("note")})
    return "<h2>Claims</h2>" + _table(rows) if rows else ""


def _study(summary: Summary, i: int) -> str:
    table = summary.table
    results = [*summary.metrics, *(b for bounds in summary.bounds.values() for b in bounds)]
    points = []
    for p in summary.points:
        found = {m: _range(q[0], q[1:3]) if (q := p["metrics"].get(m)) else "-" for m in results}
        points.append(p["factors"] | found | {"repetitions": p["seeds"], "cells missing": p["missing"]})
    tables = {
        f"The numbers: {len(points)} points": points,
        "Checks of bounds": summary.checks,
        "Seconds": summary.costs,
        f"Missing cells: {len(table.missing)}": table.missing,
    }
    return "\n".join(
        [
            f'<h2 id="study{i}">{_text(table.study.name)}</h2>',
            f"<p>{_text(table.caption())}, algorithm version {_text(summary.version)}</p>",
            *(_figure(summary, axis, f"figure{i}_{j}") for j, axis in enumerate(summary.axes) if summary.metrics),
            *(_details(title, _table(rows)) for title, rows in tables.items()),
        ]
    )


def _figure(summary: Summary, axis: str, name: str) -> str:
    from plotly.io import to_html

    drawn = to_html(figure_data(summary, axis), _CONFIG, full_html=False, include_plotlyjs=False, div_id=name)
    parts = slices(summary, axis)
    dots, lines = sum(part.dots for part in parts), max(len(part.lines) for part in parts)
    caption = [
        "medians over repetitions, bands from 10 % to 90 %",
        "dotted lines are bounds" if summary.bounds else "",
        f"{dots} lines of a single point are left out" if dots else "",
        "crosses lack some repetitions" if summary.table.missing else "",
        "a click on a name hides its line, a double click all others" if lines > 1 else "",
    ]
    title = f"<h3>Against {_text(in_words(axis, summary.table.labels))}</h3>"
    return f"{title}<figure>{drawn}<figcaption>{'; '.join(filter(None, caption))}</figcaption></figure>"
