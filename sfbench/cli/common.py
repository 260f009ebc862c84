"""What the commands share: their options, problem parameters, parts by name, output folders, and tables.

Nothing heavy is imported here: help and completion must not wait.
"""

import ast
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from synthetic import SyntheticProblem

PARTS = {
    "problems": "synthetic:known_problems",
    "processes": "sfbench.processes:known_processes",
    "estimators": "sfbench.statistics.estimators:known_estimators",
    "solvers": "solvers:known_solvers",
    "samplers": "sfbench.sampling:known_samplers",
    "integrators": "sfbench.sampling:known_integrators",
    "metrics": "sfbench.metrics:known_metrics",
    "bounds": "sfbench.bounds:known_bounds",
    "methods": "sfbench.methods:known_methods",
    "architectures": "sfbench.nets:known_architectures",
    "truths": "sfbench.truths:known_truths",
}


def known(kind: str) -> list[str]:
    """Names of all parts of a kind: built in, loaded by ``--module``, or of other distributions."""
    module, _, function = PARTS[kind].partition(":")
    return list(getattr(import_module(module), function)())


def completed(*kinds: str) -> Callable[[str], list[str]]:
    """Names of parts of these kinds, for the shell's completion."""
    return lambda incomplete: [name for kind in kinds for name in known(kind) if name.startswith(incomplete)]


def named(kind: str, text: str) -> typer.models.OptionInfo:
    """An option whose value is the name of a part, completed by the shell."""
    kinds = ("samplers", "integrators") if kind == "samplers" else (kind,)
    option: typer.models.OptionInfo = typer.Option(help=text, autocompletion=completed(*kinds))
    return option


def _load(modules: list[str] | None) -> list[str] | None:
    if modules:
        from synthetic import load_module

        for where in modules:
            load_module(where)
    return modules


Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Module = Annotated[
    list[str] | None,
    typer.Option("--module", help="module or file with parts of your own; repeat", callback=_load, is_eager=True),
]
Param = Annotated[list[str] | None, typer.Option("--param", help="parameter of the problem as name=value; repeat")]
Process = Annotated[str, named("processes", "forward process (see: sfbench names processes)")]
Estimator = Annotated[str, named("estimators", "how the target's score enters the fit")]
Solver = Annotated[str, named("solvers", "solver backend")]
Seed = Annotated[int, typer.Option(help="seed of problem, data and noise")]
Start = Annotated[float, typer.Option("--t-min", help="start of the time window")]
End = Annotated[float | None, typer.Option("--t-max", help="end of the time window (default: the process's horizon)")]
Study = Annotated[list[str] | None, typer.Option("--study", help="only this study of the store; repeat")]
Version = Annotated[str | None, typer.Option(help="results of this algorithm version (default: the only one)")]
Device = Annotated[str, typer.Option(help="torch device of checkpoints")]
Store = Annotated[Path, typer.Argument(help="folder of the study, or its .sqlite file", show_default=False)]

PROBLEM, PROCESS = "shifted_gaussians", "ornstein_uhlenbeck"


def build_problem(name: str, pairs: Sequence[str], seed: int) -> "SyntheticProblem":
    """The problem of a command: family, ``--param name=value`` pairs and seed."""
    from synthetic import make_problem

    if seed < 0:
        raise ValueError(f"--seed must be at least 0, got {seed}")
    given = parameters(pairs)
    for reserved in ("name", "rng"):
        if reserved in given:
            raise ValueError(f"--param takes parameters of the problem, not {reserved!r}; use --problem and --seed")
    return make_problem(name, rng=seed, **given)


def parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value`` pairs; values are JSON or Python numbers and lists of them, else words."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--param takes name=value, got {pair!r}")
        parsed[name] = _value(name, text)
    return parsed


def _value(name: str, text: str) -> Any:
    if text[:1].isalpha() and text not in ("true", "false", "null", "NaN", "Infinity"):
        return text
    for parse in (json.loads, ast.literal_eval):  # the second knows numbers such as 0.5
        try:
            found = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if parse is json.loads or isinstance(found, int | float | list | tuple):
            return found
    shown = repr(text) if len(text) <= 80 else f"{text[:40]!r}..."
    raise ValueError(f"--param {name} takes a number, a word or a list such as [0.5, 0.5], got {shown}")


def as_parameter(value: Any) -> str:
    """A value as ``--param`` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers separated by commas."""
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} takes numbers such as 0.4,0.6, separated by commas, got {text!r}") from None


def output_folder(folder: Path) -> Path:
    """A folder to write to, made if it is not there; what was made is said on standard error."""
    from ..files import prepare_folder

    new = not folder.is_dir()
    prepare_folder(folder)
    if new:
        print(f"sfbench: made the folder {str(folder)!r}", file=sys.stderr)
    return folder


def on_terminal() -> bool:
    """Whether a progress bar would be seen."""
    return sys.stderr.isatty()


def attempt(call: Callable[[], Any], *errors: type[Exception]) -> tuple[Any, str | None]:
    """What a call returns and None, or None and the reason why there is nothing."""
    try:
        return call(), None
    except errors as error:
        return None, str(error)


def show(as_json: bool, record: Any, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one JSON document, or a table of the same."""
    if as_json:
        print(json.dumps(record))
    else:
        print_table(title, columns, rows)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose cells wrap at the terminal's width; a pipe or a file gets each whole, on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as it is: brackets are not markup
    console = Console()
    if not console.is_terminal:
        widths = [3 + max(len(name), *(len(row[i]) for row in rows), 0) for i, name in enumerate(columns)]
        console = Console(width=max(80, 4 + sum(widths)))
    console.print(table)
