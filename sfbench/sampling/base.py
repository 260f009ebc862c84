"""The interface of samplers: a strategy that turns a request into points and the name of their law.

A sampler of one's own is a subclass of :class:`Sampler`; ``sample(score, n, MySampler())`` takes it as it takes the
built-in ones, and a name for it comes from :func:`register_sampler` or the entry-point group ``sfbench.samplers``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np

from .._internal.aliases import Array, Float64Array, FloatArray
from .._internal.arrays import Normals
from ..processes.times import TimeSteps
from ..scores import FusedScore
from .guard import prior_scores
from .result import SampleResult

_PRIOR_POINTS, _PRIOR_NUMBERS = (4, 16, 256), 1024  # fewest, fewest on a line, most; and numbers that say enough

Observer = Callable[[int, float, Array, Float64Array], None]


@final
@dataclass(frozen=True, eq=False)
class SampleRequest:
    """What :func:`sfbench.sample` was asked for, checked.

    Attributes
    ----------
    fused, n, dtype, steps, max_lost, callback, rng
        As given to :func:`sfbench.sample`, in their final form.
    order : iterator of int
        Yields step numbers under a progress bar.
    trial : bool
        Whether this is a small run that is only compared with another.
    device : torch.device or None
        Where points are tensors; None means numpy arrays.
    looks : bool
        Whether the host looks at every step for lost points and scores that are not finite. For that it must wait for
        an accelerator; a sampler that does not look finds out at the end whether it should have, and draws
        :meth:`again`.
    """

    fused: FusedScore
    n: int
    dtype: np.dtype[Any]
    steps: TimeSteps
    max_lost: float
    callback: Observer | None
    rng: np.random.Generator
    order: Iterator[int]
    trial: bool = False
    device: Any = None
    looks: bool = True
    normals: Normals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normals", Normals(self.rng, self.device))

    def again(self) -> "SampleRequest":
        """The same request from the same noise, looked at in every step."""
        self.normals.restart()
        repeated = replace(self, order=iter(range(len(self.steps))), looks=True)
        object.__setattr__(repeated, "normals", self.normals)
        return repeated

    @cached_property
    def at_prior(self) -> tuple[Float64Array, list[FloatArray]]:
        """Some points of the prior at the first time, and scores of the active models there, checked: asked once for
        all that is said of the start. Of few points, fewer in many dimensions, whose means are over coordinates, too.
        """
        fewest, few, most = _PRIOR_POINTS
        enough = min(few, max(fewest, _PRIOR_NUMBERS // self.fused.dim))
        return prior_scores(self.fused, float(self.steps.times[0]), min(most, max(enough, self.n // 16)))

    def start(self) -> Array:
        """Points (n, d) drawn from the prior at the first time."""
        spread = self.fused.process.prior_std(float(self.steps.times[0]))
        return spread * self.normal((self.n, self.fused.dim))

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Standard normals of the request's dtype, on its device."""
        return self.normals(tuple(shape), self.dtype.name)

    def observe(self, step: int, x: Array, log_weights: Float64Array) -> None:
        """Show the points after ``step`` steps to the callback, if there is one."""
        if self.callback is not None:
            self.callback(step, float(self.steps.times[step]), x, log_weights)


class Sampler(ABC):
    """Interface of samplers.

    Attributes
    ----------
    check_steps : bool
        Whether :func:`sfbench.sample` may draw some points again with longer steps and compare.
    takes_devices : bool
        Whether it can draw tensors on ``request.device``.
    """

    check_steps: bool = True
    takes_devices: ClassVar[bool] = False

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Steps on a log-SNR grid, if the caller gives none."""

    @property
    @abstractmethod
    def law(self) -> str:
        """The law sampled as steps and (for weighted particles) particles increase."""

    @abstractmethod
    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw ``request.n`` points along ``request.steps``.

        Costs ``len(request.steps)`` times the evaluations of a step.
        """
