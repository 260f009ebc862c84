"""What fits of constant weights and of weights over time have in common."""

import warnings
from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from synthetic import DiffusableLaw

from .._internal.aliases import SeedLike
from ..errors import FitWarning, ModelError
from ..scores import FusedScore, ScoreModel
from .adequacy import Adequacy
from .identity import model_sha256
from .names import labels_of

if TYPE_CHECKING:
    from .comparison import Comparison


class AbstractFit(ABC):
    """A fit: weights of models with names, and a judgement that may be found later."""

    score: FusedScore
    names: tuple[str, ...]
    judged: Adequacy | Callable[[], Adequacy] | None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the models, or their numbers."""
        return labels_of(self.names, len(self.score.models))

    @cached_property
    def adequacy(self) -> Adequacy | None:
        """Losses on the rows of the fit, and whether the target is in the family (:mod:`sfbench.fusion.adequacy`).

        By bin, for weights over time. Of exact laws found when first asked for, on some rows; None for a likelihood.
        """
        return self.judged() if callable(self.judged) else self.judged

    def losses(self, x: Any, *, sample_weight: Any = None, condition: Any = None, rng: SeedLike = 0) -> "Comparison":
        """How well the fit, each of its models and equal weights denoise rows (n, d) that the fit has not seen.

        ``sample_weight`` (n,) counts rows, ``condition`` (n, ...) labels them; :func:`sfbench.compare` takes others.
        """
        from .comparison import compare

        models, process = self.score.models, self.score.process
        named = dict(zip(self.labels, models, strict=True))
        if len(models) > 1:
            named["equal weights"] = FusedScore(models, [1.0 / len(models)] * len(models), process=process)
        return compare(
            {"fused": self.score} | named, x, process=process, sample_weight=sample_weight, condition=condition, rng=rng
        )

    def attach(self, models: Iterable[ScoreModel | DiffusableLaw] | Mapping[str, ScoreModel | DiffusableLaw]) -> Self:
        """The same fit with its models again: a sequence in its order, or a mapping with its names.

        Warns
        -----
        FitWarning
            For a model whose content (sha256) is not that of the fit.

        Raises
        ------
        ModelError
            If a model is missing, or does not fit.
        """
        labels, fused, given = self.labels, self.score, models
        if isinstance(given, Mapping):
            if set(given) != set(labels):
                raise ModelError(
                    f"models must have the names of the fit, {sorted(labels)}, got {sorted(map(str, given))}"
                )
            given = [given[label] for label in labels]
        found: Any = tuple(given) if isinstance(given, Iterable) else given
        if isinstance(found, tuple) and len(found) != len(labels):
            raise ModelError(f"the fit is one of {len(labels)} models ({', '.join(labels)}), got {len(found)}")
        score = FusedScore(found, fused.schedule, process=fused.process)
        if score.dim != fused.dim:
            raise ModelError(f"the fit is one of models of dimension {fused.dim}, these have {score.dim}")
        for label, new, old in zip(labels, score.models, fused.models, strict=True):
            now, then = model_sha256(new), model_sha256(old)
            if now is not None and then is not None and now != then:
                text = f"model {label!r} is not the one that was fitted (sha256 {now[:12]}, fitted {then[:12]})"
                warnings.warn(f"{text}: fit again", FitWarning, stacklevel=2)
        return replace(self, score=score)  # type: ignore[type-var]  # fits are dataclasses
