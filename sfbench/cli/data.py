"""``sfbench data list | fetch NAME``: which data sets are here, and fetching one on request."""

import json
from typing import Annotated, Any

import typer

from .common import Json, show

data_app = typer.Typer(
    help="Data sets: list them, or fetch one through its registry's own client.", no_args_is_help=True
)


@data_app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the data sets and whether they are on this machine."""
    from ..data import DataError, DataUnavailable, known_data
    from ..data.places import find_files, missing_module

    rows: list[dict[str, Any]] = []
    for name, entry in known_data().items():
        try:
            place, state = find_files(entry)[1], "here"
            absent = missing_module(entry)
            if absent is not None:
                place, state = f"pip install {absent.install}", "needs a module"
        except DataUnavailable:
            place, state = f"sfbench data fetch {name}", "missing"
            if not entry.archives and entry.installed is not None:
                place = f"pip install {entry.installed[0]}"
        except DataError as error:
            place, state = str(error), "damaged"
        row = {key: getattr(entry, key) for key in ("name", "kind", "description", "licence", "redistributable")}
        lists = {key: list(getattr(entry, key)) for key in ("shape", "splits", "classes", "groups")}
        rows.append(row | lists | {"state": state, "where": place})
    columns = ["name", "state", "description"]
    show(as_json, rows, "Data sets", columns, [[str(row[key]) for key in columns] for row in rows])
    for row in () if as_json else rows:
        if row["state"] != "here":
            print(f"{row['name']}: {row['where']}")


@data_app.command("fetch")
def fetch_command(
    names: Annotated[list[str], typer.Argument(help="data sets", metavar="NAME...")], as_json: Json = False
) -> None:
    """Fetch data sets into the cache, verified; does nothing for those that are here."""
    from ..data import data_entry, fetch_data

    for name in names:
        data_entry(name)  # an unknown name is refused before anything is fetched
    rows = []
    for name in names:
        rows.append({"name": name, "where": str(fetch_data(name))})
        if not as_json:  # as each is here
            print(f"{name}: {rows[-1]['where']}")
    if as_json:
        print(json.dumps(rows))
