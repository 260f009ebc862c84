"""What commands work on: a named problem, models and data of one's own, or what an earlier ``sfbench fuse`` kept.

A model is the folder of a checkpoint of :mod:`sfbench.nets`, the folder of a fit, or ``module:object``: a score model,
a law, or a function without arguments that makes one; ``name=`` before it gives it a name. The folder of a fit is that
of ``result.save``; beside it lies ``fit.json``, the JSON document that ``sfbench fuse --json`` prints, which says where
models come from, by path and sha256. No code of a module named in a fit runs unless ``--module`` names that module.
"""

import hashlib
import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from synthetic import SyntheticError, SyntheticProblem, load_module, make_problem

from ..errors import FitWarning, SfbenchError
from ..files import read_regular
from ..processes import ForwardProcess, make_process
from ..scores import FusedScore, WeightsOverTime, process_of
from .common import PROCESS

FIT = "fit.json"
_LARGEST_FIT = 1 << 24


@final
@dataclass(frozen=True, eq=False)
class Source:
    """Score models or laws, their process, and where they come from."""

    models: tuple[Any, ...]
    process: ForwardProcess
    problem: SyntheticProblem | None
    origin: dict[str, Any]  # problem, models, process: JSON values from which kept_fit makes them again
    fused: FusedScore | None = None  # the models with the weights of a fit
    data: dict[str, Any] | None = None  # what that fit recorded of a file of points

    @property
    def labels(self) -> list[str]:
        """What the models are called: by name, place, or number."""
        if self.problem is not None:
            return [str(i) for i in range(len(self.models))]
        return [str(model["name"] or model["place"]) for model in self.origin["models"]]

    @property
    def names(self) -> list[str] | None:
        """Names of the models, if all have one."""
        names = [model["name"] for model in self.origin["models"] or ()]
        return names if names and all(names) else None

    @property
    def title(self) -> str:
        """The problem, or the models, in one line."""
        return repr(self.problem) if self.problem is not None else ", ".join(self.labels)


def of_problem(problem: SyntheticProblem, process: str | None) -> Source:
    """The auxiliaries of a problem under a process by name."""
    name = process or PROCESS
    origin = {"problem": problem.recipe, "models": None, "process": name}
    return Source(problem.auxiliaries, make_process(name), problem, origin)


def of_models(
    places: Sequence[str], process: str | ForwardProcess | None, *, modules: Sequence[str] = (), device: str = "cpu"
) -> Source:
    """Models by place, under their own process or the given one; ``modules`` are those that a fit may use."""
    given = [split_name(place) for place in places]
    models = tuple(load_model(place, modules, device) for _, place in given)
    if process is None:
        own = common_process(*models)
    else:
        own = make_process(process) if isinstance(process, str) else process
        process = process if isinstance(process, str) else None
    found = [{"name": name, "place": _absolute(place), "sha256": _sha256(Path(place))} for name, place in given]
    return Source(models, own, None, {"problem": None, "models": found, "process": process})


def common_process(*models: Any) -> ForwardProcess:
    """The process of the first model that says its own."""
    own = next((found for found in map(process_of, models) if found is not None), None)
    if own is None:
        raise SfbenchError("the models do not say their process: give --process (see: sfbench names processes)")
    return own


def split_name(place: str) -> tuple[str | None, str]:
    """``name=place`` as a pair; the name is None where there is none, or where all of it is a path."""
    name, equals, rest = place.partition("=")
    return (name, rest) if equals and name and rest and not Path(place).exists() else (None, place)


def load_model(place: str, modules: Sequence[str] = (), device: str = "cpu") -> Any:
    """The model at a place; ``modules`` are those that a fit may use."""
    path = Path(place)
    folder = path.parent if path.suffix == ".safetensors" else path
    if (folder / "config.json").is_file():
        from ..nets import load_checkpoint

        return load_checkpoint(folder, device=device)
    if is_fit(folder):
        return kept_fit(folder, modules=modules, device=device).fused
    where, colon, name = place.rpartition(":")
    if not colon:
        raise SfbenchError(
            "a model is the folder of a checkpoint (sfbench.nets.save_checkpoint) or of a fit (sfbench fuse --out), or "
            f"module:object; {place!r} is none of them"
        )
    module = load_module(where)
    if not hasattr(module, name):
        raise SfbenchError(f"{where!r} holds nothing called {name!r}")
    found = getattr(module, name)
    if callable(found) and (isinstance(found, type) or not (hasattr(found, "score") or hasattr(found, "diffuse"))):
        found = found()
    if not (hasattr(found, "score") or hasattr(found, "diffuse")):
        raise SfbenchError(f"{place!r} is not a score model, a law, or a function that makes one, but {found!r:.100}")
    return found


def is_fit(folder: Path) -> bool:
    """Whether a folder holds a fit."""
    return any((folder / name).is_file() for name in (FIT, "result.json"))


def kept_fit(place: Path, models: Sequence[str] = (), *, modules: Sequence[str] = (), device: str = "cpu") -> Source:
    """Models and weights of a fit: a folder that ``sfbench fuse --out`` or ``result.save`` wrote, or a JSON document.

    Its models are where ``fit.json`` says, or at these places, in its order; they must be the ones that were fitted.
    """
    from ..fusion import load_result

    if not place.is_dir():
        if models:
            raise SfbenchError(f"--model goes with the folder of a fit, not with {str(place)!r}")
        source, record = _documented(place, modules, device)
        weights = WeightsOverTime(record["edges"], record["weights"]) if record.get("edges") else record["weights"]
        return replace(
            source, fused=FusedScore(source.models, weights, process=source.process), data=record.get("data")
        )
    if not is_fit(place):
        raise SfbenchError(f"{str(place)!r} is not the folder of a fit")
    if not (models or (place / FIT).is_file()):
        raise SfbenchError(f"{str(place)!r} does not say where its models are: give them in its order with --model")
    result, data = load_result(place), None
    if models:
        if len(models) != (k := len(result.labels)):
            raise SfbenchError(f"{str(place)!r} is a fit of {k} models ({', '.join(result.labels)}), got {len(models)}")
        source = of_models(models, result.process, modules=modules, device=device)
    else:
        source, record = _documented(place / FIT, modules, device)
        data = record.get("data")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)  # one command fits, another uses the fit: models must be the same
        try:
            fused = result.attach(source.models).score
        except FitWarning as reason:
            raise SfbenchError(f"{str(place)!r}: {reason}") from None
    return replace(source, process=fused.process, fused=fused, data=data)


def modules_of(record: dict[str, Any]) -> list[str]:
    """Modules that the document of a fit uses, which ``--module`` must allow."""
    problem, models, process = (record[key] for key in ("problem", "models", "process"))
    names = [process or "", problem["name"] if problem else "", *(m["place"] for m in models or [])]
    return list(dict.fromkeys(name.rpartition(":")[0] for name in names if ":" in name and not Path(name).exists()))


def _documented(path: Path, modules: Sequence[str], device: str) -> tuple[Source, dict[str, Any]]:
    """The models that a JSON document of a fit names, and the document."""
    try:
        record = json.loads(read_regular(path, _LARGEST_FIT, SfbenchError))
        np.array(record["weights"], dtype=float)
        problem, models, process = (record[key] for key in ("problem", "models", "process"))
        for where in modules_of(record):
            if where not in modules:
                raise SfbenchError(f"{str(path)!r} uses the module {where!r}: allow it with --module {where}")
        if problem is not None:
            return of_problem(make_problem(**problem), process), record
        places = [f"{m['name']}={m['place']}" if m.get("name") else m["place"] for m in models]
        source = of_models(places, process, modules=modules, device=device)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, SfbenchError | SyntheticError):
            raise
        raise SfbenchError(f"{str(path)!r} is not a fit of sfbench fuse: {error!r:.100}") from None
    for now, then in zip(source.origin["models"], models, strict=True):
        if now["sha256"] != then["sha256"]:
            raise SfbenchError(f"{now['place']!r} is another model than the one that was fitted: fit again")
    return source, record


def load_points(path: Path, option: str = "--data", array: str = "x") -> tuple[np.ndarray, dict[str, Any]]:
    """Points (n, ...) of the file that an option names, and what a record says of it.

    Files are ``.npy``; ``.npz`` with one array or one of the name; ``.csv`` of numbers, separated by commas.
    """
    try:
        if path.suffix == ".csv":
            points = np.loadtxt(path, delimiter=",", ndmin=2)
        elif path.suffix == ".npz":
            with path.open("rb") as f, np.load(f, allow_pickle=False) as arrays:
                points = arrays[arrays.files[0] if len(arrays.files) == 1 else array]
        elif path.suffix == ".npy":
            points = np.load(path, allow_pickle=False, mmap_mode="r")
        else:
            raise SfbenchError(f"{option} takes an .npy, .npz or .csv file, got {str(path)!r}")
        with path.open("rb") as f:
            sha256 = hashlib.file_digest(f, "sha256").hexdigest()
    except KeyError:
        raise SfbenchError(f"{str(path)!r} holds several arrays and none called {array!r}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, SfbenchError):
            raise
        reason = "it is not an array of numbers that numpy.save wrote" if "pickle" in str(error) else error
        raise SfbenchError(f"{option} {str(path)!r} cannot be read: {reason}") from None
    return points, {"path": str(path.resolve()), "sha256": sha256, "shape": list(points.shape)}


def _absolute(place: str) -> str:
    return str(Path(place).resolve()) if Path(place).exists() else place


def _sha256(path: Path) -> str | None:
    folder = path.parent if path.suffix == ".safetensors" else path
    manifest = next(
        (folder / name for name in ("manifest.json", FIT, "result.json") if (folder / name).is_file()), None
    )
    return None if manifest is None else hashlib.sha256(manifest.read_bytes()).hexdigest()
