"""``sfbench report DIR``: an interactive page of a study's results, and figures for papers.

The study engine is imported when the command runs, so that help does not wait for it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Json, Store, Study, Version

if TYPE_CHECKING:
    from ..experiments import Journal
    from ..experiments.report.tables import StudyTable


def report_command(
    folder: Store,
    study: Study = None,
    out: Annotated[Path | None, typer.Option(help="the page [default: FOLDER/report.html]")] = None,
    figures: Annotated[list[str] | None, typer.Option(help="figures for papers beside the page: pdf, png, svg")] = None,
    only: Annotated[list[str] | None, typer.Option(help="figures of these results only; repeat")] = None,
    single: Annotated[bool, typer.Option("--single", help="one panel a figure, with slopes")] = False,
    size: Annotated[str, typer.Option(help="width x height of a panel in inches")] = "2.9x2.4",
    style: Annotated[str | None, typer.Option(help="a style of matplotlib, or a style file")] = None,
    title: Annotated[str | None, typer.Option(help="title of the page")] = None,
    algorithm_version: Version = None,
    as_json: Json = False,
) -> None:
    """Write a self-contained page with figures, slopes, bounds, costs and provenance; missing cells are marked."""
    from ..experiments import Journal, store_path
    from ..experiments.errors import StudyError
    from ..experiments.report import draw_figures, read_claims, summarise, write_page
    from ..experiments.report.tables import load_table

    if unknown := [kind for kind in figures or [] if kind not in ("pdf", "png", "svg")]:
        raise ValueError(f"--figures takes pdf, png or svg, got {unknown[0]!r}")
    inches = _size(size)
    path = store_path(folder)
    with Journal(path) as journal:
        names = study or [s.name for s in journal.studies()]
        tables = [load_table(journal, name, algorithm_version) for name in names]
        provenance = _provenance(journal, tables)
    if not any(table.rows for table in tables):
        raise StudyError(f"{str(path)!r} holds no results yet; go on with: sfbench study resume {folder}")
    summaries = [summarise(table) for table in tables if table.rows]
    summaries.sort(key=lambda summary: (not summary.bounds, -len(summary.metrics)))  # the fullest study comes first
    page = out or path.parent / "report.html"
    if not page.parent.is_dir():
        raise ValueError(f"--out: no folder {str(page.parent)!r}")
    write_page(page, summaries, provenance, title or f"Study {path.parent.resolve().name}", read_claims(path.parent))
    drawn: list[Path] = []
    if figures:
        look: dict[str, Any] = {"only": only or [], "single": single, "size": inches, "style": style}
        drawn = draw_figures(summaries, page.parent / "figures", figures, **look, shown=not as_json)
    if as_json:
        studies = [{"study": table.study.name, "rows": len(table.rows)} for table in tables]
        print(json.dumps({"page": str(page), "studies": studies, "figures": [str(one) for one in drawn]}))
        return
    print(f"{page}: {', '.join(f'{table.study.name} ({table.caption()})' for table in tables)}")
    if figures:
        print(f"{len(drawn)} figures in {page.parent / 'figures'}")


def _size(text: str) -> tuple[float, float]:
    try:
        width, height = (float(part) for part in text.split("x"))
    except ValueError:
        width = height = 0.0
    if not (0.5 <= width <= 40.0 and 0.5 <= height <= 40.0):
        raise ValueError(f"--size takes WIDTHxHEIGHT in inches, from 0.5 to 40, such as 2.9x2.4, got {text!r}")
    return width, height


def _provenance(journal: "Journal", tables: "list[StudyTable]") -> dict[str, Any]:
    from ..experiments.store.compare import digest

    return {
        "results": {
            "store": journal.path.name,
            "digest": digest(journal),
            "studies": {t.study.name: f"{t.study.function}, version {t.study.version}" for t in tables},
        },
        "environments": journal.environments(),
        "runs": [{k: v for k, v in run.items() if k not in ("versions", "blas")} for run in journal.runs()],
    }
