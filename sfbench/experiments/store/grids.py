"""What becomes of the grid that a store holds when a study comes with another."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..cells import Study
from ..errors import GridConflictError
from .rows import StoredStudy


def merged_grid(
    study: Study[Any, Any], known: StoredStudy | None, stored: dict[str, str], on_conflict: str, path: Path
) -> tuple[dict[str, str], str]:
    """Keys by encoded spec of the grid to keep, and a note of what changed; refuses what no result could survive.

    A grid inside the other, either way, is no conflict: adding seeds or sizes changes no other cell.
    """
    function = study.function
    texts = dict(zip(study.texts, study.keys, strict=True))
    if known is None:
        return texts, ""
    if known.function != function.name:
        raise GridConflictError(
            f"store {str(path)!r} holds a study {study.name!r} of {known.function}, not of {function.name}; "
            "choose another study name or folder"
        )
    if on_conflict == "refuse" and not (stored.keys() <= texts.keys() or texts.keys() <= stored.keys()):
        raise GridConflictError(
            f"study {study.name!r} in {str(path)!r} has another grid: {_differing_fields(stored, texts)}; "
            "choose another --out, or pass --grid extend or --grid replace (no result is lost either way)"
        )
    if on_conflict != "replace":
        texts = {text: texts.get(text) or function.key(text) for text in dict.fromkeys([*stored, *texts])}
    changed = known.version != function.version
    return texts, f"algorithm version {known.version} -> {function.version}" if changed else ""


def _differing_fields(*grids: Iterable[str]) -> str:
    """In which fields two grids of encoded specs differ, in words."""
    here, there = (defaultdict[str, set[str]](set), defaultdict[str, set[str]](set))
    for texts, values in zip(grids, (here, there), strict=True):
        for text in texts:
            for name, value in json.loads(text).items():
                values[name].add(json.dumps(value))
    names = [name for name in sorted(here.keys() | there.keys()) if here[name] != there[name]]
    told = [f"{name} {_listed(here[name])} in the store, {_listed(there[name])} asked for" for name in names]
    return "; ".join(told) or "other combinations of the same values"


def _listed(values: set[str]) -> str:
    ordered = sorted((t if len(t) <= 40 else f"{t:.37}..." for t in values), key=lambda text: (len(text), text))
    return ", ".join(ordered if len(ordered) <= 4 else [*ordered[:2], "...", ordered[-1]]) or "absent"
