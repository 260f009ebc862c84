r"""Fits as files that cannot run code: a JSON record and the arrays that it names.

    result.json          the record, and before it a summary for readers
    arrays-SUM.npz       uncompressed arrays; SUM is the beginning of the sha256 that the record holds

The record is written last, and its arrays are never overwritten: a kill at any moment leaves the old fit or the new.
Reading looks at sizes first, then at the sum, and takes plain arrays of numbers only. Models are not kept: a fit opens
without them (:class:`~sfbench.fusion.identity.DetachedModel` stands in) and knows their sha256.

The record is a tree. A value is itself if JSON has it; ``{"array": NAME}``, ``{"tuple": [...]}``, ``{"process": ...}``
otherwise, or ``{"class": NAME, "fields": {...}}`` of a table of this module, built by its constructor, which checks it.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, final

import numpy as np

from solvers import SolverResult, TimeWeights, known_solvers, resolve_solver
from solvers.base import Status

from .._internal.aliases import Float64Array
from ..errors import GramError, OutputError, SfbenchError
from ..files import prepare_folder, provenance, read_regular, write_bytes, write_json
from ..processes import ForwardProcess, build_process, describe_process
from ..processes.times import TimeGrid
from ..scores import FusedScore, ScoreModel, WeightsOverTime
from ..statistics.estimators import AbstractEstimator
from ..statistics.gram import Contributions, ScoreGram
from ..statistics.nodes import NodeStatistics
from ..statistics.settings import GramSettings
from .adequacy import Adequacy
from .identity import DataIdentity, DetachedModel, model_kind, model_sha256
from .over_time import FusionOverTime
from .result import FusionResult
from .window_bias import WindowBias

RECORD = "result.json"
_FORMAT = 1
_LARGEST_RECORD, _LARGEST_ARRAYS = 1 << 24, 1 << 36
_ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.npz")


class ResultError(SfbenchError):
    """A kept fit is missing, damaged, or not what it should be."""


@final
@dataclass(frozen=True)
class KeptFunction:
    """A function of time that was given to a fit, by its values at the fit's nodes; linear between them."""

    nodes: Float64Array
    values: Float64Array

    def __call__(self, t: Float64Array) -> Float64Array:
        """Values at times t."""
        return np.asarray(np.interp(t, self.nodes, self.values))


@final
@dataclass(frozen=True)
class LostPart(AbstractEstimator):
    """A solver, estimator or constraint of one's own that a file cannot hold; refuses to be used."""

    what: str
    name = "lost"
    requires = "quadratic"

    def __repr__(self) -> str:
        return self.what

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise GramError(f"{self.what} was part of the fit and could not be kept in a file; fit again to use it")

    solve = noise_share = linear_minimum = __call__ = _refuse


_STATISTICS = (ScoreGram, Contributions, NodeStatistics, GramSettings, TimeGrid, WindowBias, Adequacy, DataIdentity)
_FITS = (FusionResult, FusionOverTime, SolverResult, TimeWeights, WeightsOverTime, FusedScore, DetachedModel)
_CLASSES: dict[str, Any] = {kind.__name__: kind for kind in (*_STATISTICS, *_FITS, KeptFunction, LostPart)}


def save_result(result: FusionResult | FusionOverTime, folder: str | os.PathLike[str]) -> Path:
    """Write a fit to a folder; returns the folder.

    Parameters
    ----------
    result : FusionResult or FusionOverTime
    folder : path
        Made if it is missing; a fit that is there is replaced, other files are left alone.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    GridError
        If the process has no name that a file could hold; the message says how to give it one.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _encoded(result, arrays)
    path = prepare_folder(folder)
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]  # its stub takes a flag for an array
    content = packed.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"arrays-{sha256[:16]}.npz"
    write_bytes(path / name, content)
    record = {"format": _FORMAT, "summary": result.to_dict(), "provenance": provenance(), "result": tree}
    write_json(path / RECORD, record | {"arrays": {"file": name, "bytes": len(content), "sha256": sha256}})
    for old in path.iterdir():
        if _ARRAYS.fullmatch(old.name) and old.name != name:
            old.unlink(missing_ok=True)
    return path


def load_result(folder: str | os.PathLike[str], *, process: ForwardProcess | None = None) -> Any:
    """Read a fit that ``result.save(folder)`` wrote.

    Parameters
    ----------
    folder : path
    process : ForwardProcess, optional
        Must be the fit's own; only to make sure.

    Returns
    -------
    FusionResult or FusionOverTime
        Complete but for its models: ``result.attach(models)`` returns it with them, ready for :func:`sfbench.sample`.

    Raises
    ------
    ResultError
        If there is no such fit, or its files are damaged, of the wrong size, or hold something else than numbers.
    """
    path = Path(folder)
    source = f"the fit in {str(path)!r}"
    try:
        record = json.loads(read_regular(path / RECORD, _LARGEST_RECORD, ResultError))
        known = record["format"]
        result: Any = None
        if known == _FORMAT:
            result = _decoded(record["result"], _read_arrays(path, record["arrays"], source))
    except (ResultError, OutputError):
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ResultError(f"{source} cannot be read: {reason}") from None
    if known != _FORMAT:
        raise ResultError(f"{source} has format {known!r}; this version of sfbench reads {_FORMAT}")
    if not hasattr(result, "attach"):
        raise ResultError(f"{source} holds a {type(result).__name__}, not a fit")
    if process is not None and process != result.process:
        raise ResultError(f"{source} was made under {result.process!r}, not {process!r}")
    return result


def _read_arrays(path: Path, entry: Mapping[str, Any], source: str) -> dict[str, np.ndarray]:
    """The arrays, after size and sum have been compared with the record."""
    name, size = str(entry["file"]), int(entry["bytes"])
    if not _ARRAYS.fullmatch(name) or not 0 < size <= _LARGEST_ARRAYS:
        raise ResultError(f"{source} names arrays {name!r} of {size} bytes, which is not a file of ours")
    content = read_regular(path / name, size, ResultError)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ResultError(f"{str(path / name)!r} is damaged: its sha256 is not the one in {RECORD}")
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if any(member.compress_type != zipfile.ZIP_STORED for member in packed.infolist()):
            raise ResultError(f"{str(path / name)!r} is compressed, which no fit of ours is")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        for key in stored.files:
            found[key] = stored[key]
    if any(array.dtype.kind not in "fiub" for array in found.values()):
        raise ResultError(f"{str(path / name)!r} holds something else than numbers")
    return found


# ---------------------------------------------------------------------- the tree
def _encoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float) or type(value) is str:
        return value
    if isinstance(value, Status):
        return {"status": value.name}
    if isinstance(value, np.generic):
        return _encoded(value.item(), arrays)
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple | list):
        return {"tuple": [_encoded(item, arrays) for item in value]}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encoded(item, arrays) for key, item in value.items()}}
    if isinstance(value, ForwardProcess):
        return {"process": json.loads(json.dumps(describe_process(value)))}
    if isinstance(value, GramSettings):
        return _encoded_settings(value, arrays)
    if isinstance(value, FusionResult | FusionOverTime):
        return _encoded_fields(value, arrays, score=_kept_score(value))
    if _CLASSES.get(type(value).__name__) is type(value):
        return _encoded_fields(value, arrays)
    for name in known_solvers() if hasattr(value, "solve") else ():
        if value is resolve_solver(name):
            return {"solver": name}
    return _encoded_fields(LostPart(f"{value!r:.200}"), arrays)


def _encoded_fields(value: Any, arrays: dict[str, np.ndarray], **changed: Any) -> Any:
    names = [f.name for f in fields(value) if f.init or f.name in changed]
    kept = {name: changed[name] if name in changed else _encoded(getattr(value, name), arrays) for name in names}
    return {"class": type(value).__name__, "fields": kept}


def _encoded_settings(settings: GramSettings, arrays: dict[str, np.ndarray]) -> Any:
    changed: dict[str, Any] = {"dtype": None if settings.dtype is None else np.dtype(settings.dtype).name}
    if callable(settings.weighting):
        nodes = settings.grid.nodes
        values = np.asarray(settings.weighting(nodes), np.float64)
        changed["weighting"] = _encoded(KeptFunction(nodes, values), arrays)
    return _encoded_fields(settings, arrays, **changed)


def _kept_score(result: FusionResult | FusionOverTime) -> Any:
    """Weights and stand-ins for the models."""
    names = result.labels
    return {
        "models": [
            {
                "name": name,
                "kind": model_kind(model),
                "dim": model.dim,
                "sha256": model_sha256(model),
                "t_range": None if (known := getattr(model, "t_range", None)) is None else [float(t) for t in known],
            }
            for name, model in zip(names, result.score.models, strict=True)
        ]
    }


def _decoded(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        if isinstance(tree, list):
            raise ResultError("a list has no place in a record")
        return tree
    kind = next(iter(tree), None)
    if kind == "array":
        return arrays[tree["array"]]
    if kind == "tuple":
        return tuple(_decoded(item, arrays) for item in tree["tuple"])
    if kind == "mapping":
        return {key: _decoded(item, arrays) for key, item in tree["mapping"].items()}
    if kind == "status":
        return Status[tree["status"]]
    if kind == "solver":
        return resolve_solver(str(tree["solver"]))
    if kind == "process":
        return build_process(tree["process"])
    cls = _CLASSES[tree["class"]]
    given = dict(tree["fields"])
    models = given.pop("score")["models"] if cls in (FusionResult, FusionOverTime) else None
    values = {name: _decoded(item, arrays) for name, item in given.items()}
    if models is not None:
        process = values["process"]
        parts = tuple(_detached(entry, process) for entry in models)
        values["score"] = FusedScore(parts, values["weights"], process=process)
    if cls is GramSettings:
        values["dtype"] = None if values["dtype"] is None else np.dtype(values["dtype"])
    return cls(**values)


def _detached(entry: Mapping[str, Any], process: ForwardProcess) -> ScoreModel:
    known = entry["t_range"]
    t_range = None if known is None else (float(known[0]), float(known[1]))
    sha256 = entry["sha256"]
    return DetachedModel(str(entry["name"]), str(entry["kind"]), int(entry["dim"]), process, sha256, t_range)
