"""Command line: ``sfbench solvers | problems | fuse | doctor``, each with ``--json``.

Every error of the library is one line on standard error and exit code 2, never a traceback.
"""

import json
import sys
from typing import Annotated, Any

import numpy as np
import typer

from solvers import available_solvers, known_solvers
from synthetic import EffectiveSampleSizeError, IntractableError, known_problems, make_problem

from . import __version__, bounds
from .cli_sample import sample_command
from .fusion import fuse
from .grids import time_grid
from .metrics import kl_divergence, total_variation
from .population import population_gram
from .processes import ForwardProcess, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving

app = typer.Typer(
    help="Fuse score models through Kullback-Leibler barycenters.", no_args_is_help=True, add_completion=False
)
_PROCESSES: dict[str, type[ForwardProcess]] = {
    "ornstein_uhlenbeck": OrnsteinUhlenbeck,
    "variance_preserving": VariancePreserving,
    "variance_exploding": VarianceExploding,
}
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]


def _print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@app.command()
def solvers(as_json: Json = False) -> None:
    """List the solver backends and whether each can be used here."""
    usable = set(available_solvers())
    listed = [{"name": name, "available": name in usable} for name in known_solvers()]
    if as_json:
        print(json.dumps(listed))
        return
    _print_table(
        "Solvers", ["name", "available"], [[str(r["name"]), "yes" if r["available"] else "no"] for r in listed]
    )


@app.command()
def problems(as_json: Json = False) -> None:
    """List the problem families."""
    known = known_problems()
    if as_json:
        print(json.dumps(known))
        return
    _print_table("Problems", ["name", "description"], [[name, text] for name, text in known.items()])


@app.command(name="fuse")
def fuse_command(
    problem: Annotated[str, typer.Option(help="problem family")] = "shifted_gaussians",
    n: Annotated[int, typer.Option(help="target samples")] = 1024,
    solver: Annotated[str, typer.Option(help="solver backend")] = "auto",
    estimator: Annotated[str, typer.Option(help="antithetic, dsm or stein")] = "antithetic",
    process: Annotated[str, typer.Option(help="ornstein_uhlenbeck, variance_preserving or variance_exploding")] = (
        "ornstein_uhlenbeck"
    ),
    t_min: Annotated[float, typer.Option(help="start of the time window")] = 1e-3,
    t_max: Annotated[float | None, typer.Option(help="end of the time window [default: the process's horizon]")] = None,
    param: Annotated[list[str] | None, typer.Option(help="problem parameter as name=value; repeat")] = None,
    seed: Annotated[int, typer.Option(help="seed of problem, data and noise")] = 0,
    as_json: Json = False,
) -> None:
    """Fit fusion weights on samples of a named problem and compare them with the truth."""
    if process not in _PROCESSES:
        raise ValueError(f"unknown process {process!r}; use one of {', '.join(_PROCESSES)}")
    chosen = _PROCESSES[process]()
    built = make_problem(problem, rng=seed, **_parameters(param or []))
    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    data_rng, noise_rng = np.random.default_rng(seed).spawn(2)
    x = built.target.sample(n, rng=data_rng)
    settings: dict[str, Any] = {"t_min": t_min, "t_max": t_max, "estimator": estimator, "solver": solver}
    result = fuse(built.auxiliaries, x, process=chosen, rng=noise_rng, **settings)
    record: dict[str, Any] = {
        "problem": repr(built),
        "n": n,
        "weights": result.weights.tolist(),
        "intervals_90": result.confidence_interval(0.9).tolist(),
        "true_weights": None if built.true_weights is None else built.true_weights.tolist(),
        "gap": result.solver.gap,
        "solver": result.solver.solver,
        "warnings": list(result.warnings),
    }
    fused = built.barycenter(result.weights)
    for name, metric in (("tv_barycenter_to_target", total_variation), ("kl_target_to_barycenter", kl_divergence)):
        try:
            estimate = metric(built.target, fused)
            record[name] = {"value": estimate.value, "stderr": estimate.stderr, "method": estimate.method}
        except (EffectiveSampleSizeError, IntractableError) as error:
            record[name] = {"unavailable": str(error)}
    record |= _truth(built, result.weights, chosen, t_min, t_max)
    if as_json:
        print(json.dumps(record))
        return
    _print_fusion(record)


def _parameters(pairs: list[str]) -> dict[str, Any]:
    """Parse ``name=value`` pairs; values are JSON where they parse as JSON, else text."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--param takes name=value, got {pair!r}")
        try:
            parameters[name] = json.loads(text)
        except json.JSONDecodeError:
            parameters[name] = text
    return parameters


def _truth(built: Any, weights: Any, process: ForwardProcess, t_min: float, t_max: float | None) -> dict[str, Any]:
    """Population optimum and the certificate of the run, where the problem's population statistics are known."""
    final = process.horizon if t_max is None else t_max
    try:
        population = population_gram(built, process=process, grid=time_grid(t_min, final, 32))
        if population.c is None:
            return {}
        mismatch = bounds.prior_mismatch(built.target, process, final)
        certificate = bounds.instance_certificate(population.value(weights), mismatch)
    except ValueError:  # not known for this problem
        return {}
    tv = bounds.total_variation_certificate(certificate)
    return {"certificate_kl_target_to_fused": certificate.value, "certificate_tv_target_to_fused": tv.value}


def _print_fusion(record: dict[str, Any]) -> None:
    true = record["true_weights"]
    rows = [
        [str(i), f"{w:.4f}", f"[{low:.4f}, {high:.4f}]", "-" if true is None else f"{true[i]:.4f}"]
        for i, (w, (low, high)) in enumerate(zip(record["weights"], record["intervals_90"], strict=True))
    ]
    title = f"{record['problem']}, n = {record['n']}"
    _print_table(title, ["auxiliary", "weight", "90 % interval", "weight of the target"], rows)
    lines = [["certified gap", f"{record['gap']:.2e} ({record['solver']})"]]
    labels = {
        "tv_barycenter_to_target": "TV(target, barycenter p_w)",
        "kl_target_to_barycenter": "KL(target || barycenter p_w)",
    }
    for key, label in labels.items():
        entry = record[key]
        if "unavailable" in entry:
            lines.append([label, entry["unavailable"]])
        else:
            error = f" +- {entry['stderr']:.1e}" if entry["stderr"] else ""
            lines.append([label, f"{entry['value']:.6f}{error} ({entry['method']})"])
    if "certificate_kl_target_to_fused" in record:
        lines.append(
            ["certificate: KL(target at t_min || fused law) <=", f"{record['certificate_kl_target_to_fused']:.6f}"]
        )
        lines.append(
            ["certificate: TV(target at t_min, fused law) <=", f"{record['certificate_tv_target_to_fused']:.6f}"]
        )
    lines += [["warning", text] for text in record["warnings"]]
    _print_table("Against the truth", ["quantity", "value"], lines)


app.command("sample")(sample_command)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation: versions, optional backends, shadowed packages, floating point."""
    from pathlib import Path

    import solvers as solvers_package
    import synthetic as synthetic_package

    from .files import provenance

    home = Path(__file__).resolve().parent.parent
    places = {"solvers": solvers_package.__file__, "synthetic": synthetic_package.__file__}
    shadowed = {name: place for name, place in places.items() if Path(place or "").resolve().parent.parent != home}
    usable = set(available_solvers())
    missing = [name for name in known_solvers() if name not in usable]
    report = provenance() | {"sfbench": __version__, "shadowed": shadowed, "missing_solvers": missing}
    report["healthy"] = not shadowed
    if as_json:
        print(json.dumps(report))
    else:
        rows = [[name, str(value)] for name, value in report["versions"].items()]
        rows += [["BLAS", ", ".join(f"{b['internal_api']} {b['architecture']}" for b in report["blas"]) or "unknown"]]
        rows += [["solvers missing", ", ".join(missing) or "none"]]
        for name, place in shadowed.items():
            rows += [[f"package {name!r} shadowed by", f"{place}; use a virtual environment of its own"]]
        rows += [["healthy", "yes" if report["healthy"] else "no"]]
        _print_table("sfbench doctor", ["what", "value"], rows)
    if shadowed:
        raise typer.Exit(1)


def main(argv: list[str] | None = None) -> int:
    """Entry point: library errors become one line and exit code 2."""
    try:
        code = app(args=argv, standalone_mode=False)
    except (ValueError, ArithmeticError, ImportError, OSError) as error:
        print(f"sfbench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sfbench: interrupted", file=sys.stderr)
        return 130
    except typer.Exit as error:
        return int(error.exit_code)
    except Exception as error:  # usage errors of the command-line library carry their own text
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "format_message"):
            print(f"sfbench: {error.format_message()}", file=sys.stderr)
            return 2
        raise
    return int(code or 0)


if __name__ == "__main__":
    raise SystemExit(main())
