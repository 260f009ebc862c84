"""What is certified about each named problem, as numbers, kept with the package in ``certified.json``.

A certificate holds rounded numbers, and the sha256 of its canonical JSON text, which holds on every machine: rounding
errors of arithmetic are many orders below the last digit kept. ``sfbench truths check`` computes certificates anew and
compares.
"""

import functools
import hashlib
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from solvers import solve
from synthetic import IntractableError, SyntheticProblem

from ..errors import OutputError, SfbenchError
from ..files import provenance, write_json
from ..noises.torus import population_gram
from ..processes.times import time_grid
from ..statistics import population_weights
from .catalogue import find_entry, known_truths
from .cells import find_cells, moments
from .reference import Reference, get_reference, pairs
from .truth import Truth, get_truth

FILE = "certified.json"
WINDOWS = ((1e-4, 2e-4), (1e-3, 0.1), (1e-3, 1.0), (1e-3, 5.0))
_SHOWN = 8  # coordinates whose moments are listed
_N_DISPERSION = 20_000


def certify(name: str) -> dict[str, Any]:
    """Compute the certificate of a named problem.

    Returns
    -------
    dict
        ``log_z``; ``weights`` at which the laws are meant, and ``weights_by_window`` (population weights of
        score-matching fits); of every law ``mean``, ``std`` (of up to eight coordinates), ``mode_masses`` and two
        ``draws`` (under seed 0); ``total_variation`` of every pair with its standard error; ``difficulty``: rank, k,
        Z, and V, the mean of ``sum_i w_i |s_i|^2 - |s_w|^2`` over the barycenter; ``sha256`` of all this.
    """
    entry, truth = find_entry(name), get_truth(name)
    cells, reference = find_cells(truth), get_reference(name)
    record: dict[str, Any] = {
        "name": name,
        "version": entry.version,
        "group": entry.group,
        "provenance": {
            "family": entry.family,
            "params": dict(entry.params),
            "seed": entry.seed,
            "copies": entry.copies,
        },
        "process": "uniform jumps" if truth.is_discrete else repr(truth.process),
        "dim": truth.dim,
        "weights": _rounded(truth.weights, 6),
        "log_z": _rounded(truth.log_z, 6),
        "weights_by_window": _weights_by_window(truth),
        "mode_centres": _rounded(cells.centres, 3),
        "laws": {law: _about(truth, reference, law, cells) for law in truth.laws},
        "total_variation": {f"{a}, {b}": _distance(reference, a, b) for a, b in pairs(truth)},
        "difficulty": {
            "rank": truth.rank,
            "k": truth.k,
            "Z": _rounded(np.exp(truth.log_z), 4),
            "V": _dispersion(truth),
        },
    }
    return record | {"sha256": digest(record)}


def digest(record: dict[str, Any]) -> str:
    """The sha256 of a certificate's canonical text, without its own ``sha256``."""
    kept = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def certificates() -> dict[str, dict[str, Any]]:
    """The certificates that the package holds, by name."""
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def certificate(name: str) -> dict[str, Any]:
    """The certificate of a named problem that the package holds; OutputError if it was changed since."""
    find_entry(name)
    found = certificates().get(name)
    if found is None or found["sha256"] != digest(found):
        raise OutputError(f"the certificate of {name!r} is missing or damaged; install sfbench again")
    return found


def check_certificates(names: Iterable[str] | None = None) -> dict[str, str | None]:
    """Compute certificates anew; None for those that agree, else what is different.

    Parameters
    ----------
    names : iterable of str, optional
        Default: all of them, which takes some minutes.
    """
    if isinstance(names, str):
        raise SfbenchError(f"names must be a sequence of names, got the string {names!r}")
    known = {name: certificate(name) for name in (known_truths() if names is None else names)}
    found: dict[str, str | None] = {}
    for name, kept in known.items():
        now = certify(name)
        found[name] = None if kept["sha256"] == now["sha256"] else _difference(kept, now)
    return found


def record_check(path: Path, name: str) -> dict[str, Any]:
    """Check a certificate and keep the outcome under its name in a JSON file, beside those of earlier checks:
    ``difference`` (None where all kept digits agree), ``largest``, the largest difference of two kept numbers (None if
    they differ in anything else), ``cpu_s``, ``date``, ``revision`` of the source and ``sha256`` of what was checked.
    """
    kept, started = certificate(name), time.process_time()
    now = certify(name)
    record = {
        "difference": _difference(kept, now) or None,
        "largest": _largest(kept, now),
        "cpu_s": round(time.process_time() - started, 2),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "revision": provenance()["revision"],
        "sha256": kept["sha256"],
    }
    try:
        checked = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise OutputError(f"{str(path)!r} is not a record of checks: {error}") from None
    write_json(path, checked | {name: record})
    return record


def _difference(kept: Any, now: Any, place: str = "") -> str:
    if isinstance(kept, dict) and isinstance(now, dict) and kept.keys() == now.keys():
        texts = [_difference(kept[key], now[key], f"{place}.{key}".strip(".")) for key in kept if key != "sha256"]
        return "; ".join(text for text in texts if text)
    return "" if kept == now else f"{place} was {kept}, is {now}"


def _largest(kept: Any, now: Any) -> float | None:
    if isinstance(kept, dict) and isinstance(now, dict) and kept.keys() == now.keys():
        parts = [_largest(kept[key], now[key]) for key in kept if key != "sha256"]
    elif isinstance(kept, list) and isinstance(now, list) and len(kept) == len(now):
        parts = [_largest(a, b) for a, b in zip(kept, now, strict=True)]
    elif isinstance(kept, int | float) and isinstance(now, int | float):
        parts = [abs(kept - now)]
    else:
        parts = [0.0 if kept == now else None]
    return None if None in parts else max((part for part in parts if part is not None), default=0.0)


def _about(truth: Truth, reference: Reference, law: str, cells: Any) -> dict[str, Any]:
    mean, std = moments(truth.laws[law], truth)
    return {
        "mean": _rounded(mean[:_SHOWN], 4),
        "std": _rounded(std[:_SHOWN], 4),
        "mode_masses": _rounded(cells.shares(reference.draws[law]).mean(axis=0), 4),
        "draws": _rounded(truth.laws[law].sample(2, rng=0)[:, :_SHOWN], 4),
    }


def _distance(reference: Reference, a: str, b: str) -> list[float]:
    found = reference.total_variation(a, b)
    return [_rounded(found.value, 4), _rounded(found.stderr, 4)]


def _weights_by_window(truth: Truth) -> dict[str, list[float]] | None:
    problem, process = truth.problem, truth.process
    if not isinstance(problem, SyntheticProblem) or truth.entry.group == "heavy":  # a wide grid, convolved: minutes
        return None
    found: dict[str, list[float]] = {}
    for low, high in WINDOWS:
        grid = time_grid(low, high, 16)
        try:
            if truth.on_circle:
                gram = population_gram(problem.target, problem.auxiliaries, process=process, grid=grid)  # type: ignore[arg-type]
                weights = np.asarray(solve(gram.to_qp(), "active_set").weights)
            else:
                weights = population_weights(problem, process=process, grid=grid)
        except IntractableError:
            return None
        found[f"[{low:g}, {high:g}]"] = _rounded(weights, 3)
    return found


def _dispersion(truth: Truth) -> float | None:
    if truth.is_discrete:
        return None
    y = truth.sample("barycenter", _N_DISPERSION if truth.dim <= 64 else 1000, rng=0)
    scores = np.stack([law.score(y) for law in truth.auxiliaries])
    spread = scores - np.tensordot(truth.weights, scores, axes=1)
    found: float = _rounded(truth.weights @ (spread**2).sum(axis=2).mean(axis=1), 3)
    return found


def _rounded(values: Any, digits: int) -> Any:
    """Numbers rounded to so many decimals, or digits where they are large; minus zero is zero."""
    array = np.round(np.asarray(values, np.float64), digits) + 0.0
    return array.tolist()
