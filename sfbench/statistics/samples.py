"""Sources of (models, data, noise) in chunks: given data, or data and noise drawn in the coordinates that matter.

Whatever the chunk size, a source yields the same numbers: its random streams are consumed row by row.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any, cast, final

import numpy as np

from synthetic import DiffusableLaw, EmbeddedMixture, GaussianMixture
from synthetic._memory import refuse_huge
from synthetic.reduction import AbstractReduction, reduce_laws

from .._internal.aliases import Array, Float64Array, FloatArray
from .._internal.arrays import (
    Normals,
    as_tensor_points,
    astype,
    common_device,
    dtype_name,
    is_accelerator,
    is_tensor,
    on_device,
    to_host,
)
from .._internal.validation import as_items, as_kind, as_points, as_real
from ..errors import GramError, ModelError, NotFiniteError
from ..processes import ForwardProcess
from ..scores import AnalyticScore, DivergenceScoreModel, ScoreModel, as_score_models
from ..scores.checks import check_model
from ..scores.conditions import ConditionRows, as_condition, conditioned
from .rows import Rows, as_rows
from .settings import GramSettings
from .tensor_terms import takes_tensors

_CHUNK_NUMBERS = 1 << 17  # numbers in one (rows, d) array of points
_TERM_NUMBERS = 1 << 24  # numbers in the (k, rows, d) array of all models' scores
_TENSOR_ROWS = 4096  # in one call of a model that does not say
_HELD_NUMBERS, _HELD_BESIDE = 1 << 20, 6  # numbers of a call's answers by all models, and arrays held beside them
_LARGEST = 1e150  # beyond, squares overflow


def rows_per_chunk(k: int, dim: int, n_noise: int, numbers: int) -> int:
    """Large enough to hide per-call costs, small enough to stay in cache, and in memory for many models."""
    return min(max(numbers // (dim * n_noise), 16), max(_TERM_NUMBERS // (2 * k * dim), 1), 16384)


@final
class DataSource:
    """Chunks of data with fresh noise, projected if a reduction is known.

    ``ambient`` noise is drawn as vectors of R^d and then projected: the noise that an unreduced pass would draw. With a
    ``device``, chunks are tensors there. Rows of a file are read while the rows before them are computed with.
    """

    def __init__(
        self,
        models: tuple[ScoreModel, ...],
        data: Array | Rows,
        reduction: AbstractReduction | None,
        settings: GramSettings,
        rng: np.random.Generator,
        *,
        ambient: bool = False,
        device: Any = None,
    ) -> None:
        self.models, self.data, self.reduction, self.ambient = models, data, reduction, ambient
        # Two streams, each consumed row by row: results do not depend on where chunks end.
        self.normal, self.chi = rng.spawn(2)
        self.dtype, self.n_noise, self.device = np.dtype(settings.dtype), settings.n_noise, device
        self._drawn = self.dtype  # in which noise is drawn
        if is_tensor(data):
            self.dtype = self._drawn = np.dtype(dtype_name(data))
        elif settings.dtype is None and device is not None and all(map(_is_single, models)):
            self.dtype = np.dtype(np.float32)
        self._normals = Normals(self.normal, device)
        self.sample_weight: Float64Array | None = None  # of mean 1
        self.conditions: ConditionRows | None = None
        self.reduced = reduction is not None

    @property
    def rows_per_chunk(self) -> int:
        """Samples evaluated at a time."""
        if self.device is not None:
            rows = min(getattr(model, "preferred_rows", _TENSOR_ROWS) for model in self.models)
            if not is_accelerator(self.device):  # whose batches are large because its memory is
                held = (len(self.models) + _HELD_BESIDE) * int(self.data.shape[1])
                rows = min(rows, max(16, _HELD_NUMBERS // held))
            return max(1, rows // (2 * self.n_noise))
        numbers = _CHUNK_NUMBERS if self.reduction is None else 8 * _CHUNK_NUMBERS
        return rows_per_chunk(len(self.models), int(self.data.shape[1]), self.n_noise, numbers)

    def chunk(self, start: int, stop: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Data and noise (rows, d) of rows start to stop, once per noise vector; to be called in order."""
        x0 = self.data[start:stop]
        if self.conditions is not None:
            self.conditions.select(start, stop)
        rows, d = x0.shape
        if self.device is not None:
            own = x0 if is_tensor(x0) else x0.astype(self.dtype, copy=False)
            y, noise = on_device(own, self.device), self._normals((rows * self.n_noise, d), self._drawn.name)
            noise = astype(noise, self.dtype.name)
            for i in range(self.n_noise):
                yield y, noise[i :: self.n_noise]
            return
        y = x0 if self.reduction is None else self.reduction.project(x0)
        if self.reduction is not None and not self.ambient:
            noise = self.reduction.draw_noise(rows * self.n_noise, self.normal, self.chi)
        else:
            noise = self.normal.standard_normal((rows * self.n_noise, d))
            if self.reduction is not None:
                noise = self.reduction.project_noise(np.repeat(x0, self.n_noise, axis=0), noise)
        for zeta in noise.reshape(rows, self.n_noise, -1).swapaxes(0, 1):
            yield y.astype(self.dtype, copy=False), zeta.astype(self.dtype, copy=False)


@final
class LawSource:
    """Chunks of reduced data and noise drawn in law."""

    def __init__(self, reduction: AbstractReduction, n: int, settings: GramSettings, rng: np.random.Generator) -> None:
        if settings.n_noise != 1:
            raise GramError("n_noise > 1 needs data; pass samples to score_gram instead")
        self.models = _analytic(reduction, settings.process)
        self.dtype = np.dtype(settings.dtype)
        # Drawn at once: a chunked draw would make results depend on the chunk size.
        self.data = reduction.draw(n, rng)
        self.noise = reduction.draw_noise(n, *rng.spawn(2))
        self.sample_weight, self.reduced = None, True

    @property
    def rows_per_chunk(self) -> int:
        """Samples evaluated at a time."""
        return rows_per_chunk(len(self.models), int(self.data.shape[1]), 1, _CHUNK_NUMBERS)

    def chunk(self, start: int, stop: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Data and noise (rows, r) of rows start to stop."""
        part = slice(start, stop)
        yield self.data[part].astype(self.dtype, copy=False), self.noise[part].astype(self.dtype, copy=False)


def _is_single(model: ScoreModel) -> bool:
    """Whether a model says that it computes in single precision or less."""
    return str(getattr(model, "dtype", None)) in ("torch.float32", "torch.bfloat16", "torch.float16")


def _analytic(reduction: AbstractReduction, process: ForwardProcess) -> tuple[ScoreModel, ...]:
    return as_score_models(cast("Sequence[DiffusableLaw]", reduction.laws), process)


def data_source(
    models: Any,
    x: Any,
    settings: GramSettings,
    rng: np.random.Generator,
    *,
    ambient: bool = False,
    condition: Any = None,
) -> DataSource:
    """Return the source for given data: models checked against them, and reduced where that is possible."""
    as_kind("settings", settings, GramSettings, GramError)
    models = as_items("models", models, "score models or laws", ModelError)
    scores = as_score_models(models, settings.process)
    rows = as_rows(x, as_data)
    data: Any = as_data(x, scores[0].dim, getattr(scores[0], "shape", None)) if rows is None else rows
    if data.shape[1] != scores[0].dim:
        raise ModelError(f"models live in {scores[0].dim} dimensions, data in {data.shape[1]}")
    refuse_huge("the statistics of all nodes", len(settings.grid), len(scores), len(scores))
    conditions = None
    if condition is not None:
        conditions = ConditionRows(as_condition(condition, len(data), GramError))
        scores = conditioned(scores, conditions)
        conditions.select(0, min(3, len(data)))  # of the points at which models are checked
    reduction = reduce_laws(cast("Sequence[GaussianMixture | EmbeddedMixture]", models))  # None for other models
    if reduction is not None:
        scores, data = _analytic(reduction, settings.process), to_host(data) if is_tensor(data) else data
    device = None
    if reduction is None:
        device = common_device(scores, GramError, data)
        if device is None and is_tensor(data):
            if data.device.type != "cpu":
                raise GramError(
                    f"data are on {data.device} and no model says that it computes there (attribute `device`); pass "
                    "data.cpu(), or wrap networks in sfbench.nets.NetworkScore"
                )
            data = to_host(data)
        elif not all(takes_tensors(score) for score in scores):
            device, data = None, to_host(data) if is_tensor(data) else data
    if rows is not None:
        rows.pinned = is_accelerator(device)
    bends = any(settings.rule.noise_share(*node) != 1.0 for node in settings.coefficients)
    if bends and not all(isinstance(s, DivergenceScoreModel) for s in scores):
        raise ModelError(f"estimator {settings.estimator!r} needs models with score_and_divergence; use 'antithetic'")
    if reduction is None:
        _check_models(scores, data, settings, device)
    source = DataSource(scores, data, reduction, settings, rng, ambient=ambient, device=device)
    source.conditions = conditions
    return source


def _check_models(scores: tuple[ScoreModel, ...], data: Array | Rows, settings: GramSettings, device: Any) -> None:
    """Ask every model that is not analytic once, at noised data and the middle node, unless it was checked before."""
    middle = len(settings.grid) // 2
    alpha, sigma = settings.coefficients[middle]
    y = to_host(data.first(3) if isinstance(data, Rows) else data[:3]).astype(settings.dtype)
    points: Array = (alpha * y + sigma * np.random.default_rng(0).standard_normal(y.shape)).astype(settings.dtype)
    if device is not None:
        points = on_device(points, device)
    for i, score in enumerate(scores):
        if not isinstance(score, AnalyticScore) and not getattr(score, "is_checked", False):
            bends = settings.rule.noise_share(alpha, sigma) != 1.0
            check_model(score, points, float(settings.grid.nodes[middle]), f"models[{i}]", divergence=bends)


def as_data(x: Any, dim: int | None = None, shape: tuple[int, ...] | None = None) -> Array:
    """Return target data as a finite (n, d) array with n >= 1, float32 or float64, for models of dimension ``dim``.

    Arrays of more axes, images (n, C, H, W) for example, are flattened to (n, d), if their items have the ``shape`` of
    the models', where it is known. Tensors stay tensors on their device.
    """
    items = tuple(getattr(x, "shape", ()))[1:]
    if isinstance(shape, tuple) and len(items) > 1 and [s for s in items if s != 1] != [s for s in shape if s != 1]:
        last = items[-1:] + items[:-1] == tuple(shape)
        hint = "; channels come first: np.moveaxis(x, -1, 1)" if last else ""
        raise ModelError(f"data have items of shape {items}, the models of shape {tuple(shape)}{hint}")
    if is_tensor(x):
        return _as_tensor_data(as_tensor_points("data", x, GramError), dim)
    if isinstance(x, str | PathLike):
        raise GramError(f"data must be an array, got the path {str(x)!r}; read it first, e.g. with numpy.load")
    array = as_real("data", x, GramError)
    array = array.reshape(len(array), -1) if array.ndim > 2 and array.size else array
    if dim is not None and array.ndim == 2 and array.shape[1] != dim:
        raise ModelError(f"models live in {dim} dimensions, data in {array.shape[1]}")
    if 0 in array.strides:  # a view that repeats itself may be larger than any disk
        refuse_huge("data", *array.shape)
    data = as_points("data", array, error=GramError)
    if max(float(data.max()), -float(data.min())) > _LARGEST:
        row, column = (int(i) for i in np.argwhere(np.abs(data) > _LARGEST)[0])
        raise NotFiniteError(
            f"data[{row}, {column}] is {data[row, column]:.6g}; squares of entries beyond {_LARGEST:g} overflow: "
            "rescale the data"
        )
    return data


def _as_tensor_data(x: Array, dim: int | None) -> Array:
    """The same for a tensor; waits for its device once."""
    x = x.reshape(len(x), -1) if x.ndim > 2 else x
    if x.ndim != 2 or 0 in x.shape:
        hint = "; use data[:, None] for 1-D data" if x.ndim == 1 else ""
        raise GramError(f"data must have shape (n, d) with n >= 1, got {tuple(x.shape)}{hint}")
    if dim is not None and x.shape[1] != dim:
        raise ModelError(f"models live in {dim} dimensions, data in {x.shape[1]}")
    low, high = (float(end) for end in x.aminmax())
    if not max(high, -low) <= _LARGEST:  # also if it is NaN
        row, column = (~(x.abs() <= _LARGEST)).nonzero()[0].tolist()
        raise NotFiniteError(
            f"data[{row}, {column}] is {float(x[row, column]):.6g}; every entry must be finite, and squares of entries "
            f"beyond {_LARGEST:g} overflow: drop the row, or rescale the data"
        )
    return x
