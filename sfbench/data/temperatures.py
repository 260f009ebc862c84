"""Hourly temperatures of the days of 2010 in two cities, in degrees Fahrenheit, with the month of each day."""

import csv
import io

import numpy as np

from .entry import Arrays, Files
from .errors import DataError

_CITIES = ("seattle", "sf")


def decode(files: Files, split: str) -> Arrays:
    """Days of both cities."""
    parts = []
    for label, city in enumerate(_CITIES):
        days, months = whole_days(files[f"{city}-temps.csv"].decode(), city)
        parts.append((days, np.full(len(days), label), months - 1))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def whole_days(text: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Days of which all 24 hours are there once, (n, 24), and their months, (n,) in 1 ... 12."""
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
