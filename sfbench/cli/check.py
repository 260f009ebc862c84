"""``sfbench check``: fit named problems and hold every bound against the exact truth."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthetic import known_problems

from .common import Json, build_problem, print_table

if TYPE_CHECKING:
    from ..bounds.checks import CheckedBound


def check_command(
    problem: Annotated[list[str] | None, typer.Option(help="problem family; repeat [default: all]")] = None,
    n: Annotated[int, typer.Option(help="target samples")] = 1024,
    solver: Annotated[str, typer.Option(help="solver backend")] = "auto",
    param: Annotated[list[str] | None, typer.Option(help="parameter of the one problem as name=value; repeat")] = None,
    seed: Annotated[int, typer.Option(help="seed of problem, data and noise")] = 0,
    as_json: Json = False,
) -> None:
    """Fit each problem's weights and check every bound; exit code 1 if one that must hold is violated."""
    from ..bounds.checks import check_bounds

    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    names = problem or list(known_problems())
    if param and len(names) != 1:
        raise ValueError(f"--param needs exactly one --problem, got {len(names)} problems")
    built = [build_problem(name, param or [], seed) for name in names]  # unknown names are refused before any work
    records = []
    for name, item in zip(names, built, strict=True):
        result, rows = check_bounds(item, n=n, solver=solver, seed=seed)
        records.append(
            {"problem": name, "parameters": repr(item), "n": n, "seed": seed, "weights": result.weights.tolist()}
            | {"bounds": [_record(row) for row in rows], "violated": any(row.violated for row in rows)}
        )
    violated = [record["problem"] for record in records if record["violated"]]
    if as_json:
        print(json.dumps(records))
    else:
        _print(records)
        print(f"violated: {', '.join(map(str, violated))}" if violated else "every bound that must hold does")
    if violated:
        raise typer.Exit(1)


def _record(row: "CheckedBound") -> dict[str, Any]:
    if row.check is None:
        return {"quantity": row.quantity, "unavailable": row.reason}
    observed, bound = row.check.observed, row.check.bound
    return {
        "quantity": row.quantity,
        "observed": observed.value,
        "stderr": observed.stderr,
        "method": observed.method,
        "bound": bound.value,
        "ratio": observed.value / bound.value if bound.value > 0 else None,
        "holds": row.check.holds,
        "asserted": row.asserted,
        "guarantee": bound.guarantee,
        "label": bound.label,
        "assumptions": list(bound.assumptions),
    }


def _print(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        for i, entry in enumerate(record["bounds"]):
            name = record["problem"] if i == 0 else ""
            if "unavailable" in entry:
                rows.append([name, entry["quantity"], "-", "-", "-", "-", entry["unavailable"]])
                continue
            error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
            ratio = "-" if entry["ratio"] is None else f"{entry['ratio']:.3f}"
            holds = ("yes" if entry["holds"] else "NO") if entry["asserted"] else "not asserted"
            guarantee = f"{entry['guarantee']}: {entry['label']}"
            rows.append([name, entry["quantity"], f"{entry['observed']:.4g}{error}", f"{entry['bound']:.4g}", ratio])
            rows[-1] += [holds, guarantee]
    title = f"Bounds against the exact truth, n = {records[0]['n']}, seed {records[0]['seed']}"
    print_table(title, ["problem", "quantity", "observed", "bound", "ratio", "holds", "guarantee"], rows)
