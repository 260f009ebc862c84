"""``sfbench study status | resume | export | verify | diff | prune``: looking after a study's store.

Folders are those that a study was told to write to (``--out``). Exit codes: 0 well, 1 cells failed or results differ,
2 bad input, 3 out of time, 130 and 143 stopped by Ctrl-C or SIGTERM.

The study engine is imported by the commands that use it, so that help does not wait for it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Json, Store, Study, Version, print_table

if TYPE_CHECKING:
    from ..experiments import Journal

study_app = typer.Typer(help="Look after the results of a study.", no_args_is_help=True)


def _opened(folder: Path, mode: str = "read") -> "Journal":
    from ..experiments import Journal, store_path

    return Journal(store_path(folder), mode)


@study_app.command()
def status(folder: Store, study: Study = None, as_json: Json = False) -> None:
    """Cells done, failed and missing, and who is at work."""
    from ..experiments.running.resume import running_now, study_status

    with _opened(folder) as journal:
        found, runs, alive = study_status(journal, study), journal.runs(), running_now(journal)
    if as_json:
        last = runs[-1] if runs else None
        print(json.dumps({"studies": found, "running": len(alive), "last_run": last}))
        return
    _print_status(journal.path, found)
    for s in found:
        if s["last_error"]:
            print(f"{s['study']}: the first failed cell says: {s['last_error']}")
    if alive:
        print(f"{len(alive)} run(s) at work: {', '.join(str(run['pid']) for run in alive)}")
        return
    if any(s["missing"] for s in found):
        print(f"go on with: sfbench study resume {folder}")
    if any(s["failed"] for s in found):
        print(f"see why with: sfbench study failures {folder}")
        print(f"try failed cells again with: sfbench study resume {folder} --retry-failed")


def _print_status(path: Path, found: list[dict[str, Any]]) -> None:
    columns = ["study", "version", "cells", "done", "failed", "missing", "cell seconds", "other versions"]
    rows = []
    for s in found:
        others = ", ".join(f"{v}: {n}" for v, n in s["other_versions"].items())
        texts = [str(s[name]) for name in ("study", "version", "total", "done", "failed", "missing")]
        rows.append([*texts, f"{s['cell_seconds']:.1f}", others])
    print_table(str(path), columns, rows)


@study_app.command()
def failures(folder: Store, study: Study = None, as_json: Json = False) -> int:
    """Failed cells: specs, attempts, the last traceback of each; exit code 1 if there are any."""
    from ..experiments.canonical import printable
    from ..experiments.running.resume import study_failures

    with _opened(folder) as journal:
        found = study_failures(journal, study)
    code = 1 if found else 0
    if as_json:
        print(json.dumps(found))
        return code
    for i, failure in enumerate(found, 1):
        spec = ", ".join(f"{name}={json.dumps(value)}" for name, value in failure["spec"].items())
        print(f"{i}. {failure['study']}: {spec}\n   tried {failure['attempts']} time(s); the last says:")
        print("\n".join(f"   {line}" for line in printable(failure["traceback"]).strip().splitlines()))
    again = f"{len(found)} failed cells; try them again with: sfbench study resume {folder} --retry-failed"
    print(again if found else "no failed cells")
    return code


@study_app.command(name="resume")
def resume_command(
    folder: Store,
    study: Study = None,
    jobs: Annotated[int, typer.Option(help="worker processes")] = 2,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:port, or local")] = None,
    time_limit: Annotated[float | None, typer.Option(help="seconds after which no cell is started")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try cells again that failed")] = False,
    as_json: Json = False,
) -> int:
    """Compute the missing cells; results that are there stay as they are."""
    from ..experiments import RunSettings, store_path
    from ..experiments.running.resume import resume, study_status

    settings = RunSettings(n_jobs=jobs, scheduler=scheduler, time_limit=time_limit, retry_failed=retry_failed)
    path = store_path(folder)
    outcomes = resume(path, settings, study)
    code = max(outcome.exit_code for outcome in outcomes)
    if as_json:
        print(json.dumps([vars(outcome) | {"store": str(path), "missing": outcome.missing} for outcome in outcomes]))
        return code
    for outcome in outcomes:
        print(outcome.summary())
    if any(outcome.stopped for outcome in outcomes):
        with _opened(folder) as journal:  # what is left, of the studies too that were not begun
            _print_status(path, study_status(journal, study))
    return code


@study_app.command()
def export(
    folder: Store,
    study: Study = None,
    kind: Annotated[list[str] | None, typer.Option("--format", help="csv, jsonl or parquet; repeat")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write to [default: FOLDER/export]")] = None,
    algorithm_version: Version = None,
    as_json: Json = False,
) -> None:
    """Write the results as tables; missing cells are counted, never filled in."""
    from ..experiments.report.tables import load_table, write_tables

    with _opened(folder) as journal:
        tables = [load_table(journal, s.name, algorithm_version) for s in journal.studies(study)]
    files = list(write_tables(tables, out or journal.path.parent / "export", kind or ["csv"]))
    if as_json:
        print(json.dumps([{"path": str(p), "study": t.study.name, "rows": len(t.rows)} for p, t in files]))
        return
    for written, table in files:
        print(f"{written}: {len(table.rows)} rows, {table.caption()}")


@study_app.command(name="verify")
def verify_command(
    folder: Store,
    repaired: Annotated[
        bool, typer.Option("--repair", help="set a damaged store aside and save what is intact")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the structure of the store and the sha256 of every row; with --repair, save what is intact."""
    from ..experiments import repair, store_path, verify
    from ..experiments.errors import DamagedStoreError
    from ..experiments.store.compare import digest

    path = store_path(folder)
    try:
        rows = verify(path)
    except DamagedStoreError:
        if not repaired:
            raise
        if (saved := repair(path)) is not None:
            lost = "an unknown number of rows" if saved.lost is None else f"{saved.lost} damaged rows"
            print(f"kept {str(saved.aside)!r}, saved {saved.kept} intact rows, left out {lost}")
            print(f"go on with: sfbench study resume {folder}")
            return
        rows = verify(path)  # another process has repaired it by now
    with _opened(folder) as journal:
        number = digest(journal)
    if as_json:
        print(json.dumps({"rows": rows, "digest": number}))
        return
    print(f"{path}: {rows} rows intact\ndigest of the results {number}")


@study_app.command()
def diff(
    a: Store,
    b: Store,
    rtol: Annotated[float, typer.Option(help="relative tolerance; 0 asks for equal bits")] = 0.0,
    as_json: Json = False,
) -> int:
    """Compare the results of two runs cell by cell; exit code 1 if they differ."""
    from ..experiments.store.compare import compare

    if not 0.0 <= rtol < 1.0:
        raise ValueError(f"--rtol must be in [0, 1), got {rtol}")
    with _opened(a) as first, _opened(b) as second:
        found = compare(first, second, rtol=rtol)
    same = all(d["same"] for d in found)
    if as_json:
        for d in found:
            d["worst"] = {column: None if gap == float("inf") else gap for column, gap in d["worst"].items()}
        print(json.dumps({"same": same, "studies": found}))
        return 0 if same else 1
    rows = []
    for d in found:
        counts = [str(d[name]) for name in ("equal", "differing", "only_a", "only_b")]
        worst = ", ".join(f"{column} {gap:.1e}" for column, gap in sorted(d["worst"].items()))
        rows.append([d["study"], " / ".join(d["versions"]), *counts, worst])
    columns = ["study", "versions", "equal", "differing", "only in A", "only in B", "largest relative differences"]
    print_table(f"A = {a}, B = {b}, rtol {rtol:g}", columns, rows)
    for d in found:
        if d["example"]:
            print(f"{d['study']}: the first differing cell is {d['example']}")
    print("the results are the same" if same else "the results differ")
    return 0 if same else 1


@study_app.command()
def prune(folder: Store, study: Study = None, as_json: Json = False) -> None:
    """Remove results of algorithm versions, record schemas and dtypes other than the study's own."""
    removed: list[dict[str, Any]] = []
    with _opened(folder, "write") as journal:
        for known in journal.studies(study):
            stale = journal.stale(known.function)
            journal.drop(stale)
            counts = Counter(stale.values())
            removed += [{"study": known.name, "version": v, "results": counts[v]} for v in sorted(counts)]
            for version in () if as_json else sorted(counts):
                other = " with another schema or dtype" if version == known.version else ""
                print(f"{known.name}: removed {counts[version]} results of version {version}{other}")
    if as_json:
        print(json.dumps(removed))
