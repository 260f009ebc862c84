"""The commands: ``sfbench solvers | problems | fuse | sample | compare | check | study | report | ...``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .check import check_command
from .common import PARTS, Json, Module, as_parameter, known, show
from .compare import compare_command
from .data import data_app
from .diffusers import diffusers_app
from .fuse import fuse_command
from .report import report_command
from .sample import sample_command
from .study import study_app
from .truths import score_command, truths_app

app = typer.Typer(
    help="Fuse score models through Kullback-Leibler barycenters.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"sfbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


@app.command()
def solvers(as_json: Json = False) -> None:
    """List the solver backends, whether each can be used here, and what objective it needs."""
    from solvers import available_solvers, describe_solver, known_solvers

    usable = set(available_solvers())
    about = {name: describe_solver(name) for name in known_solvers()}
    columns = ["name", "available", "objective", "about"]
    record = [dict(zip(columns, (name, name in usable, *words), strict=True)) for name, words in about.items()]
    rows = [[name, "yes" if name in usable else "no", *words] for name, words in about.items()]
    show(as_json, record, "Solvers", columns, rows)


@app.command()
def problems(module: Module = None, as_json: Json = False) -> None:
    """List the problem families with their parameters, each at its default."""
    from synthetic import known_problems, problem_parameters

    families: dict[str, Any] = {
        name: {"description": text, "parameters": problem_parameters(name)} for name, text in known_problems().items()
    }
    rows = [
        [name, " ".join(f"{k}={as_parameter(v)}" for k, v in about["parameters"].items()), about["description"]]
        for name, about in families.items()
    ]
    columns = ["name", "parameters", "description"]
    show(as_json, families, "Problems, with what --param sets and its default", columns, rows)


@app.command()
def names(
    kind: Annotated[str | None, typer.Argument(help=", ".join(PARTS), show_default=False)] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """List what can be named: built in, of other distributions, or of a module of yours."""
    if kind is not None and kind not in PARTS:
        raise ValueError(f"KIND is one of {', '.join(PARTS)}, got {kind!r}")
    found = {one: known(one) for one in ([kind] if kind else PARTS)}
    show(as_json, found, "Names", ["kind", "names"], [[one, ", ".join(all_)] for one, all_ in found.items()])


app.command("fuse")(fuse_command)
app.command("check")(check_command)
app.command("sample")(sample_command)
app.command("compare")(compare_command)
app.add_typer(study_app, name="study")
app.add_typer(data_app, name="data")
app.add_typer(diffusers_app, name="diffusers")
app.add_typer(truths_app, name="truths")
app.command("score")(score_command)
app.command("report")(report_command)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation: versions, optional backends, BLAS, shadowed packages."""
    from sfbench._internal import sentinel
    from solvers import available_solvers, known_solvers

    from .. import __version__
    from ..files import provenance

    checkout = (Path(__file__).resolve().parents[2] / "benchmarks").is_dir()
    shadowed = sentinel.shadowed((*sentinel.OWN_PACKAGES, *(["benchmarks"] if checkout else [])))
    usable = set(available_solvers())
    missing = [name for name in known_solvers() if name not in usable]
    report = provenance() | {"sfbench": __version__, "shadowed": shadowed, "missing_solvers": missing}
    report["healthy"] = not shadowed
    rows = [[name, str(value)] for name, value in report["versions"].items()]
    rows += [["BLAS", ", ".join(f"{b['internal_api']} {b['architecture']}" for b in report["blas"]) or "unknown"]]
    rows += [["solvers missing", ", ".join(missing) or "none"]]
    rows += [["shadowed", sentinel.explain(name, place)] for name, place in shadowed.items()]
    rows += [["healthy", "yes" if report["healthy"] else "no"]]
    show(as_json, report, "sfbench doctor", ["what", "value"], rows)
    if shadowed:
        raise typer.Exit(1)


command = typer.main.get_command(app)  # made once, however often it is called
