"""Figures of the page as plotly's own data: menus choose the result and the slice, the legend the lines."""

import html
from collections.abc import Iterator
from typing import Any

from .aggregate import Line, Slice, Summary, slices
from .words import in_words, number

# Okabe-Ito: distinguishable with every common colour vision; dashes repeat the distinction without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#777777")
NOTHING = "no cell passes the filters"
_DASHES = ("solid", "dash", "dashdot", "longdash")
_MENU_PX, _PLOT_PX, _LINE_PX = 46, 400, 22
_HIDDEN: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False}
Texts = dict[str, tuple[list[Any], list[str]]]  # heights and hover texts of a trace, by result


def figure_data(summary: Summary, axis: str) -> dict[str, Any]:
    """Every result against one axis: it opens on the first result and the slice that has most cells."""
    parts, results = slices(summary, axis), summary.metrics
    traces = [(i, *made) for i, part in enumerate(parts) for made in _traces(summary, axis, part)]
    data = []
    for i, trace, texts in traces:
        y, hover = texts[results[0]]
        data.append(trace | {"visible": i == 0, "y": y, "customdata": hover})
    by_result = [
        [{"y": [t[m][0] for *_, t in traces], "customdata": [t[m][1] for *_, t in traces]}, {"yaxis.title.text": title}]
        for m in results
        for title in [_y_title(summary, m)]
    ]
    shown = [[{"visible": [i == j for i, *_ in traces]}] for j in range(len(parts))]
    scales = [[{"xaxis.type": kind, "yaxis.type": kind}] for kind in ("log", "linear")]
    menus = [
        _menu([in_words(m, summary.labels) for m in results], "update", by_result),
        _menu([part.name or "all" for part in parts], "restyle", shown),
        _menu(["logarithmic axes", "linear axes"], "relayout", scales),
    ]
    menus = [menu for menu in menus if len(menu["buttons"]) > 1]
    lines = max(len(part.lines) for part in parts)
    top, bottom = 40 + _MENU_PX * len(menus), 75 + _LINE_PX * lines * (lines > 1)
    for i, menu in enumerate(menus):
        menu["y"] = 1 + (top - 36 - _MENU_PX * i) / _PLOT_PX
    values = summary.factors[axis]
    shared = {"type": "log" if min(values) > 0 else "linear", "gridcolor": "#d4d9e0"}
    ticks = {"tickvals": values, "ticktext": [number(x) for x in values]} if len(values) <= 12 else {}
    layout = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
        "font": {"size": 13},
        "height": top + _PLOT_PX + bottom,
        "margin": {"t": top, "b": bottom, "l": 70, "r": 15},
        "hovermode": "closest",
        "showlegend": lines > 1,
        "legend": {"y": -75 / _PLOT_PX, "yanchor": "top", "x": 0},
        "updatemenus": menus,
        "xaxis": shared | ticks | {"title": {"text": _plain(in_words(axis, summary.labels))}},
        "yaxis": shared
        | {"title": {"text": _y_title(summary, results[0])}, "exponentformat": "power", "automargin": True},
    }
    return {"data": data, "layout": layout}


def _traces(summary: Summary, axis: str, part: Slice) -> Iterator[tuple[dict[str, Any], Texts]]:
    """A note for results that the slice lacks; then a band, a line and bounds for each line."""
    results, some = summary.metrics, part.lines[0].points
    lacking = [m for m in results if not any(m in p["metrics"] for line in part.lines for p in line.points)]
    note = {"x": [some[len(some) // 2]["factors"][axis]], "mode": "text", "text": [NOTHING]}
    yield note | _HIDDEN, {m: ([1.0 if m in lacking else None], []) for m in results}
    most = max(map(len, summary.bounds.values()), default=0)
    for i, line in enumerate(part.lines):
        colour = COLOURS[i % len(COLOURS)]
        shared = {
            "x": [p["factors"][axis] for p in line.points],
            "mode": "lines",
            "legendgroup": str(i),
            "name": _plain(line.name or summary.name),
            "hovertemplate": "%{customdata}<extra></extra>",
        }
        for j, fill in ((1, "none"), (2, "tonexty")):
            edge = {"line": {"width": 0}, "fill": fill, "fillcolor": f"{colour}26", "hovertemplate": None}
            yield shared | edge | _HIDDEN, {m: (_heights(line, m, j), []) for m in results}
        marker = {
            "color": colour,
            "size": [12 if p["missing"] else 7 for p in line.points],
            "symbol": ["x-open" if p["missing"] else "circle" for p in line.points],
        }
        style = {"color": colour, "dash": _DASHES[i // len(COLOURS) % len(_DASHES)]}
        texts = {m: (_heights(line, m, 0), _hovers(summary, axis, m, line)) for m in results}
        yield shared | {"mode": "lines+markers", "line": style, "marker": marker}, texts
        for b in range(most):
            of = {m: (summary.bounds.get(m, [])[b : b + 1] or [""])[0] for m in results}
            dotted = {"line": {"color": colour, "dash": "dot", "width": 1.5}, "showlegend": False}
            yield shared | dotted, {m: (_heights(line, c, 0), _hovers(summary, axis, c, line)) for m, c in of.items()}


def _heights(line: Line, column: str, j: int) -> list[Any]:
    return [p["metrics"][column][j] if column in p["metrics"] else None for p in line.points]


def _hovers(summary: Summary, axis: str, column: str, line: Line) -> list[str]:
    texts = []
    for p in line.points:
        middle, low, high, n = p["metrics"].get(column, (None, None, None, 0))
        missing = f", {p['missing']} missing" if p["missing"] else ""
        texts.append(
            f"{_plain(line.name)}<br>{_plain(axis)} = {number(p['factors'][axis])}<br>"
            f"{_plain(in_words(column, summary.labels))}: {number(middle)}<br>"
            f"10 % to 90 %: {number(low)} to {number(high)}<br>{n} results{missing}"
        )
    return texts


def _menu(names: list[str], method: str, arguments: list[list[Any]]) -> dict[str, Any]:
    """A drop-down menu of plotly."""
    buttons = [{"label": _plain(n), "method": method, "args": a} for n, a in zip(names, arguments, strict=True)]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 0, "b": 0}}


def _y_title(summary: Summary, result: str) -> str:
    bounds = ", ".join(in_words(b, summary.labels) for b in summary.bounds.get(result, []))
    return _plain(in_words(result, summary.labels)) + (f"<br>dotted: {_plain(bounds)}" if bounds else "")


def _plain(text: str) -> str:
    """Text that plotly shows as it is: it reads labels as a kind of HTML."""
    return html.escape(text, quote=False)
