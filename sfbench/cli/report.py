"""``sfbench report DIR``: an interactive page of a study's results.

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
    title: Annotated[str | None, typer.Option(help="title of the page")] = None,
    algorithm_version: Version = None,
    as_json: Json = False,
) -> None:
    """Write a self-contained page with claims, figures, bounds, costs and provenance; missing cells are marked."""
    from ..experiments import Journal, store_path
    from ..experiments.errors import StudyError
    from ..experiments.report import read_claims, summarise, write_page
    from ..experiments.report.tables import load_table

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
    record = {"page": str(page), "studies": [{"study": t.study.name, "rows": len(t.rows)} for t in tables]}
    said = f"{page}: {', '.join(f'{table.study.name} ({table.caption()})' for table in tables)}"
    print(json.dumps(record) if as_json else said)


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
