"""Ranks and pages from the rows of a leaderboard: Markdown, one static HTML page, one figure.

A method is ranked within a budget by the shifted geometric mean over problems of the total variation from its points to
the target, ``exp(mean log(TV + 0.01)) - 0.01``, after averaging over seeds. A run that failed, did not fit its budget
or was not applicable counts as 1. The range is that of the means of single seeds.
"""

import html
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfbench.files import write_atomically

from ..common.figures import draw
from ..common.study import Row

SHIFT = 0.01
LETTERS = {"fused": "F", "barycenter": "B", "mixture": "M", "target": "T"}
LETTERS |= {f"near {law}": letter.lower() for law, letter in LETTERS.items()} | {"neither": "-", "cannot tell": "?"}
_LEGEND = (
    "TV to the target and the law reached: F fused, B barycenter, M mixture, T target (small letters: within 0.1 of "
    "it), - none of them, ? several are possible."
)
HEADER = [
    "rank",
    "method",
    "TV",
    "over seeds",
    "evaluations",
    "CPU s",
    "log Z error",
    "law reached",
    "failed",
    "not applicable",
]


_MADE = ["rows of", "measured by", "at revision"]


def shifted_mean(values: Iterable[float]) -> float:
    """``exp(mean log(v + 0.01)) - 0.01``."""
    return float(np.exp(np.mean(np.log(np.array(list(values)) + SHIFT))) - SHIFT)


def tv_of(row: Row) -> float:
    """Total variation to the target; 1 for a run that has none."""
    return float(row["tv"]) if row["status"] == "ok" else 1.0


def ranking(rows: Sequence[Row], budget: int) -> list[list[str]]:
    """Cells of the table of one budget, the best method first."""
    chosen = [row for row in rows if row["budget"] == budget]
    problems = sorted({row["problem"] for row in chosen})
    ranked = []
    for method in dict.fromkeys(row["method"] for row in chosen):
        own = [row for row in chosen if row["method"] == method]
        by_problem = {p: [tv_of(row) for row in own if row["problem"] == p] or [1.0] for p in problems}
        mean = shifted_mean(float(np.mean(values)) for values in by_problem.values())
        seeds = sorted({row["seed"] for row in own})
        single = [
            shifted_mean(next((tv_of(r) for r in own if (r["problem"], r["seed"]) == (p, s)), 1.0) for p in problems)
            for s in seeds
        ]
        ranked.append((mean, method, min(single), max(single), own))
    ranked.sort(key=lambda item: item[:2])
    return [[str(i + 1), *_cells(*item)] for i, item in enumerate(ranked)]


def _cells(mean: float, method: str, low: float, high: float, own: list[Row]) -> list[str]:
    done = [row for row in own if row["status"] == "ok"]
    laws = Counter(row["law"] for row in done)
    status = Counter(row["status"] for row in own)
    mark = " (submitted)" if any(row.get("submitted") for row in own) else ""
    return [
        method + mark,
        f"{mean:.4f}",
        f"{low:.4f} to {high:.4f}",
        _median([row["evaluations"] for row in done], "{:.0f}"),
        _median([row.get("cpu_s") for row in done], "{:.2f}"),
        _median([abs(row["log_z_error"]) for row in done if row["log_z_error"] is not None], "{:.3f}"),
        ", ".join(f"{law} {count}" for law, count in laws.most_common()),
        str(status["failed"] + status["budget"]),
        str(status["not applicable"]),
    ]


def by_problem(rows: Sequence[Row], budget: int, methods: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Mean TV to the target of every method on every problem, with letters of the laws reached."""
    chosen = [row for row in rows if row["budget"] == budget]
    problems = list(dict.fromkeys(row["problem"] for row in chosen))
    table = []
    for problem in problems:
        cells = [problem]
        for method in methods:
            own = [row for row in chosen if (row["problem"], row["method"]) == (problem, method)]
            done = [row for row in own if row["status"] == "ok"]
            letters = "".join(sorted({LETTERS[row["law"]] for row in done}))
            if done and len(done) == len(own):
                cells.append(f"{np.mean([row['tv'] for row in done]):.3f} {letters}")
            else:
                cells.append(own[0]["status"] if own else "")
        table.append(cells)
    return ["problem", *methods], table


def sections(rows: Sequence[Row], about: dict[str, Any]) -> list[tuple[str, str, list[str], list[list[str]]]]:
    """Title, words, header and cells of every table, the largest budget first."""
    found = []
    for budget in sorted({row["budget"] for row in rows}, reverse=True):
        ranks = ranking(rows, budget)
        words = f"At most {budget} evaluations of one model for each point, weights included. {about['words']}"
        found.append((f"{budget} evaluations a point", words, HEADER, ranks))
        names = [cells[1].removesuffix(" (submitted)") for cells in ranks]
        header, cells = by_problem(rows, budget, names)
        found.append((f"By problem, {budget} evaluations a point", _LEGEND, header, cells))
    return found


def write_pages(folder: Path, rows: Sequence[Row], about: dict[str, Any]) -> list[Path]:
    """Write ``leaderboard.md``, ``leaderboard.html`` and the figure; returns their paths."""
    parts = sections(rows, about)
    markdown, page = [f"# {about['title']}", ""], [f"<h1>{html.escape(about['title'])}</h1>"]
    made = [[", ".join(run["methods"]), run["command"], str(run["revision"])] for run in about["runs"]]
    markdown += [_line(_MADE), _line("---" for _ in _MADE), *(_line([a, f"`{b}`", c]) for a, b, c in made), ""]
    page += [_html_table(_MADE, made)]
    for title, words, header, cells in parts:
        markdown += [f"## {title}", "", words, "", _line(header), _line("---" for _ in header), *map(_line, cells), ""]
        page += [f"<h2>{html.escape(title)}</h2><p>{html.escape(words)}</p>", _html_table(header, cells)]
    paths = {"leaderboard.md": "\n".join(markdown), "leaderboard.html": _PAGE.format("\n".join(page))}
    for name, text in paths.items():
        write_atomically(folder / name, _writer(text))
    return [*(folder / name for name in paths), *draw(folder, lambda: {"leaderboard": _figure(rows)})]


def _writer(text: str) -> Callable[[Any], object]:
    return lambda f: f.write(text)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _html_table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _median(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(statistics.median(known)) if known else "-"


def _figure(rows: Sequence[Row]) -> Any:
    import matplotlib.pyplot as plt

    budget = max(row["budget"] for row in rows)
    methods = [cells[1].removesuffix(" (submitted)") for cells in ranking(rows, budget)]
    chosen = [row for row in rows if row["budget"] == budget]
    problems = list(dict.fromkeys(row["problem"] for row in chosen))
    values, texts = np.full((len(methods), len(problems)), np.nan), {}
    for i, method in enumerate(methods):
        for j, problem in enumerate(problems):
            done = [r for r in chosen if (r["method"], r["problem"], r["status"]) == (method, problem, "ok")]
            if done:
                values[i, j] = np.mean([row["tv"] for row in done])
                texts[i, j] = f"{values[i, j]:.2f} {''.join(sorted({LETTERS[row['law']] for row in done}))}"
    figure, axes = plt.subplots(figsize=(1.6 + 0.95 * len(problems), 0.9 + 0.32 * len(methods)))
    image = axes.imshow(values, vmin=0.0, vmax=0.6, cmap="viridis_r", aspect="auto")
    axes.set_xticks(range(len(problems)), problems, rotation=35, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    axes.grid(False)
    for (i, j), text in texts.items():
        axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if values[i, j] > 0.3 else "black")
    figure.colorbar(image, ax=axes, label=f"TV to the target, {budget} evaluations a point", extend="max")
    return figure


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title><style>
body {{ font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap }}
</style></head><body>{}<p><img src="leaderboard.png" alt="TV to the target by method and problem"
style="max-width: 100%"></p></body></html>
"""
