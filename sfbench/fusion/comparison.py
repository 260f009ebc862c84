r"""How well do models denoise the same data? The same noise for all, so that differences have short intervals.

With ``x_t = alpha x_0 + sigma z`` and its antithetic twin, a score s has at time t the denoising loss

    L_t(s) = E |sigma s(x_t) + z|^2 / d,        1 for a model that predicts no noise,

averaged over times even in log signal-to-noise ratio, where differences of L are differences of the objective J up to a
factor. The best isotropic Gaussian has ``alpha^2 v / (alpha^2 v + sigma^2)``, v the variance of a coordinate: the
linear predictor, below which a model that has seen such data lies at some times. The least possible loss, that of the
target's own score, is not known: losses rank models, and do not say how far the best one is from the target.

**Guarantee**: intervals asymptotic in n, for rows that no model was trained or fitted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy

from .._internal.aliases import Float64Array, SeedLike
from .._internal.html import html_table
from .._internal.validation import as_count, as_generator, as_sample_weight
from ..errors import ModelError, NotFiniteError
from ..metrics.kernel_distances import energy_distance
from ..processes import ForwardProcess
from ..processes.times import time_steps
from ..progress import progress as bar_over
from ..sampling.api import as_fused, sample
from ..scores import FusedScore, ScoreModel, process_of
from ..scores.conditions import ConditionedScore, ConditionRows, as_condition, takes_condition
from ..statistics.samples import as_data
from .adequacy import weighted_rows

_ROWS_AT_A_TIME = 512
_Z = float(scipy.special.ndtri(0.95))


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """Losses of models on the same rows and noise.

    Attributes
    ----------
    names : tuple of str, length m
    times : array, shape (t,)
    by_row : array, shape (m, n)
        Denoising loss of each row, averaged over times.
    by_time : array, shape (m, t)
        Denoising loss at each time, averaged over rows.
    linear : array, shape (t,)
        That of the linear predictor.
    distances : tuple of (float, float)
        Energy distance of samples to the data, and its standard error; empty if nothing was sampled.
    """

    names: tuple[str, ...]
    times: Float64Array
    by_row: Float64Array
    by_time: Float64Array
    linear: Float64Array
    distances: tuple[tuple[float, float], ...] = ()

    @property
    def losses(self) -> Float64Array:
        """Mean losses (m,)."""
        return np.asarray(self.by_row.mean(axis=1))

    @property
    def stderr(self) -> Float64Array:
        """Standard errors of the mean losses over rows, (m,); NaN for one row."""
        return _error(self.by_row)

    @property
    def relative(self) -> Float64Array:
        """Losses over that of the linear predictor, (m,)."""
        return np.asarray(self.losses / self.linear.mean())

    def differences(self, reference: str | None = None) -> Float64Array:
        """Loss minus that of a model (by default the first), and its 90 % interval: (m, 3), paired by row."""
        base = self.names[0] if reference is None else reference
        if base not in self.names:
            raise ModelError(f"reference must be one of {list(self.names)}, got {reference!r}")
        rows = self.by_row - self.by_row[self.names.index(base)]
        mean, half = rows.mean(axis=1), _Z * _error(rows)
        return np.column_stack([mean, mean - half, mean + half])

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """The table as values that JSON has, by name."""
        differences = self.differences()
        found: dict[str, dict[str, float | None]] = {}
        for i, name in enumerate(self.names):
            error = float(self.stderr[i])
            found[name] = {
                "loss": float(self.losses[i]),
                "stderr": error if np.isfinite(error) else None,
                "relative": float(self.relative[i]),
                "difference": float(differences[i, 0]),
                "energy_distance": self.distances[i][0] if self.distances else None,
            }
        return found

    def plot(self, ax: Any = None) -> Any:
        """Loss over that of the linear predictor, by model and time; returns the matplotlib axes."""
        from ..plots.fits import plot_lines

        label = "denoising loss / linear predictor's"
        return plot_lines(self.names, self.times, self.by_time / self.linear, label, (1.0, "linear predictor"), ax)

    def cells(self) -> list[tuple[str, ...]]:
        """The table in words, its header first."""
        first = self.names[0]
        rows: list[tuple[str, ...]] = [("model", "loss", "/ linear", f"minus {first} (90 %)", "energy distance")]
        for i, (name, (mean, low, high)) in enumerate(zip(self.names, self.differences(), strict=True)):
            between = f" [{low:+.4f}, {high:+.4f}]" if np.isfinite(low) else ""
            difference = "" if i == 0 else f"{mean:+.4f}{between}"
            distance = f"{self.distances[i][0]:.4f} +- {self.distances[i][1]:.4f}" if self.distances else ""
            error = f" +- {self.stderr[i]:.4f}" if np.isfinite(self.stderr[i]) else " (one row: error not known)"
            loss = f"{self.losses[i]:.4f}{error}"
            rows.append((name, loss, f"{self.relative[i]:.3f}", difference, distance))
        return rows if self.distances else [row[:-1] for row in rows]

    def __repr__(self) -> str:
        rows = self.cells()
        widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        header, *rows = self.cells()
        return html_table(f"Denoising losses on n = {self.by_row.shape[1]} rows", header, rows)


def compare(
    models: Mapping[str, Any],
    x: Any,
    *,
    process: ForwardProcess | None = None,
    n_times: int = 12,
    t_min: float | None = None,
    n_samples: int = 0,
    sample_weight: Any = None,
    condition: Any = None,
    progress: bool = False,
    rng: SeedLike = 0,
) -> Comparison:
    """Denoising losses, and on request sample distances, of anything that has a score.

    Parameters
    ----------
    models : mapping of str to fit, FusedScore, score model or law
        Networks, averaged checkpoints, fits and fused scores alike; all under one process. The first one is what the
        others are compared with.
    x : array_like, shape (n, d) or (n, ...)
        Data that none of them has seen.
    process : ForwardProcess, optional
        For laws and models that do not say it.
    n_times : int
        Times, even in log signal-to-noise ratio.
    t_min : float, optional
        First time; by default 1e-3 of the horizon, or where the models' own ranges begin.
    n_samples : int
        Draw so many points of each and give their energy distance to the data; 0 draws none.
    sample_weight : array_like, shape (n,), optional
        How much each row counts in the losses; not for sample distances.
    condition : int or array_like, shape (n, ...), optional
        Labels or embeddings of the rows, for conditional models; samples are drawn under the same.
    progress : bool
        Show a bar over rows and times, and over the samples of each.
    rng : Generator, int or None

    Returns
    -------
    Comparison

    Raises
    ------
    ModelError
        For no models, different processes or dimensions, or models without a score.
    NotFiniteError
        If a score is not finite; names the model and time.

    Notes
    -----
    Costs ``2 n n_times`` evaluations of every distinct network, however many fits share it.
    """
    if not isinstance(models, Mapping) or not models:
        raise ModelError(f"models must be a mapping of names to models, got {models!r:.100}")
    said = {name: process_of(model) for name, model in models.items()}
    theirs = next(filter(None, said.values()), None) if process is None else process
    fused = {str(name): as_fused(model, process if said[name] else theirs) for name, model in models.items()}
    own = next(iter(fused.values())).process
    for name, score in fused.items():
        if score.process != own:
            raise ModelError(
                f"{name!r} belongs to {score.process!r}, the first model to {own!r}: losses of different "
                "processes cannot be compared"
            )
    one = next(iter(fused.values()))
    data = np.asarray(as_data(x, one.dim, getattr(one.models[0], "shape", None)), np.float64)
    ranges = [known for score in fused.values() if (known := score.t_range) is not None]
    low = max([1e-3 * own.horizon, *(known[0] for known in ranges)]) if t_min is None else t_min
    high = min([own.horizon, *(known[1] for known in ranges)])
    count = as_count("n_times", n_times, at_least=2, error=ModelError)
    times = time_steps(own, count - 1, t_min=low, t_max=high).times[::-1].copy()
    generator = as_generator(rng)
    weight = np.ones(len(data)) if sample_weight is None else as_sample_weight(sample_weight, len(data), ModelError)
    if sample_weight is not None and n_samples:
        raise ModelError("sample_weight counts in losses only; leave it out, or n_samples")
    labels = None if condition is None else as_condition(condition, len(data), ModelError)
    by_row, by_time = _losses(fused, data, times, own, generator, weight, labels, progress)
    centred = data - (data.mean(axis=0) if sample_weight is None else weight @ data / len(data))
    variance = float((weight @ centred**2).mean()) / len(data) if len(data) > 1 else 1.0
    if not variance > 0:
        raise ModelError(f"x does not vary: all {len(data)} rows are equal, so there is nothing to denoise")
    alpha, sigma = own.alpha(times), own.sigma(times)
    linear = np.asarray(alpha**2 * variance / (alpha**2 * variance + sigma**2))
    distances = []
    if as_count("n_samples", n_samples, at_least=0, error=ModelError):
        drawn = None if labels is None else labels[np.arange(n_samples) % len(labels)]
        for score in fused.values():
            found = energy_distance(sample(score, n_samples, condition=drawn, progress=progress, rng=generator).x, data)
            distances.append((found.value, found.stderr))
    return Comparison(tuple(fused), times, by_row, by_time, linear, tuple(distances))


def _losses(
    fused: Mapping[str, FusedScore],
    data: Float64Array,
    times: Float64Array,
    process: ForwardProcess,
    rng: np.random.Generator,
    weight: Float64Array,
    labels: Any,
    show_progress: bool,
) -> tuple[Float64Array, Float64Array]:
    """Losses by row (m, n), whose means are weighted, and by time (m, t)."""
    (n, d), m = data.shape, len(fused)
    by_row, by_time = np.zeros((m, n)), np.zeros((m, len(times)))
    with bar_over(n * len(times), "rows x times", show_progress) as bar:
        for start in range(0, n, _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            half = rng.standard_normal((len(data[rows]), d))
            given = None if labels is None else ConditionRows(labels[rows])
            z = np.concatenate([half, -half])
            for j, t in enumerate(times.tolist()):
                sigma = float(process.sigma(t))
                points = float(process.alpha(t)) * np.concatenate([data[rows], data[rows]]) + sigma * z
                known: dict[int, Float64Array] = {}
                for i, (name, score) in enumerate(fused.items()):
                    total = np.zeros_like(points)
                    for index, share in enumerate(score.weights_at(t).tolist()):
                        if share:
                            total += share * _score(score.models[index], points, t, known, name, given)
                    loss = ((sigma * total + z) ** 2).mean(axis=1).reshape(2, -1).mean(axis=0)
                    by_row[i, rows] += loss / len(times)
                    by_time[i, j] += float(loss @ weight[rows]) / n
                bar.advance(len(half))
    return weighted_rows(by_row, weight), by_time


def _score(
    model: ScoreModel, points: Float64Array, t: float, known: dict[int, Float64Array], name: str, given: Any
) -> Float64Array:
    """The model's score, evaluated once for all fits that share it."""
    if id(model) not in known:
        asked = model if given is None or not takes_condition(model) else ConditionedScore(model, given)
        value = np.asarray(asked.score(points, t), np.float64)
        if value.shape != points.shape:
            raise ModelError(f"{name!r} returned scores of shape {value.shape} for points of shape {points.shape}")
        if not np.all(np.isfinite(value)):
            raise NotFiniteError(f"{name!r} returned a score that is not finite at t = {t:.4g}")
        known[id(model)] = value
    return known[id(model)]


def _error(rows: Float64Array) -> Float64Array:
    n = rows.shape[1]
    return np.asarray(rows.std(axis=1, ddof=1) / np.sqrt(n)) if n > 1 else np.full(len(rows), np.nan)
