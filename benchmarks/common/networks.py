"""Networks of the studies: trained into the folder of a study, named in specs by the sha256 of their checkpoint.

Training is a cell like any other, whose record holds the checkpoint's hash and whose file lies beside the store; a
stopped training goes on from its own state. Cells that use networks name them by hash, so their results depend on
content and not on place, and a network that is missing or another one is refused. The torch device is taken from
``SFBENCH_DEVICE`` (``--device`` sets it): a property of the machine that computes, not of a result.
"""

import argparse
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar, final

from sfbench.experiments import StudyError, in_study_folder, make_study, store_path, study_folder
from sfbench.experiments.running.runner import open_for_writing
from sfbench.nets import NetworkScore, load_checkpoint
from sfbench.processes import ForwardProcess

from .study import Phases, Row

DEVICE_VARIABLE = "SFBENCH_DEVICE"


class NamedSpec(Protocol):
    """What a cell that trains a network is given."""

    @property
    def name(self) -> str:
        """Folder of the network below that of the study."""


Spec = TypeVar("Spec", bound=NamedSpec)


@final
@dataclass(frozen=True)
class NetworkRef:
    """A trained network: its folder below that of the study, and the sha256 of its manifest."""

    cell_name = "benchmarks.networks:NetworkRef"  # of the results that are kept; the file may move

    name: str
    sha256: str


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """``--device``, which workers of this machine inherit."""
    parser.add_argument(
        "--device", default=os.environ.get(DEVICE_VARIABLE, "cpu"), help="torch device of the networks (cpu, cuda)"
    )


def use_device(name: str) -> None:
    """Check a torch device and let cells use it.

    Raises
    ------
    StudyError
        If torch cannot use it here.
    """
    import torch

    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise StudyError(f"torch cannot use the device {name!r} here: {str(error).splitlines()[0]}") from None
    os.environ[DEVICE_VARIABLE] = name


def device() -> str:
    """Torch device of this process."""
    return os.environ.get(DEVICE_VARIABLE, "cpu")


def reference(name: str) -> NetworkRef:
    """The network in ``name`` of the current study's folder."""
    return NetworkRef(name, _manifest_sha256(study_folder() / name))


def _manifest_sha256(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def load_network(ref: NetworkRef, process: ForwardProcess, *, batch: int = 512) -> NetworkScore:
    """The network behind a reference, on the device of this process.

    Raises
    ------
    StudyError
        If it is not in the study's folder, or another network lies there.
    CheckpointError
        If it is damaged.
    """
    folder = study_folder() / ref.name
    found = _manifest_sha256(folder)
    if found != ref.sha256:
        what = "is missing" if not found else f"is another one (sha256 {found[:12]}...)"
        raise StudyError(
            f"network {ref.name!r} with sha256 {ref.sha256[:12]}... {what} in {str(folder)!r}; copy it there, or train "
            "again with --no-resume"
        )
    return replace(_loaded(str(folder), found, process, device()), batch=batch)


@lru_cache(maxsize=8)
def _loaded(folder: str, sha256: str, process: ForwardProcess, on: str) -> NetworkScore:
    return load_checkpoint(folder, process=process, device=on)


def train_all(run: Phases, train: Callable[[Spec], Row], specs: Sequence[Spec], title: str) -> list[Row]:
    """Run cells that train networks; their records hold ``name`` and ``sha256``.

    A network whose record is in the store but whose file is gone is trained again. Without ``--resume`` all are, from
    the first step: their checkpoints and training states are removed, unless the grid is refused.
    """
    folder = run.folder
    if not run.settings.resume:
        with open_for_writing(store_path(folder)) as journal:
            journal.register(make_study(title, train, specs), run.settings.on_conflict)
        for spec in specs:
            _remove_network(folder / spec.name)
    records: list[Any] = run(train, specs, title)
    for spec, record in zip(specs, records, strict=True):
        with in_study_folder(folder):
            if (
                _manifest_sha256(folder / record["name"]) != record["sha256"]
                and train(spec)["sha256"] != record["sha256"]
            ):
                raise StudyError(
                    f"network {record['name']!r} in {str(folder)!r} is not the one that the store speaks of (another "
                    "machine or version?); start with --no-resume, or in another folder"
                )
    return records


def _remove_network(folder: Path) -> None:
    """Remove a checkpoint and its training state, and nothing else that lies there."""
    for name in ("manifest.json", "config.json", "weights.safetensors"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "state").is_dir():
        shutil.rmtree(folder / "state")


def references(records: Sequence[Row]) -> tuple[NetworkRef, ...]:
    """References to the networks of training records."""
    return tuple(NetworkRef(str(record["name"]), str(record["sha256"])) for record in records)
