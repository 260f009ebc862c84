"""Names of auxiliaries: given as a mapping or apart, otherwise their numbers."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._validation import as_items
from ..errors import FitWarning, ModelError
from ..scores import FusedScore
from ..scores.models import as_law
from .identity import model_sha256


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


def attached(fused: FusedScore, models: Any, labels: Sequence[str]) -> FusedScore:
    """The same weights over models given again, as a sequence in the fit's order or a mapping with its names.

    Warns
    -----
    FitWarning
        For a model whose content is not that of the fit.

    Raises
    ------
    ModelError
        If a model is missing, or does not fit.
    """
    if isinstance(models, Mapping):
        if set(models) != set(labels):
            raise ModelError(f"models must have the names of the fit, {sorted(labels)}, got {sorted(map(str, models))}")
        models = [models[label] for label in labels]
    given = tuple(models) if isinstance(models, Iterable) else models
    if isinstance(given, tuple) and len(given) != len(labels):
        raise ModelError(f"the fit is one of {len(labels)} models ({', '.join(labels)}), got {len(given)}")
    score = FusedScore(given, fused.schedule, process=fused.process)
    if score.dim != fused.dim:
        raise ModelError(f"the fit is one of models of dimension {fused.dim}, these have {score.dim}")
    for label, new, old in zip(labels, score.models, fused.models, strict=True):
        now, then = model_sha256(new), model_sha256(old)
        if now is not None and then is not None and now != then:
            text = f"model {label!r} is another one than the fit's (sha256 {now[:12]}, it was {then[:12]}): fit again"
            warnings.warn(text, FitWarning, stacklevel=3)
    return score
