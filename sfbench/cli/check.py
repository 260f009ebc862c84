"""``sfbench check``: fit named problems and hold every bound against the exact truth."""

import json
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    PROCESS,
    End,
    Estimator,
    Json,
    Module,
    Param,
    Process,
    Seed,
    Solver,
    Start,
    build_problem,
    named,
    on_terminal,
    print_table,
)

if TYPE_CHECKING:
    from ..bounds import CheckedBound


def check_command(
    problem: Annotated[list[str] | None, named("problems", "problem family; repeat (default: all)")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="target samples")] = 1024,
    solver: Solver = "auto",
    estimator: Estimator = "antithetic",
    process: Process = PROCESS,
    t_min: Start = 1e-3,
    t_max: End = None,
    param: Param = None,
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Fit each problem's weights and check every bound; exit code 1 if one that must hold is violated."""
    from synthetic import known_problems

    from ..bounds import check_bounds
    from ..bounds.checks import check_cost
    from ..errors import FitWarning
    from ..processes import make_process
    from ..progress import progress

    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    names = problem or list(known_problems())
    if param and len(names) != 1:
        raise ValueError(f"--param needs exactly one --problem, got {len(names)} problems")
    built = [build_problem(name, param or [], seed) for name in names]  # unknown names are refused before any work
    window: dict[str, Any] = {"process": make_process(process), "t_min": t_min, "t_max": t_max}
    records = []
    with progress(len(names), "problems checked", on_terminal()) as bar:
        cost = sum(check_cost(item.k, n, estimator=estimator, **window) for item in built)
        bar.say(f"about {cost:,} score evaluations, and exact laws where they are known")
        bar.advance(0, names[0])
        for i, (name, item) in enumerate(zip(names, built, strict=True), 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FitWarning)  # the record carries the same words
                result, rows = check_bounds(item, n=n, estimator=estimator, solver=solver, seed=seed, **window)
            records.append(
                {"problem": name, "parameters": repr(item), "n": n, "seed": seed, "weights": result.weights.tolist()}
                | {"process": process, "window": [t_min, t_max or result.process.horizon]}
                | {"bounds": [_record(row) for row in rows], "violated": any(row.violated for row in rows)}
                | {"warnings": list(result.warnings)}
            )
            bar.advance(note=names[i] if i < len(names) else "")
    violated = [record["problem"] for record in records if record["violated"]]
    if as_json:
        print(json.dumps(records))
    else:
        for record in records:
            _print(record)
        print(f"violated: {', '.join(map(str, violated))}" if violated else "every bound that must hold does")
    if violated:
        raise typer.Exit(1)


def _record(row: "CheckedBound") -> dict[str, Any]:
    checked = row.check
    observed, bound = (checked.observed, checked.bound) if checked is not None else (None, None)
    ratio = observed.value / bound.value if observed is not None and bound is not None and bound.value > 0 else None
    return {
        "quantity": row.quantity,
        "observed": getattr(observed, "value", None),
        "stderr": getattr(observed, "stderr", None),
        "method": getattr(observed, "method", None),
        "bound": getattr(bound, "value", None),
        "ratio": ratio,
        "holds": checked.holds if checked is not None else None,
        "asserted": row.asserted,
        "guarantee": getattr(bound, "guarantee", None),
        "label": getattr(bound, "label", None),
        "assumptions": list(getattr(bound, "assumptions", ())),
        "unavailable": row.reason if checked is None else None,
    }


def _print(record: dict[str, Any]) -> None:
    rows = []
    for entry in record["bounds"]:
        if entry["unavailable"] is not None:
            rows.append([entry["quantity"], "-", "-", "-", "-", entry["unavailable"]])
            continue
        error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
        ratio = "-" if entry["ratio"] is None else f"{entry['ratio']:.3f}"
        holds = ("yes" if entry["holds"] else "NO") if entry["asserted"] else "not asserted"
        rows.append([entry["quantity"], f"{entry['observed']:.4g}{error}", f"{entry['bound']:.4g}", ratio, holds])
        rows[-1] += [f"{entry['guarantee']}: {entry['label']}"]
    title = f"{record['parameters']}, n = {record['n']}, seed {record['seed']}"
    print_table(title, ["quantity", "observed", "bound", "ratio", "holds", "guarantee"], rows)
    from rich.console import Console

    console = Console()  # wraps on a terminal, where a table does
    for text in record["warnings"]:
        console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=not console.is_terminal)
