"""What the commands share: the ``--json`` flag, problem parameters, processes by name, and tables."""

import ast
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from synthetic import SyntheticProblem, make_problem

Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]


def build_problem(name: str, pairs: Sequence[str], seed: int) -> SyntheticProblem:
    """The problem of a command: family, ``--param name=value`` pairs and seed."""
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
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if text[:1].isalpha():
        return text
    try:
        found = ast.literal_eval(text)  # numbers such as .5, which JSON does not know
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, int | float | list | tuple):
        return found
    raise ValueError(f"--param {name} takes a number, a word or a list such as [0.5, 0.5], got {text!r}")


def as_parameter(value: Any) -> str:
    """A value as ``--param`` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; a pipe or a file gets every cell whole, on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    class Pipe(Console):
        """A console that leaves it to the command line what a reader that has gone means."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as it is: brackets are no markup
    console = Pipe()
    if not console.is_terminal:
        widths = [3 + max(len(name), *(len(row[i]) for row in rows), 0) for i, name in enumerate(columns)]
        console = Pipe(width=max(80, 4 + sum(widths)))
    console.print(table)
