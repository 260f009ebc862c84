r"""Is a model wired right? Every likely mistake is undone, one at a time, and the denoising losses are compared.

A wrong wiring gives confident weights in silence, but not a good loss: the network denoises better once the mistake is
undone. On one small batch of the target, the same rows and noise for all, the loss over that of the linear predictor
(see :mod:`sfbench.fusion.comparison`) is taken as the model is wired, and with

- its sign turned, or its times reversed (any model);
- each other parameterisation, and each other scale of time (networks);
- data moved from 0...255, from [0, 1], or by their own mean and deviation, to the scale that networks are trained on.

A model is named if an alternative brings that ratio below 1 and lowers it by more than a tenth, beyond four standard
errors of the paired difference: wired rightly, a network that knows such data denoises better than the linear one.
**Assumption**: the target resembles what the model was trained on; otherwise no wiring denoises it.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from .._typing import Float64Array, SeedLike
from .._validation import as_count, as_generator
from ..errors import FitWarning, NotFiniteError, SfbenchError
from ..processes import ForwardProcess
from ..scores import ScoreModel, as_score_models
from ..statistics.samples import as_data
from ..times import time_steps
from .names import labels_of, named_models

_PREDICTIONS = ("epsilon", "x0", "v", "score", "velocity")
_TIMES = ("t", "scaled", "timestep", "log_snr", "sigma", "c_noise")
_BETTER, _ERRORS = 0.9, 4.0
_N_TIMES = 6
_WORST = 1e12
_SCALES = (0.2, 5.0)  # of the data's deviation, beyond which a process with a prior of 1 is not meant


@final
@dataclass(frozen=True)
class Wiring:
    """How a model denoises as it is wired, and with the best alternative.

    Attributes
    ----------
    name : str
    loss : float
        Denoising loss over that of the linear predictor.
    best : float
        The least that an alternative has; ``loss`` if none is clearly better.
    cause : str
        What that alternative undoes, in words; empty if the wiring is right as far as can be seen.
    """

    name: str
    loss: float
    best: float
    cause: str

    def __str__(self) -> str:
        if not self.cause:
            return f"model {self.name!r}: loss {self.loss:.3g} of the linear predictor's, no better wiring found"
        return (
            f"model {self.name!r} looks wired wrongly: its denoising loss is {self.loss:.3g} of the linear "
            f"predictor's, and {self.best:.3g} with {self.cause}"
        )


def check_wiring(
    models: Any, x: Any, *, process: ForwardProcess, n_rows: int = 64, names: Any = None, rng: SeedLike = 0
) -> tuple[Wiring, ...]:
    """Look for mistakes in how models are called.

    Parameters
    ----------
    models : sequence or mapping of score models
    x : array_like, shape (n, d) or (n, ...)
        Target data.
    process : ForwardProcess
    n_rows : int
        Rows of x that are used, the first ones.
    names : sequence of str, optional
    rng : Generator, int or None

    Returns
    -------
    tuple of Wiring, one for each model

    Warns
    -----
    FitWarning
        For each model that looks wired wrongly, and for data whose scale is far from 1 under a process whose noise ends
        near 1.

    Notes
    -----
    Costs about ``12 n_rows`` evaluations for each of up to 16 alternatives.
    """
    given, found = named_models(models, names)
    scores = as_score_models(given, process)
    data = np.asarray(as_data(x, scores[0].dim), np.float64)[: as_count("n_rows", n_rows, at_least=8)]
    generator = as_generator(rng)
    noise = generator.standard_normal(data.shape)
    deviation = float(np.sqrt(np.mean((data - data.mean()) ** 2)))
    if 0.3 < float(process.prior_std(process.horizon)) < 3.0 and not _SCALES[0] < deviation < _SCALES[1]:
        text = f"data have a standard deviation of {deviation:.3g} under {process!r:.60}, whose noise ends near 1"
        warnings.warn(f"{text}: scale them as the models' training data were", FitWarning, stacklevel=2)
    reports = []
    for label, model in zip(labels_of(found, len(scores)), scores, strict=True):
        report = _judged(label, model, data, noise, process)
        if report.cause:
            warnings.warn(str(report), FitWarning, stacklevel=2)
        reports.append(report)
    return tuple(reports)


def _judged(label: str, model: ScoreModel, data: Float64Array, noise: Float64Array, process: ForwardProcess) -> Wiring:
    low, high = getattr(model, "t_range", None) or (0.0, process.horizon)
    times = time_steps(
        process, _N_TIMES + 1, t_min=max(low, 2e-3 * process.horizon), t_max=min(high, process.horizon)
    ).times[1:-1]
    try:
        now = _ratios(model, data, noise, times, process)
    except NotFiniteError:
        now = np.full(len(data), _WORST)
    best, cause = now, ""
    for text, other, moved in _alternatives(model, data, process):
        try:
            rows = _ratios(other, moved, noise, times, process)
        except (SfbenchError, ArithmeticError):  # this is not how the network can be called
            continue
        gain = now - rows
        error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
        if rows.mean() < min(1.0, _BETTER * now.mean(), best.mean()) and gain.mean() > _ERRORS * error:
            best, cause = rows, text
    return Wiring(label, float(now.mean()), float(best.mean()), cause)


def _ratios(
    model: Any, data: Float64Array, noise: Float64Array, times: Float64Array, process: ForwardProcess
) -> Float64Array:
    """Loss of each row over that of the linear predictor, both averaged over times, (n,)."""
    total, linear = np.zeros(len(data)), 0.0
    variance = float(np.var(data, axis=0).mean())
    z = np.concatenate([noise, -noise])
    for t in times.tolist():
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        score = np.asarray(model.score(alpha * np.concatenate([data, data]) + sigma * z, t), np.float64)
        if not np.all(np.isfinite(score)):
            raise NotFiniteError(f"the score is not finite at t = {t:.4g}")
        loss = np.minimum(((sigma * score + z) ** 2).mean(axis=1), _WORST).reshape(2, -1).mean(axis=0)
        total += loss
        linear += alpha**2 * variance / (alpha**2 * variance + sigma**2)
    return np.asarray(total / linear)


@final
@dataclass(frozen=True, eq=False)
class _Turned:
    """The model with another sign, or with its times reversed."""

    model: Any
    sign: float = 1.0
    end: float | None = None

    def score(self, x: Float64Array, t: float) -> Float64Array:
        return np.asarray(self.sign * self.model.score(x, t if self.end is None else self.end - t))


def _alternatives(model: Any, data: Float64Array, process: ForwardProcess) -> Iterator[tuple[str, Any, Float64Array]]:
    yield "the sign turned", _Turned(model, sign=-1.0), data
    yield "times reversed (t as horizon - t)", _Turned(model, end=process.horizon), data
    if hasattr(model, "wiring") and hasattr(model, "parameterisation"):
        for name in _PREDICTIONS:
            if name != model.parameterisation:
                yield f"parameterisation={name!r}", _rewired(model, parameterisation=name), data
        for name in _TIMES:
            if name != model.time and (name != "timestep" or hasattr(process, "timestep")):
                yield f"time={name!r}", _rewired(model, time=name), data
    if data.min() >= 0 and data.max() > 2.0:
        yield "data moved from 0...255 to [-1, 1]", model, data / 127.5 - 1.0
    elif data.min() >= 0:
        yield "data moved from [0, 1] to [-1, 1]", model, 2.0 * data - 1.0
    spread = float(np.sqrt(np.mean((data - data.mean()) ** 2)))
    if not 0.5 < spread < 2.0:
        yield "data scaled to mean 0 and deviation 1", model, (data - data.mean()) / spread


def _rewired(model: Any, **changed: Any) -> Any:
    return replace(model, **changed)
