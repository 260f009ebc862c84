"""``sfbench data list | fetch NAME``: which data sets are here, and fetching one on request."""

import json
from typing import Annotated, Any

import typer

from .data import DataError, DataUnavailable, fetch_data, known_data
from .data.registry import find_files

data_app = typer.Typer(
    help="Data sets: list them, or fetch one through its registry's own client.", no_args_is_help=True
)
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]


@data_app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    rows: list[dict[str, Any]] = []
    for name, entry in known_data().items():
        try:
            place, state = find_files(entry)[1], "here"
        except DataUnavailable:
            place, state = "" if entry.archive is None else f"sfbench data fetch {name}", "missing"
        except DataError as error:
            place, state = str(error), "damaged"
        rows.append(
            {
                "name": name,
                "state": state,
                "where": place,
                "description": entry.description,
                "shape": list(entry.shape),
                "licence": entry.licence,
                "redistributable": entry.redistributable,
            }
        )
    if as_json:
        print(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "state", "where, or how to get it", "description", "licence", title="Data sets")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("name", "state", "where", "description", "licence")))
    Console().print(table)


@data_app.command("fetch")
def fetch_command(name: Annotated[str, typer.Argument(help="data set")], as_json: Json = False) -> None:
    """Fetch a data set into the cache, verified; does nothing if it is here."""
    place = str(fetch_data(name))
    print(json.dumps({"name": name, "where": place}) if as_json else f"{name}: {place}")
