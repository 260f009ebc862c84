"""Hourly temperatures of the days of 2010 in two cities, in degrees Fahrenheit, with the month of each day."""

import csv
import io

import numpy as np

from .entry import Archive, Arrays, DataSet, Files
from .errors import DataError

_CITIES = ("seattle", "sf")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _decode(files: Files, split: str) -> Arrays:
    parts = []
    for label, city in enumerate(_CITIES):
        days, months = whole_days(files[f"{city}-temps.csv"].decode(), city)
        parts.append((days, np.full(len(days), label), months - 1))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def whole_days(text: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Days of which all 24 hours are there once, (n, 24), and their months, (n,) in 1 ... 12.

    Parameters
    ----------
    text : str
        A table with the columns ``date`` ("2010/01/31 23:00") and ``temp``.
    name : str
        For messages.
    """
    found: dict[tuple[int, ...], dict[int, float]] = {}
    try:
        for row in csv.DictReader(io.StringIO(text)):
            day, clock = row["date"].split(" ")
            hours = found.setdefault(tuple(int(v) for v in day.split("/")), {})
            hour = int(clock.split(":")[0])
            hours[hour] = float("nan") if hour in hours else float(row["temp"])
    except (KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{name} is not a table of dates and temperatures: {error}") from None
    days = {
        day: [hours[h] for h in range(24)]
        for day, hours in sorted(found.items())
        if set(hours) == set(range(24)) and not np.isnan(list(hours.values())).any()
    }
    if not days:
        raise DataError(f"{name} holds no day of 24 hours")
    return np.array(list(days.values())), np.array([day[1] for day in days])


_MEMBERS = {f"{city}-temps.csv": f"vega_datasets/_data/{city}-temps.csv" for city in _CITIES}
ENTRIES = (
    DataSet(
        name="temperatures",
        description="hourly temperatures (degrees Fahrenheit) of the days of 2010 in Seattle and San Francisco",
        licence="MIT (vega_datasets)",
        redistributable=True,
        kind="series",
        shape=(24,),
        splits={"all": "ec91ad71f29a99bd1d65a942c2863a015329cb2ca533d6649071750c82e97f12"},
        files={
            "seattle-temps.csv": "c220666521ff4bec4ffb6f0d9acfdc5c1056564b1aad6f78d3b06aa0a0c8b085",
            "sf-temps.csv": "3f91699707cfed43ef551394bebef4c2ebe5505157b9be7bff9558eea2fbaaec",
        },
        decode=_decode,
        classes=("Seattle", "San Francisco"),
        groups=_MONTHS,
        archives=(
            Archive(
                "pip",
                "vega_datasets",
                "0.9.0",
                "3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d",
                _MEMBERS,
            ),
        ),
        installed=("vega_datasets", _MEMBERS),
    ),
)
