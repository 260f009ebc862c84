r"""Score models: anything with ``dim`` and ``score(x, t)``.

:class:`AnalyticScore` is the exact score of a noised law: ``grad log p_t``, with p_t that of ``alpha_t X + sigma_t Z``.
:class:`FusedScore` is the weighted average ``s_w = sum_i w_i s_i``. The law obtained by running the reverse process
with it (the *fused law*) is in general **not** the KL barycenter, for which see :class:`synthetic.LogLinearPool`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from synthetic import DiffusableLaw, GaussianMixture

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import as_tensor_points, common_device, is_tensor, to_host, to_kind
from .._internal.validation import as_items, as_number
from ..errors import GridError, ModelError, ProcessMismatchError
from ..processes import ForwardProcess, check_process
from ..processes.base import as_process
from .weights import WeightsOverTime, as_schedule


@runtime_checkable
class ScoreModel(Protocol):
    """A score at every diffusion time."""

    @property
    def dim(self) -> int:
        """Dimension d."""

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) and time t, shape (n, d), of the kind, device and dtype of x.

        Models that take tensors say where they compute in an attribute ``device``.
        """


@runtime_checkable
class DivergenceScoreModel(ScoreModel, Protocol):
    """A score model that also knows the divergence of its score."""

    def score_and_divergence(self, x: Array, t: float) -> tuple[Array, Array]:
        """Score (n, d) and divergence (n,) at points x (n, d) and time t."""


@final
@dataclass(frozen=True, eq=False)
class AnalyticScore:
    """Exact score of a law under a forward process.

    Laws compute on the host: tensors on an accelerator travel there and back.
    """

    law: DiffusableLaw
    process: ForwardProcess

    def __post_init__(self) -> None:
        as_process(self.process)
        if not hasattr(self.law, "diffuse"):
            raise ModelError(f"law must have diffuse(alpha, sigma), got a {type(self.law).__name__}")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    @property
    def t_range(self) -> tuple[float, float]:
        """Times at which the score is valid: all."""
        return (0.0, np.inf)

    def marginal(self, t: float) -> DiffusableLaw:
        """The noised law at time t >= 0."""
        if not as_number("t", t, GridError) >= 0.0:
            raise GridError(f"t must be finite and at least 0, got {t!r}")
        return self.law.diffuse(float(self.process.alpha(t)), float(self.process.sigma(t)))

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) and time t, shape (n, d)."""
        if is_tensor(x):
            as_tensor_points("x", x, ModelError)
            return to_kind(self.marginal(t).score(to_host(x)), x)
        return self.marginal(t).score(x)

    def score_and_divergence(self, x: Array, t: float) -> tuple[Array, Array]:
        """Score (n, d) and its exact divergence (n,)."""
        if is_tensor(x):
            score, divergence = self.marginal(t).score_and_divergence(to_host(x))
            return to_kind(score, x), to_kind(divergence, x)
        return self.marginal(t).score_and_divergence(x)


@final
@dataclass(frozen=True, eq=False)
class FusedScore:
    """Weighted average ``s_w = sum_i w_i s_i`` of score models.

    Parameters
    ----------
    models : sequence of ScoreModel or diffusable laws
        The auxiliaries; laws are turned into analytic scores with ``process``.
    weights : array_like, shape (k,), or WeightsOverTime
        Simplex weights, or weights that change with time. Models of weight zero are not evaluated.
    process : ForwardProcess
        The process that all models share.

    Raises
    ------
    ModelError, ProcessMismatchError
        For weights off the simplex or of another length, or models that cannot be averaged.
    """

    models: tuple[ScoreModel, ...]
    schedule: WeightsOverTime
    process: ForwardProcess

    def __init__(
        self,
        models: Iterable["ScoreModel | DiffusableLaw"],
        weights: ArrayLike | WeightsOverTime,
        *,
        process: ForwardProcess,
    ) -> None:
        scores = as_score_models(models, process)
        object.__setattr__(self, "models", scores)
        object.__setattr__(self, "schedule", as_schedule(weights, len(scores)))
        object.__setattr__(self, "process", process)

    def __repr__(self) -> str:
        weights = np.array2string(self.weights, precision=4, threshold=8) if self.is_constant else self.schedule
        return f"FusedScore({len(self.models)} models in dimension {self.dim}, weights {weights}, {self.process!r})"

    @property
    def is_constant(self) -> bool:
        """Whether the weights are the same at all times."""
        return bool(np.all(self.schedule.weights == self.schedule.weights[0]))

    @property
    def weights(self) -> Float64Array:
        """The weights (k,), if they are the same at all times.

        Raises
        ------
        ModelError
            If they change: :meth:`weights_at` and :meth:`at` are for those.
        """
        if not self.is_constant:
            raise ModelError("the weights of this fused score change with time; ask for weights_at(t), or at(t)")
        return self.weights_at(self.process.horizon)

    def weights_at(self, t: float) -> Float64Array:
        """The weights (k,) at time t."""
        return self.schedule(t)

    def at(self, t: float) -> "FusedScore":
        """The fused score that has the weights of time t at all times."""
        return self if self.is_constant else FusedScore(self.models, self.weights_at(t), process=self.process)

    @property
    def support(self) -> list[int]:
        """Models whose weight is positive at some time."""
        return np.flatnonzero(self.schedule.weights.any(axis=0)).tolist()

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.models[0].dim

    @property
    def t_range(self) -> tuple[float, float] | None:
        """Times at which all models of positive weight are valid, None if one does not say."""
        low, high = 0.0, np.inf
        for i in self.support:
            known: tuple[float, float] | None = getattr(self.models[i], "t_range", None)
            if known is None:
                return None
            low, high = max(low, known[0]), min(high, known[1])
        return low, high

    @property
    def device(self) -> Any:
        """The torch device of the models that have one, None if none has.

        Raises
        ------
        ModelError
            If they lie on two.
        """
        return common_device([self.models[i] for i in self.support], ModelError)

    def score(self, x: Array, t: float) -> Array:
        """Fused score at points x (n, d) and time t, shape (n, d)."""
        weights = self.weights_at(t)
        support = np.flatnonzero(weights).tolist()
        if len(support) == 1:  # a vertex returns that model's score bit for bit
            return self.models[support[0]].score(x, t)
        total: Array = None
        for i in support:
            s, w = self.models[i].score(x, t), float(weights[i])
            if tuple(s.shape) != tuple(x.shape):
                raise ModelError(f"models[{i}] returned shape {tuple(s.shape)} for points of shape {tuple(x.shape)}")
            if total is None:
                total = w * s
            else:
                total += w * s
        return total

    __call__ = score

    def score_and_divergence(self, x: Array, t: float) -> tuple[Array, Array]:
        """Fused score (n, d) and divergence (n,); every model of positive weight must know its divergence."""
        support = np.flatnonzero(self.weights_at(t)).tolist()
        parts = [score_and_divergence(self.models[i], x, t) for i in support]
        if len(parts) == 1:
            return parts[0]
        scores, divergences = zip(*parts, strict=True)
        weights = self.weights_at(t)[support].tolist()
        return (
            sum(w * s for w, s in zip(weights, scores, strict=True)),
            sum(w * v for w, v in zip(weights, divergences, strict=True)),
        )


def as_score_models(models: Iterable[ScoreModel | DiffusableLaw], process: ForwardProcess) -> tuple[ScoreModel, ...]:
    """Turn laws into analytic scores and check that all models live in one dimension and belong to the process."""
    if not type(process).__module__.startswith("sfbench."):
        check_process(process)
    scores: list[ScoreModel] = []
    for i, given in enumerate(as_items("models", models, "score models or laws", ModelError)):
        model = as_law(given)
        if hasattr(model, "log_prob") and not hasattr(model, "diffuse"):
            raise ModelError(
                f"models[{i}] is a {type(model).__name__}, a law whose noised versions are not known; fuse its "
                "components, or give a score model"
            )
        if hasattr(model, "diffuse"):
            scores.append(AnalyticScore(model, process))
        elif isinstance(model, ScoreModel):
            scores.append(model)
        else:
            raise ModelError(
                f"models[{i}] is a {type(model).__name__}; a score model needs `dim` and `score(x, t)` "
                f"({_way_in(model)})"
            )
        own = process_of(scores[-1])
        if own is not None and own != process:
            raise ProcessMismatchError(
                f"models[{i}] ({type(model).__name__}) belongs to {own!r} but is used under {process!r}; scores of "
                "different processes cannot be averaged (re-train it, or align it explicitly with AlignedScore)"
            )
    if not scores:
        raise ModelError("no models given; fusion needs at least one")
    dims = [score.dim for score in scores]
    if len(set(dims)) > 1:
        raise ModelError(f"models must live in one dimension, got {dims}")
    return tuple(scores)


def as_law(model: Any) -> Any:
    """A fitted mixture of scikit-learn as :class:`synthetic.GaussianMixture`; anything else as it is.

    Raises
    ------
    ModelError
        For a mixture of scikit-learn that was not fitted.
    """
    if not (type(model).__module__.startswith("sklearn.") and hasattr(model, "covariance_type")):
        return model
    if not hasattr(model, "covariances_"):
        raise ModelError(f"this {type(model).__name__} of scikit-learn is not fitted; call its fit(x) first")
    covariances = model.covariances_
    if model.covariance_type == "tied":
        covariances = np.broadcast_to(covariances, (len(model.means_), *covariances.shape))
    return GaussianMixture(model.weights_ / np.sum(model.weights_), model.means_, covariances)


def _way_in(model: object) -> str:
    """How an object that is not a score model may become one."""
    if hasattr(model, "state_dict") and hasattr(model, "forward"):
        return "wrap a network in sfbench.nets.NetworkScore, which says what it predicts and how it is called"
    if hasattr(model, "scheduler"):
        return "pipelines are for sfbench.diffusers; of one's network make a sfbench.nets.NetworkScore"
    return "a law needs `diffuse(alpha, sigma)`"


def process_of(model: object) -> ForwardProcess | None:
    """The forward process of a model that says it, itself or through the factor that it copies."""
    own = getattr(model, "process", None)
    if isinstance(own, ForwardProcess):
        return own
    factor = getattr(model, "factor", None)
    return None if factor is None else process_of(factor)


def score_and_divergence(model: ScoreModel, x: Array, t: float) -> tuple[Array, Array]:
    """Score and divergence of a model that knows its divergence."""
    if not isinstance(model, DivergenceScoreModel):
        raise ModelError(f"{type(model).__name__} does not know its divergence; it needs `score_and_divergence(x, t)`")
    return model.score_and_divergence(x, t)
