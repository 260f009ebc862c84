"""One method on one problem within one budget, judged by :mod:`sfbench.truths`; and samples that others submit."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench import SfbenchError
from sfbench._internal.validation import as_number
from sfbench.files import open_regular, read_regular
from sfbench.methods import BudgetError, NotApplicableError, known_methods, run_method
from sfbench.sampling import DivergenceError
from sfbench.truths import get_truth, known_truths, score_samples
from sfbench.truths.scoring import CONFIDENCE, SampleScore

from ..common.study import Row, cell_rng, study_cells

SUBMISSION = "submission.json"
NEAR = 0.1  # total variation to a law that is not followed exactly, mostly because weights are not the true ones
_LARGEST_JSON, _LARGEST_ARRAY = 1 << 20, 1 << 30


@final
@dataclass(frozen=True)
class LeaderSpec:
    """A problem, a method, evaluations a point, points, rows of data, and the seed of data and method."""

    problem: str
    method: str
    budget: int
    n: int
    n_data: int
    seed: int
    root_seed: int


@study_cells(version=1, factors=("problem", "method", "budget"), replicate="seed", name="leaderboard/run")
def run_leader_cell(spec: LeaderSpec) -> Row:
    """Judge what a method draws; a failure is a row with its reason."""
    truth, rng = get_truth(spec.problem), cell_rng(spec)
    row: Row = {"problem": spec.problem, "method": spec.method, "budget": spec.budget, "seed": spec.seed}
    x = truth.target.sample(spec.n_data, rng=np.random.default_rng([spec.root_seed, spec.seed]))
    started = time.process_time()
    try:
        run = run_method(
            spec.method, truth.auxiliaries, x, process=truth.process, n=spec.n, budget=spec.budget * spec.n, rng=rng
        )
        spent = time.process_time() - started
        out = run.outcome
        found = score_samples(
            spec.problem,
            out.x,
            log_weights=out.log_weights,
            log_z=out.log_z,
            log_z_error=out.log_z_error or 0.0,
            effective=None if out.log_weights is None else out.effective,
        )
    except NotApplicableError as error:
        return row | _failed("not applicable", error)
    except BudgetError as error:
        return row | _failed("budget", error)
    except (SfbenchError, DivergenceError) as error:
        return row | _failed("failed", error)
    weights = None if out.weights is None else out.weights.tolist()
    return row | judged(found) | {"evaluations": run.evaluations / spec.n, "cpu_s": spent, "weights": weights}


def judged(found: SampleScore) -> Row:
    """What the tables need of a score."""
    goal = "target" if "target" in found.total_variation else "barycenter"
    low, high = found.total_variation[goal].interval(CONFIDENCE)
    row: Row = {"status": "ok", "reason": "", "tv": max(found.total_variation[goal].value, 0.0)}
    row |= {"tv_low": max(low, 0.0), "tv_high": max(high, 0.0), "kl": found.kl[goal].value, "law": found.law}
    row |= {f"tv_{law}": max(tv.value, 0.0) for law, tv in found.total_variation.items()}
    closest = min(found.total_variation, key=lambda law: found.total_variation[law].value)
    if found.law == "neither" and row[f"tv_{closest}"] < NEAR:
        row["law"] = f"near {closest}"
    log_z = found.log_z_error
    return row | {"log_z_error": None if log_z is None else log_z.value, "effective": found.effective}


def _failed(status: str, error: Exception) -> Row:
    return {"status": status, "reason": str(error)[:200]}


def score_submission(folder: Path) -> list[Row]:
    """Rows of what somebody else drew.

    ``submission.json`` holds ``name`` (of the method), ``provenance`` (whatever lets others repeat it, not empty) and
    ``entries``: each with ``problem``, ``seed``, ``samples`` (an ``.npy`` file in the folder), ``sha256`` of that file,
    ``evaluations`` (of one model at one point, for each point, everything included), and where there are such
    ``log_weights`` (a file), ``log_z``, ``log_z_error``, ``effective``.

    Raises
    ------
    SfbenchError
        Names the entry and what is wrong with it; nothing is scored then.
    """
    about = _submission(folder)
    rows = []
    for entry in about["entries"]:
        arrays = {key: _array(folder, entry[key]) for key in ("samples", "log_weights") if entry.get(key)}
        options = {key: entry[key] for key in ("log_z", "log_z_error", "effective") if entry.get(key) is not None}
        found = score_samples(entry["problem"], arrays["samples"], log_weights=arrays.get("log_weights"), **options)
        row: Row = {
            "problem": entry["problem"],
            "method": about["name"],
            "budget": _budget(entry),
            "seed": entry["seed"],
        }
        rows.append(row | judged(found) | {"evaluations": float(entry["evaluations"]), "submitted": True})
    return rows


def _budget(entry: dict[str, Any]) -> int:
    """The least power of two, from 16, that the stated evaluations fit in."""
    return max(16, 1 << int(np.ceil(np.log2(max(float(entry["evaluations"]), 1.0)))))


def _submission(folder: Path) -> dict[str, Any]:
    path = folder / SUBMISSION
    try:
        about = json.loads(read_regular(path, _LARGEST_JSON, SfbenchError))
    except (OSError, ValueError) as error:
        raise SfbenchError(f"{str(path)!r} cannot be read as JSON: {error}") from None
    if not isinstance(about, dict) or not isinstance(about.get("name"), str) or not about["name"].strip():
        raise SfbenchError(f"{str(path)!r} needs a `name`, that of the method")
    if about["name"] in known_methods():
        raise SfbenchError(f"{str(path)!r}: {about['name']!r} is the name of a method here; choose another")
    if not about.get("provenance"):
        raise SfbenchError(f"{str(path)!r} needs a `provenance`: code, version, command, machine")
    if not isinstance(about.get("entries"), list) or not about["entries"]:
        raise SfbenchError(f"{str(path)!r} needs `entries`, a list")
    for i, entry in enumerate(about["entries"]):
        if not isinstance(entry, dict):
            raise SfbenchError(f"{str(path)!r}: entries[{i}] must be an object, got {entry!r}")
        missing = [key for key in ("problem", "seed", "samples", "sha256", "evaluations") if key not in entry]
        if missing:
            raise SfbenchError(f"{str(path)!r}: entries[{i}] lacks {missing[0]!r}")
        if entry["problem"] not in known_truths():
            raise SfbenchError(f"{str(path)!r}: entries[{i}] names an unknown problem {entry['problem']!r}")
        if as_number(f"entries[{i}].evaluations", entry["evaluations"]) < 0:
            raise SfbenchError(f"entries[{i}].evaluations must be at least 0, got {entry['evaluations']!r}")
        if not isinstance(entry["seed"], int):
            raise SfbenchError(f"{str(path)!r}: entries[{i}].seed must be an integer, got {entry['seed']!r}")
        found = _sha256(_inside(folder, entry["samples"]))
        if found != entry["sha256"]:
            raise SfbenchError(f"{entry['samples']!r} is not the file that entries[{i}] speaks of: sha256 {found}")
    return about


def _inside(folder: Path, name: Any) -> Path:
    path = folder / str(name)
    if Path(str(name)).name != str(name) or path.suffix != ".npy":
        raise SfbenchError(f"{name!r} must be the name of an .npy file in the folder of the submission")
    return path


def _sha256(path: Path) -> str:
    with open_regular(path, SfbenchError) as (f, _):
        return hashlib.file_digest(f, "sha256").hexdigest()  # type: ignore[arg-type]


def _array(folder: Path, name: Any) -> np.ndarray:
    path = _inside(folder, name)
    with open_regular(path, SfbenchError) as (f, size):
        if size > _LARGEST_ARRAY:
            raise SfbenchError(f"{str(path)!r} is larger than {_LARGEST_ARRAY >> 30} GiB")
        try:
            return np.asarray(np.load(f, allow_pickle=False))
        except ValueError as error:
            raise SfbenchError(f"{str(path)!r} is not an .npy array: {error}") from None
