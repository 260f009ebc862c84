"""Figures for papers, by matplotlib, of the numbers of the page: few, each result with its bounds on one axis.

A figure shows one study along one axis, at the values of the other numbers that most cells have; its panels are the
results that have bounds, or those that are asked for. One colour is one line in all panels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any, final

from ...files import prepare_folder, write_atomically
from ...progress import progress
from ..errors import StudyError
from .aggregate import Line, Summary, slices
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


@final
@dataclass(frozen=True)
class _Plan:
    """One figure."""

    stem: str
    summary: Summary
    axis: str
    title: str
    lines: list[Line]
    metrics: list[str]
    slopes: bool


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
    plans = [plan for summary in summaries for plan in _plans(summary, stems[summary.name], only, single)]
    if style is not None and style not in mpl.style.available and not Path(style).is_file():
        raise StudyError(f"matplotlib knows no style {style!r}, and there is no such file")
    prepare_folder(folder)
    drawn = []
    with progress(len(plans), "figures", shown) as bar, mpl.rc_context(_LOOK), mpl.style.context(style or []):
        for plan in plans:
            figure = _figure(plan, size)
            for kind in kinds:
                path = folder / f"{plan.stem}.{kind}"
                write_atomically(path, partial(figure.savefig, format=kind, dpi=200), binary=True)
                drawn.append(path)
            plt.close(figure)
            bar.advance()
    return drawn


def _plans(summary: Summary, stem: str, only: Sequence[str], single: bool) -> Iterable[_Plan]:
    usual = [m for m in summary.metrics if m in summary.bounds] or [m for m in summary.metrics if "stderr" not in m]
    metrics = [m for m in summary.metrics if m in only] if only else usual[:_MOST_PANELS]
    for axis in summary.axes if metrics else ():
        part = slices(summary, axis)[0]
        for i in range(0, len(part.lines), len(COLOURS)):
            lines = part.lines[i : i + len(COLOURS)]
            there = [m for m in metrics if any(m in p["metrics"] for line in lines for p in line.points)]
            name = f"{stem}_{axis}" + (f"_{1 + i // len(COLOURS)}" if len(part.lines) > len(COLOURS) else "")
            for panels in [[m] for m in there] if single else [there] if there else []:
                yield _Plan(f"{name}_{panels[0]}" if single else name, summary, axis, part.name, lines, panels, single)


def _figure(plan: _Plan, size: tuple[float, float]) -> Any:
    import matplotlib.pyplot as plt

    columns = min(len(plan.metrics), _MOST_COLUMNS)
    rows = -(-len(plan.metrics) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(size[0] * columns, size[1] * rows + 0.4), squeeze=False, layout="constrained"
    )
    handles: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    for panel, metric in zip(grid.flat, plan.metrics, strict=False):
        _draw(panel, plan, metric, handles, bounds)
        panel.set_xlabel(in_words(plan.axis, plan.summary.labels))
        panel.set_ylabel(fill(in_words(metric, plan.summary.labels), int(14 * size[1])))
    for panel in grid.flat[len(plan.metrics) :]:
        panel.set_visible(False)
    if plan.title:
        figure.suptitle(plan.title, fontsize=8)
    missing = sum(p["missing"] for line in plan.lines for p in line.points)
    if missing:
        figure.supxlabel(f"{plan.summary.caption}; crosses lack some repetitions", fontsize=6)
    handles |= bounds
    if len(handles) > 1:
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=1 if columns == 1 else 4, fontsize=7
        )
    return figure


def _draw(panel: Any, plan: _Plan, metric: str, handles: dict[str, Any], bounds: dict[str, Any]) -> None:
    """One result with its bounds."""
    from matplotlib.ticker import LogLocator

    summary, axis = plan.summary, plan.axis
    heights: list[float] = []
    positions: set[float] = set()
    for i, line in enumerate(plan.lines):
        points = [p for p in line.points if metric in p["metrics"]]
        if not points:
            continue
        colour, x = COLOURS[i], [p["factors"][axis] for p in points]
        middle, low, high = ([p["metrics"][metric][j] for p in points] for j in range(3))
        name = (line.name or "median over repetitions") + _slope(plan, metric, line)
        bounds["10 % to 90 %"] = panel.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        [handles[name]] = panel.plot(x, middle, color=colour)
        for lacking, marker in ((False, "o"), (True, "x")):
            chosen = [j for j, p in enumerate(points) if bool(p["missing"]) is lacking]
            panel.plot([x[j] for j in chosen], [middle[j] for j in chosen], marker, color=colour)
        heights += low + high
        positions |= set(x)
        for bound, dots in zip(summary.bounds.get(metric, []), _DOTS, strict=False):
            there = [p for p in points if bound in p["metrics"]]
            values = [p["metrics"][bound][0] for p in there]
            shade = "0.2" if len(plan.lines) == 1 else colour
            panel.plot([p["factors"][axis] for p in there], values, dots, color=shade, lw=1.2)
            bounds.setdefault(in_words(bound, summary.labels), panel.plot([], [], dots, color="0.2", lw=1.2)[0])
            heights += values
    if positions and min(positions) > 0 and max(positions) >= 4 * min(positions):
        panel.set_xscale("log")
        panel.set_xticks(sorted(positions)[:: -(-len(positions) // _MOST_TICKS)])
        panel.xaxis.set_major_formatter(lambda v, _: number(v))
        panel.minorticks_off()
    if heights and min(heights) > 0 and max(heights) >= 4 * min(heights):
        panel.set_yscale("log")
        if max(heights) < 300 * min(heights):  # a decade or two: 1, 2, 5 in each
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(lambda v, _: number(v))
        panel.minorticks_off()


def _slope(plan: _Plan, metric: str, line: Line) -> str:
    """The slope of a line, where it is asked for."""
    if not plan.slopes:
        return ""
    others = [f for f in plan.summary.factors if f != plan.axis]
    for s in plan.summary.slopes:
        if (s["axis"], s["metric"]) == (plan.axis, metric) and all(s["factors"][f] == line.factors[f] for f in others):
            return f": slope {decimals(s['slope'])} [{decimals(s['low'])}, {decimals(s['high'])}]"
    return ""
