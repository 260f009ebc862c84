"""Names of auxiliaries: given as a mapping or apart, otherwise their numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._internal.validation import as_items
from ..errors import ModelError
from ..scores.models import as_law


def named_models(auxiliaries: Any, names: Iterable[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Models (read once, if they are a generator) and their names, () if they have none.

    Raises
    ------
    ModelError
        For names that are not one distinct string for each model.
    """
    if isinstance(auxiliaries, Mapping):
        if names is not None:
            raise ModelError("names= is for a sequence of models; these have names, the keys of the mapping")
        names, auxiliaries = list(auxiliaries), list(auxiliaries.values())
    given = tuple(map(as_law, as_items("models", auxiliaries, "score models or laws", ModelError)))
    if names is None:
        return given, ()
    found = (names,) if isinstance(names, str) else as_items("names", names, "strings", ModelError)
    fits = len(found) == len(given) == len(set(found)) and all(isinstance(name, str) and name for name in found)
    if not fits:
        raise ModelError(f"names must be {len(given)} distinct strings, one for each model, got {list(found)!r:.200}")
    return given, found


def labels_of(names: Sequence[str], k: int) -> tuple[str, ...]:
    """Names, or numbers for models without."""
    return tuple(names) or tuple(str(i) for i in range(k))
