r"""Is a model wired right? Likely mistakes are undone, alone and together, and the denoising losses are compared.

A wrong wiring gives confident weights in silence, but not a good loss: the network denoises better once the mistake is
undone. On a few rows of the target, the same noise for all, the loss over that of the linear predictor (see
:mod:`sfbench.fusion.comparison`) is taken as the model is wired, and with every combination of

- its sign turned; its times reversed (any model);
- each other parameterisation and each other scale of time (networks, whose raw output is asked once for each scale of
  time and read in all ways);
- data moved from 0...255, from [0, 1], or by their own mean and deviation, to the scale that networks are trained on.

A quarter of the rows chooses the alternative, with a preference for few changes, and all of them judge it: a model is
named if it brings the ratio below 0.95 (0.9 for two changes ...) and lowers it by more than a tenth, beyond four
standard errors of the paired difference, and if an output of zero, read in the same way, is worse by a tenth, too: what
an untrained network returns says nothing. Wired rightly, a network that knows such data denoises better than the linear
predictor.
**Assumption**: the target resembles what the model was trained on; otherwise no wiring denoises it.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, final

import numpy as np

from .._internal.aliases import Float64Array, SeedLike
from .._internal.arrays import take, to_host
from .._internal.validation import as_count, as_generator
from ..errors import FitWarning, GramError, NotFiniteError
from ..processes import ForwardProcess
from ..processes.times import time_steps
from ..scores import AnalyticScore, ScoreModel, as_score_models
from ..scores.conditions import ConditionedScore, ConditionRows, as_condition, takes_condition
from ..statistics.rows import is_file, is_loader
from ..statistics.samples import as_data
from .names import labels_of, named_models

_PREDICTIONS = ("epsilon", "x0", "v", "score", "velocity")
_TIMES = ("t", "scaled", "timestep", "log_snr", "sigma", "c_noise")
_BETTER, _ERRORS = 0.9, 4.0
_GOOD = 1.0, 0.05  # an alternative must bring the ratio below 0.95, and 0.05 lower for each further change
_EACH_CHANGE = 1.05  # a further change must lower the loss by a twentieth to be believed
_N_TIMES = 4
_FEW, _FEWEST = 32, 8  # rows that a fit looks at; rows that choose an alternative
_WORST = 1e12
_SCALES = (0.2, 5.0)  # of the data's deviation, beyond which a process with a prior of 1 is not meant
_POOR = 1.1

Ask = Callable[[Float64Array, float], Any]
Reading = Callable[[float, float], tuple[float, float]]
"""``(a, b)`` of the predicted noise ``a x + b output`` at ``(alpha, sigma)``."""
Asking = tuple[tuple[str, ...], Ask, list[tuple[tuple[str, ...], Reading]]]
"""Changes in words and the output to ask for; then all ways to read it, with their changes."""


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
        Rows of x that are used, evenly spaced.
    names : sequence of str, optional
    rng : Generator, int or None

    Returns
    -------
    tuple of Wiring, one for each model

    Warns
    -----
    FitWarning
        For each model that looks wired wrongly, and for data whose scale is far from 1 under a process whose noise ends
        near 1 if a model denoises them poorly.

    Notes
    -----
    Costs up to 30 evaluations of a row, for each network and scale of data.
    """
    given, found = named_models(models, names)
    scores = as_score_models(given, process)
    data = to_host(as_data(x, scores[0].dim)).astype(np.float64)
    count = min(as_count("n_rows", n_rows, at_least=8), len(data))
    rows = data[np.linspace(0, len(data) - 1, count).astype(int)]
    labels = labels_of(found, len(scores))
    reports, texts = _checked(dict(zip(labels, scores, strict=True)), rows, process, rng)
    for text in texts:
        warnings.warn(text, FitWarning, stacklevel=2)
    return reports


def wiring_warnings(
    models: tuple[ScoreModel, ...], x: Any, process: ForwardProcess, names: Any, condition: Any = None
) -> tuple[str, ...]:
    """What :func:`check_wiring` warns of, on few rows, for a fit; exact scores and loaders are not looked at.

    With conditions, rows that have that of the first one are.
    """
    labels = labels_of(names, len(models))
    asked = {label: m for label, m in zip(labels, models, strict=True) if not isinstance(m, AnalyticScore)}
    if not asked or is_loader(x):  # to look at a loader would draw from it
        return ()
    if is_file(x):
        data = to_host(as_data(x.rows(0, min(_FEW, x.n)), models[0].dim))
    else:
        whole = as_data(x, models[0].dim)
        if condition is not None:
            rows = to_host(as_condition(condition, len(whole), GramError))
            alike = np.flatnonzero((rows == rows[0]).reshape(len(rows), -1).all(axis=1))
            whole = take(whole, alike)
            asked = {label: _under(model, rows[0]) for label, model in asked.items()}
        data = to_host(whole[:: max(1, len(whole) // _FEW)][:_FEW])
    try:
        return _checked(asked, data.astype(np.float64), process, 0)[1]
    except Exception:  # a model that fails is named by the pass over the data
        return ()


def _under(model: ScoreModel, condition: Any) -> ScoreModel:
    """The model under one condition; networks stay networks, whose wiring can be changed."""
    if not takes_condition(model):
        return model
    return (
        model.given(condition) if hasattr(model, "given") else ConditionedScore(model, ConditionRows(condition[None]))
    )


def _checked(
    models: dict[str, ScoreModel], data: Float64Array, process: ForwardProcess, rng: SeedLike
) -> tuple[tuple[Wiring, ...], tuple[str, ...]]:
    """Reports, and warnings."""
    if len(data) < _FEWEST:
        return tuple(Wiring(label, np.nan, np.nan, "") for label in models), ()
    noise = as_generator(rng).standard_normal(data.shape)
    reports = tuple(_judged(label, model, data, noise, process) for label, model in models.items())
    texts = [str(report) for report in reports if report.cause]
    deviation = float(np.sqrt(np.mean((data - data.mean()) ** 2)))
    ends_near_one = 0.3 < float(process.prior_std(process.horizon)) < 3.0
    if ends_near_one and not _SCALES[0] < deviation < _SCALES[1] and any(report.loss > _POOR for report in reports):
        text = (
            f"data have a standard deviation of {deviation:.3g}, but the noise of {type(process).__name__} ends near 1"
        )
        texts.append(f"{text}: scale them as the models' training data were")
    return reports, tuple(texts)


@final
@dataclass(frozen=True, eq=False)
class _Batch:
    """Rows of data with their noise, at some times."""

    data: Float64Array
    noise: Float64Array
    times: Float64Array
    process: ForwardProcess

    @cached_property
    def points(self) -> list[tuple[float, float, float, Float64Array]]:
        """Times with alpha, sigma and noised points (2 n, d), which all readings of a model share."""
        both, z = np.concatenate([self.data, self.data]), np.concatenate([self.noise, -self.noise])
        levels = ((t, float(self.process.alpha(t)), float(self.process.sigma(t))) for t in self.times.tolist())
        return [(t, alpha, sigma, alpha * both + sigma * z) for t, alpha, sigma in levels]

    def outputs(self, ask: Ask) -> list[Float64Array]:
        """What a model returns, by time."""
        found = [np.asarray(ask(x, t), np.float64) for t, _, _, x in self.points]
        if not all(np.all(np.isfinite(output)) for output in found):
            raise NotFiniteError("an output is not finite")
        return found

    def ratios(self, outputs: list[Float64Array], reading: Reading) -> Float64Array:
        """Loss of each row over that of the linear predictor, both averaged over times, (n,)."""
        total, linear = np.zeros(len(self.data)), 0.0
        variance, z = float(np.var(self.data, axis=0).mean()), np.concatenate([self.noise, -self.noise])
        square = float(np.mean(self.noise**2))  # not 1 for few numbers, and part of every loss
        for (_, alpha, sigma, x), output in zip(self.points, outputs, strict=True):
            a, b = reading(alpha, sigma)
            with np.errstate(over="ignore"):
                loss = np.minimum(((a * x + b * output - z) ** 2).mean(axis=1), _WORST)
            total += loss.reshape(2, -1).mean(axis=0)
            signal = alpha**2 * variance
            linear += signal * (sigma**2 + signal * square) / (signal + sigma**2) ** 2
        return total / max(linear, 1.0 / _WORST)


def _judged(label: str, model: ScoreModel, data: Float64Array, noise: Float64Array, process: ForwardProcess) -> Wiring:
    low, high = getattr(model, "t_range", None) or (0.0, process.horizon)
    ends = max(low, 2e-3 * process.horizon), min(high, process.horizon)
    times = time_steps(process, _N_TIMES + 1, t_min=ends[0], t_max=ends[1]).times[1:-1]
    whole = _Batch(data, noise, times, process)
    try:
        now = whole.ratios(whole.outputs(model.score), _read_score)
    except NotFiniteError:
        now = np.full(len(data), _WORST)
    few = slice(None, None, 4 if len(data) >= 4 * _FEWEST else 1)
    found: list[tuple[float, tuple[str, ...], _Batch, Ask, Reading]] = []
    parts = [(moves, x, replace(whole, data=x[few], noise=noise[few])) for moves, x in _data_scales(data)]
    for (moves, moved, part), (asks, ask, readings) in product(parts, _askings(model, process)):
        try:
            with np.errstate(over="ignore"):  # at times that the process does not have
                outputs = part.outputs(ask)
        except Exception:  # this is not how the model can be called
            continue
        for reads, reading in readings:
            changes = (*moves, *asks, *reads)
            loss = float(part.ratios(outputs, reading).mean()) * _EACH_CHANGE ** len(changes)
            found.append((loss, changes, replace(whole, data=moved), ask, reading))
    unchanged = Wiring(label, float(now.mean()), float(now.mean()), "")
    if not found:
        return unchanged
    _, changes, batch, ask, reading = min(found, key=lambda entry: entry[0])
    if not changes:
        return unchanged
    outputs = batch.outputs(ask)
    best, idle = batch.ratios(outputs, reading), batch.ratios([0.0 * output for output in outputs], reading)
    gain = now - best
    clear = gain.mean() > _ERRORS * float(gain.std(ddof=1)) / np.sqrt(len(gain))
    limit = min(_GOOD[0] - _GOOD[1] * len(changes), _BETTER * now.mean(), _BETTER * idle.mean())
    if not clear or best.mean() >= limit:
        return unchanged
    return Wiring(label, float(now.mean()), float(best.mean()), " and ".join(changes))


def _read_score(_: float, sigma: float) -> tuple[float, float]:
    return 0.0, -sigma


def _turned(reading: Reading) -> Reading:
    """The same reading of the output with the other sign."""

    def other(alpha: float, sigma: float) -> tuple[float, float]:
        a, b = reading(alpha, sigma)
        return a, -b

    return other


def _data_scales(data: Float64Array) -> Iterator[tuple[tuple[str, ...], Float64Array]]:
    """The data as they are, and moved to scales that networks are trained on."""
    yield (), data
    if data.min() >= 0 and data.max() > 2.0:
        yield ("data moved from 0...255 to [-1, 1]",), data / 127.5 - 1.0
    elif data.min() >= 0:
        yield ("data moved from [0, 1] to [-1, 1]",), 2.0 * data - 1.0
    spread = float(np.sqrt(np.mean((data - data.mean()) ** 2)))
    if spread > 0 and not 0.5 < spread < 2.0:
        yield ("data scaled to mean 0 and deviation 1",), (data - data.mean()) / spread


def _askings(model: Any, process: ForwardProcess) -> Iterator[Asking]:
    """What may be asked of a model, with the ways to read it; with no change in words as it is wired now."""
    trained = getattr(model, "t_range", None) or (0.0, process.horizon)
    is_network = hasattr(model, "wiring") and hasattr(model, "parameterisation")
    own = model.score
    readings: list[tuple[tuple[str, ...], Reading]] = [((), _read_score)]
    scales: list[tuple[tuple[str, ...], Ask]] = [((), own)]
    if is_network:
        from ..nets.parameterisation import EDM, noise_coefficients

        declared = model.parameterisation
        if isinstance(declared, EDM):  # its points are scaled, too
            yield (), own, readings
        else:
            yield ("parameterisation=EDM()",), replace(model, parameterisation=EDM(), time="c_noise").score, readings
        readings = [
            (() if name == declared else (f"parameterisation={name!r}",), _reading_of(noise_coefficients, name))
            for name in _PREDICTIONS
        ]
        raw = replace(model, parameterisation="score")  # whose score is the network's output
        twin = "scaled" if hasattr(process, "timestep") else "timestep"  # one step of a thousand from the other
        names = [name for name in _TIMES if name != twin]
        scales = [((), raw.score)]
        scales += [((f"time={name!r}",), replace(raw, time=name).score) for name in names if name != model.time]
    readings += [((*changes, "the sign turned"), _turned(reading)) for changes, reading in readings]
    for changes, ask in scales:
        yield changes, ask, readings
        yield (
            (*changes, "times reversed (t as horizon - t)"),
            _at_reversed_times(ask, process.horizon, *trained),
            readings,
        )


def _reading_of(coefficients: Any, name: str) -> Reading:
    return lambda alpha, sigma: coefficients(alpha, sigma, name)


def _at_reversed_times(ask: Ask, horizon: float, low: float, high: float) -> Ask:
    """Asked at the opposite end, but never beyond the times that the model knows."""
    return lambda x, t: ask(x, min(max(horizon - t, low), high))
