"""Command line: ``sfbench solvers | problems | fuse | check | sample | doctor``, each with ``--json``.

Every error is one line on standard error and exit code 2, never a traceback (``SFBENCH_TRACEBACK=1`` shows it).
"""

import json
import os
import sys
from pathlib import Path

import typer

from solvers import available_solvers, describe_solver, known_solvers
from synthetic import known_problems, problem_parameters

from .. import __version__, _sentinel
from .check import check_command
from .common import Json, as_parameter, print_table
from .data import data_app
from .fuse import fuse_command
from .report import report_command
from .sample import sample_command
from .study import study_app

app = typer.Typer(
    help="Fuse score models through Kullback-Leibler barycenters.", no_args_is_help=True, add_completion=False
)


@app.command()
def solvers(as_json: Json = False) -> None:
    """List the solver backends, whether each can be used here, and what objective it needs."""
    usable = set(available_solvers())
    about = {name: describe_solver(name) for name in known_solvers()}
    if as_json:
        rows = about.items()
        print(json.dumps([{"name": n, "available": n in usable, "objective": a, "about": b} for n, (a, b) in rows]))
        return
    cells = [[name, "yes" if name in usable else "no", *about[name]] for name in about]
    print_table("Solvers", ["name", "available", "objective", "about"], cells)


@app.command()
def problems(as_json: Json = False) -> None:
    """List the problem families with their parameters, each at its default."""
    known = known_problems()
    parameters = {name: problem_parameters(name) for name in known}
    if as_json:
        print(json.dumps({name: {"description": known[name], "parameters": parameters[name]} for name in known}))
        return
    rows = [
        [name, " ".join(f"{key}={as_parameter(value)}" for key, value in parameters[name].items()), text]
        for name, text in known.items()
    ]
    print_table("Problems, with what --param sets and its default", ["name", "parameters", "description"], rows)


app.command("fuse")(fuse_command)
app.command("check")(check_command)
app.command("sample")(sample_command)
app.add_typer(study_app, name="study")
app.add_typer(data_app, name="data")
app.command("report")(report_command)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation: versions, optional backends, BLAS, shadowed packages."""
    from ..files import provenance

    checkout = (Path(__file__).resolve().parents[2] / "benchmarks").is_dir()
    shadowed = _sentinel.shadowed((*_sentinel.OWN_PACKAGES, *(["benchmarks"] if checkout else [])))
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
            rows += [["shadowed", _sentinel.explain(name, place)]]
        rows += [["healthy", "yes" if report["healthy"] else "no"]]
        print_table("sfbench doctor", ["what", "value"], rows)
    if shadowed:
        raise typer.Exit(1)


def main(argv: list[str] | None = None) -> int:
    """Entry point: errors become one line and an exit code; 2 for bad input, 70 for faults of this program."""
    try:
        code = app(args=argv, standalone_mode=False)
    except typer.Exit as error:
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of our output has gone, and with it the place to say so
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except Exception as error:
        if os.environ.get("SFBENCH_TRACEBACK"):
            raise
        usage = type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "format_message")
        if usage:  # usage errors of the command-line library carry their own text
            return _failed(error.format_message(), 2)  # type: ignore[attr-defined]  # just checked
        if isinstance(error, (ValueError, ArithmeticError, ImportError, OSError)):
            return _failed(str(error), 2)
        if isinstance(error, MemoryError):
            return _failed(f"out of memory ({error}); ask for fewer samples or dimensions", 2)
        return _failed(f"internal error, please report it: {type(error).__name__}: {error} (SFBENCH_TRACEBACK=1)", 70)
    if code == 130:  # caught by the command-line library, without a word
        return _failed("interrupted", 130)
    return int(code or 0)


def _failed(message: str, code: int) -> int:
    if message:  # none where the command-line library has printed its help
        print("sfbench:", " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
