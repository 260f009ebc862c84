r"""Score-matching statistics of data, in one streamed pass.

With ``x_t = alpha x_0 + sigma z`` and ``S_i = s_i - s_0``, the target enters through one of three unbiased estimators:

=============  ==================================================  ============================================
estimator      term for ``E<S_i, s* - s_0>``                       variance as t -> 0
=============  ==================================================  ============================================
``dsm``        ``<S_i, -z/sigma - s_0>`` at ``x_t``                grows like ``1/sigma^2``
``antithetic`` mean of the same over ``z`` and ``-z``              bounded
``stein``      ``-(div s_i - div s_0) - <S_i, s_0>`` at ``x_t``    bounded; needs divergences
=============  ==================================================  ============================================

(Denoising score matching; its antithetic pair; integration by parts.) One noise vector per sample serves every time
node. Mixtures are first moved to the few coordinates in which they differ (:mod:`synthetic.reduction`): two products
``(n, d) x (d, r)`` and nothing else of size n x d. Anything else streams through its ``score`` in chunks; either way
memory does not depend on n, scores may be float32, and sums are float64.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from synthetic import DiffusableLaw, EmbeddedMixture, GaussianMixture, Law
from synthetic.reduction import AbstractReduction, ReducedLaw, reduce_laws

from ._typing import Float64Array, FloatArray, SeedLike
from .affine_gram import PairMoments, are_gaussian, node_statistics
from .errors import GramError, ModelError, NotFiniteError
from .gram import Contributions, ScoreGram
from .grids import TimeGrid, Weighting, objective_weights
from .processes import ForwardProcess
from .scores import AnalyticScore, DivergenceScoreModel, ScoreModel, as_score_models

Estimator = Literal["antithetic", "dsm", "stein"]
ESTIMATORS: tuple[Estimator, ...] = ("antithetic", "dsm", "stein")
_LARGEST_AFFINE_DIM = 256  # dense moments of more coordinates cost more than the scores
_CHUNK_NUMBERS = 1 << 17  # numbers in one (rows, d) array


@final
@dataclass(frozen=True, eq=False)
class GramSettings:
    """What defines the objective and its estimate.

    Parameters
    ----------
    process : ForwardProcess
    grid : TimeGrid
        Window and quadrature.
    estimator : {"antithetic", "dsm", "stein"}
    weighting : {"girsanov", "sigma2"} or function
        The factor ``omega(t)``; see :func:`sfbench.grids.objective_weights`.
    n_noise : int
        Noise vectors drawn per sample.
    dtype : float64 or float32
        Precision of scores; sums are float64 always.
    reduce : bool
        Whether mixtures may be moved to the coordinates in which they differ.
    noise : {"reduced", "ambient"}
        Whether the noise of a reduced problem is drawn in its own coordinates (the same law, and far cheaper) or as
        vectors of R^d, which gives the same numbers as ``reduce=False`` to rounding.
    """

    process: ForwardProcess
    grid: TimeGrid
    estimator: Estimator = "antithetic"
    weighting: Weighting = "girsanov"
    n_noise: int = 1
    dtype: DTypeLike = np.float64
    reduce: bool = True
    noise: Literal["reduced", "ambient"] = "reduced"

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise GramError(f"unknown estimator {self.estimator!r}; use one of {', '.join(ESTIMATORS)}")
        if self.n_noise < 1:
            raise GramError(f"n_noise must be at least 1, got {self.n_noise!r}")
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise GramError(f"dtype must be float32 or float64, got {self.dtype!r}")

    def describe(self) -> str:
        """The objective in words: grams with equal descriptions may be merged."""
        nodes = self.grid.nodes
        weighting = self.weighting if isinstance(self.weighting, str) else "custom"
        window = f"t in [{nodes[0]:.6g}, {nodes[-1]:.6g}], {len(nodes)} nodes"
        return f"{self.process!r}, {window}, {weighting}, {self.estimator}"


def score_gram(
    models: Sequence[ScoreModel | DiffusableLaw],
    x: ArrayLike,
    settings: GramSettings,
    *,
    keep: int = 0,
    rng: SeedLike = None,
) -> ScoreGram:
    """Statistics of the objective from data.

    Parameters
    ----------
    models : sequence of ScoreModel or diffusable laws
        The k auxiliaries.
    x : array_like, shape (n, d)
        Target data.
    settings : GramSettings
    keep : int
        Keep per-sample contributions, averaged into at most this many rows; 0 keeps none.
    rng : Generator, int or None
        Noise; results do not depend on chunking.

    Returns
    -------
    ScoreGram

    Raises
    ------
    NotFiniteError
        If the data or a model's scores are not finite; names the model, time and first row.
    GramError, ModelError
        For no data, a mismatched dimension, or a ``stein`` estimate of models without divergences.

    Notes
    -----
    Costs ``O(T k)`` score evaluations of n points (2T k for ``antithetic``), plus ``O(n k^2 d T)`` for inner products,
    with the reduced dimension in place of d for mixtures.
    """
    data = as_data(x)
    source = _data_source(models, data, settings, np.random.default_rng(rng))
    return _accumulate(source, settings, [len(data)], keep)[0]


def prefix_grams(
    models: Sequence[ScoreModel | DiffusableLaw],
    x: ArrayLike,
    settings: GramSettings,
    sizes: Sequence[int],
    *,
    rng: SeedLike = None,
) -> list[ScoreGram]:
    """Statistics of the first ``sizes[0] < sizes[1] < ...`` samples, for the price of one pass over the last."""
    data = as_data(x)
    if sizes and sizes[-1] > len(data):
        raise GramError(f"sizes ask for {sizes[-1]} samples, data hold {len(data)}")
    source = _data_source(models, data, settings, np.random.default_rng(rng))
    return _accumulate(source, settings, _checked_sizes(sizes), 0)


def simulated_grams(
    auxiliaries: Sequence[GaussianMixture | EmbeddedMixture],
    target: Law,
    settings: GramSettings,
    sizes: Sequence[int],
    *,
    keep: int = 0,
    rng: SeedLike = None,
) -> list[ScoreGram]:
    """Prefix statistics of fresh target samples, drawn in the reduced coordinates when the problem allows it.

    Equal in law to :func:`prefix_grams` on ``target.sample(sizes[-1])``, at a cost that does not depend on d for
    problems with a shared complement or isotropic mixtures.
    """
    checked = _checked_sizes(sizes)
    generator = np.random.default_rng(rng)
    reduction = reduce_laws(auxiliaries, target) if settings.reduce else None
    source: _DataSource | _LawSource
    if reduction is None or reduction.target is None:
        data = target.sample(checked[-1], rng=generator)
        source = _data_source(auxiliaries, data, settings, generator)
    else:
        source = _LawSource(reduction, checked[-1], settings, generator)
    return _accumulate(source, settings, checked, keep)


# ---------------------------------------------------------------------- sources of (models, data, noise)
@final
class _DataSource:
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
class _LawSource:
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
        return min(max(_CHUNK_NUMBERS // int(self.data.shape[1]), 16), 16384)

    def chunk(self, start: int, stop: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        part = slice(start, stop)
        yield self.data[part].astype(self.dtype, copy=False), self.noise[part].astype(self.dtype, copy=False)


def _analytic(reduction: AbstractReduction, process: ForwardProcess) -> tuple[ScoreModel, ...]:
    return as_score_models(cast("Sequence[DiffusableLaw]", reduction.laws), process)


def _data_source(
    models: Sequence[ScoreModel | DiffusableLaw], data: FloatArray, settings: GramSettings, rng: np.random.Generator
) -> _DataSource:
    scores = as_score_models(models, settings.process)
    if scores[0].dim != data.shape[1]:
        raise ModelError(f"models live in {scores[0].dim} dimensions, data in {data.shape[1]}")
    reduction = None
    if settings.reduce and all(isinstance(model, GaussianMixture | EmbeddedMixture) for model in models):
        reduction = reduce_laws(cast("Sequence[GaussianMixture | EmbeddedMixture]", models))
    if reduction is not None:
        scores = _analytic(reduction, settings.process)
    if settings.estimator == "stein" and not all(isinstance(s, DivergenceScoreModel) for s in scores):
        raise ModelError("estimator 'stein' needs models with score_and_divergence; use 'antithetic'")
    return _DataSource(scores, data, reduction, settings, rng)


def as_data(x: ArrayLike) -> FloatArray:
    """Return target data as a finite (n, d) array with n >= 1, float32 or float64."""
    data = np.asarray(x)
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


def _checked_sizes(sizes: Sequence[int]) -> list[int]:
    values = [int(s) for s in sizes]
    if not values or values[0] < 1 or any(a >= b for a, b in itertools.pairwise(values)):
        raise GramError(f"sizes must be strictly increasing and at least 1, got {list(sizes)}")
    return values


# ---------------------------------------------------------------------- accumulation
def _accumulate(
    source: _DataSource | _LawSource, settings: GramSettings, sizes: list[int], keep: int
) -> list[ScoreGram]:
    """Sum contributions chunk by chunk; chunk edges include every prefix size."""
    k, n = len(source.models), sizes[-1]
    rows = source.rows_per_chunk
    laws = [model.law for model in source.models if isinstance(model, AnalyticScore)]
    if not keep and len(laws) == k and are_gaussian(laws) and laws[0].dim <= _LARGEST_AFFINE_DIM:
        return _accumulate_moments(source, cast("list[ReducedLaw]", laws), settings, sizes)
    evaluator = _ChunkEvaluator(source.models, settings)
    g, b = np.zeros((k, k)), np.zeros(k)
    grams: list[ScoreGram] = []
    batches = _BatchMeans(n, min(keep, n), k) if keep else None
    start = 0
    for size in sizes:
        while start < size:
            stop = min(start + rows, size)
            for y, zeta in source.chunk(start, stop):
                terms = evaluator.evaluate(y, zeta, start, per_sample=batches is not None)
                g[1:, 1:] += terms.g.sum(axis=0) / settings.n_noise
                b[1:] += terms.b.sum(axis=0) / settings.n_noise
                if batches is not None:
                    batches.add(start, terms.g / settings.n_noise, terms.b / settings.n_noise)
            start = stop
        kept = batches.finish() if batches is not None and size == n else None
        grams.append(ScoreGram((g + g.T) / (2 * size), b / size, None, size, settings.describe(), kept))
    return grams


def _accumulate_moments(
    source: _DataSource | _LawSource, laws: list[ReducedLaw], settings: GramSettings, sizes: list[int]
) -> list[ScoreGram]:
    """The same statistics for Gaussian auxiliaries, through the moments of data and noise (see affine_gram)."""
    k, process = len(laws), settings.process
    omega = objective_weights(settings.grid, process, settings.weighting)
    nodes = [(float(process.alpha(t)), float(process.sigma(t))) for t in settings.grid.nodes]
    noised = [[law.diffuse(*node) for law in laws] for node in nodes]
    # Moments about the middle of the laws: raw ones would lose the digits of data far from the origin.
    centre = np.mean([law.means[0] for law in laws], axis=0)
    moments = PairMoments.zero(laws[0].dim, dense=any(law.spectrum.layout == "full" for law in laws))
    grams: list[ScoreGram] = []
    start = 0
    for size in sizes:
        while start < size:
            stop = min(start + source.rows_per_chunk, size)
            for y, zeta in source.chunk(start, stop):
                moments = moments.add(y.astype(np.float64, copy=False) - centre, zeta.astype(np.float64, copy=False))
            start = stop
        g, b = np.zeros((k, k)), np.zeros(k)
        for factor, node, at_node in zip(omega, nodes, noised, strict=True):
            n_draws = size * settings.n_noise
            pairs, cross = node_statistics(at_node, moments, n_draws, *node, settings.estimator, centre)
            g += factor * pairs
            b += factor * cross
        grams.append(ScoreGram((g + g.T) / 2, b, None, size, settings.describe()))
    return grams


@final
@dataclass(frozen=True, eq=False)
class _Terms:
    """Contributions of a chunk: (rows, k-1, k-1) and (rows, k-1), or their sums with rows = 1."""

    g: Float64Array
    b: Float64Array


_Evaluator = tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], tuple[FloatArray, FloatArray]]]


@final
@dataclass(frozen=True, eq=False)
class _Node:
    """A time node, its coefficients, and per model the functions x -> score and x -> (score, divergence)."""

    t: float
    alpha: float
    sigma: float
    omega: float
    models: list[_Evaluator]


def _at(model: ScoreModel, t: float) -> _Evaluator:
    """The model at a fixed time; an analytic score keeps its noised law, prepared once for all chunks."""
    if isinstance(model, AnalyticScore):
        law = model.marginal(t)
        return law.score, law.score_and_divergence
    return lambda x: model.score(x, t), lambda x: cast(DivergenceScoreModel, model).score_and_divergence(x, t)


@final
class _ChunkEvaluator:
    """Time-integrated contributions of one chunk of data and noise."""

    def __init__(self, models: tuple[ScoreModel, ...], settings: GramSettings) -> None:
        self.k, self.estimator = len(models), settings.estimator
        grid, process = settings.grid, settings.process
        omega = objective_weights(grid, process, settings.weighting)
        self.nodes = [
            _Node(t, float(process.alpha(t)), float(process.sigma(t)), factor, [_at(model, t) for model in models])
            for t, factor in zip(grid.nodes.tolist(), omega.tolist(), strict=True)
        ]

    def evaluate(self, y: FloatArray, zeta: FloatArray, first_row: int, *, per_sample: bool) -> _Terms:
        k, rows = self.k, len(y)
        stein, signs = self.estimator == "stein", 1
        if self.estimator == "antithetic":  # both signs in one call of every model
            y, zeta, signs = np.concatenate([y, y]), np.concatenate([zeta, -zeta]), 2
        length = rows if per_sample else 1
        g, b = np.zeros((length, k - 1, k - 1)), np.zeros((length, k - 1))
        difference = np.empty((k - 1, *y.shape))
        curvature = np.zeros((k - 1, len(y)))
        flat = difference.reshape(k - 1, y.size)
        for node in self.nodes:
            x = (node.alpha * y + node.sigma * zeta).astype(y.dtype, copy=False)
            base, base_divergence = self._evaluate_model(node, 0, x, first_row)
            for i in range(1, k):
                value, divergence = self._evaluate_model(node, i, x, first_row)
                np.subtract(value, base, out=difference[i - 1])
                if divergence is not None and base_divergence is not None:
                    curvature[i - 1] = base_divergence - divergence
            residual = -base if stein else zeta * (-1.0 / node.sigma) - base
            factor = node.omega / signs
            if per_sample:
                pairs = np.einsum("inr,jnr->nij", difference, difference)
                cross = np.einsum("inr,nr->ni", difference, residual) + curvature.T
                g += factor * pairs.reshape(signs, rows, k - 1, k - 1).sum(axis=0)
                b += factor * cross.reshape(signs, rows, k - 1).sum(axis=0)
            else:
                g[0] += factor * (flat @ flat.T)
                b[0] += factor * (flat @ residual.astype(np.float64, copy=False).ravel() + curvature.sum(axis=1))
        return _Terms(g, b)

    def _evaluate_model(
        self, node: _Node, i: int, x: FloatArray, first_row: int
    ) -> tuple[FloatArray, FloatArray | None]:
        score, score_and_divergence = node.models[i]
        divergence: FloatArray | None = None
        if self.estimator == "stein":
            value, divergence = score_and_divergence(x)
        else:
            value = score(x)
        if np.shape(value) != x.shape:
            raise ModelError(f"model {i} returned scores of shape {np.shape(value)} for points of shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):  # a sum is finite unless an entry is not, or it overflows
            suspicious = not np.isfinite(np.sum(value) + (0.0 if divergence is None else np.sum(divergence)))
        if suspicious:
            finite = np.isfinite(value).all(axis=1) & (True if divergence is None else np.isfinite(divergence))
            if not finite.all():
                signs = 2 if self.estimator == "antithetic" else 1
                row = first_row + int(np.argmin(finite)) % (len(x) // signs)
                raise NotFiniteError(
                    f"model {i} returned a score or divergence that is not finite at t={node.t:.6g} near data row {row}"
                )
        return value, divergence


@final
class _BatchMeans:
    """Averages per-sample contributions into a fixed number of consecutive batches."""

    def __init__(self, n: int, rows: int, k: int) -> None:
        self.edges = np.linspace(0, n, rows + 1).round().astype(np.intp)
        self.g, self.b = np.zeros((rows, k, k)), np.zeros((rows, k))

    def add(self, start: int, g: Float64Array, b: Float64Array) -> None:
        index = np.searchsorted(self.edges, np.arange(start, start + len(g)), side="right") - 1
        np.add.at(self.g[:, 1:, 1:], index, g)
        np.add.at(self.b[:, 1:], index, b)

    def finish(self) -> Contributions:
        counts = np.diff(self.edges).astype(np.float64)
        return Contributions(self.g / counts[:, None, None], self.b / counts[:, None], counts)
