r"""k models at the price of one: every point asks one model a step.

A step of a scheme asks, instead of ``s_w = sum_i w_i s_i``, the score of a single model i, drawn with probability
``w_i``. The drift is right on average; what is left depends on how choices at different steps go together. Let
``M_l[i, j] = P(i_n = i, i_{n+l} = j) - w_i w_j`` and ``b_i = b_w + delta_i`` the drifts. Over a short time the weak
expansion of the chain differs from that of the averaged one by, per step of length h,

    h^2/2 [sum over all l of M_l] : delta_i delta_j' : Hessian      (a random walk of the choices)
    h^2 [sum_{l>0} kappa_l M_l + kappa_0 M_0] : (delta_i . grad) delta_j . grad

where ``kappa_l`` is the share of a choice's push that has been made when the model of l steps later is asked, and
``kappa_0`` is 1/2 for a scheme that resolves the model's own drift to second order (Heun), 0 if it asks once a step.

- *Independent* choices have ``M_l = 0`` for l > 0, and ``M_0 != 0``: weak order 1, by the first line, for every scheme.
- *Balanced* choices: point p takes at step n the model whose interval of ``[0, 1)``, of length ``w_i``, contains
  ``u_p + n phi`` (or ``u_p - n phi``) modulo 1, phi the golden mean and ``u_p`` uniform. Each point spends a share
  ``w_i`` of any stretch of steps with model i to within a bounded number (times a logarithm), so ``sum over all l`` is
  zero; directions at random make ``M_l`` symmetric, so ``sum_{l>0} M_l = -M_0 / 2``. The second line then vanishes for
  ``kappa_0 = 1/2``: Heun keeps weak order 2 (up to a logarithm), with two evaluations of one model.
- With one evaluation a choice (``kappa_0 = 0``, ``kappa_l = 1``) the lines ask for ``sum_{l>0} M_l = -M_0 / 2`` and for
  ``sum_{l>0} M_l = 0``: no order of models has both, so weak order 1 is the best that such a scheme can have.
  Extrapolation from another model's step before (``kappa_1 = 3/2``) does not help: it leaves ``(M_1 - M_0) / 2``.
- Two steps with each model, extrapolated by the change of *one* model's prediction D over its two steps,

      first step: D_a + c (D_b - D_a of the model before),      second step: D_b + c (D_b - D_a),      c about 1/2,

  ask at b after half of the choice's push, so that ``kappa_0 = 1/2``: weak order 2 at one evaluation a step.
  This is what second-order exponential schemes become here (:class:`PairedExponential`).
- One model for *all* points, drawn at random, is right on average over runs and wrong in each; a *shared* balanced
  order is of order 1 in each, and is what a single image needs.

The flow carries the same choices without noise: single paths are off by ``sqrt(h)`` (independent) or h (balanced), the
law by what the lines say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import device_of, library, on_device, take, zeros
from .._internal.validation import as_choice
from ..errors import ModelError, SfbenchError
from ..scores import FusedScore, ScoreModel
from .base import Sampler, SampleRequest
from .fused import follow
from .guard import CountedScore
from .integrators import BETWEEN_LAW, Exponential, Integrator, ReverseProcess, StepTimes, as_integrator, data_prediction
from .result import SampleResult

Order = Literal["balanced", "independent", "shared"]
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


@final
@dataclass(frozen=True)
class SwitchedSampler(Sampler):
    """One model per point and step: the law of the integrator (``P_w``, or that of the flow) at the price of one model.

    A fused score with a single model of positive weight gives the points of the unswitched sampler bit for bit.

    Parameters
    ----------
    integrator : Integrator or str
        One of :func:`known_integrators` but ``"predictor_corrector"``. Those of order 2 keep it with the balanced
        order; the exponential ones of order 2 then stay with a model for two steps.
    order : {"balanced", "independent", "shared"}
        How points choose: each in a low-discrepancy order of its own, each at random, or all alike in one
        low-discrepancy order (whose error does not fall with the number of points).
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: Integrator | str = field(default_factory=lambda: Exponential(2))
    order: Order = "balanced"
    n_steps: int = 256
    takes_devices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        as_choice("order", self.order, ("balanced", "independent", "shared"))
        integrator = as_integrator(self.integrator)
        if integrator.law == BETWEEN_LAW:
            raise SfbenchError(
                f"SwitchedSampler cannot use {integrator!r}: its Langevin steps leave the {integrator.law}, which "
                "switching would move further; use 'exponential_2m' or 'stochastic_heun'"
            )

    @property
    def law(self) -> str:
        """That of the integrator."""
        return as_integrator(self.integrator).law

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw; every step costs each point ``integrator.evaluations`` evaluations of one model."""
        fused, integrator = request.fused, as_integrator(self.integrator)
        if len(fused.support) == 1:
            return follow(request, integrator, CountedScore(fused, "the fused score", fused.models))
        integrator, hold = as_scheme(integrator, self.order)
        switch = SwitchedScore(fused, request.n, self.order, hold, request.rng)
        score = CountedScore(switch, "the switched score", fused.models)

        def choose(step: int, t: float, rows: np.ndarray) -> None:
            switch.choose(step, t, rows)
            if switch.cut and isinstance(integrator, PairedExponential):
                integrator.second, integrator.cut = False, True

        return follow(request, integrator, score, choose, name=repr(self))


@final
@dataclass(eq=False)
class PairedExponential(Integrator):
    """The exponential scheme of order 2 for models that stay for two steps; one object makes one run."""

    stochastic: bool
    evaluations: ClassVar[int] = 1
    second: bool = field(default=False, init=False)
    cut: bool = field(default=False, init=False)  # the last pair had one step, so no slope is known

    @property
    def law(self) -> str:
        """The fused law, or the law of the probability flow."""
        return Exponential(1, self.stochastic).law

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step. Remembers the prediction after a first step, and after a second its change per log-SNR."""
        process, (before, t, t_next) = reverse.process, times
        c = Exponential(1, self.stochastic).step(process, before, t, t_next)
        here = data_prediction(reverse.score(x, t), process, x, t)
        slope, keep = memory, here
        if before is None or self.cut:
            self.second, slope = False, None  # a run may begin again
            self.cut = False
        elif self.second:
            slope = keep = (here - memory) / (float(process.log_snr(t)) - float(process.log_snr(before)))
        self.second = not self.second
        if slope is not None:
            here = here + (0.5 * (float(process.log_snr(t_next)) - float(process.log_snr(t)))) * slope
        return c.apply(x, here, None, reverse.noise), keep


@final
@dataclass(eq=False)
class SwitchedScore:
    """The score of one model for each point; :meth:`choose` says which."""

    fused: FusedScore
    n: int
    order: Order
    hold: int
    rng: np.random.Generator
    labels: np.ndarray = field(init=False)
    cut: bool = field(default=False, init=False)  # weights changed within a pair of steps, which ends there

    def __post_init__(self) -> None:
        self._held, self._number, self._weights = 0, 0, np.zeros(0)
        strata, self._start = _strata(1 if self.order == "shared" else self.n, self.rng)
        self._direction = np.where(strata % 2, -1.0, 1.0)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.fused.dim

    def choose(self, step: int, t: float, rows: np.ndarray) -> None:
        """Choose models for the step that begins at time t, for the points still there."""
        weights = self.fused.weights_at(t)
        changed = not np.array_equal(weights, self._weights)
        if step == 0:
            self._held, self._number, self.cut = 0, 0, False
        else:
            self.cut = changed and 0 < self._held < self.hold
            if changed or self._held == self.hold:
                self._held, self._number = 0, self._number + 1
        self._held, self._weights = self._held + 1, weights
        if self.order == "independent":
            _, u = _strata(self.n, self.rng)
        else:
            u = (self._start + self._direction * (self._number * _GOLDEN)) % 1.0
        self.labels = np.broadcast_to(models_at(u, weights), (self.n,))[rows]

    def score(self, x: Array, t: float) -> Array:
        """Score of each point's model, (n, d): the points of one model are asked together."""
        return switched_score(self.fused.models, self.labels, x, t)


def as_scheme(integrator: Integrator, order: Order) -> tuple[Integrator, int]:
    """What an integrator becomes when models are switched, for one run, and for how many steps a model stays."""
    if isinstance(integrator, Exponential) and integrator.order == 2 and order != "independent":
        return PairedExponential(integrator.stochastic), 2
    return integrator, 1


def models_at(u: Float64Array, weights: Float64Array) -> np.ndarray:
    """The model (n,) in whose interval of [0, 1), of length w_i, each number (n,) lies; never one of weight zero."""
    support = np.flatnonzero(weights)
    ends = np.cumsum(weights[support])[:-1]
    return np.asarray(support[np.searchsorted(ends, u, side="right")])


def switched_score(models: Sequence[ScoreModel], labels: np.ndarray, x: Array, t: float) -> Array:
    """Score (n, d) of model ``labels[p]`` at point p; every model is asked once, for its points together."""
    present = np.flatnonzero(np.bincount(labels, minlength=len(models))).tolist()
    if len(present) == 1:
        return models[present[0]].score(x, t)
    rows = np.argsort(labels.astype(np.uint16), kind="stable")  # small integers are sorted by their digits
    edges = np.searchsorted(labels[rows], [*present, len(models)])
    gathered = take(x, rows)
    parts = []
    for i, a, b in zip(present, edges[:-1], edges[1:], strict=True):
        parts.append(models[i].score(gathered[a:b], t))
        if tuple(parts[-1].shape) != (b - a, x.shape[1]):
            raise ModelError(
                f"models[{i}] returned shape {tuple(parts[-1].shape)} for points of shape {(int(b - a), x.shape[1])}"
            )
    joined = library(x).concatenate(parts)
    out = zeros(tuple(x.shape), joined)
    out[on_device(rows, device_of(x))] = joined
    return out


def _strata(n: int, rng: np.random.Generator) -> tuple[np.ndarray, Float64Array]:
    """The numbers of n equal intervals of [0, 1) in random order (n,), and a uniform number (n,) in each."""
    strata = rng.permutation(n)
    return strata, (strata + rng.random(n)) / n
