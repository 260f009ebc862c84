"""Figures of the page as plotly's own data: menus choose the result and the slice, the legend the lines."""

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

from .aggregate import Summary
from .tables import Row
from .words import factor_text, in_words, is_number, number

# Okabe-Ito: distinguishable with every common colour vision; dashes repeat the distinction without colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#777777")
_DASHES = ("solid", "dash", "dashdot", "longdash")
_MENU_PX, _PLOT_PX, _LINE_PX = 46, 400, 22
_HIDDEN: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False}
_CLEAR = "rgba(0,0,0,0)"
_HOVER = (
    "%{fullData.name}<br>%{xaxis.title.text}: %{x}<br>%{customdata[0]}: %{y:.3~g}<br>"
    "10 % to 90 %: %{customdata[1]:.3~g} to %{customdata[2]:.3~g}<br>"
    "%{customdata[3]} results, %{customdata[4]} missing<extra></extra>"
)
Shown = dict[str, tuple[list[Any], list[Any]]]  # heights and what hovering shows of a trace, by result


class Slice(NamedTuple):
    """The lines of a figure, points by name: they share the factors that are numbers; ``dots`` lines are left out."""

    name: str
    lines: list[tuple[str, list[Row]]]
    dots: int


def slices(summary: Summary, axis: str) -> list[Slice]:
    """The lines along an axis, by the values of the other numbers; those with most repetitions first.

    Among lines of several points, lines of a single one are dots of another experiment, and left out.
    """
    others = [f for f in summary.factors if f != axis and len(summary.factors[f]) > 1]
    words = [f for f in others if not all(map(is_number, summary.factors[f]))]
    found: dict[str, dict[str, list[Row]]] = {}
    for point in summary.points:
        name = factor_text(point["factors"], [f for f in others if f not in words])
        found.setdefault(name, {}).setdefault(factor_text(point["factors"], words), []).append(point)
    made = []
    for name, members in found.items():
        longest = max(map(len, members.values()))
        kept = [points for points in members.values() if len(points) > 1 or longest == 1]
        told = [f for f in words if len({points[0]["factors"][f] for points in kept}) > 1]
        lines = [(factor_text(points[0]["factors"], told), points) for points in kept]
        made.append(Slice(name, lines, len(members) - len(lines)))
    return sorted(made, key=lambda s: -sum(p["seeds"] for _, points in s.lines for p in points if len(points) > 1))


def figure_data(summary: Summary, axis: str) -> dict[str, Any]:
    """Every result against one axis: it opens on the first result and the slice that has most cells."""
    parts, results, labels = slices(summary, axis), summary.metrics, summary.table.labels
    traces = [(i, *made) for i, part in enumerate(parts) for made in _traces(summary, axis, part)]
    data = [
        trace | {"visible": i == 0, "y": texts[results[0]][0], "customdata": texts[results[0]][1]}
        for i, trace, texts in traces
    ]
    by_result = [
        [
            {"y": [t[m][0] for *_, t in traces], "customdata": [t[m][1] for *_, t in traces]},
            {"yaxis.title.text": _y_title(summary, m)},
        ]
        for m in results
    ]
    shown = [[{"visible": [i == j for i, *_ in traces]}] for j in range(len(parts))]
    scales = [[{"xaxis.type": kind, "yaxis.type": kind}] for kind in ("log", "linear")]
    menus = [
        _menu([in_words(m, labels) for m in results], "update", by_result),
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
    y_axis = {"title": {"text": _y_title(summary, results[0])}, "exponentformat": "power", "automargin": True}
    layout = {
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "modebar": {"bgcolor": _CLEAR},
        "font": {"size": 13},
        "height": top + _PLOT_PX + bottom,
        "margin": {"t": top, "b": bottom, "l": 70, "r": 15},
        "hovermode": "closest",
        "showlegend": lines > 1,
        "legend": {"y": -75 / _PLOT_PX, "yanchor": "top", "x": 0},
        "updatemenus": menus,
        "xaxis": shared | ticks | {"title": {"text": _plain(in_words(axis, labels))}},
        "yaxis": shared | y_axis,
    }
    return {"data": data, "layout": layout}


def _traces(summary: Summary, axis: str, part: Slice) -> Iterator[tuple[dict[str, Any], Shown]]:
    """A note for results that the slice lacks; then a band, a line and bounds for each line."""
    results, bounds, some = summary.metrics, summary.bounds, part.lines[0][1]
    there = {m for _, points in part.lines for p in points for m in p["metrics"]}
    note = {"x": [some[len(some) // 2]["factors"][axis]], "mode": "text", "text": ["no cell passes the filters"]}
    yield note | _HIDDEN, {m: ([None if m in there else 1.0], []) for m in results}
    for i, (name, points) in enumerate(part.lines):
        colour = _COLOURS[i % len(_COLOURS)]
        shared = {"x": [p["factors"][axis] for p in points], "mode": "lines", "legendgroup": str(i)}
        shared |= {"name": _plain(name or summary.table.study.name)}
        for j, fill in ((1, "none"), (2, "tonexty")):
            edge = {"line": {"width": 0}, "fill": fill, "fillcolor": f"{colour}26"}
            yield shared | edge | _HIDDEN, {m: (_heights(points, m, j), []) for m in results}
        shared["hovertemplate"] = _HOVER
        crosses = [p["missing"] > 0 for p in points]
        sizes, symbols = [12 if c else 7 for c in crosses], ["x-open" if c else "circle" for c in crosses]
        line = {"color": colour, "dash": _DASHES[i // len(_COLOURS) % len(_DASHES)]}
        drawn = {"mode": "lines+markers", "line": line, "marker": {"color": colour, "size": sizes, "symbol": symbols}}
        yield shared | drawn, {m: (_heights(points, m, 0), _hovers(summary, m, points)) for m in results}
        dotted = {"line": {"color": colour, "dash": "dot", "width": 1.5}, "showlegend": False}
        for b in range(max(map(len, bounds.values()), default=0)):
            of = {m: (bounds.get(m, [])[b : b + 1] or [""])[0] for m in results}
            yield shared | dotted, {m: (_heights(points, c, 0), _hovers(summary, c, points)) for m, c in of.items()}


def _heights(points: list[Row], column: str, j: int) -> list[Any]:
    return [p["metrics"][column][j] if column in p["metrics"] else None for p in points]


def _hovers(summary: Summary, column: str, points: list[Row]) -> list[list[Any]]:
    """What plotly puts into the template."""
    name = _plain(in_words(column, summary.table.labels))
    return [[name, *p["metrics"].get(column, [None] * 4)[1:], p["missing"]] for p in points]


def _menu(names: list[str], method: str, arguments: list[list[Any]]) -> dict[str, Any]:
    """A drop-down menu of plotly."""
    buttons = [{"label": _plain(n), "method": method, "args": a} for n, a in zip(names, arguments, strict=True)]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 0, "b": 0}}


def _y_title(summary: Summary, result: str) -> str:
    bounds = ", ".join(in_words(b, summary.table.labels) for b in summary.bounds.get(result, []))
    return _plain(in_words(result, summary.table.labels)) + (f"<br>dotted: {_plain(bounds)}" if bounds else "")


def _plain(text: str) -> str:
    """Text that plotly shows as it is: it reads labels as a kind of HTML."""
    return html.escape(text, quote=False)
