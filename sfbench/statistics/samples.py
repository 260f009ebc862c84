"""Sources of (models, data, noise) in chunks: given data, or data and noise drawn in the coordinates that matter.

Whatever the chunk size, a source yields the same numbers: its random streams are consumed row by row.
"""

from collections.abc import Iterator, Sequence
from typing import cast, final

import numpy as np
from numpy.typing import ArrayLike

from synthetic import DiffusableLaw, EmbeddedMixture, GaussianMixture
from synthetic.reduction import AbstractReduction, reduce_laws

from .._typing import FloatArray
from ..errors import GramError, ModelError, NotFiniteError
from ..processes import ForwardProcess
from ..scores import DivergenceScoreModel, ScoreModel, as_score_models
from .settings import GramSettings

_CHUNK_NUMBERS = 1 << 17  # numbers in one (rows, d) array


@final
class DataSource:
    """Chunks of data with fresh noise, projected if a reduction is known."""

    def __init__(
        self,
        models: tuple[ScoreModel, ...],
        data: FloatArray,
        reduction: AbstractReduction | None,
        settings: GramSettings,
        rng: np.random.Generator,
    ) -> None:
        self.models, self.data, self.reduction = models, data, reduction
        # Two streams, each consumed row by row: results do not depend on where chunks end.
        self.normal, self.chi = rng.spawn(2)
        self.ambient = settings.noise == "ambient"
        self.dtype, self.n_noise = np.dtype(settings.dtype), settings.n_noise

    @property
    def rows_per_chunk(self) -> int:
        """Large enough to hide per-call costs, small enough to stay in cache where whole points are evaluated."""
        numbers = _CHUNK_NUMBERS if self.reduction is None else 8 * _CHUNK_NUMBERS
        return min(max(numbers // (int(self.data.shape[1]) * self.n_noise), 16), 16384)

    def chunk(self, start: int, stop: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Data and noise (rows, d) of rows start to stop, once per noise vector; to be called in order."""
        x0 = self.data[start:stop]
        rows, d = x0.shape
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

    @property
    def rows_per_chunk(self) -> int:
        """Rows that keep a chunk in cache."""
        return min(max(_CHUNK_NUMBERS // int(self.data.shape[1]), 16), 16384)

    def chunk(self, start: int, stop: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Data and noise (rows, r) of rows start to stop."""
        part = slice(start, stop)
        yield self.data[part].astype(self.dtype, copy=False), self.noise[part].astype(self.dtype, copy=False)


def _analytic(reduction: AbstractReduction, process: ForwardProcess) -> tuple[ScoreModel, ...]:
    return as_score_models(cast("Sequence[DiffusableLaw]", reduction.laws), process)


def data_source(
    models: Sequence[ScoreModel | DiffusableLaw], data: FloatArray, settings: GramSettings, rng: np.random.Generator
) -> DataSource:
    """Return the source for given data: models checked against them, and reduced where that is possible."""
    scores = as_score_models(models, settings.process)
    if scores[0].dim != data.shape[1]:
        raise ModelError(f"models live in {scores[0].dim} dimensions, data in {data.shape[1]}")
    reduction = None
    if settings.reduce:
        reduction = reduce_laws(cast("Sequence[GaussianMixture | EmbeddedMixture]", models))  # None for other models
    if reduction is not None:
        scores = _analytic(reduction, settings.process)
    if settings.estimator == "stein" and not all(isinstance(s, DivergenceScoreModel) for s in scores):
        raise ModelError("estimator 'stein' needs models with score_and_divergence; use 'antithetic'")
    return DataSource(scores, data, reduction, settings, rng)


def as_data(x: ArrayLike) -> FloatArray:
    """Return target data as a finite (n, d) array with n >= 1, float32 or float64."""
    try:
        data = np.asarray(x)
    except ValueError as error:
        raise GramError(f"data must have shape (n, d), rows of one length: {error}") from None
    if data.ndim != 2:
        hint = "; use x[:, None] for 1-D data" if data.ndim == 1 else ""
        raise GramError(f"data must have shape (n, d), got {data.shape}{hint}")
    if len(data) == 0:
        raise GramError("data are empty: n = 0; fusion needs at least one target sample")
    if data.dtype.kind not in "fiu":
        raise GramError(f"data must be real numbers, got dtype {data.dtype}")
    data = data.astype(np.float64, copy=False) if data.dtype != np.float32 else data
    # A column sum is finite unless an entry is not (or it overflows): no temporary of the size of the data.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.all(np.isfinite(data.sum(axis=0)))
    if suspicious and not np.all(np.isfinite(data)):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise NotFiniteError(f"data[{row}, {column}] is {data[row, column]}; every entry must be finite")
    return cast(FloatArray, data)
