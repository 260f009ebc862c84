"""Unweighted samplers: the reverse SDE and the probability flow of the averaged score."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from .._internal.aliases import Array
from .._internal.arrays import take
from ..errors import SfbenchError
from .base import Sampler, SampleRequest
from .guard import CountedScore, Survivors
from .integrators import FLOW_LAW, Exponential, Integrator, ReverseProcess, as_integrator
from .result import Diagnostics, SampleResult


class AveragedSampler(Sampler):
    """Interface of the samplers that follow the averaged score: by an integrator of the flow, or of the SDE."""

    flow: ClassVar[bool]
    integrator: Integrator | str
    takes_devices: ClassVar[bool] = True

    @property
    def law(self) -> str:
        """That of the integrator."""
        return as_integrator(self.integrator).law

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw points of equal weights."""
        integrator = as_integrator(self.integrator)
        if (integrator.law == FLOW_LAW) != self.flow:
            raise SfbenchError(f"{type(self).__name__} cannot use {integrator!r}, which samples the {integrator.law}")
        return follow(request, integrator, CountedScore(request.fused, "the fused score", request.fused.models))


@final
@dataclass(frozen=True)
class FusedSampler(AveragedSampler):
    """Reverse SDE driven by the averaged score: samples the fused law ``P_w``, in general not the KL barycenter.

    Parameters
    ----------
    integrator : Integrator or str
        One of :func:`known_integrators` that is stochastic.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: Integrator | str = field(default_factory=lambda: Exponential(2))
    n_steps: int = 128
    flow: ClassVar[bool] = False


@final
@dataclass(frozen=True)
class FlowSampler(AveragedSampler):
    """Probability flow driven by the averaged score: deterministic given the start; its law is not quite ``P_w``.

    Parameters
    ----------
    integrator : Integrator or str
        One of :func:`known_integrators` that follows the flow.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: Integrator | str = field(default_factory=lambda: Exponential(2, stochastic=False))
    n_steps: int = 64
    flow: ClassVar[bool] = True


def follow(
    request: SampleRequest,
    integrator: Integrator,
    score: CountedScore,
    before_step: Callable[[int, float, np.ndarray], None] | None = None,
    name: str | None = None,
) -> SampleResult:
    """Move equally weighted points from the prior along the steps of a request.

    ``before_step(step, t, rows)`` is told of every step, and which of the request's points are still there; step 0
    comes again where points were lost unseen.
    """
    fused, n, times = request.fused, request.n, request.steps.times.tolist()
    ask = score if request.looks else score.unchecked
    reverse = ReverseProcess(ask, fused.process, lambda like: request.normal(like.shape), request.looks)
    survivors, equal = Survivors(n, request.looks), np.full(n, -np.log(n))
    memory: Array = None
    x = request.start()
    for j in request.order:
        before = times[j - 1] if j else None
        if before_step is not None:
            before_step(j, times[j], survivors.alive)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is lost, and reported
            x, memory = integrator.advance(reverse, x, (before, times[j], times[j + 1]), memory)
        keep = survivors.drop(x, times[j + 1])
        if keep is not None:
            x, memory = take(x, keep), None if memory is None else take(memory, keep)
        request.observe(j + 1, x, equal[survivors.alive])
    if survivors.missed:
        return follow(request.again(), integrator, score, before_step, name)
    messages = survivors.report(request.max_lost)
    diagnostics = Diagnostics(
        name or repr(integrator),
        len(request.steps),
        score.evaluations,
        survivors.lost_share,
        n_model_evaluations=score.evaluations * (1 if before_step else len(fused.support)),
        messages=messages,
    )
    return SampleResult(survivors.restore(x), survivors.log_weights(), integrator.law, times[-1], diagnostics)
