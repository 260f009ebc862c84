"""What a method is given, what it returns, and the meter that holds it to its budget.

The unit of cost is one evaluation: the score of one model at one point and one time. Every model that a method is given
counts its evaluations on a meter which all share, and refuses the first one beyond the budget: what is spent on weights
is not there for points.
"""

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from .._internal.aliases import Array, Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_items, as_kind, as_points, as_real, as_weights
from ..errors import ModelError, NotFiniteError, SfbenchError
from ..processes import ForwardProcess
from ..processes.base import as_process
from ..sampling import TrustWarning
from ..scores import AnalyticScore, ScoreModel, as_score_models


class BudgetError(SfbenchError):
    """A method asked for more evaluations than it has, or has too few to start."""


class NotApplicableError(SfbenchError):
    """A method cannot treat these models: it needs densities, or parameters of one shape."""


@final
@dataclass(eq=False)
class Meter:
    """Evaluations spent, of those allowed."""

    budget: int
    spent: int = field(default=0, init=False)

    @property
    def left(self) -> int:
        """Evaluations that are left."""
        return self.budget - self.spent

    def charge(self, n: int) -> None:
        """Count n evaluations; BudgetError if they are not there."""
        if n > self.left:
            raise BudgetError(f"{n} evaluations asked for, {self.left} left of a budget of {self.budget}")
        self.spent += n


@final
@dataclass(frozen=True, eq=False)
class MeteredScore:
    """A score model whose evaluations are counted and paid for; its law and its divergence stay hidden."""

    model: ScoreModel = field(repr=False)
    process: ForwardProcess
    meter: Meter

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.model.dim

    def score(self, x: Array, t: float) -> Array:
        """Score at points x (n, d) and time t; costs n evaluations."""
        self.meter.charge(len(x))
        return self.model.score(x, t)


@final
@dataclass(frozen=True, eq=False)
class Task:
    """What a method is asked for.

    Attributes
    ----------
    models : tuple of MeteredScore
        The auxiliaries.
    laws : tuple of laws, or None
        Their densities, for methods that need them; None where there are none, as for networks.
    x, process, n, rng
        As given to :func:`run_method`: x (m, d) are data of the target, n points are wanted.
    meter : Meter
        What may be spent, on weights and points together.
    """

    models: tuple[MeteredScore, ...]
    laws: tuple[Any, ...] | None
    x: Float64Array
    process: ForwardProcess
    n: int
    meter: Meter
    rng: np.random.Generator

    @property
    def k(self) -> int:
        """Number of auxiliaries."""
        return len(self.models)

    def metered(self, law: Any) -> MeteredScore:
        """The score of a law that the method has made, which costs like that of an auxiliary."""
        return MeteredScore(AnalyticScore(law, self.process), self.process, self.meter)

    def densities(self) -> tuple[Any, ...]:
        """The laws; NotApplicableError if there are none."""
        if self.laws is None:
            raise NotApplicableError("this method needs the auxiliaries' densities, and these models have none")
        return self.laws


@final
@dataclass(frozen=True, eq=False)
class MethodOutcome:
    """What a method returns.

    Attributes
    ----------
    x : array (n, d)
        Points; rows of weight zero may be NaN.
    law : str
        The law that it means to sample, in words.
    weights : array (k,) or None
        Those of the auxiliaries, if there are such.
    log_weights : array (n,) or None
        Log weights of the points.
    effective : float or None
        How many independent points they are worth, if the method knows.
    log_z, log_z_error : float or None
        An estimate of ``log Z`` at the weights.
    """

    x: Float64Array
    law: str
    weights: Float64Array | None = None
    log_weights: Float64Array | None = None
    effective: float | None = None
    log_z: float | None = None
    log_z_error: float | None = None


@final
@dataclass(frozen=True, eq=False)
class MethodRun:
    """An outcome and what it cost: evaluations, and seconds of this machine."""

    outcome: MethodOutcome
    evaluations: int
    seconds: float


class Method(ABC):
    """Interface of methods: data and auxiliaries in, points of the target out."""

    @property
    @abstractmethod
    def about(self) -> str:
        """One line about it."""

    @abstractmethod
    def run(self, task: Task) -> MethodOutcome:
        """Draw ``task.n`` points within ``task.meter``."""


def run_method(
    method: "str | Method",
    auxiliaries: Sequence[Any],
    x: Any,
    *,
    process: ForwardProcess,
    n: int,
    budget: int,
    rng: SeedLike = None,
) -> MethodRun:
    """Run a method on auxiliaries and data, within a budget.

    Parameters
    ----------
    method : str or Method
        One of :func:`known_methods`, or a method.
    auxiliaries : sequence of laws or score models
        Laws are given to methods that need densities; all are given the scores.
    x : array_like (m, d)
        Data of the target.
    process : ForwardProcess
    n : int
        Number of points.
    budget : int
        Evaluations of one model at one point and time, for everything that the method does.
    rng : Generator, SeedSequence, int or None

    Raises
    ------
    BudgetError
        If the method wants more.
    NotApplicableError
        If it cannot treat these models.
    ModelError, NotFiniteError
        If its answer has another shape, weights off the simplex, log weights that are not weights, or points of
        positive weight that are not finite.
    """
    from .registry import as_method  # which imports this module

    chosen, meter = as_method(method), Meter(as_count("budget", budget))
    auxiliaries = as_items("auxiliaries", auxiliaries, "laws or score models", ModelError)
    scores = as_score_models(auxiliaries, as_process(process))
    data = np.asarray(as_points("x", x, scores[0].dim, ModelError), np.float64)
    laws = auxiliaries if all(hasattr(law, "log_prob") for law in auxiliaries) else None
    models = tuple(MeteredScore(score, process, meter) for score in scores)
    task = Task(models, laws, data, process, as_count("n", n), meter, as_generator(rng))
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)  # the points themselves are judged
        outcome = as_kind("the outcome", chosen.run(task), MethodOutcome, ModelError)
    _check(outcome, task)
    return MethodRun(outcome, meter.spent, time.perf_counter() - started)


def _check(outcome: MethodOutcome, task: Task) -> None:
    x = as_real("the method's x", outcome.x, ModelError)
    if x.shape != (task.n, task.models[0].dim):
        raise ModelError(f"the method returned points of shape {x.shape} and was asked for {task.n}")
    if outcome.weights is not None:
        try:
            as_weights(outcome.weights, task.k, ModelError)
        except ModelError as reason:
            raise ModelError(f"the method returned weights off the simplex: {reason}") from None
    kept = np.ones(task.n, bool)
    if outcome.log_weights is not None:
        logs = as_real("the method's log_weights", outcome.log_weights, ModelError)
        if logs.shape != (task.n,) or np.isnan(logs).any() or not np.isfinite(logs.max()):
            raise ModelError(
                f"the method returned log_weights of shape {logs.shape}; they must have shape ({task.n},), no NaN and "
                "a finite maximum (minus infinity leaves a point out)"
            )
        kept = logs > -np.inf
    if not np.all(np.isfinite(x[kept])):
        raise NotFiniteError("the method returned points of positive weight that are not finite")


WeightRule = Callable[[Task], Float64Array]
Draw = Callable[[Task, Float64Array], MethodOutcome]
