"""``sfbench truths list | show | draw | check`` and ``sfbench score``: exact truth by name, scores of any samples."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Json, Seed, completed, output_folder, show

truths_app = typer.Typer(help="Problems with certified truth.", no_args_is_help=True)


Name = Annotated[
    str, typer.Argument(help="name of the problem", show_default=False, autocompletion=completed("truths"))
]


@truths_app.command("list")
def list_command(
    group: Annotated[str | None, typer.Option(help="only those of a group, such as line or product")] = None,
    as_json: Json = False,
) -> None:
    """List the problems with what makes them hard."""
    from ..truths import certificate, known_truths

    records = [certificate(name) for name in known_truths(group)]
    rows = [
        [
            record["name"],
            record["group"],
            *(str(record["difficulty"][key]) for key in ("k", "rank")),
            str(record["dim"]),
            f"{record['log_z']:.4f}",
            f"{record['difficulty']['V'] or 0:.3g}",
            f"{record['total_variation']['fused, barycenter'][0]:.3f}",
            record["sha256"][:12],
        ]
        for record in records
    ]
    columns = ["name", "group", "k", "rank", "d", "log Z", "V", "TV(P_w, p_w)", "sha256"]
    show(as_json, records, "Problems with certified truth", columns, rows)


@truths_app.command("show")
def show_command(name: Name, as_json: Json = False) -> None:
    """Show what is certified about a problem."""
    from ..truths import certificate

    record = certificate(name)
    rows = []
    for key, value in _flat(record):
        shown = f"{value[0]} +- {value[1]}" if key.startswith("total_variation") else json.dumps(value)
        rows.append(["V: sum_i w_i E|s_i|^2 - E|s_w|^2" if key == "difficulty V" else key, shown])
    show(as_json, record, name, ["what", "value"], rows)


@truths_app.command("draw")
def draw_command(
    name: Name,
    law: Annotated[
        str, typer.Option(help="fused, barycenter, mixture, or target where that is another")
    ] = "barycenter",
    n: Annotated[int, typer.Option("--n", "-n", help="number of points")] = 5000,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help=".npy file to write")] = Path("draws.npy"),
    as_json: Json = False,
) -> None:
    """Write exact draws of one of the laws to a file."""
    import numpy as np

    from ..files import write_atomically
    from ..truths import get_truth

    if out.suffix != ".npy":
        raise ValueError(f"--out takes the name of an .npy file to write, got {str(out)!r}")
    output_folder(out.parent)
    points = get_truth(name).sample(law, n, rng=seed)
    write_atomically(out, lambda f: np.save(f, points), binary=True)
    record = {"problem": name, "law": law, "n": len(points), "seed": seed, "out": str(out)}
    print(json.dumps(record) if as_json else f"{n} points of the {law} law of {name!r}, seed {seed}: {out}")


@truths_app.command("check")
def check_certificates_command(
    names: Annotated[list[str] | None, typer.Argument(help="problems (default: all)", show_default=False)] = None,
    record: Annotated[Path | None, typer.Option(help="JSON file that keeps what each check found, and when")] = None,
    as_json: Json = False,
) -> None:
    """Compute certificates anew and compare with those that are kept; exit code 1 if one differs."""
    from ..truths import certificate, check_certificates, known_truths
    from ..truths.certifying import record_check

    if record is None:
        found = check_certificates(names)
    else:
        output_folder(record.parent)
        chosen = names or known_truths()
        for name in chosen:
            certificate(name)
        found = {name: record_check(record, name)["difference"] for name in chosen}
    said = "\n".join(f"{name}: {'agrees' if text is None else text}" for name, text in found.items())
    print(json.dumps(found) if as_json else said)
    if any(found.values()):
        raise typer.Exit(1)


def score_command(
    samples: Annotated[Path, typer.Argument(help=".npy, .npz or .csv file of points, a row each", show_default=False)],
    problem: Annotated[str, typer.Option(help="name of the problem (see: sfbench truths list)", show_default=False)],
    log_weights: Annotated[Path | None, typer.Option(help="file of log weights")] = None,
    log_z: Annotated[float | None, typer.Option(help="your estimate of log Z")] = None,
    log_z_error: Annotated[float, typer.Option(help="its standard error")] = 0.0,
    effective: Annotated[float | None, typer.Option(help="how many independent points they are worth")] = None,
    level: Annotated[float, typer.Option(help="largest chance of refusing the law they do follow")] = 0.01,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say which law of a problem samples follow, whoever drew them, and how far they are from each."""
    from ..truths import score_samples
    from .sources import load_points

    points, about = load_points(samples, "SAMPLES")
    logs: Any = None
    if log_weights is not None:
        logs = load_points(log_weights, "--log-weights", "log_weights")[0].squeeze()
    elif samples.suffix == ".npz":
        logs = _weights_beside(samples)
    given: dict[str, Any] = {"log_z": log_z, "log_z_error": log_z_error, "effective": effective, "level": level}
    found = score_samples(problem, points, log_weights=logs, rng=seed, **given)
    print(json.dumps(found.as_record() | {"samples": about}) if as_json else repr(found))


def _weights_beside(samples: Path) -> Any:
    """Log weights in the file of the points, as ``sfbench sample --out`` writes them."""
    import numpy as np

    with np.load(samples, allow_pickle=False) as arrays:
        return arrays["log_weights"] if "log_weights" in arrays.files else None


def _flat(record: dict[str, Any], place: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in record.items():
        name = f"{place} {key}".strip()
        rows += _flat(value, name) if isinstance(value, dict) and value else [(name, value)]
    return rows
