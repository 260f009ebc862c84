"""Conditions of points, such as labels or embeddings: the one place where rows of conditions meet rows of points.

A conditional model has ``score(x, t, condition=)`` with one row for each point, or one condition for all. A pass over
data evaluates rows ``start:stop`` several times in one call (both signs of the noise, many times), block after block of
the same rows; so their conditions are repeated block after block.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from inspect import signature
from typing import Any, final

import numpy as np

from .._internal.aliases import Array
from .._internal.arrays import is_tensor, library, to_host
from ..errors import ModelError, SfbenchError
from .models import ScoreModel

_PASSED_ON = ("device", "law", "preferred_rows", "process", "shape", "t_range", "takes_times")


def takes_condition(model: object) -> bool:
    """Whether a model has ``score(x, t, condition=)``, and knows what to do with it."""
    score = getattr(model, "score", None)
    try:
        named = "condition" in signature(score).parameters if callable(score) else False
    except (TypeError, ValueError):
        named = False
    return named and getattr(model, "condition_name", "") is not None


def as_condition(condition: Any, n: int, error: type[SfbenchError]) -> Array:
    """Conditions of n points, (n, ...): integers, or float32 and float64; one for all is repeated.

    Raises
    ------
    SfbenchError
        Of the class given; says what is wrong.
    """
    rows = condition.detach() if is_tensor(condition) else np.asarray(condition)
    if not is_tensor(rows) and (rows.dtype.kind not in "iubf" or isinstance(condition, np.ma.MaskedArray)):
        raise error(f"condition must hold labels or numbers, got {type(condition).__name__} of {rows.dtype}")
    if rows.ndim == 0:
        return np.repeat(to_host(rows)[None], n)
    if len(rows) != n:
        raise error(f"condition must have one row for each of the {n} points, got {len(rows)}")
    return rows


@final
class ConditionRows:
    """Conditions (n, ...) of data, of which those of the current rows are given to models."""

    def __init__(self, values: Array) -> None:
        self.values = self._current = values

    def select(self, start: int, stop: int) -> None:
        """Let the following points be those of rows ``start`` to ``stop``, any number of times."""
        self._current = self.values[start:stop]

    def of(self, n: int) -> Array:
        """The conditions of n points."""
        rows = self._current
        times, rest = divmod(n, len(rows))
        if rest:
            raise ModelError(f"{n} points were asked for at once, which is not a multiple of {len(rows)} rows")
        if len(rows) == 1:
            return rows.expand(n, *rows.shape[1:]) if is_tensor(rows) else np.repeat(rows, n, axis=0)
        return rows if times == 1 else library(rows).concatenate([rows] * times)


@final
@dataclass(frozen=True, eq=False)
class ConditionedScore:
    """A conditional model under the conditions of the current rows; of one row, under its condition for all points.

    What else it is, such as its device, is that of the model.
    """

    model: Any
    rows: ConditionRows

    @property
    def dim(self) -> int:
        """Dimension d."""
        return int(self.model.dim)

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) and time t."""
        return self.model.score(x, t, condition=self.rows.of(len(x)))

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self.model, name)
        raise AttributeError(f"a ConditionedScore has no attribute {name!r}")


def conditioned(models: Iterable[ScoreModel], rows: ConditionRows) -> tuple[ScoreModel, ...]:
    """The models under conditions; those that take none are asked without one.

    Raises
    ------
    ModelError
        If none takes one.
    """
    given = tuple(models)
    found = tuple(ConditionedScore(model, rows) if takes_condition(model) else model for model in given)
    if all(new is old for new, old in zip(found, given, strict=True)):
        kinds = ", ".join(sorted({type(model).__name__ for model in given}))
        raise ModelError(
            f"condition= was given, but no model takes one ({kinds}): a conditional model has score(x, t, condition=); "
            "a NetworkScore needs condition_name="
        )
    return found
