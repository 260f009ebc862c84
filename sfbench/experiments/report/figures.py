"""Figures for papers, by matplotlib, of the numbers of the page: few, each result with its bounds on one axis.

A figure shows one study along one axis, at the values of the other numbers that most cells have; its panels are the
results that have bounds, or those that are asked for. One colour is one line in all panels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

from ...files import prepare_folder, write_atomically
from ...progress import progress
from ..errors import StudyError
from .aggregate import Line, Slice, Summary, slices
from .plots import COLOURS
from .tables import file_stems
from .words import decimals, in_words, number

_MOST_PANELS, _MOST_COLUMNS, _MOST_TICKS, _PANEL = 4, 3, 6, (2.9, 2.4)
_DOTS = (":", "-.", "--")
_LOOK: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.markersize": 4,
}


def draw_figures(
    summaries: Sequence[Summary],
    folder: Path,
    kinds: Sequence[str] = ("pdf",),
    *,
    only: Sequence[str] = (),
    single: bool = False,
    size: tuple[float, float] = _PANEL,
    style: str | None = None,
    shown: bool = False,
) -> list[Path]:
    """Draw the figures; returns the paths.

    Parameters
    ----------
    summaries : sequence of Summary
    folder : path
    kinds : sequence of str
        Formats: pdf, png, svg.
    only : sequence of str
        Results to draw; by default those that have bounds, or the first four.
    single : bool
        A figure for each panel, with slopes in its legend.
    size : (float, float)
        Width and height of a panel in inches.
    style : str or None
        A style of matplotlib, or a style file.
    shown : bool
        Show a progress bar.

    Raises
    ------
    StudyError
        If no study has a result that is asked for, or matplotlib does not know the style.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    known = {m for summary in summaries for m in summary.metrics}
    if unknown := [m for m in only if m not in known]:
        raise StudyError(f"no study here has the result {unknown[0]!r}; there are {', '.join(sorted(known))}")
    stems = file_stems([summary.name for summary in summaries])
    plans = [(s, *plan) for s in summaries for plan in _plans(s, stems[s.name], only, single)]
    if style is not None and style not in mpl.style.available and not Path(style).is_file():
        raise StudyError(f"matplotlib knows no style {style!r}, and there is no such file")
    prepare_folder(folder)
    drawn = []
    with progress(len(plans), "figures", shown) as bar, mpl.rc_context(_LOOK), mpl.style.context(style or []):
        for summary, stem, axis, part, metrics in plans:
            figure = _figure(summary, axis, part, metrics, size, slopes=single)
            for kind in kinds:
                drawn.append(folder / f"{stem}.{kind}")
                write_atomically(drawn[-1], partial(figure.savefig, format=kind, dpi=200), binary=True)
            plt.close(figure)
            bar.advance()
    return drawn


def _plans(
    summary: Summary, stem: str, only: Sequence[str], single: bool
) -> Iterator[tuple[str, str, Slice, list[str]]]:
    """Name of the file, axis, lines and results of every figure."""
    usual = [m for m in summary.metrics if m in summary.bounds] or [m for m in summary.metrics if "stderr" not in m]
    metrics = [m for m in summary.metrics if m in only] if only else usual[:_MOST_PANELS]
    most = len(COLOURS)
    for axis in summary.axes if metrics else ():
        whole = slices(summary, axis)[0]
        for i in range(0, len(whole.lines), most):
            part = replace(whole, lines=whole.lines[i : i + most])
            there = [m for m in metrics if any(m in p["metrics"] for line in part.lines for p in line.points)]
            name = f"{stem}_{axis}" + (f"_{1 + i // most}" if len(whole.lines) > most else "")
            for panels in [[m] for m in there] if single else [there] if there else []:
                yield f"{name}_{panels[0]}" if single else name, axis, part, panels


def _figure(
    summary: Summary, axis: str, part: Slice, metrics: list[str], size: tuple[float, float], *, slopes: bool
) -> Any:
    import matplotlib.pyplot as plt

    columns = min(len(metrics), _MOST_COLUMNS)
    rows = -(-len(metrics) // columns)
    shape = (size[0] * columns, size[1] * rows + 0.4)
    figure, grid = plt.subplots(rows, columns, figsize=shape, squeeze=False, layout="constrained")
    legend: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    for panel, metric in zip(grid.flat, metrics, strict=False):
        _draw(panel, summary, axis, part, metric, slopes, legend, bounds)
        panel.set_xlabel(in_words(axis, summary.labels))
        panel.set_ylabel(fill(in_words(metric, summary.labels), int(14 * size[1])))
    for panel in grid.flat[len(metrics) :]:
        panel.set_visible(False)
    if part.name:
        figure.suptitle(part.name, fontsize=8)
    if any(p["missing"] for line in part.lines for p in line.points):
        figure.supxlabel(f"{summary.caption}; crosses lack some repetitions", fontsize=6)
    if len(legend | bounds) > 1:
        names, handles = zip(*(legend | bounds).items(), strict=True)
        figure.legend(handles, names, loc="outside lower center", ncols=1 if columns == 1 else 4, fontsize=7)
    return figure


def _draw(
    panel: Any,
    summary: Summary,
    axis: str,
    part: Slice,
    metric: str,
    slopes: bool,
    legend: dict[str, Any],
    bounds: dict[str, Any],
) -> None:
    """One result with its bounds; what is new goes into the legends."""
    heights: list[float] = []
    positions: set[float] = set()
    for line, colour in zip(part.lines, COLOURS, strict=False):
        if not (points := [p for p in line.points if metric in p["metrics"]]):
            continue
        x = [p["factors"][axis] for p in points]
        middle, low, high = ([p["metrics"][metric][j] for p in points] for j in range(3))
        name = (line.name or "median over repetitions") + (_slope(summary, axis, metric, line) if slopes else "")
        bounds["10 % to 90 %"] = panel.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        [legend[name]] = panel.plot(x, middle, color=colour)
        for xj, yj, p in zip(x, middle, points, strict=True):
            panel.plot(xj, yj, "x" if p["missing"] else "o", color=colour)
        heights += low + high
        positions |= set(x)
        for bound, dots in zip(summary.bounds.get(metric, []), _DOTS, strict=False):
            there = {p["factors"][axis]: p["metrics"][bound][0] for p in points if bound in p["metrics"]}
            shade = "0.2" if len(part.lines) == 1 else colour
            panel.plot([*there], [*there.values()], dots, color=shade, lw=1.2)
            bounds.setdefault(in_words(bound, summary.labels), panel.plot([], [], dots, color="0.2", lw=1.2)[0])
            heights += there.values()
    if positions and min(positions) > 0 and max(positions) >= 4 * min(positions):
        panel.set_xscale("log")
        panel.set_xticks(sorted(positions)[:: -(-len(positions) // _MOST_TICKS)])
        panel.xaxis.set_major_formatter(lambda v, _: number(v))
    if heights and min(heights) > 0 and max(heights) >= 4 * min(heights):
        panel.set_yscale("log")
        if max(heights) < 300 * min(heights):  # a decade or two: 1, 2, 5 in each
            panel.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
            panel.yaxis.set_major_formatter(lambda v, _: number(v))
    panel.minorticks_off()


def _slope(summary: Summary, axis: str, metric: str, line: Line) -> str:
    """The slope of a line, in words."""
    others = [f for f in summary.factors if f != axis]
    for s in summary.slopes:
        if (s["axis"], s["metric"]) == (axis, metric) and all(s["factors"][f] == line.factors[f] for f in others):
            return f": slope {decimals(s['slope'])} [{decimals(s['low'])}, {decimals(s['high'])}]"
    return ""
